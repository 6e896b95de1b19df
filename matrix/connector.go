package matrix

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	mxconn "maunium.net/go/mautrix/bridgev2/matrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

// retryDelay is how long an event waits at most whose handling failed because of us.
const retryDelay = 30 * time.Second

// Connector is mautrix's connector with the journal around it.
type Connector struct {
	*mxconn.Connector

	db      *database.Database
	opts    Options
	journal *journal
	feed    *feed // nil where redactions are pushed by decree

	// delivered are the events that were shown as delivered lately.
	deliveredMu sync.Mutex
	delivered   *recent

	alive    *alive
	restorer *restorer
	restored chan struct{}

	cancel     context.CancelFunc
	background sync.WaitGroup
	replayOnce sync.Once
}

var _ bridgev2.MatrixConnector = (*Connector)(nil)

// Start upgrades the bridge's own tables and runs OnUpgraded, both before the
// first transaction can come and before the homeserver has to answer.
func (c *Connector) Start(ctx context.Context) error {
	if err := c.db.Upgrade(ctx); err != nil {
		return bridgev2.DBUpgradeError{Section: "teams", Err: err}
	}
	if err := c.journal.prepare(ctx); err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	if err := c.journal.untold.load(ctx); err != nil {
		return err
	}
	if c.opts.OnUpgraded != nil {
		if err := c.opts.OnUpgraded(ctx); err != nil {
			return err
		}
	}
	if err := c.Connector.Start(ctx); err != nil {
		return err
	}
	c.detect(ctx)
	return nil
}

// Replay starts handing over what was open at the last stop, and opens the way
// for new transactions when that is done. Install calls it when the bridge has
// started; calling it again does nothing.
func (c *Connector) Replay() {
	c.replayOnce.Do(func() {
		ctx, cancel := context.WithCancel(c.Bridge.BackgroundCtx)
		c.cancel = cancel
		if c.feed != nil {
			c.background.Go(func() { c.feed.run(ctx) })
		}
		c.background.Go(func() {
			c.journal.start(ctx)
			if ctx.Err() != nil {
				return
			}
			c.background.Go(func() { c.journal.every(ctx, aliveEvery, "note that the bridge works", c.alive.tell) })
			c.journal.every(ctx, sweepInterval, "sweep the journal", c.journal.sweep)
		})
		c.background.Go(func() { c.journal.every(ctx, holdLook, "look at redactions that wait", c.journal.settleHeld) })
		c.background.Go(func() {
			c.journal.every(ctx, c.journal.untold.tick, "look for what the homeserver did not tell", c.journal.untold.step)
		})
		c.background.Go(func() { c.journal.every(ctx, retryTick, "hand events over again", c.journal.retry) })
	})
}

// Redactions says how redactions reach the bridge.
func (c *Connector) Redactions() RedactionState {
	state := RedactionState{Source: RedactionsPush}
	if c.feed != nil {
		c.feed.mu.Lock()
		state = c.feed.state
		c.feed.mu.Unlock()
	}
	state.Waiting = c.journal.heldCount()
	return state
}

// Ask asks the homeserver for next to nothing. How that ended comes through
// Options.OnAnswer, as with every request.
func (c *Connector) Ask(ctx context.Context) error {
	_, err := c.Bot.Client.Whoami(ctx)
	return err
}

// PreStop lets transactions that wait for the replay go, then stops the listener.
func (c *Connector) PreStop() {
	c.journal.stop()
	c.Connector.PreStop()
}

// Stop ends the sweeper and the feed, then the framework's connector.
func (c *Connector) Stop() {
	if c.cancel != nil {
		c.cancel()
	}
	c.background.Wait()
	c.Connector.Stop()
}

// SendMessageStatus closes the event's journal entry, because whoever reports a
// status has dealt with it. An event that could not be handled because of us
// (the database failed, say) is kept instead and tried again, and shows as
// pending. State events get no status event: every rename would leave one.
func (c *Connector) SendMessageStatus(ctx context.Context, status *bridgev2.MessageStatus, info *bridgev2.MessageStatusEventInfo) {
	copied := *status
	eventID := string(info.SourceEventID)
	if c.journal.isOpen(eventID) {
		// What fails before its turn may fail for want of what is in front of it.
		ours := transient(copied.InternalError) || !c.journal.inTurn(eventID)
		if failed(copied.Status) && (ours || c.waitsForTarget(ctx, &copied, eventID)) {
			c.journal.log.Warn().Err(copied.InternalError).Str("event_id", eventID).Msg("An event could not be handled now, will try again")
			awaits := ""
			if !ours {
				awaits = c.journal.awaitedRoot(ctx, eventID)
			}
			c.journal.putOff(eventID, ours || awaits != "", awaits)
			copied.Status, copied.SendNotice = event.MessageStatusPending, false
		} else {
			c.journal.finish(ctx, eventID)
		}
	}
	if info.EventType.IsState() {
		copied.DisableMSS = true
	}
	if c.opts.OnStatus != nil {
		c.opts.OnStatus(ctx, &copied, info)
	}
	if c.isOvertaken(eventID, copied.Status) {
		return
	}
	// The framework sends it beside its caller, whose context may end at once.
	c.Connector.SendMessageStatus(context.WithoutCancel(ctx), &copied, info)
}

// isOvertaken reports whether a status says that an event waits which was shown as
// delivered already: what is sent at once may be in Teams before its handler has said
// that it is queued.
func (c *Connector) isOvertaken(eventID string, status event.MessageStatus) bool {
	c.deliveredMu.Lock()
	defer c.deliveredMu.Unlock()
	if status == event.MessageStatusSuccess {
		c.delivered.add(eventID)
	}
	return status == event.MessageStatusPending && c.delivered.has(eventID)
}

// InTurn fails with ErrNotStored where something that was said before the event
// in its room could not be handled yet and is tried again. Whoever handles events
// has to ask first, else they overtake each other.
func (c *Connector) InTurn(eventID id.EventID) error {
	if c.journal.inTurn(string(eventID)) {
		return nil
	}
	return fmt.Errorf("an earlier event of the room has to be handled first: %w", ErrNotStored)
}

// waitsForTarget reports whether a redaction, reaction, edit or reply found nothing
// only because its target comes later, or its handling is going to be repeated.
func (c *Connector) waitsForTarget(ctx context.Context, status *bridgev2.MessageStatus, eventID string) bool {
	return errors.Is(status.InternalError, bridgev2.ErrTargetMessageNotFound) && c.journal.waitsForTarget(ctx, eventID)
}

func failed(status event.MessageStatus) bool {
	return status == event.MessageStatusRetriable || status == event.MessageStatusFail || status == ""
}
