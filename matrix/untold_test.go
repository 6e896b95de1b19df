package matrix

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// said is a message that was sent some time ago.
func (b *bridge) said(eventID string, ago time.Duration, fields ...map[string]any) map[string]any {
	at := map[string]any{"origin_server_ts": b.clock.Now().Add(-ago).UnixMilli()}
	return evt(eventID, "words", append([]map[string]any{at}, fields...)...)
}

func (b *bridge) step() {
	b.t.Helper()
	require.NoError(b.t, b.conn.journal.untold.step(context.Background()))
}

// position takes the first position, and lets the trouble of the start end.
func (b *bridge) position() {
	b.t.Helper()
	<-b.conn.journal.gate
	b.step()
	b.clock.Advance(calmFor)
	b.step()
	require.True(b.t, b.conn.journal.untold.since.IsZero())
}

// TestWhatWasNotToldIsTaken: Synapse may lose sight of a transaction while it
// recovers from a failure. What the rooms have and nobody told is taken, once,
// however often it is looked and even if it is told after all.
func TestWhatWasNotToldIsTaken(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	hs.feed.add(b.said("$long ago", time.Hour))
	b.position()
	told := b.said("$told", 0)
	b.push(hs, "1", told)
	hs.feed.add(told, b.said("$lost", 0), b.said("$command", 0, map[string]any{"content": map[string]any{"msgtype": "m.text", "body": "!teams help"}}),
		b.said("$redaction of what is not known", 0, map[string]any{"type": redactionType, "redacts": "$gone", "content": map[string]any{}}),
		b.said("$gone", 0, map[string]any{"content": map[string]any{}, "unsigned": map[string]any{"redacted_by": "$r"}}),
		b.said("$ghost's", 0, map[string]any{"sender": "@teams_1:example.com"}), b.said("$topic", 0, map[string]any{"type": "m.room.topic", "state_key": ""}))
	b.inQueue("$told")

	b.clock.Advance(time.Minute)
	b.step()
	require.Zero(t, b.count(Untold), "nothing was wrong")
	b.conn.journal.untold.stumble()
	b.clock.Advance(calmFor - time.Second)
	hs.feed.add(b.said("$new", time.Second))
	b.step()
	require.Zero(t, b.count(Untold), "it may still be told")
	b.clock.Advance(time.Second)
	b.step()
	b.inQueue("$told", "$lost")
	require.Equal(t, 1, b.count(Untold), "what was sent a moment ago is on its way")
	require.False(t, b.conn.journal.isOpen("$command"))

	b.push(hs, "2", b.said("$lost", time.Minute), b.said("$new", 0))
	b.conn.journal.untold.stumble()
	b.clock.Advance(calmFor)
	b.step()
	b.inQueue("$told", "$lost", "$new")
	require.Equal(t, 1, b.count(Untold))
	_, err := b.db.Cursors.LoadCursor(ctx, untoldScope)
	require.NoError(t, err)
}

// TestRedactionsThatWereNotTold are taken if the bridge has what they are about.
func TestRedactionsThatWereNotTold(t *testing.T) {
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{network: &network{rows: true}})
	b.position()
	told := b.said("$told", 0)
	b.push(hs, "1", told)
	b.inQueue("$told")
	redacted := func(eventID, target string) map[string]any {
		return b.said(eventID, 0, map[string]any{"type": redactionType, "redacts": target, "content": map[string]any{}})
	}
	hs.feed.add(told, redacted("$r1", "$told"), redacted("$r2", "$before the bridge"))
	b.conn.journal.untold.stumble()
	b.clock.Advance(calmFor)
	b.step()
	b.inQueue("$told", "$r1")
	require.Equal(t, 1, b.count(Untold))
}

