package bridge

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"maunium.net/go/mautrix/bridgev2/networkid"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/texts"
)

const (
	// minMaxAge is the shortest age limit: what waits for less did not wait for
	// an outage.
	minMaxAge = time.Minute
	// maxReaction is the most runes of an emoji.
	maxReaction = 12
	// outagesAsked is how many outages a message is looked for in.
	outagesAsked = 100
)

func (c *Config) validateOutage() checks {
	var e checks
	const fix = "use full, digest or none"
	o := c.Outage
	ageOK := func(a Age) bool { return a == 0 || time.Duration(a) >= minMaxAge }
	const ageFix = "write a duration of a minute or more, such as 48h, or 0 for none"
	e.that(isPolicy(o.Policy), "outage.policy", fmt.Sprintf("is %q", o.Policy), fix)
	e.that(ageOK(o.MaxAge), "outage.max_age", "is shorter than a minute", ageFix)
	e.that(o.DigestAbove >= 1, "outage.digest_above", fmt.Sprintf("is %d", o.DigestAbove), "write 1 or more; for no digests at all choose the policy full")
	for team, t := range o.Teams {
		e.that(strings.TrimSpace(team) != "", "outage.teams", "has an empty name", "remove it")
		key := "outage.teams." + team
		if strings.TrimSpace(team) == "" {
			continue
		}
		e.that(t.Policy == "" || isPolicy(t.Policy), key, fmt.Sprintf("has the policy %q", t.Policy), fix)
		e.that(t.MaxAge == nil || ageOK(*t.MaxAge), key, "has a max_age that is shorter than a minute", ageFix)
	}
	e.that(utf8.RuneCountInString(o.Reaction) <= maxReaction && !strings.ContainsFunc(o.Reaction, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsLetter(r) }),
		"outage.reaction", fmt.Sprintf("is %q", o.Reaction), "write one emoji, or leave it empty for none")
	return e
}

func isPolicy(value string) bool {
	return oneOf(value, portal.PolicyFull, portal.PolicyDigest, portal.PolicyNone)
}

// retention knows what becomes of messages that waited for Teams: from the
// configuration, and from the record of outages.
type retention struct {
	cfg     OutageConfig
	outages *database.Outages
	// name returns the name of a team.
	name func(teamID string) string
	// noWriting reports whether it is known that Teams takes nothing; nil for never.
	noWriting func() bool
	// goesOn reports whether this process knows of an outage in which nothing can
	// be written; nil for always.
	goesOn func() bool
	// unsure reports whether what is known of an outage rests on so little that a
	// message which has not been tried is worth it; nil for never.
	unsure func() bool
}

// policy returns how what waited in a portal goes to Teams, and from which age
// on it does not.
func (r *retention) policy(portalID string) (policy string, maxAge time.Duration) {
	policy, maxAge = r.cfg.Policy, time.Duration(r.cfg.MaxAge)
	if len(r.cfg.Teams) == 0 {
		return policy, maxAge
	}
	ref, ok := portal.ParsePortal(networkid.PortalID(portalID))
	if !ok {
		return policy, maxAge
	}
	team, ok := forTeam(r.cfg.Teams, ref.TeamID, r.name(ref.TeamID))
	if !ok {
		return policy, maxAge
	}
	if team.Policy != "" {
		policy = team.Policy
	}
	if team.MaxAge != nil {
		maxAge = time.Duration(*team.MaxAge)
	}
	return policy, maxAge
}

// digestAbove returns above how many waiting messages a portal's backlog goes as
// a digest, 0 for never. In an outage none is put together: until its end people
// change what waits, and go on.
func (r *retention) digestAbove(portalID string) int {
	if policy, _ := r.policy(portalID); policy != portal.PolicyDigest || r.noWriting != nil && r.noWriting() {
		return 0
	}
	return r.cfg.DigestAbove
}

