package bridge

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

const (
	// roomNoticeAfter is how long something must wait in a room before the
	// room is told that Teams can't be reached.
	roomNoticeAfter = 10 * time.Second
	roomNoticeLook  = 3 * time.Second
)

// notices tells people about outages: administrators at once, a room when
// something waits in it, each once per outage.
type notices struct {
	r *runtime

	mu sync.Mutex
	// told are the rooms that know of the current outage.
	told   map[string]bool
	outage outage
}

// exampleServer is the server of the example's administrator, who is nobody.
const exampleServer = "example.com"

// graphDown tells the administrators that Graph can't be used.
func (n *notices) graphDown(ctx context.Context, o outage) {
	n.mu.Lock()
	n.outage = o
	n.mu.Unlock()
	n.ops(ctx, fmt.Sprintf("**Microsoft Graph can't be used** since %s: %s\n\nRooms go on as usual. What is written is kept and goes to Teams when Graph is back.",
		clock(o.Began), o.Cause))
}

// graphChanged tells the administrators that the outage goes on for another
// reason.
func (n *notices) graphChanged(ctx context.Context, o outage) {
	n.mu.Lock()
	n.outage = o
	n.mu.Unlock()
	n.ops(ctx, fmt.Sprintf("**Microsoft Graph still can't be used**, now because %s", o.Cause))
}

// graphUp tells the administrators that Graph is back, and how much waits.
func (n *notices) graphUp(ctx context.Context, o outage) {
	waiting := ""
	if stats, err := n.r.db.Outbox.Stats(ctx); err == nil {
		if queued := stats.ByState[database.StateQueued] + stats.ByState[database.StateSending]; queued > 0 {
			waiting = fmt.Sprintf(" %s on the way to Teams now.", count(queued, "message is", "messages are"))
		}
	}
	n.ops(ctx, fmt.Sprintf("**Microsoft Graph is back** after %s.%s What was said in Teams meanwhile is being read.",
		duration(o.Ended.Sub(o.Began)), waiting))
}

// accountExpired tells the owner of an account, or the administrators, once
// that it has to sign in again.
func (n *notices) accountExpired(ctx context.Context, a database.Account, reason string) {
	if a.Kind == database.AccountRelay {
		n.ops(ctx, fmt.Sprintf("The relay account **%s** has to sign in again (`relay login`): %s", a.UPN, reason))
		return
	}
	n.tell(ctx, id.UserID(a.MXID), fmt.Sprintf("Your sign-in to Microsoft Teams (%s) is no longer accepted. Until you `login` again, "+
		"what you write is sent by a relay account with your name in front.", a.UPN))
}

// keyLoss tells, once, what a changed or lost encryption key has cost: the
// administrators, and each person who has to sign in again.
func (n *notices) keyLoss(ctx context.Context) error {
	lost, err := n.r.keys.lost(ctx)
	if err != nil || !lost {
		return err
	}
	sealed := n.r.writers.sealed()
	n.ops(ctx, fmt.Sprintf("**The encryption key does not open what was stored with another one.** Was `network.encryption_key` changed or lost? "+
		"The secrets of notifications were made anew, and %s to sign in again. What is written meanwhile is kept. "+
		"With the old key back in the config, the sign-ins that were not renewed are good again.", count(len(sealed), "account has", "accounts have")))
	for _, a := range sealed {
		n.accountExpired(ctx, a, a.Reason)
	}
	return n.r.keys.forgetLoss(ctx)
}

// ops says something to the administrators: in the room of the configuration,
// or in each one's management room.
func (n *notices) ops(ctx context.Context, markdown string) {
	if room := n.r.c.Config.OpsRoom; room != "" {
		if err := sendNotice(ctx, n.r.c.br, id.RoomID(room), markdown); err != nil {
			zerolog.Ctx(ctx).Warn().Err(err).Msg("Could not write into the operations room")
		}
		return
	}
	for who, level := range n.r.c.br.Config.Permissions {
		if strings.HasPrefix(who, "@") && level.Admin && id.UserID(who).Homeserver() != exampleServer {
			n.tell(ctx, id.UserID(who), markdown)
		}
	}
}

// tell says something to one person in their management room.
func (n *notices) tell(ctx context.Context, mxid id.UserID, markdown string) {
	log := zerolog.Ctx(ctx).With().Stringer("user_mxid", mxid).Logger()
	user, err := n.r.c.br.GetUserByMXID(ctx, mxid)
	if err != nil {
		log.Warn().Err(err).Msg("Could not load the user to tell something")
		return
	}
	room, err := user.GetManagementRoom(ctx)
	if err == nil {
		err = sendNotice(ctx, n.r.c.br, room, markdown)
	}
	if err != nil {
		log.Warn().Err(err).Msg("Could not tell somebody something in their management room")
	}
}

// run tells rooms in which something waits, and tells them again when all of
// it has arrived.
func (n *notices) run(ctx context.Context) error {
	return every(roomNoticeLook, n.look)(ctx)
}

func (n *notices) look(ctx context.Context) error {
	down, _, _ := n.r.health.state()
	active, err := n.r.db.Outbox.ActivePortals(ctx)
	if err != nil {
		return err
	}
	if down {
		return n.tellRooms(ctx, active)
	}
	n.mu.Lock()
	var finished []string
	for portalID := range n.told {
		if !slices.Contains(active, portalID) {
			finished = append(finished, portalID)
			delete(n.told, portalID)
		}
	}
	n.mu.Unlock()
	for _, portalID := range finished {
		err := n.r.rooms.Notice(ctx, networkid.PortalKey{ID: networkid.PortalID(portalID)},
			"Microsoft Teams is back: everything that was written here meanwhile has arrived there.")
		if err != nil {
			return err
		}
	}
	return nil
}

func (n *notices) tellRooms(ctx context.Context, active []string) error {
	for _, portalID := range active {
		n.mu.Lock()
		known, o := n.told[portalID], n.outage
		n.mu.Unlock()
		if known {
			continue
		}
		head, err := n.r.db.Outbox.Next(ctx, portalID)
		if err != nil {
			return err
		} else if head == nil || n.r.now().Sub(head.CreatedAt) < roomNoticeAfter {
			continue
		}
		err = n.r.rooms.Notice(ctx, networkid.PortalKey{ID: networkid.PortalID(portalID)},
			fmt.Sprintf("Microsoft Teams can't be reached since %s. You can go on here: what you write is kept and goes to Teams when it is back.", clock(o.Began)))
		if err != nil {
			return err
		}
		n.mu.Lock()
		n.told[portalID] = true
		n.mu.Unlock()
	}
	return nil
}

// clock is a point in time for people.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// duration is a length of time for people.
func duration(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < time.Minute:
		return count(int(d.Seconds()), "second", "seconds")
	case d < 2*time.Hour:
		return count(int(d.Minutes()), "minute", "minutes")
	case d < 48*time.Hour:
		return count(int(d.Hours()), "hour", "hours")
	default:
		return count(int(d.Hours()/24), "day", "days")
	}
}

// count is a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
