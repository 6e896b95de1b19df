package teams

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// Limits of what is decoded; Graph stays far below them.
const (
	// MaxMessageBytes bounds one message without its replies.
	MaxMessageBytes = 4 << 20
	// MaxPageBytes bounds one page: 50 posts may bring 1,000 replies each.
	MaxPageBytes = 64 << 20
	maxIDLen     = 512
)

// ErrMalformed is wrapped by every error of DecodeMessage and DecodePage.
var ErrMalformed = errors.New("malformed message from Graph")

// DecodeMessage reads Graph's chatMessage JSON: an item of a page, the answer
// of a GET or POST, or the content of a decrypted notification. It asks for an
// object with an id and tolerates everything else, because a message that is
// shown incompletely is better than one that blocks its channel. Channel stays
// empty where Graph does not say it (see Message.FillChannel).
func DecodeMessage(raw []byte) (Message, error) {
	if len(raw) > MaxMessageBytes {
		return Message{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(raw))
	}
	if !json.Valid(raw) {
		return Message{}, fmt.Errorf("%w: not JSON", ErrMalformed)
	}
	m, _, err := decodeItem(gjson.ParseBytes(raw), time.Now)
	return m, err
}

// DecodePage reads a list of chatMessages. Replies that came expanded with a
// post follow it; an item without a usable id is counted in Malformed and left
// out, because one bad item must not hold up everything behind it.
func DecodePage(raw []byte) (Page, error) {
	if len(raw) > MaxPageBytes {
		return Page{}, fmt.Errorf("%w: page of %d bytes", ErrMalformed, len(raw))
	}
	if !json.Valid(raw) {
		return Page{}, fmt.Errorf("%w: page is not JSON", ErrMalformed)
	}
	root := gjson.ParseBytes(raw)
	value := root.Get("value")
	if !root.IsObject() || !value.IsArray() {
		return Page{}, fmt.Errorf("%w: page without value", ErrMalformed)
	}
	page := Page{
		NextLink:  text(root.Get(`\@odata\.nextLink`)),
		DeltaLink: text(root.Get(`\@odata\.deltaLink`)),
	}
	value.ForEach(func(_, item gjson.Result) bool {
		page.add(item)
		return true
	})
	return page, nil
}

func (p *Page) add(item gjson.Result) {
	m, expanded, err := decodeItem(item, time.Now)
	if err != nil {
		p.Malformed++
		return
	}
	p.Messages = append(p.Messages, m)
	expanded.replies.ForEach(func(_, item gjson.Result) bool {
		reply, _, err := decodeItem(item, time.Now)
		if err != nil {
			p.Malformed++
			return true
		}
		reply.FillChannel(m.Channel)
		if reply.ReplyToID == "" {
			reply.ReplyToID = m.ID
		}
		p.Messages = append(p.Messages, reply)
		return true
	})
	if expanded.nextLink != "" {
		p.MoreReplies = append(p.MoreReplies, MoreReplies{Root: m.Ref(), Link: expanded.nextLink})
	}
}

// FillChannel sets the channel where Graph left it out.
func (m *Message) FillChannel(ch ChannelRef) {
	if m.Channel.TeamID == "" {
		m.Channel.TeamID = ch.TeamID
	}
	if m.Channel.ChannelID == "" {
		m.Channel.ChannelID = ch.ChannelID
	}
}

// FillChannel sets the channel of every message where Graph left it out.
func (p *Page) FillChannel(ch ChannelRef) {
	for i := range p.Messages {
		p.Messages[i].FillChannel(ch)
	}
	for i := range p.MoreReplies {
		m := Message{Channel: p.MoreReplies[i].Root.ChannelRef}
		m.FillChannel(ch)
		p.MoreReplies[i].Root.ChannelRef = m.Channel
	}
}

// EncodeStored returns the form in which a message waits in the ledger.
func EncodeStored(m Message) ([]byte, error) { return json.Marshal(m) }

// DecodeStored reads what EncodeStored wrote.
func DecodeStored(raw []byte) (Message, error) {
	var m Message
	if err := json.Unmarshal(raw, &m); err != nil {
		return Message{}, fmt.Errorf("stored message: %w", err)
	}
	return m, nil
}

// replies is what $expand=replies added to a post.
type replies struct {
	replies  gjson.Result
	nextLink string
}

