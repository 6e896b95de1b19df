package portal

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
	"teamsbridge/teams"
)

// A late write is an edit or a reaction that Graph carries out long after it
// seemed to fail, so that it comes behind the one that was sent after it. The
// older one then stands in Teams. So what has no known outcome is remembered, by
// target, with what Teams took last; where the older one shows, the newest is
// sent again.

const (
	// lateFor is how long after a write Teams may carry it out.
	lateFor = 2 * time.Minute
	// lateMemory is how long a write is remembered: what shows it may be read
	// only after an outage.
	lateMemory = 24 * time.Hour
)

// LateMemory is how long writes without an outcome have to be kept
// (database.Late.Purge).
const LateMemory = lateMemory

// Words for what a late write does.
const (
	lateEdit    = "edit"
	lateReact   = "react"
	lateUnreact = "unreact"
	latePost    = "post"
)

func lateWhat(kind string, words ...string) string { return kind + ":" + strings.Join(words, ":") }

// late are the writes that Teams may still carry out. They are read once, so
// that asking for them costs nothing where there are none. The database is never
// asked with the lock held: who has a transaction may wait for it.
type late struct {
	db *database.Database

	mu      sync.Mutex
	loaded  bool
	targets map[string][]database.LateWrite // by portal and target
}

func lateKey(portal, target string) string { return portal + "\x00" + target }

func (l *late) isLoaded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.loaded
}

func (l *late) load(ctx context.Context) error {
	if l.isLoaded() {
		return nil
	}
	all, err := l.db.Late.All(ctx)
	if err != nil {
		return fmt.Errorf("look for late writes: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loaded {
		return nil
	}
	l.targets = map[string][]database.LateWrite{}
	for _, w := range all {
		key := lateKey(w.Portal, w.Target)
		l.targets[key] = append(l.targets[key], w)
	}
	l.loaded = true
	return nil
}

// of returns the late writes to a target.
func (l *late) of(ctx context.Context, portal, target string) ([]database.LateWrite, error) {
	if err := l.load(ctx); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.targets[lateKey(portal, target)]), nil
}

// has reports whether one of them is a certain change.
func (l *late) has(ctx context.Context, portal, target, what string) (bool, error) {
	all, err := l.of(ctx, portal, target)
	return slices.ContainsFunc(all, func(w database.LateWrite) bool { return w.What == what }), err
}

// add notes a write of which nobody knows the outcome.
func (l *late) add(ctx context.Context, w database.LateWrite) error {
	ctx, cancel := durable(ctx)
	defer cancel()
	if err := l.load(ctx); err != nil {
		return err
	} else if err = l.db.Late.Add(ctx, w); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	key := lateKey(w.Portal, w.Target)
	all := l.targets[key]
	if i := slices.IndexFunc(all, func(x database.LateWrite) bool { return x.What == w.What }); i >= 0 {
		all[i].At = w.At
	} else {
		l.targets[key] = append(all, w)
	}
	for key, all := range l.targets {
		if all = slices.DeleteFunc(all, func(x database.LateWrite) bool { return x.At.Before(w.At.Add(-lateMemory)) }); len(all) == 0 {
			delete(l.targets, key)
		} else {
			l.targets[key] = all
		}
	}
	return nil
}

// newest says what Teams took last behind a write, in the caller's transaction.
func (l *late) newest(ctx context.Context, w database.LateWrite, event string) error {
	if err := l.db.Late.SetNewest(ctx, w, event); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.targets[lateKey(w.Portal, w.Target)]
	for i := range all {
		if all[i].What == w.What {
			all[i].Newest = event
		}
	}
	return nil
}

// lateText returns the text of a late edit. Of one that a version before has noted
// only the words are known.
func lateText(what string) (g given, isEdit bool) {
	rest, isEdit := strings.CutPrefix(what, lateWhat(lateEdit, ""))
	g.print, g.content, _ = strings.Cut(rest, ":")
	return g, isEdit
}

// isLate reports whether something that happened in Teams at a time can be what
// became of a write.
func isLate(w database.LateWrite, at time.Time) bool { return at.Before(w.At.Add(lateFor)) }