// kept reports whether a message was said while nothing could be written. A span
// that nobody has ended proves nothing by itself: after a restart nobody has asked
// Teams yet, and for a moment after an outage the record does not know of its end.
func (r *retention) kept(ctx context.Context, row *database.OutboxRow) (bool, error) {
	spans, err := r.outages.Spans(ctx, database.SpanWrite, outagesAsked)
	if err != nil {
		return false, err
	}
	open := false
	for _, s := range spans {
		switch {
		case !s.Has(row):
		case !s.To.IsZero():
			return true, nil
		default:
			open = true
		}
	}
	if open && r.goesOn != nil && !r.goesOn() {
		return false, portal.ErrUndecided
	}
	// Where one room alone was in use, its own trouble looks like everybody's.
	if open && row.Attempts == 0 && r.unsure != nil && r.unsure() {
		return false, nil
	}
	return open, nil
}

// waited returns why the messages of a digest waited: because nothing could be
// written when one of them came, because an outage was rehearsed, because
// somebody held their queue, or because Teams took them slowly, or not from those who
// were there to write.
func (r *retention) waited(ctx context.Context, rows []*database.OutboxRow) (texts.Key, error) {
	spans, err := r.outages.Spans(ctx, database.SpanWrite, outagesAsked)
	if err != nil {
		return "", err
	}
	recent, err := r.outages.Recent(ctx, outagesAsked)
	if err != nil {
		return "", err
	}
	any := func(is func(row *database.OutboxRow) bool) bool { return slices.ContainsFunc(rows, is) }
	switch {
	case any(func(row *database.OutboxRow) bool {
		return slices.ContainsFunc(spans, func(s database.OutageSpan) bool { return s.Came(row) })
	}):
		return texts.WhileUnavailable, nil
	case any(func(row *database.OutboxRow) bool {
		return slices.ContainsFunc(recent, func(o *database.Outage) bool {
			return o.Kind == database.OutageDrill && covers(o, row.Portal) && isWithin(o, row)
		})
	}):
		return texts.WhileRehearsed, nil
	case any(func(row *database.OutboxRow) bool { return !row.HeldUntil.IsZero() }):
		return texts.WhileHeld, nil
	}
	return texts.WhileSlow, nil
}

// outage reports whether an outage is on for a portal. Where that can't be
// found out it may be.
func (r *retention) outage(ctx context.Context, portalID string) bool {
	open, err := r.outages.Open(ctx)
	return err != nil || slices.ContainsFunc(open, func(o *database.Outage) bool {
		return o.Ended.IsZero() && isRealOutage(o, portalID)
	})
}

// toldAtEnd reports whether a room that knows of an outage is told at its end
// that a message was kept: the end is told when the room's queue is empty, and
// once. What was kept later is not in that notice.
func (r *retention) toldAtEnd(ctx context.Context, row *database.OutboxRow) (bool, error) {
	all, err := r.outages.Recent(ctx, outagesAsked)
	if err != nil {
		return false, err
	}
	for _, o := range all {
		if !hasQueued(o, row) {
			continue
		}
		rooms, err := r.outages.Rooms(ctx, o.ID)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(rooms, func(room database.OutageRoom) bool {
			toBeTold := room.EndedTold.IsZero() && o.Drained.IsZero()
			return room.Portal == row.Portal && !room.BeganTold.IsZero() && (toBeTold || !row.DoneAt.After(room.EndedTold))
		}) {
			return true, nil
		}
	}
	return false, nil
}

// hasQueued reports whether a message was queued in an outage that was not rehearsed.
func hasQueued(o *database.Outage, row *database.OutboxRow) bool {
	return isRealOutage(o, row.Portal) && isWithin(o, row)
}

// isWithin reports whether a row was queued while an outage went on.
func isWithin(o *database.Outage, row *database.OutboxRow) bool {
	return row.ID >= o.FirstRow && (o.LastRow == 0 && o.Ended.IsZero() || row.ID <= o.LastRow)
}

// isRealOutage reports whether an outage is about a portal, and not rehearsed:
// a rehearsal loses nobody a message.
func isRealOutage(o *database.Outage, portalID string) bool {
	return o.Kind != database.OutageDrill && database.Hold{Scope: o.Scope}.Covers(portalID)
}
