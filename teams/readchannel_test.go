package teams

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// readAll reads a channel and returns the newest version of each message.
func readAll(t *testing.T, b *pollerBundle, ch ChannelRef, since time.Time) (string, map[string]Message, error) {
	t.Helper()
	got := map[string]Message{}
	source, err := ReadChannel(t.Context(), b.tenant, ch, since, time.Now, func(msgs []Message) {
		for _, m := range msgs {
			require.Equal(t, ch, m.Channel)
			if m.ETag >= got[m.ID].ETag {
				got[m.ID] = m
			}
		}
	})
	return source, got, err
}

func TestReadChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPollerBundle(1, func(*PollerOptions) {})
		old := b.tenant.put(chanA, "")
		stays := b.tenant.put(chanA, "")
		time.Sleep(time.Hour) // of the bubble's clock
		since := time.Now()
		time.Sleep(time.Minute)
		var want []string
		for range 80 {
			root := b.tenant.put(chanA, "")
			reply := b.tenant.put(chanA, root.ID)
			want = append(want, root.ID, reply.ID)
			b.tenant.put(chanB, "")
		}
		late := b.tenant.put(chanA, old.ID)
		b.tenant.change(old, "edited", false)
		want = append(want, late.ID, old.ID)
		source, got, err := readAll(t, b, chanA, since)
		require.NoError(t, err)
		require.Equal(t, SourceList, source)
		for _, id := range want {
			require.Contains(t, got, id)
		}
		require.NotContains(t, got, stays.ID, "it has not changed since")
		require.Equal(t, "edited", got[old.ID].Body)

		// Where Graph refuses one way there is another.
		refuse := &Error{Op: "test", Kind: KindPermission}
		b.tenant.setFail(SourceList, refuse)
		source, got, err = readAll(t, b, chanA, since)
		require.NoError(t, err)
		require.Equal(t, SourceDelta, source)
		require.Contains(t, got, late.ID)
		b.tenant.setFail(SourceDelta, refuse)
		source, got, err = readAll(t, b, chanA, since)
		require.NoError(t, err)
		require.Equal(t, SourceExport, source)
		for _, id := range want {
			require.Contains(t, got, id)
		}
		b.tenant.setFail(SourceExport, refuse)
		_, _, err = readAll(t, b, chanA, since)
		require.Equal(t, KindPermission, KindOf(err))

		// An outage is no refusal.
		b.tenant.setFail(SourceList, &Error{Op: "test", Kind: KindUnavailable})
		before := b.tenant.called(SourceDelta)
		_, _, err = readAll(t, b, chanA, since)
		require.Equal(t, KindUnavailable, KindOf(err))
		require.Equal(t, before, b.tenant.called(SourceDelta))
	})
}
