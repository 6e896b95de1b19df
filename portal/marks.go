package portal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"go.mau.fi/util/variationselector"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

const (
	// maxMarks is how many messages of a room are marked at once: its newest.
	maxMarks = 20
	// markLanes is how many rooms are marked at once, a request at a time each.
	markLanes = 4
	// markTimeout bounds one request.
	markTimeout = time.Minute
	// markPatience is for how long a homeserver that refuses a mark, or its end, is
	// taken at its word, and asked again: proxies in front of one refuse as well.
	markPatience = time.Hour
	// intended begins a mark whose reaction the bridge has no answer about; what
	// follows makes its key.
	intended = "?"
)

// marks shows with a reaction of the bot which messages wait for Teams, for
// clients that do not show a message's status. The reaction's event id is kept
// in the outbox's row, and before it is sent the intent with its key, so that a
// crash leaves no reaction behind that nobody takes away.
//
// A room's marks are made equal to what they should be whenever that may have
// changed, in a lane of the room's own: sending never waits for it.
type marks struct {
	o     *SenderOptions
	lanes *lanes

	mu sync.Mutex
	// marked are the portals that have marks, or may have in a moment.
	marked map[string]bool
	// loaded says that marks of an earlier process are in marked.
	loaded bool
	// forbidden are the rooms in which the bot may not react, by when that was said.
	forbidden map[string]time.Time
	// stuck are the rows of which a mark may not be taken away, by when that was
	// said first.
	stuck map[int64]time.Time
}

func newMarks(o *SenderOptions) *marks {
	m := &marks{o: o, marked: map[string]bool{}, forbidden: map[string]time.Time{}, stuck: map[int64]time.Time{}}
	m.lanes = newLanes(markLanes, o.Now, m.work)
	return m
}

