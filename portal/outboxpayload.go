package portal

import (
	"encoding/json"

	"github.com/tidwall/gjson"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"

	"teamsbridge/portal/msgconv"
)

// messagePayload is what a message's row keeps of it.
func messagePayload(msg *bridgev2.MatrixMessage) ([]byte, error) {
	return payloadOf(msg.Content, msg.Event.Content.VeryRaw)
}

// editPayload is what an edit's row keeps: what the message says from then on.
func editPayload(edit *bridgev2.MatrixEdit) ([]byte, error) {
	return payloadOf(edit.Content, []byte(gjson.GetBytes(edit.Event.Content.VeryRaw, `m\.new_content`).Raw))
}

// payloadOf keeps what the framework has read of a content, and takes from the raw
// one what the framework has no fields for.
func payloadOf(content *event.MessageEventContent, raw []byte) ([]byte, error) {
	msgconv.ReadLocation(content, raw)
	return json.Marshal(content)
}
