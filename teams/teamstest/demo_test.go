package teamstest

import (
	"bytes"
	"image"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func seeded(t *testing.T, seed uint64) (*world, *Demo) {
	w := newWorld(t, Options{Seed: seed})
	return w, w.SeedDemo()
}

func TestDemoIsASmallOrganisation(t *testing.T) {
	w, d := seeded(t, 7)
	require.Len(t, d.People, 30)
	require.True(t, d.Guest.Guest())
	kinds := map[string]int{}
	var messages, replies, reactions, edits, deleted, pictures int
	var content strings.Builder
	for _, team := range []*Team{d.Company, d.Engineering, d.Care} {
		require.NotEmpty(t, w.get(asApp, "/teams/"+team.ID+"/photo/$value").want(http.StatusOK).raw)
		for _, c := range team.Channels() {
			kinds[c.Kind()]++
			for _, root := range c.Messages() {
				messages++
				for _, m := range append([]MessageState{root}, root.Replies...) {
					require.False(t, m.Modified.After(w.clock.Now()), "nothing comes from the future")
					require.False(t, m.Created.After(m.Modified))
					reactions += len(m.Reactions)
					pictures += len(m.Images)
					if !m.Edited.IsZero() {
						edits++
					}
					if !m.Deleted.IsZero() {
						deleted++
					}
					if m.From != nil {
						require.True(t, slices.Contains(c.Members(), m.From) || c.Kind() == Shared, "%s in %s", m.From.DisplayName(), c.DisplayName())
					}
					content.WriteString(m.Content)
				}
				replies += len(root.Replies)
			}
		}
	}
	require.Equal(t, map[string]int{Standard: 7, Private: 2, Shared: 1}, kinds)
	require.Greater(t, messages, 15)
	require.Greater(t, replies, 30)
	require.Greater(t, reactions, 30)
	require.Positive(t, edits)
	require.Positive(t, deleted)
	require.Positive(t, pictures)
	for _, piece := range []string{"<table>", "<codeblock", "<pre>", "<blockquote>", "<at id", "<attachment", "<img src=\"https://"} {
		require.Contains(t, content.String(), piece)
	}

	photo := w.get(asApp, "/users/"+d.People[0].ID+"/photo/$value").want(http.StatusOK)
	_, format, err := image.Decode(bytes.NewReader(photo.raw))
	require.NoError(t, err)
	require.Equal(t, "jpeg", format)
	require.NotEmpty(t, w.all(asApp, "/teams/"+d.Engineering.ID+"/channels/getAllMessages?$top=50"))
}

func TestDemoIsTheSameForTheSameSeed(t *testing.T) {
	one, a := seeded(t, 7)
	two, b := seeded(t, 7)
	_, c := seeded(t, 8)
	require.Equal(t, one.TenantID, two.TenantID)
	require.Equal(t, fingerprint(a), fingerprint(b))
	require.NotEqual(t, fingerprint(a), fingerprint(c))
}

func fingerprint(d *Demo) []string {
	var list []string
	for _, u := range d.People {
		list = append(list, u.ID)
	}
	for _, c := range d.Engineering.Channels() {
		list = append(list, c.ID)
		for _, m := range c.Messages() {
			list = append(list, m.Created.Format(time.RFC3339Nano))
		}
	}
	return list
}
