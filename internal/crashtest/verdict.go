package crashtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// compareLimit is how long the sides may go on changing after the bridge is at
// rest.
const compareLimit = time.Minute

// compare holds both sides of every conversation against each other and against
// the book.
func (r *run) compare() error {
	cli := r.people[0].cli
	verdicts := map[*place]*verdict{}
	err := stack.Eventually(r.ctx, compareLimit, func(ctx context.Context) error {
		for _, at := range r.places {
			if v := verdicts[at]; v != nil && v.differs() == nil {
				continue
			}
			entries, err := stack.Timeline(r.ctx, cli, at.room)
			if err != nil {
				return err
			}
			verdicts[at] = r.judge(at, at.channel.Messages(), entries)
		}
		for _, v := range verdicts {
			if err := v.differs(); err != nil {
				return err
			}
		}
		return nil
	})
	if len(verdicts) < len(r.places) {
		return err
	}
	for _, at := range r.places {
		r.report.add(at.channel.DisplayName(), *verdicts[at])
	}
	repeated := r.stack.Tenant.Violations(teamstest.ViolationRepeatedWrite)
	for _, w := range repeated {
		// A change whose answer came just before a kill must be made again.
		if w.Method == "POST" && (strings.HasSuffix(w.Path, "/messages") || strings.HasSuffix(w.Path, "/replies")) {
			r.report.Problems = append(r.report.Problems, "a message was posted again: "+w.Path)
		}
	}
	for _, w := range r.stack.Tenant.Violations(teamstest.ViolationTokenLeak) {
		r.report.Problems = append(r.report.Problems, "a token was sent to "+w.Scope)
	}
	r.report.Early = r.stack.Tenant.CountViolations(teamstest.ViolationEarly)
	return nil
}

// verdict is what was found out about one conversation.
type verdict struct {
	lost, doubled, reordered, different, toldLate int
	differences                                   []string
}

func (v *verdict) differs() error {
	if len(v.differences) == 0 {
		return nil
	}
	return fmt.Errorf("%d differences", len(v.differences))
}

// found is one message as a side shows it.
type found struct {
	text      string
	root      string // the root's token
	pictures  int
	reactions []string
}

func (r *run) judge(at *place, channel []teamstest.MessageState, entries []stack.Entry) *verdict {
	v := &verdict{}
	r.mu.Lock()
	late := map[string]bool{}
	maps.Copy(late, r.late[at.channel.ID])
	told := r.toldLate(entries)
	entries = r.asTheyCame(entries, channel)
	r.mu.Unlock()
	r.book.note(func() {
		for _, e := range entries {
			if m := r.book.byToken[tokenPattern.FindString(e.Body)]; told[e.EventID] && m != nil && m.message != "" {
				late[m.message] = true
				v.toldLate++
			}
		}
	})
	a := stack.CompareBut(channel, entries, r.stack.IsBot, late)
	v.reordered, v.differences = a.Reordered, a.Differences
	teams, matrix := findInTeams(channel), findInMatrix(entries)
	r.book.mu.Lock()
	defer r.book.mu.Unlock()
	for _, m := range at.remarks {
		v.check(m, inTeams, teams[m.token])
		v.check(m, inMatrix, matrix[m.token])
	}
	return v
}

// asTheyCame puts what was said in Matrix into the order of asSaid. And what two
// clients sent at the same time is put into the order in which it is in Teams: it has
// none of its own, and a homeserver may tell its clients another one than its bridges.
// r.mu is held.
func (r *run) asTheyCame(entries []stack.Entry, channel []teamstest.MessageState) []stack.Entry {
	places, said := r.asSaid(entries)
	inTeams := map[string]string{}
	for _, m := range channel {
		inTeams[tokenPattern.FindString(m.Content)] = m.ID
		for _, reply := range m.Replies {
			inTeams[tokenPattern.FindString(reply.Content)] = reply.ID
		}
	}
	r.book.mu.Lock()
	defer r.book.mu.Unlock()
	tokens := make([]string, len(said))
	for i, e := range said {
		tokens[i] = tokenPattern.FindString(e.Body)
	}
	for swapped := true; swapped; {
		swapped = false
		for i := 1; i < len(said); i++ {
			a, b := tokens[i-1], tokens[i]
			if inTeams[b] != "" && inTeams[b] < inTeams[a] && r.book.byToken[a].atOnceWith(r.book.byToken[b]) {
				said[i-1], said[i], swapped = said[i], said[i-1], true
				tokens[i-1], tokens[i] = b, a
			}
		}
	}
	entries = slices.Clone(entries)
	for i, place := range places {
		entries[place] = said[i]
	}
	return entries
}

