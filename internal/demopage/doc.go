// Package demopage is the page of cmd/demo: Teams' channels on one side, the
// Matrix rooms on the other, live, and the means to speak on both.
//
// What lives here: one embedded page without a build step (web/), and a small
// server for it on the loopback interface. The server reads and writes Teams
// through Graph over HTTP, as a client of the simulated tenant, and Matrix
// through the homeserver's client-server API, as the people in the rooms. Only
// what Graph does not offer to a person's client (who is in a channel, that
// something has changed, the switch for the outage) comes from the tenant
// itself. What must not live here: anything of the bridge. Its numbers come
// from its metrics endpoint.
//
// Nothing that is read is put into the page as HTML: web/sanitise.js builds the
// nodes anew from an allow-list. What changes something is refused unless it
// comes from the page (guard.go).
package demopage
