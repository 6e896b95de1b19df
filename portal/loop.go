package portal

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/bridgev2/simplevent"
)

// Errors of Do.
var (
	errNoSource = errors.New("the bridge's own login is not there yet")
	errNoRoom   = errors.New("the conversation has no room yet")
	errStopping = errors.New("the portal did not take the event")
)

// panicError is a panic of a function that ran in a portal's loop.
type panicError struct{ value any }

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// loop runs functions inside portals' event loops, where nothing else touches
// the portal. It is one of the few places that lean on how bridgev2 works
// inside: an event of unknown type is not handled, but its PreHandle runs.
type loop struct {
	bridge  *bridgev2.Bridge
	source  func() *bridgev2.UserLogin
	timeout time.Duration
}

// Do runs fn and returns its error. bridgev2 drops events of portals without a
// room silently and forgets a handler's panic; here both are errors. fn's
// context is bounded, and ends with the bridge. When ctx ends first, Do returns
// while fn may still run, so fn has to be repeatable.
func (l *loop) Do(ctx context.Context, portalID networkid.PortalID, fn func(ctx context.Context, p *bridgev2.Portal, source *bridgev2.UserLogin) error) error {
	source := l.source()
	if source == nil {
		return errNoSource
	}
	key := networkid.PortalKey{ID: portalID}
	p, err := l.bridge.GetExistingPortalByKey(ctx, key)
	if err != nil {
		return fmt.Errorf("get portal: %w", err)
	} else if p == nil || !p.RoomCreated.IsSet() {
		return errNoRoom
	}
	result := make(chan error, 1)
	res := source.QueueRemoteEvent(&simplevent.EventMeta{
		Type:      bridgev2.RemoteEventUnknown,
		PortalKey: key,
		PreHandleFunc: func(ctx context.Context, p *bridgev2.Portal) {
			result <- l.run(ctx, p, source, fn)
		},
	})
	select {
	case err = <-result: // already, where portals have no buffer
		return err
	default:
	}
	if res.Error != nil {
		return fmt.Errorf("queue in portal: %w", res.Error)
	} else if res.Ignored || !res.Queued {
		return errStopping
	}
	// The portal may lose its room, or be deleted, before the event's turn; the
	// event is then dropped without a word.
	limit := time.NewTimer(2 * l.timeout)
	defer limit.Stop()
	select {
	case err = <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-l.bridge.BackgroundCtx.Done():
		return errStopping
	case <-limit.C:
		return fmt.Errorf("%w in %s", errStopping, 2*l.timeout)
	}
}

func (l *loop) run(
	ctx context.Context, p *bridgev2.Portal, source *bridgev2.UserLogin,
	fn func(ctx context.Context, p *bridgev2.Portal, source *bridgev2.UserLogin) error,
) (err error) {
	defer func() {
		if v := recover(); v != nil {
			zerolog.Ctx(ctx).Error().Any("panic", v).Bytes("stack", debug.Stack()).Msg("Delivery panicked")
			err = &panicError{v}
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	return fn(ctx, p, source)
}
