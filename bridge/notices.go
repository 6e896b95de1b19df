package bridge

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/matrix"
	"teamsbridge/texts"
)

// notices says things as the bot.
type notices struct{ r *runtime }

// exampleServer is the server of the example's administrator, who is nobody.
const exampleServer = "example.com"

// graphChanged tells the administrators that an outage goes on for another
// reason, which they may be able to do something about.
func (n *notices) graphChanged(ctx context.Context, o outage) {
	n.ops(ctx, changedOpsText(n.r.c.texts, o))
}

// accountExpired tells the owner of an account, or the administrators, once
// that it has to sign in again.
func (n *notices) accountExpired(ctx context.Context, a database.Account, reason string) {
	if a.Kind == database.AccountRelay {
		n.ops(ctx, n.r.c.texts.Say(texts.RelayLost, "account", a.UPN, "why", spoken(n.r.c.texts, reason)))
		return
	}
	n.tell(ctx, id.UserID(a.MXID), n.r.c.texts.Say(texts.SignInLost, "account", a.UPN))
}

// keyLoss tells, once, what a changed or lost encryption key has cost: the
// administrators, and each person who has to sign in again.
func (n *notices) keyLoss(ctx context.Context) error {
	lost, err := n.r.keys.lost(ctx)
	if err != nil || !lost {
		return err
	}
	sealed := n.r.writers.sealed()
	n.ops(ctx, n.r.c.texts.Count(texts.KeyLoss, len(sealed)))
	for _, a := range sealed {
		n.accountExpired(ctx, a, a.Reason)
	}
	return n.r.keys.forgetLoss(ctx)
}

// ops says something to the administrators.
func (n *notices) ops(ctx context.Context, markdown string) {
	for _, to := range n.admins() {
		if !strings.HasPrefix(to, "!") {
			n.tell(ctx, id.UserID(to), markdown)
		} else if err := sendNotice(ctx, n.r.c.br, id.RoomID(to), markdown); err != nil {
			zerolog.Ctx(ctx).Warn().Err(err).Msg("Could not write into the operations room")
		}
	}
}

// admins are the room of the configuration, or the administrators, who have
// management rooms.
func (n *notices) admins() []string {
	if room := n.r.c.Config.OpsRoom; room != "" {
		return []string{room}
	}
	var out []string
	for who, level := range n.r.c.br.Config.Permissions {
		if strings.HasPrefix(who, "@") && level.Admin && id.UserID(who).Homeserver() != exampleServer {
			out = append(out, who)
		}
	}
	slices.Sort(out)
	return out
}

// say says something at most once under its key, however often it is called
// and whatever dies in between: the homeserver knows the key, and where that
// may have been forgotten, the room is looked at first.
func (n *notices) say(ctx context.Context, what notice) error {
	room, err := n.roomOf(ctx, what.To)
	if err != nil || room == "" {
		return err
	}
	if what.Doubt && n.r.c.homeserver != nil {
		if err := n.r.c.homeserver.LookForSends(ctx, room); err != nil {
			return err
		}
	}
	if what.Doubt {
		if echo, err := n.r.db.Echoes.Get(ctx, what.Key); err != nil || echo != nil {
			return err
		}
	}
	return sendNotice(matrix.WithKey(ctx, what.Key), n.r.c.br, room, what.Text)
}

// roomOf returns a recipient's room, empty where it has none.
func (n *notices) roomOf(ctx context.Context, to string) (id.RoomID, error) {
	switch {
	case strings.HasPrefix(to, "!"):
		return id.RoomID(to), nil
	case strings.HasPrefix(to, "@"):
		user, err := n.r.c.br.GetUserByMXID(ctx, id.UserID(to))
		if err != nil {
			return "", fmt.Errorf("loading the user to tell something: %w", err)
		}
		return user.GetManagementRoom(ctx)
	default:
		return n.r.rooms.Room(ctx, networkid.PortalKey{ID: networkid.PortalID(to)})
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