// TestToldAfterItWasSeenRedacted: Dendrite is minutes behind with its transactions,
// a redaction has come by sync, and its event is seen to be redacted in its room. It
// is nothing any more when it is told in the end, as it was: nobody is left who would
// take it back.
func TestToldAfterItWasSeenRedacted(t *testing.T) {
	hs := newHomeserver(t)
	b := startFeed(t, hs, bridgeOptions{})
	b.position()
	hs.feed.add(redact("$r", "$gone"))
	b.eventually("the redaction waits", func() bool { return b.conn.Redactions().Waiting == 1 })
	hs.feed.add(b.said("$gone", 0, map[string]any{"content": map[string]any{}, "unsigned": map[string]any{"redacted_by": "$r"}}))
	b.conn.journal.untold.stumble()
	b.clock.Advance(calmFor)
	b.step()
	require.NoError(t, b.conn.journal.settleHeld(context.Background()))
	require.Equal(t, 1, b.count(RedactionOfGone))
	b.push(hs, "2", b.said("$gone", 0), b.said("$next", 0))
	b.inQueue("$next")
	require.Equal(t, 1, b.count(RedactedBefore))
}

// TestEditsOfWhatIsGoneAreNotTaken: an edit leaves no trace where its message is
// gone by the time it is handled. It is no news whenever the room is read again.
func TestEditsOfWhatIsGoneAreNotTaken(t *testing.T) {
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	b.position()
	edit := func(eventID, target string) map[string]any {
		return b.said(eventID, 0, map[string]any{"content": map[string]any{"msgtype": "m.text", "body": "* words", "m.new_content": map[string]any{"msgtype": "m.text", "body": "words"},
			"m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": target}}})
	}
	hs.feed.add(b.said("$gone", 0, map[string]any{"content": map[string]any{}, "unsigned": map[string]any{"redacted_by": "$r"}}), b.said("$there", 0),
		edit("$e1", "$gone"), edit("$e2", "$there"), edit("$e3", "$nobody knows"))
	b.conn.journal.untold.stumble()
	b.clock.Advance(calmFor)
	b.step()
	require.Equal(t, 3, b.count(Untold)) // all but $e1
	b.inQueue("$there")                  // there are no rows here that the others could be about
}

// TestWhatWasNotToldAcrossRestart: whatever was said since the position of the
// run before is looked for after a start.
func TestWhatWasNotToldAcrossRestart(t *testing.T) {
	hs := newHomeserver(t)
	path := filepath.Join(t.TempDir(), "db")
	b := startBridge(t, hs, bridgeOptions{path: path})
	b.position()
	first := b.said("$1", 0)
	b.push(hs, "1", first)
	b.inQueue("$1")
	hs.feed.add(first, b.said("$2", 0))
	b.stop()

	b = startBridge(t, hs, bridgeOptions{path: path})
	<-b.conn.journal.gate
	b.clock.Advance(time.Hour)
	third := b.said("$3", 0)
	hs.feed.add(third)
	b.push(hs, "2", third)
	b.clock.Advance(calmFor)
	b.step()
	b.inQueue("$1", "$3", "$2")
	require.Equal(t, 1, b.count(Untold))
}

// TestDelaysAreTrouble: a transaction that comes late by more than clocks
// differ was held up; so were those that the bridge refused.
func TestDelaysAreTrouble(t *testing.T) {
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	b.position()
	u := b.conn.journal.untold
	b.push(hs, "1", b.said("$1", 90*time.Second), b.said("$2", 91*time.Second))
	require.True(t, u.since.IsZero(), "the homeserver's clock is behind")
	b.push(hs, "2", b.said("$3", time.Hour, map[string]any{"sender": "@teams_1:example.com"}))
	require.True(t, u.since.IsZero(), "the bridge's own events have the time of Teams")
	b.push(hs, "3", b.said("$4", 94*time.Second))
	require.False(t, u.since.IsZero())

	// A homeserver that is always late is looked after all the same.
	hs.feed.add(b.said("$lost", 90*time.Second))
	for i := range 100 {
		b.clock.Advance(10 * time.Second)
		b.push(hs, fmt.Sprint("late", i), b.said(fmt.Sprint("$late", i), 94*time.Second))
		b.step()
	}
	require.Equal(t, 1, b.count(Untold))
}

// TestWhatWasNotToldInALongRoom: an answer has a room's newest events only.
func TestWhatWasNotToldInALongRoom(t *testing.T) {
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	for i := range 10 {
		hs.feed.add(b.said(fmt.Sprint("$old", i), 2*positionMargin))
	}
	b.position()
	var want []string
	for i := range 20 {
		want = append(want, fmt.Sprint("$", i))
		hs.feed.add(b.said(want[i], 0))
	}
	hs.feed.change(func(f *fakeFeed) { f.limit, f.page = 3, 4 })
	b.conn.journal.untold.stumble()
	b.clock.Advance(calmFor)
	b.step()
	b.inQueue(want...)
}

