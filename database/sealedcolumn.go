package database

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// column is a column whose values are sealed. Which one it is, and whose value,
// is authenticated: a value that was moved to another row or column does not open.
type column struct {
	table, name string
	// key are the columns by which the table is walked, in order; they are unique.
	key []keyColumn
	// bound are the columns that the seal names beside the table's and the column's
	// name: what the row is known by, and does not change while the value stays.
	bound []string
	// prefix and separator write down what a value is bound to, where that is older
	// than the form table.column.
	prefix, separator string
	// text is a column of type TEXT: what is sealed is written in characters.
	text bool
	// secret is a column that no version has stored in the clear.
	secret bool
}

// keyColumn is a column of a key; a number or a text.
type keyColumn struct {
	name   string
	number bool
}

func texts(names ...string) []keyColumn {
	out := make([]keyColumn, len(names))
	for i, name := range names {
		out[i] = keyColumn{name: name}
	}
	return out
}

// The sealed columns. doc.go lists all columns, and why others are not sealed.
var (
	outboxPayload = &column{table: "teams_outbox", name: "payload", key: []keyColumn{{"id", true}}, bound: []string{"event_id"}}
	inboxPayload  = &column{table: "teams_inbox", name: "payload", key: texts("portal", "message_id"), bound: []string{"portal", "message_id", "version"}}
	journalRaw    = &column{table: "teams_journal", name: "raw", key: []keyColumn{{"seq", true}}, bound: []string{"event_id"}}

	notificationBody = &column{table: "teams_notification", name: "body", key: []keyColumn{{"seq", true}}, bound: []string{"received_at"}}
	uploadAttachment = &column{table: "teams_upload", name: "attachment", key: texts("event_id", "uri"), bound: []string{"event_id", "uri"}}
	pollContent      = &column{table: "teams_poll", name: "content", key: texts("event_id"), bound: []string{"event_id"}}
	pollVoteAnswers  = &column{table: "teams_poll_vote", name: "answers", key: texts("event_id"), bound: []string{"event_id"}, text: true}
	digestHead       = &column{table: "teams_digest", name: "head", key: texts("id"), bound: []string{"id"}, text: true}
	digestNotice     = &column{table: "teams_digest", name: "notice", key: texts("id"), bound: []string{"id"}, text: true}
	digestHTML       = &column{table: "teams_digest_entry", name: "html", key: texts("event_id"), bound: []string{"event_id", "digest_id"}, text: true}
	digestReactions  = &column{table: "teams_digest_entry", name: "reactions", key: texts("event_id"), bound: []string{"event_id", "digest_id"}, text: true}

	accountToken      = &column{table: "teams_account", name: "refresh_token", key: texts("key"), bound: []string{"key"}, prefix: "account:", secret: true}
	keyValue          = &column{table: "teams_key", name: "value", key: texts("name"), bound: []string{"name"}, prefix: "key:", secret: true}
	subscriptionState = &column{table: "teams_subscription", name: "client_state", key: texts("id"), bound: []string{"id"}, prefix: "subscription:", secret: true}
	uploadSession     = &column{table: "teams_upload", name: "session", key: texts("event_id", "uri"), bound: []string{"event_id", "uri"}, prefix: "upload:", secret: true, separator: " "}
)

// sealedColumns are all of them, those first that matter most.
var sealedColumns = []*column{accountToken, keyValue, subscriptionState, uploadSession, outboxPayload, inboxPayload, journalRaw,
	notificationBody, uploadAttachment, pollContent, pollVoteAnswers, digestHead, digestNotice, digestHTML, digestReactions}

func (c *column) String() string { return c.table + "." + c.name }

// context says which value it is, given the values of the bound columns.
func (c *column) context(bound []string) string {
	prefix, separator := c.prefix, c.separator
	if prefix == "" {
		prefix = c.table + "." + c.name + ":"
	}
	if separator == "" {
		separator = "\x00"
	}
	return prefix + strings.Join(bound, separator)
}

// sealValue seals a value. Nothing stays nothing, so that SQL sees whether a row has
// a value; it never looks into one.
func (b base) sealValue(c *column, plain []byte, bound ...string) ([]byte, error) {
	if len(plain) == 0 {
		return []byte{}, nil
	}
	return b.seal.Seal(plain, c.context(bound))
}

// openValue returns what a stored value says. One from a version that did not seal
// this column is returned as it is.
func (b base) openValue(c *column, stored []byte, bound ...string) ([]byte, error) {
	if !isSealed(stored) {
		return stored, nil
	}
	return b.seal.Open(stored, c.context(bound))
}

// sealSecret seals a secret.
func (b base) sealSecret(c *column, plain []byte, bound ...string) ([]byte, error) {
	return b.seal.Seal(plain, c.context(bound))
}

// openSecret returns a secret; one in the clear is none.
func (b base) openSecret(c *column, stored []byte, bound ...string) ([]byte, error) {
	return b.seal.Open(stored, c.context(bound))
}

// isSealed tells a sealed value from one that an older version stored in the
// clear: those are JSON or other texts, and none begins with this byte.
func isSealed(stored []byte) bool { return len(stored) > 0 && stored[0] == sealVersion }

// In a column of type TEXT the version and the key of what is sealed are written
// in hex behind a mark that no text begins with, and the rest follows in base64.
const textMark = "\x01"

// sealText is sealValue for columns of type TEXT.
func (b base) sealText(c *column, plain string, bound ...string) (string, error) {
	sealed, err := b.sealValue(c, []byte(plain), bound...)
	if err != nil || len(sealed) == 0 {
		return "", err
	}
	return encodeSealed(sealed), nil
}

// openText is openValue for columns of type TEXT.
func (b base) openText(c *column, stored string, bound ...string) (string, error) {
	if !strings.HasPrefix(stored, textMark) {
		return stored, nil
	}
	sealed, err := decodeSealed(stored)
	if err != nil {
		return "", err
	}
	plain, err := b.seal.Open(sealed, c.context(bound))
	return string(plain), err
}

func encodeSealed(sealed []byte) string {
	return encodePrefix(sealed[:sealedPrefix]) + base64.RawStdEncoding.EncodeToString(sealed[sealedPrefix:])
}

func encodePrefix(prefix []byte) string { return textMark + hex.EncodeToString(prefix) }

func decodeSealed(stored string) ([]byte, error) {
	stored = strings.TrimPrefix(stored, textMark)
	if len(stored) < 2*sealedPrefix {
		return nil, ErrUnsealable
	}
	sealed, err := hex.DecodeString(stored[:2*sealedPrefix])
	if err != nil {
		return nil, ErrUnsealable
	}
	rest, err := base64.RawStdEncoding.DecodeString(stored[2*sealedPrefix:])
	if err != nil {
		return nil, ErrUnsealable
	}
	return append(sealed, rest...), nil
}