// load takes up what an earlier process has left.
func (m *marks) load(ctx context.Context) {
	portals, err := m.o.DB.Outbox.MarkedPortals(ctx)
	if err != nil {
		if ctx.Err() == nil {
			zerolog.Ctx(ctx).Err(err).Msg("Could not read which messages are marked as queued, will try again")
		}
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loaded = true
	for _, portal := range portals {
		m.marked[portal] = true
	}
}

// wait tells that a message of a portal waits for longer than it should.
func (m *marks) wait(portal string) {
	if m.o.Reaction != "" {
		m.lanes.wake(portal)
	}
}

// ended tells that a message of a portal waits no more.
func (m *marks) ended(portal string) {
	m.mu.Lock()
	marked := m.marked[portal]
	m.mu.Unlock()
	if marked {
		m.lanes.wake(portal)
	}
}

// sweep looks again at all rooms with marks, at first those of an earlier process.
func (m *marks) sweep(ctx context.Context) {
	m.mu.Lock()
	loaded := m.loaded
	m.mu.Unlock()
	if !loaded {
		m.load(ctx)
	}
	m.mu.Lock()
	portals := make([]string, 0, len(m.marked))
	for portal := range m.marked {
		portals = append(portals, portal)
	}
	m.mu.Unlock()
	for _, portal := range portals {
		m.lanes.wake(portal)
	}
}

// work makes a room's marks those that it should have. What fails is tried
// again at the next sweep.
func (m *marks) work(ctx context.Context, portal string) time.Time {
	m.mu.Lock()
	m.marked[portal] = true
	m.mu.Unlock()
	left, err := m.settle(ctx, portal)
	if err != nil {
		if ctx.Err() == nil {
			zerolog.Ctx(ctx).Warn().Err(err).Str("portal", portal).Msg("Could not mark what waits for Teams, will try again")
		}
		return time.Time{}
	}
	if !left {
		m.mu.Lock()
		delete(m.marked, portal)
		m.mu.Unlock()
	}
	return time.Time{}
}

func (m *marks) settle(ctx context.Context, portal string) (left bool, err error) {
	wanted, err := m.wanted(ctx, portal)
	if err != nil {
		return true, err
	}
	have, err := m.o.DB.Outbox.Marked(ctx, portal)
	if err != nil {
		return true, err
	}
	for _, row := range have {
		if slices.ContainsFunc(wanted, func(w *database.OutboxRow) bool { return w.ID == row.ID }) {
			continue
		}
		gone, err := m.clear(ctx, row)
		if err != nil {
			return true, fmt.Errorf("event %s: %w", row.EventID, err)
		}
		left = left || !gone
	}
	for _, row := range slices.Backward(wanted) {
		if row.Mark != "" && !strings.HasPrefix(row.Mark, intended) {
			continue
		}
		if err = m.show(ctx, row); err != nil {
			return true, fmt.Errorf("event %s: %w", row.EventID, err)
		}
	}
	return left || len(wanted) > 0, nil
}

// wanted returns the rows that should be marked, the newest first.
func (m *marks) wanted(ctx context.Context, portal string) ([]*database.OutboxRow, error) {
	m.mu.Lock()
	since, forbidden := m.forbidden[portal]
	m.mu.Unlock()
	if m.o.Reaction == "" || forbidden && m.o.Now().Sub(since) < markPatience {
		return nil, nil
	}
	rows, err := m.o.DB.Outbox.Newest(ctx, portal, maxMarks)
	due := m.o.Now().Add(-m.o.IndicateAfter)
	return slices.DeleteFunc(rows, func(row *database.OutboxRow) bool { return row.CreatedAt.After(due) }), err
}

// show marks a row, unless it is done by now.
func (m *marks) show(ctx context.Context, row *database.OutboxRow) error {
	if row.Mark == "" {
		mark := intended + strconv.FormatInt(m.o.Now().UnixMilli(), 10)
		if ok, err := m.o.DB.Outbox.SetMark(ctx, row.ID, mark); err != nil || !ok {
			return err
		}
		row.Mark = mark
	}
	reaction, err := m.react(ctx, row)
	if reason, own := refusalOf(err); own {
		if isForbidden(err) {
			m.mu.Lock()
			m.forbidden[row.Portal] = m.o.Now()
			m.mu.Unlock()
		}
		zerolog.Ctx(ctx).Warn().Err(err).Str("portal", row.Portal).Str("reason", reason).Msg("The homeserver refuses the mark of a queued message")
		return m.o.DB.Outbox.ReplaceMark(ctx, row.ID, row.Mark, "")
	} else if err != nil {
		return err
	}
	return m.o.DB.Outbox.ReplaceMark(ctx, row.ID, row.Mark, reaction.String())
}

// refusalOf reports whether the homeserver refuses a request for good.
func refusalOf(err error) (reason string, own bool) {
	var hs mautrix.HTTPError
	if !errors.As(err, &hs) || errors.Is(err, errDuplicateReaction) {
		return "", false
	}
	return homeserverReason(hs)
}

// react sends a row's reaction, or finds out which event it is already.
func (m *marks) react(ctx context.Context, row *database.OutboxRow) (id.EventID, error) {
	key := markKey(row.EventID, strings.TrimPrefix(row.Mark, intended))
	echo, err := m.o.DB.Echoes.Get(ctx, key)
	if err != nil {
		return "", err
	} else if echo != nil && echo.RoomID == row.RoomID {
		return id.EventID(echo.EventID), nil
	}
	ctx, cancel := context.WithTimeout(ctx, markTimeout)
	defer cancel()
	resp, err := m.o.Bridge.Bot.SendMessage(m.o.WithKey(ctx, key), roomID(row), event.EventReaction, &event.Content{
		Parsed: &event.ReactionEventContent{RelatesTo: event.RelatesTo{
			Type: event.RelAnnotation, EventID: id.EventID(row.EventID), Key: m.emoji(),
		}},
		Raw: map[string]any{SourceField: key},
	}, &bridgev2.MatrixSendExtra{Timestamp: m.o.Now()})
	if err != nil {
		return "", fmt.Errorf("mark as queued: %w", err)
	}
	return resp.EventID, nil
}

// markKey is the source key of a mark: of an event, since a time in milliseconds.
func markKey(event, since string) string { return "outbox/" + event + "/" + since + "/mark" }

// parseMark reverses markKey.
func parseMark(key string) (event, since string, ok bool) {
	rest, isOutbox := strings.CutPrefix(key, "outbox/")
	rest, isMark := strings.CutSuffix(rest, "/mark")
	at := strings.LastIndexByte(rest, '/')
	if !isOutbox || !isMark || at < 0 {
		return "", "", false
	}
	return rest[:at], rest[at+1:], true
}

func (m *marks) emoji() string {
	if m.o.Reaction == "" {
		// It is only sent again to learn which event it was.
		return "⏳"
	}
	return variationselector.Add(m.o.Reaction)
}

// clear takes a row's mark away. Where the homeserver refuses that, it is not gone
// and tried again for a while.
func (m *marks) clear(ctx context.Context, row *database.OutboxRow) (gone bool, err error) {
	reaction := id.EventID(row.Mark)
	if strings.HasPrefix(row.Mark, intended) {
		// Sent again under its key it is the same event.
		reaction, err = m.react(ctx, row)
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, markTimeout)
		defer cancel()
		_, err = m.o.Bridge.Bot.SendMessage(m.o.WithKey(ctx, "outbox/"+reaction.String()+"/unmark"), roomID(row), event.EventRedaction, &event.Content{
			Parsed: &event.RedactionEventContent{Redacts: reaction},
		}, &bridgev2.MatrixSendExtra{Timestamp: m.o.Now()})
	}
	if reason, own := refusalOf(err); own {
		zerolog.Ctx(ctx).Warn().Err(err).Str("portal", row.Portal).Str("reason", reason).Msg("The homeserver refuses to take the mark of a queued message away")
		if m.retries(row.ID) {
			return false, nil
		}
	} else if err != nil {
		return false, fmt.Errorf("take the mark away: %w", err)
	}
	m.mu.Lock()
	delete(m.stuck, row.ID)
	m.mu.Unlock()
	return true, m.o.DB.Outbox.ReplaceMark(ctx, row.ID, row.Mark, "")
}

// retries notes that a mark may not be taken away, and reports whether that is worth
// another try.
func (m *marks) retries(row int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.stuck[row]; !known {
		m.stuck[row] = m.o.Now()
	}
	return m.o.Now().Sub(m.stuck[row]) < markPatience
}
