package bridge

import (
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Whatever way Graph announces a pause, and however long it is, no message is
// posted before it is over, by no account and in no room, not even where the
// bridge is told to look at everything again; afterwards all of them go.
//
// Proves M3.
func TestRetryAfterIsHonoured(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		pause  time.Duration
		tell   func(h http.Header, pause time.Duration) any
	}{
		"seconds":       {http.StatusTooManyRequests, 30 * time.Second, nil},
		"long":          {http.StatusTooManyRequests, 20 * time.Minute, nil},
		"unavailable":   {http.StatusServiceUnavailable, 5 * time.Minute, nil},
		"a date":        {http.StatusTooManyRequests, 3 * time.Minute, tellDate},
		"in the answer": {http.StatusTooManyRequests, 40 * time.Second, tellInBody},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newHourWorld(t, 2, 8, 3)
				var posts atomic.Int64
				var refused time.Time
				w.g.setFault(func(req *http.Request) (*http.Response, error) {
					if req.Method != http.MethodPost || posts.Add(1) != 20 {
						return nil, nil
					}
					resp := announced(c.status, c.pause, c.tell)
					refused = time.Now()
					return resp, nil
				})
				w.speak(80, 8, 5, 10*time.Second)
				require.False(t, refused.IsZero(), "the pause has begun")
				require.Less(t, time.Since(refused), c.pause, "and is not over")
				require.NoError(t, w.r.sender.Kick(t.Context()))
				w.until("everything is in Teams", c.pause+10*time.Minute, func() bool { return w.inTeams() >= w.total })
				time.Sleep(10 * time.Minute)
				w.checkDelivered(refused)
				w.g.mu.Lock()
				defer w.g.mu.Unlock()
				require.Zero(t, w.g.disobeyed, "posts before the pause was over")
				require.Zero(t, w.g.early)
				after := 0
				for _, at := range w.g.posts {
					if at.After(refused.Add(time.Second)) {
						require.GreaterOrEqual(t, at.Sub(refused), c.pause)
						after++
					}
				}
				require.Greater(t, after, 40)
			})
		})
	}
}

// tellDate announces a pause as a date, by the service's own clock.
func tellDate(h http.Header, pause time.Duration) any {
	const ahead = 3 * time.Hour
	h.Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
	h.Set("Retry-After", time.Now().Add(ahead+pause+time.Second).UTC().Format(http.TimeFormat))
	return struct{}{}
}

// tellInBody announces a pause in the answer's body only.
func tellInBody(h http.Header, pause time.Duration) any {
	h.Del("Retry-After")
	return map[string]any{"error": map[string]any{"code": "TooManyRequests", "retryAfterSeconds": int(pause.Seconds())}}
}