// noteLateEdit notes the texts of an edit without an outcome.
func (s *Sender) noteLateEdit(ctx context.Context, row *database.OutboxRow, t target, all []given) error {
	for _, g := range all {
		w := database.LateWrite{Portal: row.Portal, Target: t.event(row), What: lateWhat(lateEdit, g.print, g.content), At: s.o.Now()}
		if err := s.o.Echo.late.add(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// maybeEdited reports whether Teams may show another text of a message than its
// row says, because there was an edit without an outcome.
func (s *Sender) maybeEdited(ctx context.Context, row *database.OutboxRow, t target, next []given) (bool, error) {
	all, err := s.o.Echo.late.of(ctx, row.Portal, t.event(row))
	return slices.ContainsFunc(all, func(w database.LateWrite) bool {
		text, isEdit := lateText(w.What)
		return isEdit && !slices.Contains(next, text)
	}), err
}

// noteLateReaction notes a reaction, or its removal, without an outcome.
func (s *Sender) noteLateReaction(ctx context.Context, kind string, r database.SentReaction) error {
	return s.o.Echo.late.add(ctx, database.LateWrite{
		Portal: r.Portal, Target: r.TargetID, What: lateWhat(kind, r.Emoji, r.AccountID), At: s.o.Now(),
	})
}

// finishBehind ends a row that Teams has taken. Where it came behind late writes
// that match, it can be repeated.
func (s *Sender) finishBehind(ctx context.Context, row *database.OutboxRow, target string, match func(what string) bool) error {
	behind, err := s.o.Echo.late.of(ctx, row.Portal, target)
	if err != nil {
		return err
	}
	behind = slices.DeleteFunc(behind, func(w database.LateWrite) bool { return !match(w.What) })
	if len(behind) == 0 {
		return s.finish(ctx, row)
	}
	for _, w := range behind {
		if w.Newest != "" && w.Newest != row.EventID {
			if err = s.o.DB.Outbox.DropPayload(ctx, w.Newest); err != nil {
				return err
			}
		}
		if err = s.o.Echo.late.newest(ctx, w, row.EventID); err != nil {
			return err
		}
	}
	return s.o.DB.Outbox.FinishKeeping(ctx, row.ID)
}

// finishReaction does that for a reaction, or its removal, that came behind the
// opposite.
func (s *Sender) finishReaction(ctx context.Context, row *database.OutboxRow, opposite string, r database.SentReaction) error {
	return s.finishBehind(ctx, row, r.TargetID, func(what string) bool { return what == lateWhat(opposite, r.Emoji, r.AccountID) })
}

// repeat sends what Teams took last behind a late write once more; ok is false
// where that is not known any more, or something newer is on its way. It belongs
// into Outbox.Apart.
func (d *delivery) repeat(ctx context.Context, w database.LateWrite) (ok bool, err error) {
	if w.Newest == "" {
		return false, nil
	}
	if ok, err = d.in.o.DB.Outbox.Repeat(ctx, w.Newest); err != nil || !ok {
		return false, err
	}
	d.count("behind a late write")
	return true, nil
}

// lateReactions sends again what a late write has undone on the message, and
// returns which of its reactions are not to be judged by what Teams lists now.
func (d *delivery) lateReactions(ctx context.Context) (undone map[reactionKey]bool, err error) {
	all, err := d.in.o.Echo.late.of(ctx, d.row.Portal, d.m.ID)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	undone = map[reactionKey]bool{}
	for _, w := range all {
		kind, rest, _ := strings.Cut(w.What, ":")
		cut := strings.LastIndexByte(rest, ':')
		if kind != lateReact && kind != lateUnreact || cut < 0 {
			continue
		}
		r := database.SentReaction{Portal: d.row.Portal, TargetID: d.m.ID, Emoji: rest[:cut], AccountID: rest[cut+1:]}
		again, err := d.lateReaction(ctx, w, kind, r)
		if err != nil {
			return nil, err
		} else if again {
			undone[reactionKey{UserID(r.AccountID), emojiID(r.Emoji)}] = true
		}
	}
	return undone, nil
}

// lateReaction reports whether a late write shows, and has undone what came
// behind it.
func (d *delivery) lateReaction(ctx context.Context, w database.LateWrite, kind string, r database.SentReaction) (again bool, err error) {
	at, listed := d.listedReaction(r)
	if w.Newest == "" || listed != (kind == lateReact) || !isLate(w, at) {
		return false, nil
	}
	behind, err := d.in.o.DB.SentReactions.CountOthers(ctx, r)
	if err != nil || (behind > 0) != (kind == lateUnreact) {
		return false, err
	}
	err = d.in.o.DB.Outbox.Apart(ctx, func(ctx context.Context) error {
		if kind == lateReact {
			// Its removal has to know whose account made it.
			removal, err := d.in.o.DB.Outbox.ByEvent(ctx, w.Newest)
			if err != nil || removal == nil {
				return err
			}
			r.EventID, r.SenderMXID = removal.TargetEventID, removal.SenderMXID
			if err = d.in.o.DB.SentReactions.Add(ctx, r); err != nil {
				return err
			}
		}
		again, err = d.repeat(ctx, w)
		return err
	})
	if err == nil && again {
		d.in.o.Echo.decided(ctx, d.row.Portal)
	}
	return again, err
}

// listedReaction reports whether Teams lists an account's reaction, and when
// what the message says about it came to be.
func (d *delivery) listedReaction(r database.SentReaction) (at time.Time, listed bool) {
	i := slices.IndexFunc(d.m.Reactions, func(have teams.Reaction) bool {
		return have.User.ID == r.AccountID && string(emojiID(msgconv.EmojiFromTeams(have))) == r.Emoji
	})
	if i >= 0 && !d.m.Reactions[i].Created.IsZero() {
		return d.m.Reactions[i].Created, true
	}
	return d.listedAt(), i >= 0
}

// noteLatePost notes who posted a part that Teams does not seem to have. It may
// come yet, and two posts of the same are known as such only by their account.
func (s *Sender) noteLatePost(ctx context.Context, part database.SentPart) error {
	return s.o.Echo.late.add(ctx, database.LateWrite{
		Portal: part.Portal, Target: part.EventID, What: lateWhat(latePost, part.AccountID), At: s.o.Now(),
	})
}

// postedBefore returns the account that has posted a message, or a digest, to no
// effect; empty where none has.
func (s *Sender) postedBefore(ctx context.Context, portal, event string) (account string, err error) {
	all, err := s.o.Echo.late.of(ctx, portal, event)
	for _, w := range all {
		if by, isPost := strings.CutPrefix(w.What, lateWhat(latePost, "")); isPost {
			return by, err // the first
		}
	}
	return "", err
}