// atOnceWith reports whether two messages were sent at the same time.
func (r *remark) atOnceWith(other *remark) bool {
	return r != nil && other != nil && r.began.Before(other.ended) && other.began.Before(r.ended)
}

// check holds what a side shows of a message against the book.
func (v *verdict) check(m *remark, on side, shown []found) {
	say := func(count *int, format string, args ...any) {
		*count++
		v.differences = append(v.differences, fmt.Sprintf("%s (said in %s): in %s ", m.token, m.side, on)+fmt.Sprintf(format, args...))
	}
	switch {
	case m.deleted:
		if len(shown) > 0 {
			say(&v.different, "it is there although it was deleted")
		}
		return
	case len(shown) == 0:
		say(&v.lost, "it is missing")
		return
	case len(shown) > 1:
		say(&v.doubled, "it is there %d times", len(shown))
	}
	one := shown[0]
	if want := stack.Letters(m.text); one.text != want {
		say(&v.different, "it says %q and not %q", one.text, want)
	}
	root := ""
	if m.root != nil {
		root = m.root.token
	}
	if one.root != root && !(m.looseRoot && on == inMatrix) {
		say(&v.different, "it is in thread %q and not %q", one.root, root)
	}
	if want := map[bool]int{true: 1}[m.picture]; one.pictures != want {
		say(&v.different, "it has %d pictures and not %d", one.pictures, want)
	}
	var want []string
	for emoji := range m.reactions {
		want = append(want, stack.ReactionKey(emoji))
	}
	slices.Sort(want)
	loose := func(key string) bool {
		for emoji, is := range m.loose {
			if is && stack.ReactionKey(emoji) == key {
				return true
			}
		}
		return false
	}
	if have := slices.DeleteFunc(slices.Clone(one.reactions), loose); !slices.Equal(have, slices.DeleteFunc(want, loose)) {
		say(&v.different, "its reactions are %v and not %v", one.reactions, want)
	}
}

// findInTeams finds every message that has a token.
func findInTeams(channel []teamstest.MessageState) map[string][]found {
	out := map[string][]found{}
	add := func(m teamstest.MessageState, root string) string {
		token := tokenPattern.FindString(m.Content)
		if token == "" || !m.Deleted.IsZero() {
			return token
		}
		f := found{text: stack.TeamsText(m), root: root, pictures: len(m.Images)}
		for _, reaction := range m.Reactions {
			f.reactions = append(f.reactions, stack.ReactionKey(reaction.Kind))
		}
		slices.Sort(f.reactions)
		out[token] = append(out[token], f)
		return token
	}
	for _, m := range channel {
		root := add(m, "")
		for _, reply := range m.Replies {
			add(reply, root)
		}
	}
	return out
}

// findInMatrix finds every message that has a token. The pictures of a message
// from Teams are events of their own, with the same source.
func findInMatrix(entries []stack.Entry) map[string][]found {
	tokens, pictures := map[id.EventID]string{}, map[string]int{}
	for _, e := range entries {
		if e.Redacted {
			continue
		}
		tokens[e.EventID] = tokenPattern.FindString(e.Body)
		if e.MsgType == event.MsgImage {
			pictures[stack.SourceMessage(e)]++
		}
	}
	out := map[string][]found{}
	for _, e := range entries {
		token := tokens[e.EventID]
		if token == "" {
			continue
		}
		f := found{text: stack.Letters(e.Body), root: tokens[e.Thread]}
		if source := stack.SourceMessage(e); source != "" {
			f.pictures = pictures[source]
		} else if e.MsgType == event.MsgImage {
			f.pictures = 1
		}
		for emoji, who := range e.Reactions {
			for range who {
				f.reactions = append(f.reactions, stack.ReactionKey(emoji))
			}
		}
		slices.Sort(f.reactions)
		out[token] = append(out[token], f)
	}
	return out
}
