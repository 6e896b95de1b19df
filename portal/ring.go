package portal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

const (
	// ringLevel is the power level from which on @room rings everybody. It is
	// below that of moderators, so that who may ring may nothing else.
	ringLevel = 1
	// usualRingLevel is what homeservers take where nobody has set it.
	usualRingLevel = 50
	// maxRingers bounds how many a room's power levels list: one event holds them
	// all. Whoever is taken out gets in again when they ring.
	maxRingers = 300
	// ringAttempts is how often a message that rings is tried with its ring.
	ringAttempts = 4
)

// letRing sees to it that @room in a message rings in Matrix as it did in Teams,
// which has let its author mention everybody. Matrix rings only for senders whose
// power level is that of notifications.room: that is lowered to ringLevel, and
// the author, and nobody else, gets that level. An administrator who has set
// another level than the usual one has decided, and nothing is done.
func (d *delivery) letRing(ctx context.Context, p *bridgev2.Portal, who id.UserID) error {
	levels, err := p.Bridge.Matrix.GetPowerLevels(ctx, p.MXID)
	if err == nil && levels != nil {
		levels = levels.Clone()
		if !addRinger(levels, who) {
			return nil
		}
		_, err = p.Bridge.Bot.SendState(ctx, p.MXID, event.StatePowerLevels, "", &event.Content{
			Parsed: levels, Raw: map[string]any{"com.beeper.exclude_from_timeline": true},
		}, time.Time{})
	}
	if err == nil {
		return nil
	}
	var hs mautrix.HTTPError
	refused := false
	if errors.As(err, &hs) {
		_, refused = homeserverReason(hs)
	}
	if refused || d.row.Attempts >= ringAttempts {
		zerolog.Ctx(ctx).Warn().Err(err).Stringer("user_id", who).Msg("A mention of the whole room will not ring: its sender's power level can't be set")
		return nil
	}
	return fmt.Errorf("let the author mention the whole room: %w", err)
}

// addRinger lets a user ring, and reports whether that changed anything.
func addRinger(levels *event.PowerLevelsEventContent, who id.UserID) bool {
	if needed := levels.Notifications.Room(); levels.GetUserLevel(who) >= needed || needed != ringLevel && needed != usualRingLevel {
		return false
	}
	if level, set := levels.Users[who]; set && level < levels.UsersDefault {
		return false // a moderator has muted them
	}
	if levels.UsersDefault >= ringLevel {
		return false // lowering it would let everybody ring
	}
	ringers := 0
	for _, level := range levels.Users {
		if level == ringLevel {
			ringers++
		}
	}
	if ringers >= maxRingers {
		for user, level := range levels.Users {
			if level == ringLevel {
				delete(levels.Users, user)
			}
		}
	}
	needed := ringLevel
	levels.Notifications = &event.NotificationPowerLevels{RoomPtr: &needed}
	levels.EnsureUserLevel(who, ringLevel)
	return true
}
