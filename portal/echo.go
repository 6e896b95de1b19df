package portal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
	"teamsbridge/teams"
)

// Echo knows which Teams messages are our own posts: those that are confirmed,
// those whose post is on its way at this moment, and those whose outcome
// nobody knows. Ingest asks it before it takes a message for news, Sender
// reports to it; a part in doubt is decided by one of them at a time.
type Echo struct {
	sent *database.Sent
	late *late
	// overtaken are the portals whose digests show something older than they should.
	overtaken overtakenPortals
	// skew is how far Teams' clock and ours may differ.
	skew    time.Duration
	metrics Metrics
	// decided is called when an echo settled a part in doubt.
	decided func(ctx context.Context, portal string)

	mu      sync.Mutex
	portals map[string]*echoPortal
	// edits holds the texts that edits which are not finished may have given to
	// messages, by event.
	edits map[string][]given
}

type echoPortal struct {
	// decide is held by whoever judges a part in doubt.
	decide  sync.Mutex
	users   int
	flights map[*flight]struct{}
	// news are the messages that are being delivered as written in Teams, and have
	// no row yet that says so.
	news map[string]struct{}
}

// flight is a write that is on its way.
type flight struct {
	account string
	landed  chan struct{}
}

// NewEcho makes an Echo. decided, which may be nil, is called with the portal
// when an echo tells what became of a part in doubt.
func NewEcho(db *database.Database, skew time.Duration, metrics Metrics, decided func(ctx context.Context, portal string)) *Echo {
	if metrics == nil {
		metrics = NoMetrics{}
	}
	if decided == nil {
		decided = func(context.Context, string) {}
	}
	if skew == 0 {
		skew = ClockSkew
	}
	return &Echo{sent: db.Sent, late: &late{db: db}, skew: skew, metrics: metrics, decided: decided, portals: map[string]*echoPortal{}, edits: map[string][]given{}}
}

// OnDecided sets the function that NewEcho takes, where its receiver is made
// later. It must be called before anything runs.
func (e *Echo) OnDecided(decided func(ctx context.Context, portal string)) { e.decided = decided }

// use returns a portal's entry; release must be called after.
func (e *Echo) use(portal string) (p *echoPortal, release func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p = e.portals[portal]
	if p == nil {
		p = &echoPortal{flights: map[*flight]struct{}{}, news: map[string]struct{}{}}
		e.portals[portal] = p
	}
	p.users++
	return p, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if p.users--; p.users == 0 {
			delete(e.portals, portal)
		}
	}
}

// takeOff announces a write by an account; landed must be called when its
// outcome is in the database.
func (e *Echo) takeOff(portal, account string) (landed func()) {
	p, release := e.use(portal)
	f := &flight{account: account, landed: make(chan struct{})}
	e.mu.Lock()
	p.flights[f] = struct{}{}
	e.mu.Unlock()
	return sync.OnceFunc(func() {
		e.mu.Lock()
		delete(p.flights, f)
		e.mu.Unlock()
		close(f.landed)
		release()
	})
}

// await waits, at most limit, until the writes by an account that are on their
// way now have landed. It reports whether there were any.
func (e *Echo) await(ctx context.Context, portal, account string, limit time.Duration) (waited bool, err error) {
	e.mu.Lock()
	var wait []*flight
	if p := e.portals[portal]; p != nil {
		for f := range p.flights {
			if f.account == account {
				wait = append(wait, f)
			}
		}
	}
	e.mu.Unlock()
	if len(wait) == 0 {
		return false, nil
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for _, f := range wait {
		select {
		case <-f.landed:
		case <-timer.C:
			return true, nil
		case <-ctx.Done():
			return true, ctx.Err()
		}
	}
	return true, nil
}

// editing announces the texts that an edit is about to give to a message.
func (e *Echo) editing(eventID string, texts []given) {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.edits[eventID]
	for _, g := range texts {
		if !slices.Contains(all, g) {
			all = append(all, g)
		}
	}
	e.edits[eventID] = all
}

// edited ends what editing began; what the message says is in its row by now.
func (e *Echo) edited(eventID string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.edits, eventID)
}

// isEdit reports whether an edit that is not finished may have given a message
// this text.
func (e *Echo) isEdit(eventID, print string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.ContainsFunc(e.edits[eventID], func(g given) bool { return g.print == print })
}

