package stack

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/teams/teamstest"
)

// Agreement is the outcome of a comparison.
type Agreement struct {
	Messages, Replies, Reactions int
	// Reordered is how many messages are out of order in the room.
	Reordered int
	// Differences are sentences for people; none means that both sides agree.
	Differences []string
}

// said is one message reduced to what both sides must agree on.
type said struct {
	// id is the Teams message's id; empty for what was said in Matrix, until
	// its counterpart is found.
	id string
	// key is the text without markup, spaces and punctuation, with a mark for
	// each picture; words is what of it must come through.
	key    string
	words  []string
	author string
	// inMatrix says that it was said in Matrix.
	inMatrix  bool
	root      string // the root's id in Teams, "" for a post
	at        time.Time
	reactions map[string]int
}

// Compare holds a channel against its room, message by message: nothing
// missing on either side, nothing twice, threads and reactions alike, and what
// was said on one side in the same order on the other. What the bridge brought
// to Matrix is recognised by the source that it names, what was said in Matrix
// by its words.
func Compare(channel []teamstest.MessageState, room []Entry, isBot func(id.UserID) bool) Agreement {
	return CompareBut(channel, room, isBot, nil)
}

// CompareBut is Compare where nobody can say when the messages with the given
// Teams ids ought to have come: their notification was lost or held back. They
// are not held to any order; everything else is.
func CompareBut(channel []teamstest.MessageState, room []Entry, isBot func(id.UserID) bool, late map[string]bool) Agreement {
	c := &comparison{teams: fromTeams(channel), byID: map[string]*said{}, taken: map[string]bool{}, late: late}
	c.out.Messages = len(c.teams)
	for _, s := range c.teams {
		c.byID[s.id] = s
		if s.root != "" {
			c.out.Replies++
		}
		for _, n := range s.reactions {
			c.out.Reactions += n
		}
	}
	c.pairAll(room, isBot)
	for _, s := range c.teams {
		if !c.taken[s.id] {
			c.say("only in Teams: %s", describe(s))
		}
	}
	c.compareOrder()
	return c.out
}

type comparison struct {
	out   Agreement
	teams []*said
	byID  map[string]*said
	// taken are the Teams messages that have a counterpart.
	taken map[string]bool
	// order is the counterparts' ids in the order of the room.
	order []string
	// late are the ids of messages that have no place in the order.
	late map[string]bool
}

func (c *comparison) say(format string, args ...any) {
	c.out.Differences = append(c.out.Differences, fmt.Sprintf(format, args...))
}

// pairAll finds the counterpart of every message in the room.
func (c *comparison) pairAll(room []Entry, isBot func(id.UserID) bool) {
	rootOf := map[id.EventID]string{}
	messages := messagesOf(room, isBot, rootOf)
	// Posts first: in what was read of a room in pages, a reply has stood in front
	// of its root that is behind it in the homeserver.
	slices.SortStableFunc(messages, func(a, b roomMessage) int {
		return cmp.Compare(min(len(a.thread), 1), min(len(b.thread), 1))
	})
	for _, message := range messages {
		m, thread := message.said, message.thread
		for _, part := range message.doubled {
			c.say("twice in Matrix (part %s): %s", part, describe(m))
		}
		if thread != "" {
			if m.root = rootOf[thread]; m.root == "" {
				c.say("in a thread whose root is unknown: %s", describe(m))
			}
		}
		t := c.counterpart(m)
		if t == nil {
			c.say("only in Matrix: %s", describe(m))
			continue
		}
		if c.taken[t.id] {
			c.say("twice in Matrix: %s", describe(m))
			continue
		}
		c.taken[t.id], t.inMatrix = true, m.id == ""
		c.order = append(c.order, t.id)
		rootOf[message.event] = t.id
		c.compareOne(t, m)
	}
}

func (c *comparison) counterpart(m *said) *said {
	if m.id != "" {
		return c.byID[m.id]
	}
	for _, t := range c.teams {
		if !c.taken[t.id] && t.key == m.key && (t.root == m.root || m.root == deletedRoot) {
			return t
		}
	}
	return nil
}

func (c *comparison) compareOne(t, m *said) {
	if t.root != m.root && m.root != deletedRoot && (t.root == "" || c.byID[t.root] != nil) {
		c.say("in another thread in Matrix: %s", describe(t))
	}
	if x, y := reactionList(t), reactionList(m); x != y {
		c.say("reactions are %s in Teams and %s in Matrix: %s", x, y, describe(t))
	}
	if strings.Count(t.key, pictureMark) != strings.Count(m.key, pictureMark) {
		c.say("another number of pictures in Matrix: %s", describe(t))
	}
	for _, w := range t.words {
		if !strings.Contains(m.key, w) {
			c.say("%q is missing in Matrix: %s", w, describe(t))
			return
		}
	}
}

