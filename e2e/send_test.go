package e2e

import (
	"context"
	"os"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// sender is what of a Matrix client the helpers use.
type sender interface {
	SendMessageEvent(ctx context.Context, room id.RoomID, eventType event.Type, content any, extra ...mautrix.ReqSendEvent) (*mautrix.RespSendEvent, error)
}

func sendThread(ctx context.Context, cli sender, room id.RoomID, root id.EventID, body string) error {
	_, err := cli.SendMessageEvent(ctx, room, event.EventMessage, &event.MessageEventContent{
		MsgType: event.MsgText, Body: body, RelatesTo: (&event.RelatesTo{}).SetThread(root, root),
	})
	return err
}

func sendEdit(ctx context.Context, cli sender, room id.RoomID, target id.EventID, body string) error {
	_, err := cli.SendMessageEvent(ctx, room, event.EventMessage, &event.MessageEventContent{
		MsgType: event.MsgText, Body: "* " + body, NewContent: &event.MessageEventContent{MsgType: event.MsgText, Body: body},
		RelatesTo: (&event.RelatesTo{}).SetReplace(target),
	})
	return err
}

func stackIsSynapse() bool { return os.Getenv(homeserverEnv) == "synapse" }
