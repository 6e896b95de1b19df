package msgconv

import (
	"bytes"
	"encoding/json"
	"slices"

	"maunium.net/go/mautrix/event"

	"teamsbridge/texts"
)

// PollField is the key under which a message that stands for an event of a poll
// says what that was (PollMark). Only PresentPoll writes it.
const PollField = "org.teamsbridge.poll"

// Kinds of PollMark.
const (
	PollStart   = "start"
	PollVote    = "vote"
	PollEnd     = "end"
	PollRetract = "retract"
)

// PollMark is what an event of a poll was before it was presented as a message.
type PollMark struct {
	Kind string `json:"kind"`
	// Of is the poll that a vote or an end is about, or the vote that is
	// retracted; of a start and its edits it says nothing.
	Of string `json:"of,omitempty"`
	// Poll is what a start, or an edit of one, says.
	Poll *Poll `json:"poll,omitempty"`
	// Answers are the ids that a vote is for.
	Answers []string `json:"answers,omitempty"`
}

// PollMarkOf reads the mark of a content, nil where it has none.
func PollMarkOf(content map[string]any) *PollMark {
	field, marked := content[PollField]
	if !marked {
		return nil
	}
	raw, err := json.Marshal(field)
	if err != nil {
		return nil
	}
	var m PollMark
	if json.Unmarshal(raw, &m) != nil || m.Kind == "" {
		return nil
	}
	return &m
}

// pollEvents are the types of a poll's events, in both spellings.
var pollEvents = map[string]string{
	"m.poll.start": PollStart, "org.matrix.msc3381.poll.start": PollStart,
	"m.poll.response": PollVote, "org.matrix.msc3381.poll.response": PollVote,
	"m.poll.end": PollEnd, "org.matrix.msc3381.poll.end": PollEnd,
}

// IsPoll reports whether a type of event is one of a poll's.
func IsPoll(eventType string) bool { return pollEvents[eventType] != "" }

// IsPollStart reports whether a type of event starts a poll.
func IsPollStart(eventType string) bool { return pollEvents[eventType] == PollStart }

// IsPollVote reports whether a type of event is a vote in a poll.
func IsPollVote(eventType string) bool { return pollEvents[eventType] == PollVote }

// PresentPoll returns a raw event of a room as the framework is to see it,
// which knows of polls too little to bring them to Teams for everybody: the
// start of a poll becomes a message with the question and the answers, a vote
// and an end one that says nothing, and each is marked with what it was. A mark
// that came with any other event is taken out. What has nothing to do with polls
// is returned as it is.
func PresentPoll(x texts.Texts, raw json.RawMessage) json.RawMessage {
	// Nearly all events have nothing of the kind; names may be written with escapes.
	if !bytes.Contains(raw, []byte("poll")) && !bytes.Contains(raw, []byte(`\u`)) {
		return raw
	}
	var evt struct {
		Type    string          `json:"type"`
		State   *string         `json:"state_key"`
		Content json.RawMessage `json:"content"`
	}
	if json.Unmarshal(raw, &evt) != nil || evt.State != nil {
		return raw
	}
	kind := pollEvents[evt.Type]
	if kind == "" {
		return withoutMark(raw, evt.Content)
	}
	var content map[string]json.RawMessage
	if json.Unmarshal(evt.Content, &content) != nil {
		content = nil
	}
	return asMessage(raw, presented(x, kind, content))
}

// asMessage returns a raw event as a message with a content.
func asMessage(raw json.RawMessage, content map[string]any) json.RawMessage {
	var fields map[string]json.RawMessage
	inside, err := json.Marshal(content)
	if err != nil || json.Unmarshal(raw, &fields) != nil {
		return raw
	}
	fields["type"], fields["content"] = json.RawMessage(`"`+event.EventMessage.Type+`"`), inside
	return remade(raw, fields)
}

// RetractedVote returns the raw redaction of a vote as a message that says so.
func RetractedVote(raw json.RawMessage, vote string) json.RawMessage {
	return asMessage(raw, marked(PollMark{Kind: PollRetract, Of: vote}))
}

// marked is a message that says nothing but its mark.
func marked(m PollMark) map[string]any {
	return map[string]any{"msgtype": string(event.MsgText), "body": "📊", PollField: m}
}

// withoutMark takes a mark out that somebody else has written.
func withoutMark(raw, content json.RawMessage) json.RawMessage {
	var fields map[string]json.RawMessage
	var inside map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil || json.Unmarshal(content, &inside) != nil {
		return raw
	}
	if _, written := inside[PollField]; !written {
		return raw
	}
	delete(inside, PollField)
	stripped, err := json.Marshal(inside)
	if err != nil {
		return raw
	}
	fields["content"] = stripped
	return remade(raw, fields)
}

func remade(raw json.RawMessage, fields map[string]json.RawMessage) json.RawMessage {
	out, err := json.Marshal(fields)
	if err != nil {
		return raw
	}
	return out
}

// relation is the part of m.relates_to that decides what an event is.
type relation struct {
	Type  string `json:"rel_type"`
	Event string `json:"event_id"`
}

