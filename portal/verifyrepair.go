package portal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/teams"
)

// repairBatch is how many messages are given to the ledger at once.
const repairBatch = 50

// Repair mends what a report found, as far as that can be done, waits for it
// for a while, compares once more, and says in each finding what came of it. It
// looks before it does anything, so a report may be old, and repairing twice
// changes nothing the second time. A repair that is cut off leaves nothing that
// the next one would not find.
func (v *Verifier) Repair(ctx context.Context, report Report) (Report, error) {
	if len(report.Findings) == 0 {
		return report, nil
	}
	now, err := v.look(ctx, report.Channel, report.Since)
	if err != nil {
		return report, err
	}
	found := map[string]bool{}
	for _, f := range now.Findings {
		found[f.key()] = true
	}
	r := &repair{v: v, report: &report, messages: map[string]teams.Message{}, room: now.Room}
	order := make([]*Finding, 0, len(report.Findings))
	for i := range report.Findings {
		order = append(order, &report.Findings[i])
	}
	// The oldest first: the ledger begins while others are still being added.
	slices.SortStableFunc(order, func(a, b *Finding) int { return a.At.Compare(b.At) })
	for _, f := range order {
		if f.fix == fixNone {
			continue
		} else if !found[f.key()] {
			f.Mended = true // by somebody else, meanwhile
			continue
		}
		if err = r.mend(ctx, f); err != nil {
			return report, err
		}
	}
	if err = r.flush(ctx); err != nil {
		return report, err
	}
	r.wait(ctx)
	return report, r.conclude(ctx)
}

// repair is one run over a report.
type repair struct {
	v      *Verifier
	report *Report
	room   id.RoomID
	// messages are what was read from Teams since the last flush.
	messages map[string]teams.Message
	ledger   []database.InboxRow
	// redelivered and requeued are what is waited for.
	redelivered, requeued []string
	rewritten             bool
}

// mend does what a finding needs. What can't be done now is said in the
// finding; only the end of the context, or of the database, ends the repair.
func (r *repair) mend(ctx context.Context, f *Finding) error {
	err := r.try(ctx, f)
	var plain *repairError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &plain):
		f.Reason = plain.why
	case teams.KindOf(err) != teams.KindUnknown:
		f.Reason = "Teams: " + teams.KindOf(err).String()
	case errors.Is(err, ErrOwnAccount):
		f.Reason = ErrOwnAccount.Error()
	default:
		f.Reason = "error, see the log"
	}
	zerolog.Ctx(ctx).Warn().Err(err).Str("class", string(f.Class)).Str("portal", r.report.Portal).Str("message", f.Message).
		Stringer("event_id", f.Event).Msg("Could not repair a difference")
	return nil
}

// repairError says in words why something can't be mended.
type repairError struct{ why string }

func (e *repairError) Error() string { return e.why }

func (r *repair) try(ctx context.Context, f *Finding) error {
	switch f.fix {
	case fixRedeliver, fixResend, fixReshow, fixRedelete, fixReaction:
		return r.redeliver(ctx, f)
	case fixRequeue, fixRequeueEdit:
		return r.requeue(ctx, f)
	case fixRewrite:
		return r.rewrite(ctx, f)
	case fixRedact:
		return r.inLoop(ctx, f, r.redact)
	case fixTwin:
		return r.inLoop(ctx, f, r.untwin)
	case fixDeletePost:
		return r.deletePost(ctx, f)
	case fixDeletePart:
		return r.deletePart(ctx, f)
	case fixReact, fixUnreact:
		return r.react(ctx, f)
	}
	return nil
}

// fetch reads a message from Teams in its newest version.
func (r *repair) fetch(ctx context.Context, f *Finding) (teams.Message, error) {
	if m, ok := r.messages[f.Message]; ok {
		return m, nil
	}
	m, err := r.v.o.Reader.Message(ctx, teams.MessageRef{ChannelRef: r.report.Channel, RootID: f.root, ID: f.Message})
	if err != nil {
		return m, fmt.Errorf("read the message: %w", err)
	}
	m.FillChannel(r.report.Channel)
	r.messages[f.Message] = m
	return m, nil
}

