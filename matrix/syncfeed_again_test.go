package matrix

import (
	"net/http"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRedactionLeftOut: a homeserver that is about to end answers with success and
// without what it could not read any more. That is found when it is back, when the
// bridge starts again, and after some minutes in any case.
func TestRedactionLeftOut(t *testing.T) {
	for name, next := range map[string]func(*bridge, *homeserver, bridgeOptions) *bridge{
		"the homeserver is back": func(b *bridge, hs *homeserver, _ bridgeOptions) *bridge {
			hs.feed.change(func(f *fakeFeed) { f.status = http.StatusServiceUnavailable })
			b.eventually("it is told", func() bool { return b.conn.Redactions().LastError != "" })
			hs.feed.change(func(f *fakeFeed) { f.status = 0 })
			return b
		},
		"the bridge starts again": func(b *bridge, hs *homeserver, o bridgeOptions) *bridge {
			b.stop()
			return startFeed(b.t, hs, o)
		},
		"nothing happens for some minutes": func(b *bridge, _ *homeserver, _ bridgeOptions) *bridge {
			b.clock.Advance(againEvery)
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			hs := newHomeserver(t)
			o := bridgeOptions{path: filepath.Join(t.TempDir(), "db")}
			b := startFeed(t, hs, o)
			b.push(hs, "1", evt("$a", "one"), evt("$b", "two"), evt("$c", "three"))
			hs.feed.add(redact("$r0", "$b"))
			b.inQueue("$a", "$b", "$c", "$r0")
			hs.feed.change(func(f *fakeFeed) { f.cuts = 1 })
			hs.feed.add(redact("$r", "$a"))
			b.eventually("the answer has come", func() bool {
				hs.feed.mu.Lock()
				defer hs.feed.mu.Unlock()
				return hs.feed.cuts == 0 && hs.feed.syncs[len(hs.feed.syncs)-1] == "s2"
			})
			hs.feed.add(redact("$r1", "$c")) // with it the position behind is stored
			b.inQueue("$a", "$b", "$c", "$r0", "$r1")
			b = next(b, hs, o)
			b.inQueue("$a", "$b", "$c", "$r0", "$r1", "$r")
			require.Equal(t, 1, b.count(RedactionMissed))
			require.Zero(t, b.count(RedactionGapLost))
		})
	}
}
