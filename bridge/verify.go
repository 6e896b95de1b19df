package bridge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

const (
	// verifyExamples is how many differences a report names.
	verifyExamples = 20
	// verifyPace is the least time between two channels, so that a comparison of
	// everything leaves Graph and the homeserver to those who talk.
	verifyPace = 250 * time.Millisecond
	// verifyTries is how often a channel is read that can't be read now, and
	// verifyPause the first wait between.
	verifyTries = 3
	verifyPause = 20 * time.Second
	// verifyGiveUp is how many channels in a row end a comparison because Graph
	// does not answer.
	verifyGiveUp = 3
	// verifyProgress is how often somebody who waits is told how far it is.
	verifyProgress = 15 * time.Minute
)

// verifyRoom reads rooms for the comparison.
type verifyRoom struct{ c *Connector }

var _ portal.RoomReader = verifyRoom{}

// RoomPage implements portal.RoomReader.
func (r verifyRoom) RoomPage(ctx context.Context, roomID id.RoomID, from string) (page portal.RoomPage, err error) {
	events, next, err := r.c.homeserver.RoomPage(ctx, roomID, from)
	page.Next = next
	for _, e := range events {
		page.Events = append(page.Events, portal.RoomEvent(e))
	}
	return page, err
}

// RoomEvent implements portal.RoomReader.
func (r verifyRoom) RoomEvent(ctx context.Context, roomID id.RoomID, eventID id.EventID) (*portal.RoomEvent, error) {
	e, err := r.c.homeserver.RoomEvent(ctx, roomID, eventID)
	if err != nil || e == nil {
		return nil, err
	}
	out := portal.RoomEvent(*e)
	return &out, nil
}

// RoomKept implements portal.RoomReader.
func (r verifyRoom) RoomKept(ctx context.Context, roomID id.RoomID) (kept portal.RoomKept, err error) {
	found, err := r.c.homeserver.RoomKept(ctx, roomID)
	kept.Lifetime, kept.Purged = found.Lifetime, found.Purged
	for _, e := range found.First {
		kept.First = append(kept.First, portal.RoomEvent(e))
	}
	return kept, err
}

// comparer is what a verification asks (portal.Verifier).
type comparer interface {
	Verify(ctx context.Context, ch teams.ChannelRef, since time.Time) (portal.Report, error)
	Repair(ctx context.Context, report portal.Report) (portal.Report, error)
}

// verification runs comparisons in the background, one at a time.
type verification struct {
	verifier comparer
	now      func() time.Time
	pace     time.Duration
	pause    time.Duration

	mu      sync.Mutex
	current *verifyRun
}

// verifyRun is one comparison of some channels.
type verifyRun struct {
	channels []verifyChannel
	since    time.Time
	repair   bool
	by       id.UserID
	began    time.Time
	// stop ends it; what has been compared is reported.
	stop context.CancelFunc

	mu  sync.Mutex
	sum verifySummary
}

// verifyChannel is a channel with the name under which it is reported.
type verifyChannel struct {
	ref   teams.ChannelRef
	label string
}

// verifyExample is one difference in a report.
type verifyExample struct {
	label   string
	finding portal.Finding
}

// verifySummary is what a comparison has found so far. It keeps counts, and
// examples of those things that the reader has to do something about first.
type verifySummary struct {
	done, differing   int
	inTeams, inMatrix int
	onTheWay          int
	counts, mended    map[portal.Class]int
	failed, left      map[string]int
	unseen            map[string]int
	reasons           map[string]int
	readers           map[string]int
	examples          []verifyExample
	errors            map[string][]string // labels by reason
	ended             string              // why it ended early, in English
}

func newVerifySummary() verifySummary {
	return verifySummary{
		counts: map[portal.Class]int{}, mended: map[portal.Class]int{}, failed: map[string]int{}, left: map[string]int{}, unseen: map[string]int{},
		reasons: map[string]int{}, readers: map[string]int{}, errors: map[string][]string{},
	}
}

// add notes what a channel's report says.
func (s *verifySummary) add(label string, r portal.Report) {
	s.inTeams += r.InTeams
	s.inMatrix += r.InMatrix
	s.onTheWay += r.OnTheWay
	s.readers[r.Reader]++
	for reason, n := range r.Failed {
		s.failed[reason] += n
	}
	for reason, n := range r.Left {
		s.left[reason] += n
	}
	for reason, n := range r.Unseen {
		s.unseen[reason] += n
	}
	if len(r.Findings) > 0 {
		s.differing++
	}
	for _, f := range r.Findings {
		s.counts[f.Class]++
		if f.Mended {
			s.mended[f.Class]++
		} else if f.Reason != "" {
			s.reasons[string(f.Class)+": "+f.Reason]++
		}
		if len(s.examples) < verifyExamples {
			s.examples = append(s.examples, verifyExample{label, f})
		}
	}
}

