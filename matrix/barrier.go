package matrix

import (
	"context"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/simplevent"
	"maunium.net/go/mautrix/id"
)

type barrierResult int

const (
	barrierQueued      barrierResult = iota // done will run
	barrierNoPortal                         // the room is no portal: nothing is queued for it
	barrierUnavailable                      // not now
)

// portalBarrier returns a function that runs done in a room's event loop after
// everything that is queued there. A portal handles its events in order, so
// done then knows that the earlier ones were handled.
func portalBarrier(br *bridgev2.Bridge, source func() *bridgev2.UserLogin) func(context.Context, id.RoomID, func()) barrierResult {
	return func(ctx context.Context, roomID id.RoomID, done func()) barrierResult {
		portal, err := br.GetPortalByMXID(ctx, roomID)
		if err != nil {
			return barrierUnavailable
		} else if portal == nil {
			return barrierNoPortal
		}
		var login *bridgev2.UserLogin
		if source != nil {
			login = source()
		}
		if login == nil {
			return barrierUnavailable
		}
		res := br.QueueRemoteEvent(login, &simplevent.EventMeta{
			Type:          bridgev2.RemoteEventUnknown,
			PortalKey:     portal.PortalKey,
			PreHandleFunc: func(context.Context, *bridgev2.Portal) { done() },
		})
		if !res.Success {
			return barrierUnavailable
		}
		return barrierQueued
	}
}