// unfinished returns the texts that a message may have got from edits that are on
// their way, or of which nobody knows the outcome.
func (e *Echo) unfinished(ctx context.Context, portal, eventID string) ([]given, error) {
	writes, err := e.late.of(ctx, portal, eventID)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	texts := slices.Clone(e.edits[eventID])
	e.mu.Unlock()
	for _, w := range writes {
		if g, isEdit := lateText(w.What); isEdit {
			texts = append(texts, g)
		}
	}
	return texts, nil
}

// judge holds the right to decide about parts in doubt of a portal.
func (e *Echo) judge(portal string) (done func()) {
	p, release := e.use(portal)
	p.decide.Lock()
	return func() {
		p.decide.Unlock()
		release()
	}
}

// Own returns the part that a message is, nil where it is not ours. It may
// wait for a post that is on its way. With unseen, of a message that nobody has
// seen yet, it fails with errUndecided where Sender has yet to say if the message
// is a post in doubt that was changed since.
//
// A part goes from being on its way, maybe through doubt, to being confirmed,
// and the order of looking follows that, so that none slips through between.
func (e *Echo) Own(ctx context.Context, portal string, m teams.Message, limit time.Duration, unseen bool) (*database.SentPart, error) {
	if !m.From.IsUser() {
		return nil, nil
	}
	waited, err := e.await(ctx, portal, m.From.ID, limit)
	if err != nil {
		return nil, err
	}
	part, how, err := e.recognise(ctx, portal, m, unseen)
	if err != nil || part == nil {
		return nil, err
	}
	if waited && how == "known" {
		how = "waited"
	}
	e.metrics.Count(MetricEcho, how)
	if how == "doubt" {
		e.decided(ctx, portal)
	}
	return part, nil
}

// recognise is Own after the wait. What it finds holds as soon as it returns:
// nobody else judges meanwhile, and what it takes for written in Teams is known as
// that from here on (delivering).
func (e *Echo) recognise(ctx context.Context, portal string, m teams.Message, unseen bool) (_ *database.SentPart, how string, _ error) {
	defer e.judge(portal)()
	how = "known"
	doubts, err := e.sent.InDoubt(ctx, portal)
	if err != nil {
		return nil, how, err
	}
	part, err := e.sent.ByRemote(ctx, portal, m.ID)
	if err == nil && part == nil && slices.ContainsFunc(doubts, func(p database.SentPart) bool { return e.matches(&p, m) }) {
		how = "doubt"
		part, err = e.claim(ctx, portal, doubts, m)
	}
	if err == nil && part == nil && unseen {
		err = e.undecided(ctx, doubts, m)
	}
	if err == nil && part == nil {
		e.setNews(portal, m.ID)
	}
	return part, how, err
}

// claim matches a message with the parts in doubt and confirms the match. Only who
// judges may call it.
func (e *Echo) claim(ctx context.Context, portal string, doubts []database.SentPart, m teams.Message) (*database.SentPart, error) {
	for i := range doubts {
		part := &doubts[i]
		if !e.matches(part, m) {
			continue
		}
		err := e.sent.Confirm(ctx, part.EventID, part.Part, m.ID, m.ReplyToID)
		if errors.Is(err, database.ErrClaimed) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("confirm by echo: %w", err)
		}
		part.RemoteID, part.RootID, part.State = m.ID, m.ReplyToID, database.StateSent
		return part, nil
	}
	// The answer to another post has told meanwhile.
	return e.sent.ByRemote(ctx, portal, m.ID)
}

// matches reports whether a message can be what became of a part in doubt.
func (e *Echo) matches(part *database.SentPart, m teams.Message) bool {
	return e.isBeside(part, m) &&
		m.Deleted.IsZero() &&
		(part.Attachment == "" || slices.ContainsFunc(m.Attachments, func(a teams.Attachment) bool { return strings.EqualFold(a.ID, part.Attachment) })) &&
		msgconv.FingerprintOf(m) == part.Fingerprint
}

// isBeside reports whether a message is by the account of a part in doubt, in its
// thread, and not from before it.
func (e *Echo) isBeside(part *database.SentPart, m teams.Message) bool {
	return m.From.IsUser() && m.From.ID == part.AccountID &&
		m.ReplyToID == part.RootID &&
		!m.Created.Before(part.StartedAt.Add(-e.skew))
}

// fingerprint is what an HTML text says, however Teams writes it.
func fingerprint(html string) string { return msgconv.Fingerprint(html) }
