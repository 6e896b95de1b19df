package stack

import (
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

func TestMergeEvents(t *testing.T) {
	list := func(ids ...string) (out []*event.Event) {
		for _, s := range ids {
			out = append(out, &event.Event{ID: id.EventID(s)})
		}
		return out
	}
	for _, tc := range []struct{ first, second, want []string }{
		{[]string{"a", "b", "d"}, []string{"a", "b", "c", "d"}, []string{"a", "b", "c", "d"}},
		{[]string{"b", "c"}, []string{"a", "b"}, []string{"a", "b", "c"}},
		{[]string{"a", "c", "e"}, []string{"a", "b", "c", "d", "e", "f"}, []string{"a", "b", "c", "d", "e", "f"}},
		{[]string{"a", "b"}, nil, []string{"a", "b"}},
		{nil, []string{"a", "b"}, []string{"a", "b"}},
	} {
		var got []string
		for _, evt := range mergeEvents(list(tc.first...), list(tc.second...)) {
			got = append(got, evt.ID.String())
		}
		require.Equal(t, tc.want, got)
	}
}
