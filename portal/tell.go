package portal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/texts"
)

const (
	// tellBatch is how many rows are read at once.
	tellBatch = 200
	// tellTimeout bounds one notice.
	tellTimeout = time.Minute
	// maxDropNotices is how many dropped messages of a room are told of one by
	// one; of more, one notice tells the count.
	maxDropNotices = 3
	// maxTellErrors is in how many rooms a round fails before it ends: the homeserver
	// seems to be away.
	maxTellErrors = 3
)

// teller tells people what never will be in Teams, each time once: a row is
// untold until the homeserver has the notice, and the notice's transaction id
// is derived from the row. It runs beside the lanes, so that a homeserver which
// does not answer holds up no conversation.
type teller struct {
	loop   *loop
	o      *SenderOptions
	status statusSender
	// pending reports whether a portal's lane is about to end more rows the same way.
	pending func(ctx context.Context, portal string) bool
	wake    chan struct{}
	// shown holds when rows had ended, which are told of together, whose status
	// was sent.
	shown map[int64]time.Time
	// from is behind which row the next round begins: where a few rooms always fail,
	// all the others are told all the same.
	from int64
	// lately are the portals in which the round before has failed: they come last.
	lately map[string]bool
}

// Tell makes sure that authors of rows that were ended are told of it soon.
func (s *Sender) Tell() { s.teller.soon() }

func (t *teller) soon() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// run tells until ctx ends: at the start what an earlier process has left, then
// what is new. What fails is tried again at the next sweep.
func (t *teller) run(ctx context.Context) {
	sweep := time.NewTicker(t.o.Sweep)
	defer sweep.Stop()
	for {
		if err := t.left(ctx); err != nil && ctx.Err() == nil {
			zerolog.Ctx(ctx).Warn().Err(err).Msg("Could not tell people what does not go to Teams, will try again")
		}
		select {
		case <-t.wake:
		case <-sweep.C:
		case <-ctx.Done():
			return
		}
	}
}

// group is what a room is told of in one notice.
type group struct{ portal, reason string }

// gathered is what a round has found of a group. After an outage that may be a
// whole day of a room: of all but the first few rows only the number is kept.
type gathered struct {
	n   int
	few []*database.OutboxRow
}

// left tells all that nobody was told yet. One room's trouble is not another's.
func (t *teller) left(ctx context.Context) error {
	groups, order := map[group]*gathered{}, []group(nil)
	var errs []error
	trouble := map[string]bool{} // by portal
	failed := func(portal string, err error) {
		if err != nil {
			errs, trouble[portal] = append(errs, err), true
		}
	}
	after := t.from
	t.from = 0
	for {
		rows, err := t.o.DB.Outbox.Untold(ctx, after, tellBatch)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if len(errs) >= maxTellErrors {
				break
			}
			after, row.Payload = row.ID, nil
			g := group{row.Portal, row.Reason}
			if trouble[row.Portal] {
				continue
			} else if isTally(row) {
				failed(row.Portal, t.quietly(ctx, row))
			} else if partly, err := t.isPartlyDropped(ctx, row); err != nil {
				failed(row.Portal, err)
			} else if isToldTogether(row) && !partly {
				if groups[g] == nil {
					order, groups[g] = append(order, g), &gathered{}
				}
				t.gather(ctx, g, groups[g], row)
			} else {
				failed(row.Portal, t.one(ctx, row))
			}
		}
		if len(errs) >= maxTellErrors {
			t.from = after
			break
		} else if len(rows) < tellBatch || ctx.Err() != nil {
			break
		}
	}
	isLate := func(g group) bool { return t.lately[g.portal] }
	for _, g := range append(slices.DeleteFunc(slices.Clone(order), isLate), slices.DeleteFunc(order, func(g group) bool { return !isLate(g) })...) {
		if !trouble[g.portal] && len(trouble) < 2*maxTellErrors {
			failed(g.portal, t.together(ctx, g, groups[g]))
		}
	}
	t.lately = trouble
	return errors.Join(errs...)
}

// gather takes a row into its group and shows its status, but for a few rows of
// which their authors may be told one by one.
func (t *teller) gather(ctx context.Context, g group, all *gathered, row *database.OutboxRow) {
	all.n++
	if g.reason == ReasonDropped && all.n <= maxDropNotices {
		all.few = append(all.few, row)
		return
	}
	t.show(ctx, all.few...)
	all.few = nil
	t.show(ctx, row)
}

// quietly ends a row of which nobody is told.
func (t *teller) quietly(ctx context.Context, row *database.OutboxRow) error {
	if err := t.showOne(ctx, row); err != nil {
		return fmt.Errorf("show event %s as failed: %w", row.EventID, err)
	}
	return t.o.DB.Outbox.Told(ctx, row.ID, row.Reason, row.DoneAt)
}

