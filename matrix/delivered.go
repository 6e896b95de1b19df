package matrix

import (
	"context"
	"encoding/json"
	"regexp"

	"maunium.net/go/mautrix/event"
)

// DeliveredField is what the status of a delivered event says of what it became
// in Teams. Only the bridge's bot can send such an event, so a bridge that has
// lost its memory can believe its own.
const DeliveredField = "org.teamsbridge.delivered"

// eventStatus is the type of statuses.
var eventStatus = event.BeeperMessageStatus

// statusPath matches PUT …/rooms/{room}/send/{the type of statuses}/{txn}, escaped.
var statusPath = regexp.MustCompile(`/_matrix/client/[^/]+/rooms/[^/]+/send/` + regexp.QuoteMeta(eventStatus.Type) + `/[^/]+$`)

type deliveredContext struct{}

// WithDelivered returns a context under which a message status says what the
// event became in Teams.
func WithDelivered(ctx context.Context, what json.RawMessage) context.Context {
	return context.WithValue(ctx, deliveredContext{}, what)
}

func deliveredFrom(ctx context.Context) json.RawMessage {
	what, _ := ctx.Value(deliveredContext{}).(json.RawMessage)
	return what
}