// redeliver prepares a message's rows so that the delivery does what is
// missing, whatever they say, and gives it to the ledger.
func (r *repair) redeliver(ctx context.Context, f *Finding) error {
	m, err := r.fetch(ctx, f)
	if err != nil {
		return err
	}
	row := database.InboxRow{
		Portal: r.report.Portal, MessageID: m.ID, RootID: m.ReplyToID, Version: versionOf(m), CreatedAt: m.Created,
		ReceivedAt: r.v.o.Now(), Source: teams.SourceRepair,
	}
	if row.Payload, err = teams.EncodeStored(m); err != nil {
		return fmt.Errorf("encode message for the ledger: %w", err)
	}
	d := &delivery{in: r.v.o.Ingest, row: &row, m: m, id: MessageID(m.Channel, m.ID), room: r.room}
	if err = r.prepare(ctx, f, d); err != nil {
		return err
	}
	if !slices.ContainsFunc(r.ledger, func(have database.InboxRow) bool { return have.MessageID == m.ID }) {
		r.ledger = append(r.ledger, row)
	}
	if len(r.ledger) >= repairBatch || f.fix == fixResend { // of which the rest was taken away
		return r.flush(ctx)
	}
	return nil
}

// flush makes the ledger deliver what was prepared.
func (r *repair) flush(ctx context.Context) error {
	if len(r.ledger) == 0 {
		return nil
	}
	if _, err := r.v.o.DB.Inbox.Redeliver(ctx, r.ledger); err != nil {
		return err
	}
	for _, row := range r.ledger {
		r.redelivered = append(r.redelivered, row.MessageID)
	}
	r.ledger = nil
	clear(r.messages)
	r.v.o.Ingest.Wake(r.report.Portal)
	return nil
}

// requeue has an event handled as if it had just come.
func (r *repair) requeue(ctx context.Context, f *Finding) error {
	event := cmp.Or(f.other, string(f.Event))
	if err := r.inLoop(ctx, f, r.clearWay); err != nil {
		return err
	}
	if err := r.v.o.Requeue(ctx, r.room, id.EventID(event)); err != nil {
		return fmt.Errorf("hand an event over again: %w", err)
	}
	r.requeued = append(r.requeued, event)
	return nil
}

// wait waits until what was set going has come to an end, but not for ever.
func (r *repair) wait(ctx context.Context) {
	end := time.NewTimer(r.v.o.RepairWait)
	defer end.Stop()
	look := time.NewTicker(r.v.o.RepairLook)
	defer look.Stop()
	for {
		if busy, err := r.busy(ctx); err == nil && !busy {
			return
		}
		select {
		case <-look.C:
		case <-end.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (r *repair) busy(ctx context.Context) (bool, error) {
	rows, err := r.v.o.DB.Inbox.ByMessages(ctx, r.report.Portal, r.redelivered)
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(rows, func(row database.InboxRow) bool { return row.State == database.StatePending }) {
		return true, nil
	}
	if r.rewritten {
		if posts, err := r.v.o.DB.Digests.Overtaken(ctx, r.report.Portal); err != nil || len(posts) > 0 {
			return true, err
		}
	}
	open, err := r.v.o.DB.Journal.Open(ctx, r.requeued)
	if err != nil || len(open) > 0 {
		return true, err
	}
	out, err := r.v.o.DB.Outbox.ByEvents(ctx, r.requeued)
	return slices.ContainsFunc(out, func(row database.OutboxRow) bool { return row.DoneAt.IsZero() && !givenUp(row) }), err
}

// conclude compares once more and says what became of each finding.
func (r *repair) conclude(ctx context.Context) error {
	after, err := r.v.look(ctx, r.report.Channel, r.report.Since)
	if err != nil {
		return err
	}
	still := map[string]bool{}
	for _, f := range after.Findings {
		still[f.subject()] = true
	}
	out, err := r.v.o.DB.Outbox.ByEvents(ctx, r.requeued)
	if err != nil {
		return err
	}
	queue := map[string]database.OutboxRow{}
	for _, row := range out {
		queue[row.EventID] = row
	}
	for i := range r.report.Findings {
		f := &r.report.Findings[i]
		if f.fix == fixNone || f.Mended || f.Reason != "" {
			continue
		}
		event := cmp.Or(f.other, string(f.Event))
		row, queued := queue[event]
		isRequeued := slices.Contains(r.requeued, event)
		switch {
		case isRequeued && queued && givenUp(row):
			f.Reason = "Teams: " + row.Reason
		case isRequeued && queued && row.DoneAt.IsZero():
			f.Mended, f.Reason = true, whyWaits
		case isRequeued && !queued && still[f.subject()]:
			f.Reason = whyRefused
		case still[f.subject()]:
			f.Reason = whyStill
		default:
			f.Mended = true
		}
	}
	r.report.OnTheWay, r.report.Failed = after.OnTheWay, after.Failed
	return nil
}