// isToldTogether reports whether a room is told of such rows in one notice.
func isToldTogether(row *database.OutboxRow) bool {
	return row.State == database.StateFailed && (row.Reason == ReasonKept || row.Reason == ReasonTooOld || row.Reason == ReasonDropped)
}

// isPartlyDropped reports whether an administrator dropped a message of which
// Teams has a part, or may have.
func (t *teller) isPartlyDropped(ctx context.Context, row *database.OutboxRow) (bool, error) {
	if row.Reason != ReasonDropped || row.Kind != database.KindMessage {
		return false, nil
	}
	parts, doubt, err := partsInTeams(ctx, t.o.DB, row)
	return len(parts) > 0 || doubt, err
}

// partsInTeams returns which parts of a message Teams has, and whether it may have
// more of it.
func partsInTeams(ctx context.Context, db *database.Database, row *database.OutboxRow) (parts []int, doubt bool, err error) {
	all, err := db.Sent.ByEvent(ctx, row.EventID)
	for _, p := range all {
		switch p.State {
		case database.StateSent:
			parts = append(parts, p.Part)
		case database.StateSending:
			doubt = true
		}
	}
	return parts, doubt, err
}

// PartNumbers writes the numbers of parts as people count them.
func PartNumbers(parts []int) string {
	words := make([]string, len(parts))
	for i, part := range parts {
		words[i] = strconv.Itoa(part + 1)
	}
	return strings.Join(words, ", ")
}

// one tells the author of one row, with a reply to what they wrote.
func (t *teller) one(ctx context.Context, row *database.OutboxRow) error {
	x, about := t.o.Texts, id.EventID(row.EventID)
	detail := spoken(x, row.Detail)
	body := x.Say(texts.ToldMessage, "detail", detail)
	switch row.Kind {
	case database.KindMessage:
		parts, doubt, err := partsInTeams(ctx, t.o.DB, row)
		if err != nil {
			return err
		} else if len(parts) > 0 {
			body = x.Count(texts.ToldPartlyParts, len(parts), "parts", PartNumbers(parts), "detail", detail)
		} else if doubt {
			body = x.Say(texts.ToldPartly, "detail", detail)
		}
	case database.KindEdit:
		body, about = x.Say(texts.ToldEdit, "detail", detail), id.EventID(row.TargetEventID)
	case database.KindReaction:
		body, about = x.Say(texts.ToldReaction, "detail", detail), id.EventID(row.TargetEventID)
	case database.KindUnreact, database.KindDelete:
		body = x.Say(texts.ToldRedaction, "detail", detail)
		if about = id.EventID(row.TargetEventID); row.Kind == database.KindUnreact && row.RootEventID != "" {
			about = id.EventID(row.RootEventID)
		}
	}
	content := &event.MessageEventContent{
		MsgType: event.MsgNotice, Body: body,
		Mentions: &event.Mentions{UserIDs: []id.UserID{id.UserID(row.SenderMXID)}},
	}
	if row.Kind == database.KindMessage && row.RootEventID != "" {
		content.GetRelatesTo().SetThread(id.EventID(row.RootEventID), about)
	} else {
		content.GetRelatesTo().SetReplyTo(about)
	}
	// A row that was parked, tried again and parked again is news.
	key := fmt.Sprintf("outbox/%s/%d/told", row.EventID, row.DoneAt.UnixMilli())
	if err := t.notice(ctx, row, key, content); err != nil {
		return fmt.Errorf("event %s: %w", row.EventID, err)
	}
	if err := t.showOne(ctx, row); err != nil {
		return fmt.Errorf("show event %s as failed: %w", row.EventID, err)
	}
	return t.o.DB.Outbox.Told(ctx, row.ID, row.Reason, row.DoneAt)
}

// showOne sends the status of one row. The framework shows an edit, a reaction
// or a redaction as pending when it has handed it over, inside the portal's loop:
// a row that failed faster than that must not be shown as pending for ever.
func (t *teller) showOne(ctx context.Context, row *database.OutboxRow) error {
	show := func(ctx context.Context, _ *bridgev2.Portal, _ *bridgev2.UserLogin) error {
		t.status.failed(ctx, row)
		return nil
	}
	if row.Kind == database.KindMessage {
		return show(ctx, nil, nil)
	}
	loopCtx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	err := t.loop.Do(loopCtx, networkid.PortalID(row.Portal), show)
	if errors.Is(err, errNoRoom) || errors.Is(err, errNoSource) {
		return show(ctx, nil, nil)
	}
	return err
}

