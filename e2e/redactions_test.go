package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// What is taken back in Matrix while the bridge is away is not in Teams
// afterwards, whether Teams had it before or not. What the bridge itself
// redacts, from people's own accounts too, leaves nothing behind.
//
// Proves M1.
func TestRedactionsWhileTheBridgeIsAway(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{})
	o.runRelayed()
	ben := o.as(stack.Localpart(o.ben))
	room := o.room(ben, o.general)
	kept, err := ben.SendText(o.ctx, room, "kept, with a reaction")
	require.NoError(t, err)
	had, err := ben.SendText(o.ctx, room, "deleted meanwhile")
	require.NoError(t, err)
	first, err := ben.SendReaction(o.ctx, room, kept.EventID, "🚀")
	require.NoError(t, err)
	hasRocket := func(m teamstest.MessageState) error {
		if len(m.Reactions) != 1 {
			return fmt.Errorf("reactions are %+v", m.Reactions)
		}
		return nil
	}
	o.inTeams(o.general, "kept, with a reaction", hasRocket)
	o.inTeams(o.general, "deleted meanwhile", nil)

	o.Bridge.Stop()
	never, err := ben.SendText(o.ctx, room, "taken back at once")
	require.NoError(t, err)
	_, err = ben.RedactEvent(o.ctx, room, never.EventID)
	require.NoError(t, err)
	_, err = ben.RedactEvent(o.ctx, room, had.EventID)
	require.NoError(t, err)
	_, err = ben.RedactEvent(o.ctx, room, first.EventID)
	require.NoError(t, err)
	tada, err := ben.SendReaction(o.ctx, room, kept.EventID, "🎉")
	require.NoError(t, err)
	_, err = ben.RedactEvent(o.ctx, room, tada.EventID)
	require.NoError(t, err)
	_, err = ben.SendReaction(o.ctx, room, kept.EventID, "🎉")
	require.NoError(t, err)
	_, err = ben.SendText(o.ctx, room, "after all that")
	require.NoError(t, err)
	o.run()

	// A homeserver that could not reach the bridge waits a while before it tries again.
	o.within(2*time.Minute, "the end of it in Teams", func(context.Context) error {
		var kept, after, visible bool
		for _, m := range o.general.Messages() {
			switch {
			case strings.Contains(m.Content, "kept, with a reaction"):
				kept = len(m.Reactions) == 1 && m.Reactions[0].Kind == "🎉"
			case strings.Contains(m.Content, "after all that"):
				after = true
			case strings.Contains(m.Content, "deleted meanwhile"), strings.Contains(m.Content, "taken back at once"):
				visible = visible || m.Deleted.IsZero()
			}
		}
		if !kept || !after || visible {
			return fmt.Errorf("reactions right: %v, last message there: %v, deleted ones visible: %v", kept, after, visible)
		}
		return nil
	})

	posted := o.general.Post(o.ben, teamstest.Msg{HTML: "<p>by Ben in Teams</p>"})
	posted.React(o.ben, "🎉")
	o.find(ben, room, "by Ben in Teams", reactions(map[string]int{"🎉": 1}))
	posted.Unreact(o.ben, "🎉")
	o.find(ben, room, "by Ben in Teams", reactions(map[string]int{}))
	posted.Delete()
	o.until("the redaction", func(ctx context.Context) error {
		list, err := o.entries(ctx, ben, room, func(e stack.Entry) bool { return strings.Contains(e.Body, "by Ben in Teams") })
		if err == nil && len(list) > 0 {
			return errors.New("still there")
		}
		return err
	})
	o.agree(o.general)
	bot := o.bot(o.Admin)
	o.until("nothing waits", func(ctx context.Context) error {
		bot.send("!teams status") // it is not her first room with the bot
		said := bot.waitFor("Redactions:")
		said = said[strings.LastIndex(said, "Redactions:"):]
		if !strings.Contains(said, "waiting for their events: 0, gaps being read: 0") {
			return errors.New(said)
		}
		return nil
	})
}
