package matrix

import (
	"context"
	"fmt"
	"slices"

	"github.com/tidwall/gjson"
	"maunium.net/go/mautrix/id"
)

const (
	// lookPage is how many of a room's events are read at once, lookPages how
	// often: an event that was in flight when a bridge died is among the newest
	// of ours, but people may have written behind it since.
	lookPage  = 50
	lookPages = 6
)

// LookForSends brings the echoes up to date with a room's newest events, back
// to one of ours. A send whose answer nobody saw is known by its echo then, if
// the homeserver has made the event, however far its transactions lag behind.
func (c *Connector) LookForSends(ctx context.Context, roomID id.RoomID) error {
	client := &feedClient{client: c.Bot.Client}
	var events sorted
	from := ""
	for range lookPages {
		page, err := client.messages(ctx, string(roomID), from, lookPage)
		if err != nil {
			return fmt.Errorf("read the room's newest events: %w", err)
		}
		now := c.opts.Now()
		for _, raw := range page.Chunk {
			echo, kind := c.journal.echoOf(gjson.ParseBytes(raw), string(roomID), now)
			if kind == sureEcho {
				events.echoes = append(events.echoes, echo)
			} else if kind == puppetEcho {
				events.puppetEchoes = append(events.puppetEchoes, echo)
			}
		}
		if from = page.End; from == "" || len(events.echoes) > 0 {
			break
		}
	}
	if len(events.echoes)+len(events.puppetEchoes) == 0 {
		return nil
	}
	// Of two events of one change the older one counts.
	slices.Reverse(events.echoes)
	slices.Reverse(events.puppetEchoes)
	duplicates, err := c.journal.record(ctx, events, nil)
	if err != nil {
		return fmt.Errorf("store what the room shows: %w", err)
	}
	c.journal.reportDuplicates(duplicates)
	return nil
}