// TestWhatIsLostBetweenPages: Dendrite loses events where two pages of a room
// meet, which are found by reading the room twice.
func TestWhatIsLostBetweenPages(t *testing.T) {
	for _, seam := range []string{"older", "newer"} {
		hs := newHomeserver(t)
		b := startBridge(t, hs, bridgeOptions{})
		for i := range 10 {
			hs.feed.add(b.said(fmt.Sprint("$old", i), 2*positionMargin))
		}
		b.position()
		var want []string
		for i := range 357 {
			want = append(want, fmt.Sprint("$", i))
			hs.feed.add(b.said(want[i], 0))
		}
		hs.feed.change(func(f *fakeFeed) { f.limit, f.page, f.seam = 3, 100, seam })
		b.conn.journal.untold.stumble()
		b.clock.Advance(calmFor)
		b.step()
		b.inQueue(want...)
	}
}

func TestMergeReadings(t *testing.T) {
	events := func(ids ...string) (out []json.RawMessage) {
		for _, id := range ids {
			out = append(out, json.RawMessage(`{"event_id":"`+id+`"}`))
		}
		return out
	}
	for _, c := range []struct{ first, second, want []string }{
		{[]string{"a", "b", "d"}, []string{"a", "b", "c", "d"}, []string{"a", "b", "c", "d"}},
		{[]string{"a", "b", "b", "d", "e"}, []string{"c", "d"}, []string{"a", "b", "d", "e"}},
		{[]string{"d", "e"}, []string{"a", "b", "d"}, []string{"a", "b", "d", "e"}},
		{[]string{"a"}, []string{"a", "b", "c"}, []string{"a", "b", "c"}},
		{nil, []string{"a", "b"}, []string{"a", "b"}},
		{[]string{"a", "b"}, nil, []string{"a", "b"}},
	} {
		got := eventIDs(mergeReadings(events(c.first...), events(c.second...)))
		if len(c.second) == 2 && c.second[0] == "c" {
			// What is first in a reading stands in front of what follows it, as far
			// as one can tell.
			require.ElementsMatch(t, []string{"a", "b", "c", "d", "e"}, got)
			require.Less(t, slices.Index(got, "c"), slices.Index(got, "d"))
			continue
		}
		require.Equal(t, c.want, got)
	}
}

// TestPositionsAreTaken: every few minutes, the older of two is stored, and one
// that the homeserver does not know any more is replaced.
func TestPositionsAreTaken(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	stored := func() string {
		cursor, err := b.db.Cursors.LoadCursor(ctx, untoldScope)
		require.NoError(t, err)
		return cursor.Link
	}
	b.position()
	require.Equal(t, "s0", stored())
	hs.feed.add(b.said("$1", 0))
	b.clock.Advance(markEvery)
	b.step()
	require.Equal(t, "s0", stored())
	b.clock.Advance(markEvery - time.Second)
	b.step()
	require.Equal(t, "s0", stored())
	b.clock.Advance(time.Second)
	b.step()
	require.Equal(t, "s1", stored())

	hs.feed.change(func(f *fakeFeed) { f.forgot = 1000 })
	b.clock.Advance(markEvery)
	b.step()
	b.conn.journal.untold.stumble()
	b.clock.Advance(calmFor)
	b.step()
	require.True(t, b.conn.journal.untold.since.IsZero(), "it goes on from now")

	hs.feed.change(func(f *fakeFeed) { f.status = http.StatusBadGateway })
	b.conn.journal.untold.stumble()
	b.clock.Advance(calmFor)
	require.Error(t, b.conn.journal.untold.step(ctx))
	hs.feed.change(func(f *fakeFeed) { f.status = 0 })
	b.step()
	require.False(t, b.conn.journal.untold.since.IsZero(), "not at once")
	b.clock.Advance(calmFor)
	b.step()
	require.True(t, b.conn.journal.untold.since.IsZero())
}
