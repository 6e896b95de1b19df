package portal

import (
	"context"
	"fmt"
	"slices"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
)

// An orphan is an event of ours that no row knows: its send had no answer, and
// before it was repeated, which would have found it, Teams took back what it
// shows. It has to go from the room too.

// unansweredAdd notes a send of which nobody knows whether it arrived.
func (ds *doubts) unansweredAdd(portal, message, key string) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if ds.lanes == nil {
		ds.lanes = map[string]*doubt{}
	}
	d := ds.lanes[portal]
	if d == nil {
		d = &doubt{}
		ds.lanes[portal] = d
	}
	if d.unanswered == nil {
		d.unanswered = map[string][]string{}
	}
	if !slices.Contains(d.unanswered[message], key) {
		d.unanswered[message] = append(d.unanswered[message], key)
	}
}

// unansweredOf returns the sends of a message that had no answer.
func (ds *doubts) unansweredOf(portal, message string) []string {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if d := ds.lanes[portal]; d != nil {
		return slices.Clone(d.unanswered[message])
	}
	return nil
}

// unansweredDone forgets them.
func (ds *doubts) unansweredDone(portal, message string) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if d := ds.lanes[portal]; d != nil {
		delete(d.unanswered, message)
	}
}

// noteUnanswered notes a send that failed without the homeserver's word on it.
func (d *delivery) noteUnanswered(key string, err error) {
	if mayHaveArrived(err) {
		d.in.doubts.unansweredAdd(d.row.Portal, d.m.ID, key)
	}
}

// noteOrphans notes what an earlier process may have sent of a message that is
// deleted and that no row knows: its parts in order, up to the first that is
// not there.
func (d *delivery) noteOrphans(ctx context.Context) error {
	if !d.in.doubts.has(d.row.Portal) {
		return nil
	}
	for i := -1; ; i++ {
		key := d.onceKey("new:")
		if i >= 0 {
			key = d.onceKey(fmt.Sprintf("new:img:%d", i))
		}
		echo, err := d.in.o.DB.Echoes.Get(ctx, key)
		if err != nil {
			return err
		} else if echo != nil {
			d.in.doubts.unansweredAdd(d.row.Portal, d.m.ID, key)
		} else if i >= 0 {
			return nil
		}
	}
}

// takeBack redacts what an unanswered send of the message has left in the room,
// where this version does not show it any more.
func (d *delivery) takeBack(ctx context.Context, p *bridgev2.Portal) error {
	for _, key := range d.in.doubts.unansweredOf(d.row.Portal, d.m.ID) {
		echo, err := d.in.o.DB.Echoes.Get(ctx, key)
		if err != nil {
			return err
		} else if echo == nil || echo.RoomID != p.MXID.String() {
			continue
		}
		if known, err := d.in.isRow(ctx, p, eventID(echo.EventID)); err != nil {
			return err
		} else if known {
			continue
		}
		redact := d.onceKey("redact:" + echo.EventID)
		_, err = p.Bridge.Bot.SendMessage(d.in.o.WithKey(ctx, redact), p.MXID, event.EventRedaction, &event.Content{
			Parsed: &event.RedactionEventContent{Redacts: eventID(echo.EventID)}, Raw: map[string]any{SourceField: redact},
		}, &bridgev2.MatrixSendExtra{Timestamp: d.editTime()})
		if err != nil {
			return fmt.Errorf("redact what was taken back: %w", err)
		}
		d.in.o.Metrics.Count(MetricIngestDoubt, "taken back")
	}
	d.in.doubts.unansweredDone(d.row.Portal, d.m.ID)
	return nil
}
