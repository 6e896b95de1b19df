package health

import "time"

// Options are the thresholds of one machine.
type Options struct {
	// Window is the time in which shares are counted. Default 2 minutes.
	Window time.Duration
	// DegradedFails failures (default 6) that are a share of DegradedShare
	// (default 0.25) and come from DegradedScopes scopes (default 2) make it
	// degraded; it is up again below HealthyShare (default 0.1), but not before
	// DegradedFor (default 2 minutes) is over.
	DegradedFails  int
	DegradedShare  float64
	DegradedScopes int
	HealthyShare   float64
	DegradedFor    time.Duration
	// DownAfter failures in a row (default 5) that span DownFor (default 5
	// seconds) and come from DownScopes scopes (default 2) make it down, or
	// ProbeFails failing probes in a row (default 3).
	DownAfter  int
	DownFor    time.Duration
	DownScopes int
	ProbeFails int
	// RunGap is how far apart two failures of one row may be. Default 10 minutes.
	RunGap time.Duration
	// UpAfter successes in a row (default 3), or QuietFor without a failure
	// (default 30 seconds), end the recovery; a recovery in which successes and
	// failures are mixed ends as degraded after MixedFor (default 1 minute).
	UpAfter            int
	QuietFor, MixedFor time.Duration
	// FlapWindow (default 12 hours) and DownForMax (default 1 minute) are the
	// flapping guard's.
	FlapWindow, DownForMax time.Duration
	// RevokedScopes conversations (default 3) that refuse the same operation
	// over RevokedFor (default 1 minute) without a success between are a
	// permission that is gone.
	RevokedScopes int
	RevokedFor    time.Duration
	// Lately is how long ago a conversation may have been used to count as one
	// that is in use. All of those, where they are fewer than RevokedScopes, show a
	// revoked permission as well; 0 means that they never do.
	Lately time.Duration
	// AloneAfter failures of one conversation in a row that span AloneFor make it
	// down where no other works that is in use; 0 means never. What waits is tried
	// again within seconds, so they are soon together.
	AloneAfter int
	AloneFor   time.Duration
	// IdleFor ends a down state of which nothing has been heard any more, not
	// even failures; 0 never does. It is for what can't be probed.
	IdleFor time.Duration
}

// DefaultOptions returns the thresholds of a dependency.
func DefaultOptions(d Dependency) Options {
	o := Options{
		Window: 2 * time.Minute, DegradedFails: 6, DegradedShare: 0.25, DegradedScopes: 2, HealthyShare: 0.1, DegradedFor: 2 * time.Minute,
		DownAfter: 5, DownFor: 5 * time.Second, DownScopes: 2, ProbeFails: 3, RunGap: 10 * time.Minute,
		UpAfter: 3, QuietFor: 30 * time.Second, MixedFor: time.Minute,
		FlapWindow: 12 * time.Hour, DownForMax: time.Minute,
		RevokedScopes: 3, RevokedFor: time.Minute,
	}
	switch d {
	case GraphWrite:
		// A write is the only probe of writing there is. More conversations than
		// for reading, because an account that is no member gets a 403 as well.
		o.IdleFor, o.RevokedScopes = 10*time.Minute, 5
		o.Lately, o.AloneAfter, o.AloneFor = 10*time.Minute, 4, time.Minute
	case GraphRead:
		// Where notifications come, a channel is read once a day.
		o.Lately = 25 * time.Hour
	case Webhook:
		// Three changes that only a reader found, whenever it read, with no
		// notification between. One notification that comes is the end of it.
		o.DownAfter, o.DownFor, o.RunGap, o.UpAfter = 3, 0, 48*time.Hour, 1
	}
	return o
}

// maxGuard is the highest level of the flapping guard.
const maxGuard = 3

// guarded returns DownAfter and DownFor at a level of the flapping guard.
func (o *Options) guarded(level int) (after int, span time.Duration) {
	after, span = o.DownAfter, o.DownFor
	for range min(level, maxGuard) {
		after, span = 2*after, min(3*span, o.DownForMax)
	}
	return after, span
}
