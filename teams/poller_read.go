package teams

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// sinkError marks a failure that is not Graph's.
type sinkError struct{ err error }

func (e sinkError) Error() string { return "not accepted: " + e.err.Error() }
func (e sinkError) Unwrap() error { return e.err }

// turn reads some pages of a unit, so that a long read shares with others. It
// returns whether the read is complete. The unit is ours while it is running.
func (p *Poller) turn(ctx context.Context, u *unit) (done bool, err error) {
	cursor, st, err := p.begin(ctx, u)
	if err != nil {
		return false, sinkError{err}
	}
	src := p.budget
	if u.asked {
		src = p.opts.Source
	}
	for range pollerTurnPages {
		if st.began.IsZero() {
			st.began = p.opts.Now()
		}
		page, err := u.reader.step(ctx, src, u.scope, st)
		if err != nil {
			if lostPlace(err, st) {
				p.opts.Counters.Count(CountRescan, u.reader.name(), 1)
				p.opts.Logger.Info().Err(err).Stringer("scope", u.scope).Msg("Lost our place, reading again from the watermark")
				st.rescan()
				continue
			}
			return false, err
		}
		if !page.done && page.next == st.link || st.pages >= maxReadPages {
			return false, errPageLoop
		}
		if err := p.deliver(ctx, u, page.msgs, cursor.Watermark); err != nil {
			return false, err
		}
		st.advance(page)
		if page.done {
			return true, p.commit(ctx, u, st, page.delta)
		}
	}
	return false, nil
}

// lostPlace reports whether a link is no longer good: 410, or one of the 40x
// that unknown and expired tokens get.
func lostPlace(err error, st *readState) bool {
	if st.link == "" || st.rescans >= maxReadRescans {
		return false
	}
	switch KindOf(err) {
	case KindGone, KindBadRequest, KindNotFound, KindConflict, KindPrecondition:
		return true
	default:
		return false
	}
}

// begin continues the unit's read or starts a new one from its cursor.
func (p *Poller) begin(ctx context.Context, u *unit) (Cursor, *readState, error) {
	cursor, err := p.cursor(ctx, u.scope)
	if err != nil || u.read != nil {
		return cursor, u.read, err
	}
	now := p.opts.Now()
	st := &readState{since: cursor.Watermark.Add(-p.opts.Overlap), depth: p.opts.ReplyDepth}
	if !now.Before(cursor.FullAt.Add(p.opts.ReconcileEvery)) {
		// All that changed since the last reconciliation, whatever the
		// watermark says and without what Graph remembers for us.
		st.full = true
		if from := cursor.FullAt.Add(-p.opts.Overlap - reconcileMargin); from.Before(st.since) {
			st.since = from
		}
	} else if cursor.Reader == u.reader.name() {
		st.link = cursor.Link
	}
	p.mu.Lock()
	st.request = p.requests
	u.read, u.fullAt = st, cursor.FullAt
	p.mu.Unlock()
	return cursor, st, nil
}

// cursor loads a scope's cursor, or makes one.
func (p *Poller) cursor(ctx context.Context, scope Scope) (Cursor, error) {
	ctx, cancel := context.WithTimeout(ctx, pollerStoreTime)
	defer cancel()
	cursor, err := p.opts.Cursors.LoadCursor(ctx, scope.String())
	if err != nil {
		return Cursor{}, fmt.Errorf("load cursor: %w", err)
	}
	start := time.Time{}
	if p.opts.Start != nil {
		start = p.opts.Start(scope)
	}
	if scope.ChannelID != "" {
		err = p.inherit(ctx, scope, start, &cursor)
	} else if cursor.Watermark.IsZero() {
		err = p.gather(ctx, scope, &cursor)
	}
	if cursor.FullAt.IsZero() {
		cursor.FullAt = p.opts.Now()
	}
	if err != nil || !cursor.Watermark.IsZero() {
		return cursor, err
	}
	// The beginning is written down, so that it stays the beginning.
	cursor.Watermark = start
	if start.IsZero() {
		cursor.Watermark = p.opts.Now()
	}
	if err := p.opts.Cursors.SaveCursor(ctx, scope.String(), cursor); err != nil {
		return Cursor{}, fmt.Errorf("save cursor: %w", err)
	}
	return cursor, nil
}

