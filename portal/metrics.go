package portal

import "time"

// Metrics counts what happens to messages. Names and reasons come from a small
// fixed set, so that they can be labels.
type Metrics interface {
	// Count adds one to a counter.
	Count(name, reason string)
	// Observe records how long something took.
	Observe(name string, d time.Duration)
}

// NoMetrics counts nothing.
type NoMetrics struct{}

// Count implements Metrics.
func (NoMetrics) Count(string, string) {}

// Observe implements Metrics.
func (NoMetrics) Observe(string, time.Duration) {}

// The names of counters and durations.
const (
	// MetricAccepted counts messages that the ledger took as news; the reason
	// is the way they came.
	MetricAccepted = "ingest_accepted"
	// MetricDropped counts messages that are not for us, by reason.
	MetricDropped = "ingest_dropped"
	// MetricDelivered counts what was done to Matrix (message, edit, reaction…).
	MetricDelivered = "ingest_delivered"
	// MetricIngestRetry counts deliveries that are tried again, by reason.
	MetricIngestRetry = "ingest_retry"
	// MetricIngestDoubt counts what was done about sends to Matrix of unknown
	// outcome: looked (at a room), found (an event), doubled (one was redacted).
	MetricIngestDoubt = "ingest_doubt"
	// MetricParked counts messages that were given up for now, by reason.
	MetricParked = "ingest_parked"
	// MetricReopened counts what the encryption key does not open any more and was
	// asked for again, by whom it was asked of.
	MetricReopened = "reopened"
	// MetricEcho counts own posts that came back (known, waited, doubt).
	MetricEcho = "echo"
	// MetricMedia counts images, by what became of them.
	MetricMedia = "media"
	// MetricFiles counts files from Teams, by what became of them.
	MetricFiles = "files"
	// MetricUploads counts files from Matrix, by what became of them.
	MetricUploads = "uploads"
	// MetricEnqueued counts events that the outbox took, by kind.
	MetricEnqueued = "outbox_enqueued"
	// MetricCoalesced counts events that were merged into a queued one, by kind.
	MetricCoalesced = "outbox_coalesced"
	// MetricRefused counts events that the outbox refused, by reason.
	MetricRefused = "outbox_refused"
	// MetricIgnored counts events that have no counterpart in Teams and that
	// nobody need be told about, by reason.
	MetricIgnored = "outbox_ignored"
	// MetricPolls counts votes in polls and ends of polls that were taken (vote,
	// retract, end), and what became of the polls that they have changed.
	MetricPolls = "polls"
	// MetricSent counts rows that Teams took, by kind.
	MetricSent = "outbox_sent"
	// MetricFailed counts rows that Teams never will have, by reason.
	MetricFailed = "outbox_failed"
	// MetricUntold counts notices to authors that the homeserver refused, by reason.
	MetricUntold = "outbox_untold"
	// MetricSendRetry counts rows that are tried again, by reason.
	MetricSendRetry = "outbox_retry"
	// MetricDoubt counts posts of unknown outcome (found, changed, absent,
	// unclear, unknown).
	MetricDoubt = "outbox_doubt"
	// MetricRelayed counts rows that went through a relay account, by kind.
	MetricRelayed = "outbox_relayed"
	// MetricDigested counts messages that went in a digest, and posts of digests
	// that were dissolved (message, dissolved).
	MetricDigested = "outbox_digest"
	// DurationIngest is the time from acceptance to delivery.
	DurationIngest = "ingest_delay"
	// DurationSend is the time from the Matrix event to Teams' answer.
	DurationSend = "outbox_delay"
)