// decodeItem reads one object in a single pass over its keys.
func decodeItem(obj gjson.Result, now func() time.Time) (Message, replies, error) {
	if !obj.IsObject() {
		return Message{}, replies{}, fmt.Errorf("%w: not an object", ErrMalformed)
	}
	var (
		m        Message
		expanded replies
		etag     string
		removed  bool
	)
	obj.ForEach(func(key, v gjson.Result) bool {
		switch key.String() {
		case "id":
			m.ID = text(v)
		case "replyToId":
			m.ReplyToID = text(v)
		case "etag":
			etag = text(v)
		case "messageType":
			m.Type = text(v)
		case "createdDateTime":
			m.Created = instant(v)
		case "lastModifiedDateTime":
			m.Modified = instant(v)
		case "lastEditedDateTime":
			m.Edited = instant(v)
		case "deletedDateTime":
			m.Deleted = instant(v)
		case "subject":
			m.Subject = text(v)
		case "summary":
			m.Summary = text(v)
		case "importance":
			m.Importance = text(v)
		case "webUrl":
			m.WebURL = text(v)
		case "channelIdentity":
			m.Channel = ChannelRef{TeamID: text(v.Get("teamId")), ChannelID: text(v.Get("channelId"))}
		case "from":
			m.From = identitySet(v)
		case "body":
			m.BodyType, m.Body = body(v)
		case "attachments":
			m.Attachments = attachments(v)
		case "mentions":
			m.Mentions = mentions(v)
		case "reactions":
			m.Reactions = reactions(v)
		case "eventDetail":
			m.Event = eventDetail(v)
		case "replies":
			if v.IsArray() {
				expanded.replies = v
			}
		case "replies@odata.nextLink":
			expanded.nextLink = text(v)
		case "@removed":
			removed = v.IsObject()
		}
		return true
	})
	if !validID(m.ID) || (m.ReplyToID != "" && !validID(m.ReplyToID)) {
		return Message{}, replies{}, fmt.Errorf("%w: no usable id", ErrMalformed)
	}
	if m.ReplyToID == m.ID {
		m.ReplyToID = ""
	}
	settle(&m, etag, removed, now)
	return m, expanded, nil
}

// settle fills what Graph may leave out from what it always says.
func settle(m *Message, etag string, removed bool, now func() time.Time) {
	if m.Created.IsZero() {
		m.Created = timeOfID(m.ID)
	}
	m.ETag = version(etag)
	for _, t := range []time.Time{m.Modified, m.Created} {
		if m.ETag == 0 && !t.IsZero() {
			m.ETag = max(t.UnixMilli(), 0)
		}
	}
	if removed && m.Deleted.IsZero() {
		// A tombstone has no version of its own. What we know is that the
		// message is gone now, so a later state (an undo) still wins over it.
		m.Deleted = now().UTC()
		m.ETag = max(m.ETag, m.Deleted.UnixMilli())
	}
	switch m.Type {
	case "", "unknownFutureValue":
		// Without "Prefer: include-unknown-enum-members" every type newer
		// than "typing" hides behind unknownFutureValue.
		if m.Event != nil || strings.Contains(m.Body, "<systemEventMessage") {
			m.Type = TypeSystem
		} else if m.Type == "" {
			m.Type = TypeMessage
		}
	}
}

// maxMilli is the end of the year 9999.
const maxMilli = 253402300800000

func version(etag string) int64 {
	n, err := strconv.ParseInt(strings.Trim(strings.TrimPrefix(etag, "W/"), `"`), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func validID(id string) bool {
	if id == "" || len(id) > maxIDLen || !utf8.ValidString(id) {
		return false
	}
	for _, r := range id {
		if unicode.IsControl(r) || unicode.IsSpace(r) || r == '/' {
			return false
		}
	}
	return true
}

// text returns a string or number as text and everything else as "".
func text(v gjson.Result) string {
	switch v.Type {
	case gjson.String:
		return strings.ToValidUTF8(v.Str, "\uFFFD")
	case gjson.Number:
		return v.Raw
	default:
		return ""
	}
}

// instant reads a DateTimeOffset with any number of fraction digits; Graph's
// "never" (year 1) is the zero time.
func instant(v gjson.Result) time.Time {
	s := text(v)
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			if t.Year() < 1970 || t.Year() > 9999 {
				return time.Time{}
			}
			return t.UTC()
		}
	}
	return time.Time{}
}