// compareOrder compares the order within each conversation (the posts, and each
// thread) of what was said on the same side, whoever said it. Messages of
// different sides may cross on the way; nobody can say which was first.
func (c *comparison) compareOrder() {
	type lane struct {
		root     string
		inMatrix bool
	}
	place := map[string]int{}
	left, right := map[lane][]string{}, map[lane][]string{}
	for i, s := range c.teams {
		place[s.id] = i
		if c.taken[s.id] && !c.late[s.id] {
			left[lane{s.root, s.inMatrix}] = append(left[lane{s.root, s.inMatrix}], s.id)
		}
	}
	for _, messageID := range c.order {
		if s := c.byID[messageID]; !c.late[messageID] {
			right[lane{s.root, s.inMatrix}] = append(right[lane{s.root, s.inMatrix}], messageID)
		}
	}
	for name, ids := range left {
		if slices.Equal(ids, right[name]) {
			continue
		}
		for _, messageID := range misplaced(right[name], place) {
			c.out.Reordered++
			c.say("out of order in the room: %s", describe(c.byID[messageID]))
		}
	}
}

// misplaced returns the fewest ids that have to be taken away so that the rest
// are in their order: those outside a longest rising run.
func misplaced(ids []string, place map[string]int) []string {
	var ends []int // the place that ends the best run of each length
	length := make([]int, len(ids))
	for i, id := range ids {
		at, _ := slices.BinarySearch(ends, place[id])
		if at == len(ends) {
			ends = append(ends, 0)
		}
		ends[at], length[i] = place[id], at+1
	}
	var out []string
	want, below := len(ends), math.MaxInt
	for i, id := range slices.Backward(ids) {
		if length[i] == want && place[id] < below {
			want, below = want-1, place[id]
		} else {
			out = append(out, id)
		}
	}
	slices.Reverse(out)
	return out
}

func describe(s *said) string {
	text := s.key
	if r := []rune(text); len(r) > 60 {
		text = string(r[:60]) + "…"
	}
	if s.root != "" {
		return fmt.Sprintf("%q (a reply, %s)", text, s.at.Format(time.TimeOnly))
	}
	return fmt.Sprintf("%q (%s)", text, s.at.Format(time.TimeOnly))
}

func reactionList(s *said) string {
	var out []string
	for key, n := range s.reactions {
		out = append(out, fmt.Sprintf("%s×%d", key, n))
	}
	slices.Sort(out)
	return "[" + strings.Join(out, " ") + "]"
}

// roomMessage is a message of the room: one event, or the parts of one Teams message.
type roomMessage struct {
	*said
	event, thread id.EventID
	// parts are the parts of the source that are there, doubled those that
	// are there again.
	parts   map[string]bool
	doubled []string
}

// messagesOf gathers a room's messages. Roots that are deleted are put into rootOf.
func messagesOf(room []Entry, isBot func(id.UserID) bool, rootOf map[id.EventID]string) []roomMessage {
	var out []roomMessage
	index := map[string]int{}
	for _, e := range room {
		// A thread whose root was deleted hangs on the redacted event, or on a
		// placeholder where the root was deleted before it was ever seen.
		if e.Redacted || letters(e.Body) == placeholder {
			rootOf[e.EventID] = deletedRoot
			continue
		}
		source, part := sourceOf(e)
		if e.MsgType == event.MsgNotice && isBot(e.Sender) && source == "" {
			continue
		}
		key := letters(e.Body)
		if e.MsgType == event.MsgImage {
			key = pictureMark
			if name, ok := e.Raw["filename"].(string); ok && name != e.Body {
				key = letters(e.Body) + pictureMark
			}
		}
		if i, ok := index[source]; ok && source != "" {
			if out[i].parts[part] {
				out[i].doubled = append(out[i].doubled, part)
				continue
			}
			out[i].parts[part] = true
			out[i].key += key
			for k, who := range e.Reactions {
				out[i].reactions[emojiKey(k, "")] += len(who)
			}
			continue
		}
		m := roomMessage{said: &said{id: source, key: key, at: e.At, reactions: map[string]int{}}, event: e.EventID, thread: e.Thread, parts: map[string]bool{part: true}}
		for k, who := range e.Reactions {
			m.reactions[emojiKey(k, "")] += len(who)
		}
		if source != "" {
			if isBot(e.Sender) {
				continue // a system message: Teams tells it, nobody said it
			}
			index[source] = len(out)
		}
		out = append(out, m)
	}
	return out
}
