package msgconv

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix/event"

	"teamsbridge/texts"
)

const (
	// maxAnswers is the most answers that a poll can have (MSC3381).
	maxAnswers = 20
	// maxAnswerID is the longest id of an answer that is kept.
	maxAnswerID = 255
)

// Poll is a poll of Matrix (MSC3381) as far as Teams is told of it.
type Poll struct {
	Question string       `json:"question"`
	Answers  []PollAnswer `json:"answers"`
	// Most is how many answers one may choose.
	Most int `json:"most"`
	// Undisclosed says that the result is not shown before the poll ends.
	Undisclosed bool `json:"undisclosed,omitempty"`
}

// PollAnswer is one of the answers that a poll offers.
type PollAnswer struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

// Ballot is a vote in a poll.
type Ballot struct {
	// Event is the vote's event, Voter who cast it, At when.
	Event, Voter string
	At           time.Time
	// Answers are the ids that were chosen, as they came.
	Answers []string
}

// PollResult is what a poll has come to.
type PollResult struct {
	// Counts holds how many chose each answer, Voters how many chose any.
	Counts []int
	Voters int
	// Ended says that no vote counts any more.
	Ended bool
}

// Tally counts votes by the rules of MSC3381: of each person the newest one
// counts, and none that was cast after the poll's end, where it has one. A vote
// without an answer, or with one that the poll does not offer, takes the
// person's earlier one back; of too many answers the first count. Neither the
// order of the ballots nor one that is there twice makes a difference.
func (p Poll) Tally(ballots []Ballot, ended time.Time) PollResult {
	r := PollResult{Counts: make([]int, len(p.Answers)), Ended: !ended.IsZero()}
	newest := map[string]Ballot{}
	for _, b := range ballots {
		if r.Ended && b.At.After(ended) {
			continue
		}
		if have, voted := newest[b.Voter]; !voted || cmp.Or(have.At.Compare(b.At), cmp.Compare(have.Event, b.Event)) < 0 {
			newest[b.Voter] = b
		}
	}
	for _, b := range newest {
		chosen := p.chosen(b.Answers)
		for _, i := range chosen {
			r.Counts[i]++
		}
		if len(chosen) > 0 {
			r.Voters++
		}
	}
	return r
}

// chosen returns which answers a vote is for, none where it is spoiled.
func (p Poll) chosen(ids []string) (out []int) {
	for _, id := range ids {
		i := slices.IndexFunc(p.Answers, func(a PollAnswer) bool { return a.ID == id })
		switch {
		case i < 0:
			return nil
		case !slices.Contains(out, i):
			out = append(out, i)
		}
	}
	return out[:min(len(out), max(p.Most, 1))]
}

// Text says a poll in words: its question and numbered answers and, once
// somebody has voted, what it has come to.
func (p Poll) Text(x texts.Texts, r PollResult) string {
	lines := []string{x.Say(texts.Poll, "question", p.Question) + textSelections(x, p.Most)}
	counted := r.Ended || r.Voters > 0 && !p.Undisclosed
	for i, a := range p.Answers {
		line := textAnswer(i+1, a.Text)
		if counted && i < len(r.Counts) {
			line = x.Count(texts.PollAnswer, r.Counts[i], "answer", line)
		}
		lines = append(lines, line)
	}
	switch {
	case r.Ended:
		lines = append(lines, x.Count(texts.PollEnded, r.Voters))
	case r.Voters > 0 && p.Undisclosed:
		lines = append(lines, x.Count(texts.PollSecret, r.Voters))
	case r.Voters > 0:
		lines = append(lines, x.Count(texts.PollVoters, r.Voters))
	}
	return strings.Join(lines, "\n")
}

// Content is a message that ToTeams can convert, with what Text says.
func (p Poll) Content(x texts.Texts, r PollResult) *event.MessageEventContent {
	return &event.MessageEventContent{MsgType: event.MsgText, Body: p.Text(x, r)}
}
