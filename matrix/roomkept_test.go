package matrix

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestHowLongARoomIsKept(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	const day = 24 * 60 * 60 * 1000
	lives := func(days int) string { return fmt.Sprintf(`{"max_lifetime":%d}`, days*day) }
	for name, tc := range map[string]struct {
		room, server string
		days         int
	}{
		"nobody says anything":                   {"", "", 0},
		"the room says":                          {lives(30), "", 30},
		"the homeserver says":                    {"", `{"policies":{"*":` + lives(90) + `},"limits":{}}`, 90},
		"the room's counts":                      {lives(120), `{"policies":{"*":` + lives(90) + `}}`, 120},
		"the room may not say so much":           {lives(120), `{"policies":{},"limits":{"max_lifetime":{"min":1,"max":` + fmt.Sprint(100*day) + `}}}`, 100},
		"a limit alone is none":                  {"", `{"policies":{},"limits":{"max_lifetime":{"max":` + fmt.Sprint(100*day) + `}}}`, 0},
		"the homeserver has one for this room":   {"", `{"policies":{"*":` + lives(90) + `,"` + portalRoom + `":` + lives(7) + `}}`, 7},
		"a room that says nothing of how long":   {`{"min_lifetime":86400000}`, "", 0},
		"what is no length of time":              {`{"max_lifetime":"1d"}`, `{"policies":{"*":{"max_lifetime":-5}}}`, 0},
		"longer than anybody lives":              {`{"max_lifetime":1e300}`, "", 0},
		"an answer that is none":                 {"", `[]`, 0},
		"a room of another type is not asked on": {`{}`, `{"policies":{"!other:example.com":` + lives(7) + `}}`, 0},
	} {
		hs.feed.change(func(f *fakeFeed) { f.room, f.keeps = tc.room, tc.server })
		kept, err := b.conn.RoomKept(ctx, portalRoom)
		require.NoError(t, err, name)
		require.Equal(t, time.Duration(tc.days)*24*time.Hour, kept.Lifetime, name)
	}
}

func TestWhereARoomBegins(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	state := func(n int, kind string) map[string]any {
		return evt(fmt.Sprintf("$state%d", n), "", map[string]any{"type": kind, "state_key": fmt.Sprint(n), "content": map[string]any{}})
	}
	room := func(events ...map[string]any) {
		hs.feed.change(func(f *fakeFeed) { f.events = events })
	}
	room(state(0, "m.room.create"), state(1, "m.room.member"), evt("$first", "x"))
	kept, err := b.conn.RoomKept(ctx, portalRoom)
	require.NoError(t, err)
	require.Equal(t, RoomKept{}, kept, "it is whole")

	var purged []map[string]any
	for n := range roomPage + 10 {
		purged = append(purged, state(n, "m.room.member"))
	}
	room(append(purged, evt("$first", "x"), evt("$second", "y"))...)
	kept, err = b.conn.RoomKept(ctx, portalRoom)
	require.NoError(t, err)
	require.True(t, kept.Purged)
	require.Len(t, kept.First, 2)
	require.Equal(t, "$first", kept.First[0].ID.String())

	room(purged...)
	kept, err = b.conn.RoomKept(ctx, portalRoom)
	require.NoError(t, err)
	require.True(t, kept.Purged)
	require.Empty(t, kept.First, "nothing of what was said is left")

	// As Synapse does where all is too old.
	room(evt("$old", "x"), evt("$older", "y"))
	hs.feed.change(func(f *fakeFeed) { f.hides = 2 })
	kept, err = b.conn.RoomKept(ctx, portalRoom)
	require.NoError(t, err)
	require.Equal(t, RoomKept{Purged: true}, kept)
	hs.feed.change(func(f *fakeFeed) { f.hides = 0 })

	room()
	kept, err = b.conn.RoomKept(ctx, portalRoom)
	require.NoError(t, err)
	require.Equal(t, RoomKept{}, kept, "a homeserver that shows nothing says nothing")

	hs.feed.change(func(f *fakeFeed) { f.msgs = http.StatusBadGateway })
	_, err = b.conn.RoomKept(ctx, portalRoom)
	require.Error(t, err)
}
