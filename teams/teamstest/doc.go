// Package teamstest is a simulated Microsoft 365 tenant: an HTTPS server that
// behaves as Microsoft Graph and the sign-in service do, as far as a bridge of
// Teams channels can see them, and a Go API through which tests and the demo
// play the people in Teams.
//
// What lives here: the state of one tenant (people, teams, channels, messages),
// the wire format, permissions and limits, notifications, faults, and a log of
// what was asked. What must not: anything of the bridge. This is the other side
// of the wire; it has wire structs of its own so that a mistake in the bridge's
// decoding can not hide in a shared type.
//
// Microsoft's documentation is authoritative for behaviour. What it documents,
// the tenant does; where it is silent, the tenant picks the behaviour that is
// harder for a bridge, and a comment at that place says so.
//
// One mutex (Tenant.mu) guards all state. Handles such as User, Channel and
// Message may be used from any goroutine. Change hooks run outside the lock, in
// commit order, before the call that made the change returns.
//
// Files are split between the core (tenant, people, teams, channels, messages,
// wire, rest_*, demo) and the edge (sign-in, throttling, faults, notifications,
// request log); they meet in seams.go only. Chats, channel moderation and
// migration mode are not simulated.
package teamstest