// inherit moves a channel's cursor on to its team's, if that reaches further:
// what the team was read for includes the channel. A team that was never read
// successfully says nothing about a channel that has a start of its own.
func (p *Poller) inherit(ctx context.Context, scope Scope, start time.Time, cursor *Cursor) error {
	team, err := p.opts.Cursors.LoadCursor(ctx, Scope{TeamID: scope.TeamID}.String())
	if err != nil {
		return fmt.Errorf("load cursor: %w", err)
	}
	p.mu.Lock()
	separate := p.separate[scope]
	p.mu.Unlock()
	neverRead := team.Reader != SourceExport && cursor.Watermark.IsZero() && !start.IsZero()
	if separate || neverRead {
		return nil
	}
	if team.Watermark.After(cursor.Watermark) {
		cursor.Watermark = team.Watermark
	}
	if team.FullAt.After(cursor.FullAt) {
		cursor.FullAt = team.FullAt
	}
	return nil
}

// gather starts a team where the channel that is furthest behind has got to,
// for a team whose channels were read one by one until now.
func (p *Poller) gather(ctx context.Context, scope Scope, cursor *Cursor) error {
	for _, team := range p.opts.Teams() {
		if team.ID != scope.TeamID {
			continue
		}
		for _, id := range team.Channels {
			ch, err := p.opts.Cursors.LoadCursor(ctx, Scope{TeamID: team.ID, ChannelID: id}.String())
			if err != nil {
				return fmt.Errorf("load cursor: %w", err)
			}
			if w := ch.Watermark; !w.IsZero() && (cursor.Watermark.IsZero() || w.Before(cursor.Watermark)) {
				cursor.Watermark = w
			}
			if f := ch.FullAt; !f.IsZero() && (cursor.FullAt.IsZero() || f.Before(cursor.FullAt)) {
				cursor.FullAt = f
			}
		}
	}
	return nil
}

// deliver hands a page to the sink.
func (p *Poller) deliver(ctx context.Context, u *unit, msgs []Message, watermark time.Time) error {
	source := u.reader.name()
	kept := make([]Message, 0, len(msgs))
	for i := range msgs {
		if msgs[i].Channel.ChannelID == "" {
			p.opts.Counters.Count(CountDropped, "no_channel", 1)
			p.opts.Logger.Warn().Stringer("scope", u.scope).Str("message", msgs[i].ID).Msg("Message without a channel can't be mirrored")
			continue
		}
		kept = append(kept, msgs[i])
	}
	if err := p.accept(ctx, source, kept); err != nil {
		return err
	}
	if p.opts.Changes != nil {
		for _, h := range messageHints(kept, watermark) {
			p.opts.Changes.DirectoryChanged(h.teamID, h.what)
		}
	}
	return nil
}

func (p *Poller) accept(ctx context.Context, source string, msgs []Message) error {
	for len(msgs) > 0 {
		n := min(len(msgs), pollerSinkChunk)
		call, cancel := context.WithTimeout(ctx, pollerSinkTime)
		err := p.opts.Sink.Accept(call, source, msgs[:n])
		cancel()
		if err != nil {
			return sinkError{err}
		}
		p.opts.Counters.Count(CountMessages, source, n)
		msgs = msgs[n:]
	}
	return nil
}

// commit moves the cursor after a complete read.
func (p *Poller) commit(ctx context.Context, u *unit, st *readState, delta string) error {
	ctx, cancel := context.WithTimeout(ctx, pollerStoreTime)
	defer cancel()
	before, err := p.opts.Cursors.LoadCursor(ctx, u.scope.String())
	if err != nil {
		return sinkError{fmt.Errorf("load cursor: %w", err)}
	}
	after := before
	after.Reader, after.Link = u.reader.name(), delta
	if w := p.reach(st); w.After(after.Watermark) {
		after.Watermark = w
	}
	if after.Watermark.IsZero() {
		after.Watermark = st.since.Add(p.opts.Overlap)
	}
	if u.fullAt.After(after.FullAt) {
		after.FullAt = u.fullAt
	}
	if st.full {
		after.FullAt = st.began
	}
	if after != before {
		if err := p.opts.Cursors.SaveCursor(ctx, u.scope.String(), after); err != nil {
			return sinkError{fmt.Errorf("save cursor: %w", err)}
		}
	}
	p.mu.Lock()
	u.fullAt = after.FullAt
	p.mu.Unlock()
	return nil
}

