package teams

// Counters counts what the webhook, the processor, the subscriptions and the
// poller did. Names are the constants of this file, and for quarantined and
// dropped items a reason of a fixed set, so that they can become label values.
type Counters interface {
	// Count adds n to the counter of event; reason is empty where the event
	// has only one.
	Count(event, reason string, n int)
}

// The events that are counted.
const (
	// CountReceived is a body that was persisted and answered with 202.
	CountReceived = "notification_bodies_received"
	// CountRefused is a request to the webhook that was not persisted.
	CountRefused = "notification_bodies_refused"
	// CountHandshake is an answered validation handshake.
	CountHandshake = "notification_handshakes"
	// CountDropped is a single item that was not stored.
	CountDropped = "notification_items_dropped"
	// CountQuarantined is a stored body that will not be processed again.
	CountQuarantined = "notification_bodies_quarantined"
	// CountDeferred is a stored body that has to wait for something.
	CountDeferred = "notification_bodies_deferred"
	// CountProcessed is a stored body that is done.
	CountProcessed = "notification_bodies_processed"
	// CountMessages is a message handed to the sink; the reason is its source.
	CountMessages = "messages_read"
	// CountLeftToPoller is a notified message that could not be read.
	CountLeftToPoller = "notification_items_left_to_poller"
	// CountDoubt is a doubt that began whether notifications bring everything;
	// the reason is its first one.
	CountDoubt = "notification_doubts"
	// CountSubscription is a change of a subscription; the reason says which.
	CountSubscription = "subscription_changes"
	// CountRead is a scope that was read; the reason is the reader.
	CountRead = "poller_reads"
	// CountRefusal is a reader that Graph refused for a scope.
	CountRefusal = "poller_refusals"
	// CountRescan is a lost delta link or page token.
	CountRescan = "poller_rescans"
	// CountReadError is a read that failed and will be repeated.
	CountReadError = "poller_errors"
)

// Reasons of CountRefused and CountDropped.
const (
	ReasonMethod       = "method"
	ReasonTooLarge     = "too_large"
	ReasonBodyCut      = "body_cut"
	ReasonMalformed    = "malformed"
	ReasonNotPersisted = "not_persisted"
	ReasonOverloaded   = "overloaded"
	ReasonBadHandshake = "bad_handshake"
	ReasonForeignState = "foreign_client_state"
	ReasonAllForeign   = "all_foreign"
)

// noCounters is used where nobody counts.
type noCounters struct{}

func (noCounters) Count(string, string, int) {}

func countersOr(c Counters) Counters {
	if c == nil {
		return noCounters{}
	}
	return c
}