func presented(x texts.Texts, kind string, content map[string]json.RawMessage) map[string]any {
	var rel relation
	_ = json.Unmarshal(content["m.relates_to"], &rel) // without one it is about nothing
	switch kind {
	case PollVote:
		return marked(PollMark{Kind: kind, Of: rel.Event, Answers: readSelections(content)})
	case PollEnd:
		return marked(PollMark{Kind: kind, Of: rel.Event})
	}
	if rel.Type != string(event.RelReplace) {
		return presentedStart(x, content, content["m.relates_to"])
	}
	var inside map[string]json.RawMessage
	if json.Unmarshal(content["m.new_content"], &inside) != nil || inside == nil {
		inside = content
	}
	shown := presentedStart(x, inside, nil)
	mark := shown[PollField]
	delete(shown, PollField)
	return map[string]any{
		"msgtype": shown["msgtype"], "body": shown["body"], "m.new_content": shown,
		"m.relates_to": content["m.relates_to"], PollField: mark,
	}
}

func presentedStart(x texts.Texts, content map[string]json.RawMessage, relatesTo json.RawMessage) map[string]any {
	p := readPoll(content)
	out := map[string]any{"msgtype": string(event.MsgText), "body": p.Text(x, PollResult{}), PollField: PollMark{Kind: PollStart, Poll: &p}}
	for name, value := range map[string]json.RawMessage{"m.relates_to": relatesTo, "m.mentions": content["m.mentions"], perMessageProfile: content[perMessageProfile]} {
		if value != nil {
			out[name] = value
		}
	}
	return out
}

// perMessageProfile is the key of MSC4144's profile.
const perMessageProfile = "com.beeper.per_message_profile"

// readPoll reads a poll in either spelling. What is not as it should be is read
// as well as it goes: the question is to be seen in any case.
func readPoll(content map[string]json.RawMessage) Poll {
	var start struct {
		Kind     string          `json:"kind"`
		Most     json.RawMessage `json:"max_selections"`
		Question json.RawMessage `json:"question"`
		Answers  []json.RawMessage
	}
	for _, name := range []string{"m.poll", "m.poll.start", "org.matrix.msc3381.poll.start"} {
		if body := content[name]; body != nil && json.Unmarshal(body, &start) == nil {
			break
		}
	}
	p := Poll{Question: readText(start.Question), Most: 1}
	if json.Unmarshal(start.Most, &p.Most) != nil || p.Most < 1 {
		p.Most = 1
	}
	// A kind that nobody knows is to be taken for the one that tells less.
	p.Undisclosed = !slices.Contains([]string{"m.disclosed", "m.poll.disclosed", "org.matrix.msc3381.poll.disclosed"}, start.Kind)
	for _, raw := range start.Answers[:min(len(start.Answers), maxAnswers)] {
		var id struct {
			Stable   string `json:"m.id"`
			Unstable string `json:"id"`
		}
		_ = json.Unmarshal(raw, &id) // an answer that can't be chosen can be read all the same
		a := PollAnswer{ID: id.Stable, Text: readText(raw)}
		if a.ID == "" {
			a.ID = id.Unstable
		}
		if len(a.ID) > maxAnswerID {
			a.ID = ""
		}
		p.Answers = append(p.Answers, a)
	}
	return p
}

// readText reads a text of MSC1767 in any of its spellings.
func readText(raw json.RawMessage) string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return ""
	}
	for _, name := range []string{"m.text", "org.matrix.msc1767.text", "m.message", "org.matrix.msc1767.message", "body"} {
		if text := plainText(fields[name]); text != "" {
			return cleanPreview(text)
		}
	}
	return ""
}

// plainText reads a string, or the plain one of a list of representations.
func plainText(raw json.RawMessage) string {
	var text string
	if raw == nil || json.Unmarshal(raw, &text) == nil {
		return text
	}
	var list []struct {
		Body     string `json:"body"`
		MimeType string `json:"mimetype"`
	}
	_ = json.Unmarshal(raw, &list) // what is neither says nothing
	for _, one := range list {
		if one.MimeType == "" || one.MimeType == "text/plain" {
			return one.Body
		}
	}
	return ""
}

// readSelections reads what a vote is for, nothing where that can't be read.
func readSelections(content map[string]json.RawMessage) []string {
	var ids []string
	if raw := content["m.selections"]; raw != nil {
		if json.Unmarshal(raw, &ids) != nil {
			return nil
		}
		return fewSelections(ids)
	}
	for _, name := range []string{"m.poll.response", "org.matrix.msc3381.poll.response"} {
		var response struct {
			Answers []string `json:"answers"`
		}
		if raw := content[name]; raw != nil && json.Unmarshal(raw, &response) == nil {
			return fewSelections(response.Answers)
		}
	}
	return nil
}

// fewSelections bounds what is kept of a vote. One that names more than there
// can be answers is spoiled, unless it repeats itself.
func fewSelections(ids []string) []string {
	var out []string
	for _, id := range ids {
		switch {
		case id == "" || len(id) > maxAnswerID:
			return nil
		case slices.Contains(out, id):
		case len(out) == maxAnswers:
			return nil
		default:
			out = append(out, id)
		}
	}
	return out
}