// reach is how far a complete read reaches, in Graph's own time. What changed
// while a long read ran, on pages that were read before, was not seen: so it
// reaches to where the read began, which is not later than the newest change
// seen less the time it took.
func (p *Poller) reach(st *readState) time.Time {
	now := p.opts.Now()
	if st.newest.IsZero() || st.newest.After(now.Add(maxFutureChange)) {
		return time.Time{}
	}
	if took := now.Sub(st.began); took > p.opts.Overlap/2 {
		return st.newest.Add(-took)
	}
	return st.newest
}

// finish notes how a turn ended and when the next one is.
func (p *Poller) finish(ctx context.Context, u *unit, done bool, err error) {
	now := p.opts.Now()
	missing := false
	var doubtful []Scope
	if p.opts.Doubtful != nil && done {
		doubtful = p.opts.Doubtful()
	}
	p.mu.Lock()
	often := p.opts.Continuous || p.doubted(u, doubtful)
	u.running = false
	switch {
	case ctx.Err() != nil:
	case err != nil:
		missing = p.failed(u, err, now)
	case done:
		p.done(u, now, often)
	default:
		u.due = now // its turn comes again after the others'
	}
	p.signal()
	p.mu.Unlock()
	if done && err == nil && p.opts.Read != nil {
		p.opts.Read(u.scope)
	}
	if missing && p.opts.Changes != nil {
		what := HintTeam
		if u.scope.ChannelID != "" {
			what = HintChannel
		}
		p.opts.Changes.DirectoryChanged(u.scope.TeamID, what)
	}
}

func (p *Poller) signal() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Poller) done(u *unit, now time.Time, often bool) {
	began := u.read.began
	u.covered, u.answered, u.read = began, u.read.request, nil
	u.failures, u.odd, u.err = 0, 0, nil
	u.asked, u.waiting = false, time.Time{}
	p.outages, p.pause, p.lastErr = 0, time.Time{}, nil
	p.opts.Counters.Count(CountRead, u.reader.name(), 1)
	u.due = u.fullAt.Add(p.opts.ReconcileEvery)
	if next := began.Add(p.opts.Interval); often && next.Before(u.due) {
		u.due = next
	}
	if u.due.Before(now) {
		u.due = now
	}
	if u.again {
		u.again, u.asked, u.due, u.waiting = false, true, now, now
	}
}

// failed tells an outage, a refusal and the rest apart, and reports whether
// the scope is not there any more. p.mu is held.
func (p *Poller) failed(u *unit, err error, now time.Time) (missing bool) {
	u.err, p.lastErr = err, err
	var ours sinkError
	kind := KindOf(err)
	name := u.reader.name()
	p.opts.Counters.Count(CountReadError, name, 1)
	log := p.opts.Logger.With().Stringer("scope", u.scope).Str("reader", name).Logger()
	if errors.As(err, &ours) {
		log.Warn().Err(err).Msg("What was read could not be stored")
		p.later(u, err, now)
		return false
	}
	switch kind {
	case KindBadRequest, KindPermission, KindNotFound, KindPrecondition, KindGone, KindForeignHost:
		p.opts.Counters.Count(CountRefusal, name, 1)
		log.Warn().Err(err).Msg("Reader refused, the next one takes over")
		p.refuse(u, err)
		return kind == KindNotFound
	case KindUnavailable, KindSignInExpired:
		// Not this unit's trouble: nobody needs to ask for a moment. Those that
		// were asking at the same time say nothing new.
		wait := RetryAfter(err)
		if !now.Before(p.pause) {
			wait = max(wait, retryWait(p.outages, pollerFirstRetry, pollerPauseMax))
			p.outages++
		}
		if until := now.Add(wait); until.After(p.pause) {
			p.pause = until
		}
	case KindThrottled:
	default:
		if u.odd++; u.odd >= pollerOddFailures {
			p.opts.Counters.Count(CountRefusal, name, 1)
			log.Warn().Err(err).Msg("Reader keeps failing, the next one takes over")
			p.refuse(u, err)
			return false
		}
	}
	log.Debug().Err(err).Msg("Read failed and is going to be repeated")
	p.later(u, err, now)
	return false
}

func (p *Poller) later(u *unit, err error, now time.Time) {
	last := pollerLastRetry
	if kind := KindOf(err); kind == KindUnavailable || kind == KindSignInExpired {
		last = pollerPauseMax
	}
	u.due = now.Add(max(retryWait(u.failures, pollerFirstRetry, last), RetryAfter(err)))
	u.failures++
}
