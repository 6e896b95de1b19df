package matrix

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	mxconn "maunium.net/go/mautrix/bridgev2/matrix"
	"maunium.net/go/mautrix/bridgev2/matrix/mxmain"
	"maunium.net/go/mautrix/event"
)

// presented returns events as the framework is to see them (Options.Present).
// What the journal keeps is not touched.
func (j *journal) presented(events []json.RawMessage) (out []json.RawMessage, changed bool) {
	if j.present == nil {
		return events, false
	}
	out = make([]json.RawMessage, len(events))
	for i, raw := range events {
		out[i] = j.present(raw)
		changed = changed || !bytes.Equal(out[i], raw)
	}
	return out, changed
}

// presentDecrypted has what was encrypted presented, too.
func presentDecrypted(m *mxmain.BridgeMain, present func(raw json.RawMessage) json.RawMessage) {
	if m.Matrix.Crypto != nil && present != nil {
		m.Matrix.Crypto = &presentingCrypto{Crypto: m.Matrix.Crypto, present: present}
	}
}

// presentingCrypto presents what was encrypted as well: the framework hands it
// to itself when it is decrypted.
type presentingCrypto struct {
	mxconn.Crypto
	present func(raw json.RawMessage) json.RawMessage
}

// Decrypt implements the framework's Crypto.
func (c *presentingCrypto) Decrypt(ctx context.Context, evt *event.Event) (*event.Event, error) {
	decrypted, err := c.Crypto.Decrypt(ctx, evt)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(decrypted)
	if err != nil {
		return nil, fmt.Errorf("present decrypted event: %w", err)
	}
	shown := c.present(raw)
	if bytes.Equal(shown, raw) {
		return decrypted, nil
	}
	var fields struct {
		Type    string        `json:"type"`
		Content event.Content `json:"content"`
	}
	if err = json.Unmarshal(shown, &fields); err != nil {
		return nil, fmt.Errorf("present decrypted event: %w", err)
	}
	decrypted.Type = event.NewEventType(fields.Type)
	decrypted.Content = fields.Content
	if err = decrypted.Content.ParseRaw(decrypted.Type); err != nil && !errors.Is(err, event.ErrUnsupportedContentType) {
		return nil, fmt.Errorf("present decrypted event: %w", err)
	}
	return decrypted, nil
}