// copied is a summary that nobody changes any more.
func (r *verifyRun) copied() verifySummary {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sum
	s.counts, s.mended, s.failed, s.left = maps.Clone(s.counts), maps.Clone(s.mended), maps.Clone(s.failed), maps.Clone(s.left)
	s.reasons, s.readers, s.errors = maps.Clone(s.reasons), maps.Clone(s.readers), maps.Clone(s.errors)
	s.unseen, s.examples = maps.Clone(s.unseen), slices.Clone(s.examples)
	return s
}

// begin takes the place of the one comparison that may run; busy is the one
// that has it.
func (v *verification) begin(run *verifyRun) (busy *verifyRun) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.current != nil {
		return v.current
	}
	run.began, run.sum = v.now(), newVerifySummary()
	v.current = run
	return nil
}

func (v *verification) running() *verifyRun {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.current
}

// run compares, and repairs where that was asked for, one channel after the
// other. It ends early with its context, or where Graph can't be used; told is
// called now and then.
func (v *verification) run(ctx context.Context, run *verifyRun, told func(verifySummary)) verifySummary {
	defer func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.current = nil
	}()
	pace := rate.NewLimiter(rate.Every(v.pace), 1)
	unreachable, last := 0, v.now()
	for _, ch := range run.channels {
		if pace.Wait(ctx) != nil {
			break
		}
		report, err := v.channel(ctx, run, ch)
		if ctx.Err() != nil {
			break
		}
		run.mu.Lock()
		run.sum.done++
		if err != nil {
			reason := verifyReason(err)
			run.sum.errors[reason] = append(run.sum.errors[reason], ch.label)
			zerolog.Ctx(ctx).Warn().Err(err).Stringer("channel", ch.ref).Msg("Could not compare a channel with its room")
		} else {
			run.sum.add(ch.label, report)
		}
		if unreachable++; err == nil || !isPassing(err) {
			unreachable = 0
		}
		if unreachable >= verifyGiveUp {
			run.sum.ended = inEnglish(texts.VerifyUnusable)
		}
		ended := run.sum.ended != ""
		run.mu.Unlock()
		if ended {
			break
		}
		if now := v.now(); now.Sub(last) >= verifyProgress {
			last = now
			told(run.copied())
		}
	}
	if ctx.Err() != nil {
		run.mu.Lock()
		run.sum.ended = inEnglish(texts.VerifyStopped)
		run.mu.Unlock()
	}
	return run.copied()
}

// channel compares one channel, a few times where it can't be read now.
func (v *verification) channel(ctx context.Context, run *verifyRun, ch verifyChannel) (report portal.Report, err error) {
	pause := v.pause
	for try := 1; ; try++ {
		report, err = v.verifier.Verify(ctx, ch.ref, run.since)
		if err == nil && run.repair && len(report.Findings) > 0 {
			report, err = v.verifier.Repair(ctx, report)
		}
		if err == nil || !isPassing(err) || try == verifyTries || ctx.Err() != nil {
			return report, err
		}
		timer := time.NewTimer(max(pause, teams.RetryAfter(err)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return report, ctx.Err()
		}
		pause *= 2
	}
}

// isPassing reports whether reading may work a little later. What is not known
// to be Graph's refusal is the homeserver's or the database's, and may.
func isPassing(err error) bool {
	switch teams.KindOf(err) {
	case teams.KindUnavailable, teams.KindThrottled:
		return true
	case teams.KindUnknown:
		return !errors.Is(err, portal.ErrTooMuch) && !errors.Is(err, portal.ErrNoRoom)
	}
	return false
}

// verifyReason says in words why a channel could not be compared.
func verifyReason(err error) string {
	switch kind := teams.KindOf(err); {
	case errors.Is(err, portal.ErrTooMuch), errors.Is(err, portal.ErrNoRoom):
		return err.Error()
	case kind != teams.KindUnknown:
		return "Graph: " + kind.String()
	}
	return inEnglish(texts.RepairError)
}

// verifyTargets returns the mirrored channels of a team, or of all with "",
// sorted by name.
func (c *Connector) verifyTargets(teamID, channelID string) (out []verifyChannel) {
	for _, view := range teamViews(c.rt.catalog.all(nil)) {
		for _, conv := range view.channels {
			if isMirroredChannel(conv) && (teamID == "" || conv.TeamID == teamID) && (channelID == "" || conv.ChannelID == channelID) {
				out = append(out, verifyChannel{
					ref: teams.ChannelRef{TeamID: conv.TeamID, ChannelID: conv.ChannelID}, label: labelOf(view.team, conv),
				})
			}
		}
	}
	return out
}

func labelOf(team, channel database.Conversation) string {
	return fmt.Sprintf("%s/%s", team.Name, channel.Name)
}
