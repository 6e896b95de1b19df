package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"

	"teamsbridge/internal/stack"
)

// What Teams has no kind of message for arrives as a text that says what it was.
func TestPollsStickersAndLocationsFromMatrix(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{})
	o.runRelayed()
	ben := o.as(stack.Localpart(o.ben))
	room := o.room(ben, o.general)
	before := len(o.general.Messages())
	text := func(s string) map[string]any { return map[string]any{"org.matrix.msc1767.text": s} }
	for _, sent := range []struct {
		kind    event.Type
		content map[string]any
	}{
		{event.EventUnstablePollStart, map[string]any{"org.matrix.msc3381.poll.start": map[string]any{
			"kind": "org.matrix.msc3381.poll.disclosed", "max_selections": 1, "question": text("Lunch?"),
			"answers": []any{map[string]any{"id": "a", "org.matrix.msc1767.text": "Pizza"}, map[string]any{"id": "b", "org.matrix.msc1767.text": "Soup"}},
		}}},
		{event.EventSticker, map[string]any{"body": "Party parrot", "url": "mxc://example.org/none", "info": map[string]any{"mimetype": "image/png", "size": 10 << 20}}},
		{event.EventMessage, map[string]any{"msgtype": "m.location", "body": "Town hall", "geo_uri": "geo:52.52,13.405"}},
	} {
		_, err := ben.SendMessageEvent(o.ctx, room, sent.kind, sent.content)
		require.NoError(t, err)
	}
	want := [][]string{{"Ben Okri", "Poll: Lunch?", "1. Pizza", "2. Soup"}, {"Ben Okri", "Sticker", "Party parrot"}, {"Ben Okri", "Location", "Town hall"}}
	o.until("three messages in Teams", func(context.Context) error {
		got := o.general.Messages()[before:]
		if len(got) != len(want) {
			return fmt.Errorf("%d messages", len(got))
		}
		for i, parts := range want {
			if err := inOrder(got[i].Content, parts); err != nil {
				return err
			}
		}
		return nil
	})
}
