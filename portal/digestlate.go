package portal

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
	"teamsbridge/teams"
)

// A post of a digest is written anew for each change of what is in it, and Teams
// may carry such a write out long after it seemed to fail, behind a newer one. So
// each text is noted before it is sent, in the order of sending. Where a listing
// shows an older one than the newest, the post is marked as overtaken, and its
// lane writes it again from its entries, before anything else.

func isDigest(eventID string) bool { return strings.HasPrefix(eventID, digestPrefix) }

// givenDigest is what a post of a digest with such a text gives to Teams.
func givenDigest(html string) given { return givenBy([]teams.Draft{{HTML: html}})[0] }

// maybeOther reports whether Teams may show another text of a post than its
// entries say, because the last one that was sent is another one.
func (s *Sender) maybeOther(ctx context.Context, digestID string, part int) (bool, error) {
	writes, err := s.o.DB.Digests.Writes(ctx, digestID, part)
	if err != nil || len(writes) == 0 {
		return false, err
	}
	entries, err := s.o.DB.Digests.Entries(ctx, digestID, part)
	if err != nil || unreadableEntry(entries, "") != nil {
		return false, err
	}
	return givenDigest(renderDigest(s.o.Texts, entries)) != given{writes[0].Print, writes[0].Content}, nil
}

// writeDigest gives a post of a digest a text.
func (s *Sender) writeDigest(ctx context.Context, row *database.OutboxRow, part database.SentPart, html string) error {
	w, err := s.o.Writers.Exactly(ctx, row, part.AccountID)
	if err != nil {
		return err
	}
	landed := s.o.Echo.takeOff(row.Portal, part.AccountID)
	defer landed()
	g := givenDigest(html)
	err = s.o.DB.Digests.NoteWrite(ctx, database.DigestWrite{
		DigestID: part.EventID, Part: part.Part, Print: g.print, Content: g.content, TriedAt: s.o.Now(),
	})
	if err != nil {
		return err
	}
	if err = w.Edit(ctx, partRef(part), teams.Draft{HTML: html}); err != nil {
		return s.ownAccountErr(ctx, part.AccountID, fmt.Errorf("edit a digest: %w", err))
	}
	return nil
}

// digestListed looks whether a listing of a digest's post shows a text that a
// newer one was sent after. A listing from before the newest says nothing.
func (d *delivery) digestListed(ctx context.Context) error {
	writes, err := d.in.o.DB.Digests.Writes(ctx, d.own.EventID, d.own.Part)
	if err != nil || len(writes) == 0 || d.m.Edited.IsZero() {
		return err
	}
	if shown := shownWrite(d.m, writes); shown <= 0 || d.m.Edited.Before(writes[0].TriedAt.Add(-d.in.o.Echo.skew)) {
		return nil
	}
	if err = d.in.o.DB.Digests.Overtake(ctx, d.own.EventID, d.own.Part); err != nil {
		return err
	}
	d.count("digest behind a late write")
	d.in.o.Echo.overtaken.add(d.row.Portal)
	d.in.o.Echo.decided(ctx, d.row.Portal)
	return nil
}

// shownWrite returns which of a post's texts, the newest first, a message shows;
// -1 where it is none of them. Among texts of the same words it is the one that
// looks like what is shown, else the newest.
func shownWrite(m teams.Message, writes []database.DigestWrite) int {
	print := msgconv.FingerprintOf(m)
	same := func(w database.DigestWrite) bool { return w.Print == print }
	if i := slices.IndexFunc(writes, func(w database.DigestWrite) bool { return same(w) && msgconv.LooksLike(m, w.Content) }); i >= 0 {
		return i
	}
	return slices.IndexFunc(writes, same)
}

// overtakenPortals are the portals with posts that are to be written again, and
// when that is tried next, so that asking costs nothing where there are none.
type overtakenPortals struct {
	mu   sync.Mutex
	next map[string]time.Time
}

func (o *overtakenPortals) add(portal string) { o.later(portal, time.Time{}) }

// later says when a portal is tried next.
func (o *overtakenPortals) later(portal string, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.next == nil {
		o.next = map[string]time.Time{}
	}
	o.next[portal] = at
}

// take removes a portal and says when it is to be tried; ok is false where it was
// not there.
func (o *overtakenPortals) take(portal string) (at time.Time, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at, ok = o.next[portal]
	delete(o.next, portal)
	return at, ok
}

// due has a portal tried now, or all with "".
func (o *overtakenPortals) due(portal string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for have := range o.next {
		if portal == "" || portal == have {
			o.next[have] = time.Time{}
		}
	}
}

func (o *overtakenPortals) all() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	portals := make([]string, 0, len(o.next))
	for portal := range o.next {
		portals = append(portals, portal)
	}
	return portals
}

// loadOvertaken takes over what a process before has left.
func (s *Sender) loadOvertaken(ctx context.Context) error {
	portals, err := s.o.DB.Digests.OvertakenPortals(ctx)
	for _, portal := range portals {
		s.o.Echo.overtaken.add(portal)
	}
	return err
}

// rewriteOvertaken writes a portal's overtaken posts again. It returns when to
// look again, the zero time where nothing is left to do.
func (s *Sender) rewriteOvertaken(ctx context.Context, portal string) time.Time {
	at, ok := s.o.Echo.overtaken.take(portal)
	if !ok {
		return time.Time{}
	}
	now := s.o.Now()
	if s.o.Held(portal) {
		s.o.Echo.overtaken.later(portal, at)
		return now.Add(s.o.RetryMax)
	} else if at.After(now) {
		s.o.Echo.overtaken.later(portal, at)
		return at
	}
	posts, err := s.o.DB.Digests.Overtaken(ctx, portal)
	for _, post := range posts {
		postErr := s.rewritePost(ctx, post)
		err = cmp.Or(err, postErr)
		if postErr != nil && !isAccounts(postErr) { // another account may well write
			break
		}
	}
	if err == nil {
		return time.Time{}
	}
	if ctx.Err() == nil {
		zerolog.Ctx(ctx).Info().Err(err).Str("portal", portal).Msg("A digest that shows an older text waits for Teams")
	}
	at = now.Add(max(s.o.RetryMax, teams.RetryAfter(err)))
	s.o.Echo.overtaken.later(portal, at)
	return at
}

// rewritePost writes one post again. What Teams refuses for good stays as it is;
// an account that may not write now may do so again, and is waited for.
func (s *Sender) rewritePost(ctx context.Context, post database.OvertakenPost) error {
	entries, err := s.o.DB.Digests.Entries(ctx, post.EventID, post.Part)
	if err != nil {
		return err
	}
	log := zerolog.Ctx(ctx).With().Str("portal", post.Portal).Str("digest", post.EventID).Int("part", post.Part).Logger()
	row := &database.OutboxRow{Portal: post.Portal, Kind: database.KindEdit, SenderUserID: post.AccountID}
	switch {
	case post.State != database.StateSent, len(entries) == 0:
		// It was deleted in Teams, or is so old that nobody knows what it said.
	case unreadableEntry(entries, "") != nil:
		err = unreadableDigest(unreadableEntry(entries, ""))
	default:
		err = s.writeDigest(ctx, row, post.SentPart, renderDigest(s.o.Texts, entries))
	}
	if err != nil {
		if isAccounts(err) || !s.judge(row, err).final {
			return err
		}
		log.Warn().Err(err).Msg("A digest can't be written again")
	} else {
		log.Info().Msg("A digest that showed an older text was written again")
	}
	return s.o.DB.Digests.Rewritten(ctx, post)
}