// together tells authors by their messages' status, and the room with one
// notice when no more of the kind is to come.
func (t *teller) together(ctx context.Context, g group, all *gathered) error {
	if len(all.few) > 0 {
		for _, row := range all.few {
			if err := t.one(ctx, row); err != nil {
				return err
			}
		}
		return nil
	}
	if t.o.Outage(ctx, g.portal) || t.pending(ctx, g.portal) {
		return nil
	}
	// What was ended while they were read belongs to them.
	ended := map[int64]time.Time{}
	var first *database.OutboxRow // of those that are news
	news := 0
	err := t.members(ctx, g, func(row *database.OutboxRow) error {
		if partly, err := t.isPartlyDropped(ctx, row); err != nil || partly {
			return err // its author is told of that alone
		}
		ended[row.ID] = row.DoneAt
		t.show(ctx, row)
		is, err := t.isNews(ctx, row)
		if err != nil || !is {
			return err
		}
		if news++; first == nil {
			first = row
		}
		return nil
	})
	if err != nil {
		return err
	}
	if first != nil {
		content := &event.MessageEventContent{
			MsgType: event.MsgNotice, Body: togetherText(t.o.Texts, g.reason, news), Mentions: &event.Mentions{},
		}
		if err := t.notice(ctx, first, fmt.Sprintf("outbox/%s/%d/together", first.EventID, first.DoneAt.UnixMilli()), content); err != nil {
			return fmt.Errorf("portal %s: %w", g.portal, err)
		}
	}
	return t.o.DB.DoTxn(ctx, nil, func(ctx context.Context) error {
		for id, at := range ended {
			if err := t.o.DB.Outbox.Told(ctx, id, g.reason, at); err != nil {
				return err
			}
			delete(t.shown, id)
		}
		return nil
	})
}

// isNews reports whether the room is not told of a row when the outage is over.
func (t *teller) isNews(ctx context.Context, row *database.OutboxRow) (bool, error) {
	if row.Reason != ReasonKept {
		return true, nil
	}
	told, err := t.o.ToldAtEnd(ctx, row)
	if err != nil {
		return false, fmt.Errorf("look who tells of event %s: %w", row.EventID, err)
	}
	return !told, nil
}

// show sends the status of rows that are told of together, once.
func (t *teller) show(ctx context.Context, rows ...*database.OutboxRow) {
	for _, row := range rows {
		if at, shown := t.shown[row.ID]; !shown || !at.Equal(row.DoneAt) {
			t.shown[row.ID] = row.DoneAt
			t.status.failed(ctx, row)
		}
	}
}

// members calls f with the rows of a group that nobody was told of, in order.
func (t *teller) members(ctx context.Context, g group, f func(row *database.OutboxRow) error) error {
	for after := int64(0); ; {
		rows, err := t.o.DB.Outbox.UntoldOf(ctx, g.portal, g.reason, after, tellBatch)
		if err != nil {
			return err
		}
		for _, row := range rows {
			after = row.ID
			if err = f(row); err != nil {
				return err
			}
		}
		if len(rows) < tellBatch || ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// togetherText says what became of several messages.
func togetherText(x texts.Texts, reason string, n int) string {
	switch reason {
	case ReasonKept:
		return x.Count(texts.ToldKept, n)
	case ReasonTooOld:
		return x.Count(texts.ToldTooOld, n)
	default:
		return x.Count(texts.ToldDropped, n)
	}
}

// notice says something in a row's room, once whatever happens: the key is the
// transaction id, and where the homeserver has forgotten that, its own echo
// tells. Where the bridge may not write in the room any more, nobody is there
// to be told.
func (t *teller) notice(ctx context.Context, row *database.OutboxRow, key string, content *event.MessageEventContent) error {
	echo, err := t.o.DB.Echoes.Get(ctx, key)
	if err != nil {
		return err
	} else if echo != nil && echo.RoomID == row.RoomID {
		return nil
	}
	sendCtx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	_, err = t.o.Bridge.Bot.SendMessage(t.o.WithKey(sendCtx, key), roomID(row), event.EventMessage, &event.Content{
		Parsed: content, Raw: map[string]any{SourceField: key},
	}, &bridgev2.MatrixSendExtra{Timestamp: t.o.Now()})
	var hs mautrix.HTTPError
	if errors.As(err, &hs) {
		if reason, own := homeserverReason(hs); own {
			zerolog.Ctx(ctx).Warn().Err(err).Str("event_id", row.EventID).Msg("The homeserver refuses a notice")
			t.o.Metrics.Count(MetricUntold, reason)
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("send a notice: %w", err)
	}
	return nil
}
