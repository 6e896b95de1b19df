package portal_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

func TestCustomEmoji(t *testing.T) {
	body := `<p>Go <customemoji alt="rocket" source="` + imageURL + `"></customemoji></p>`
	html := func(r *portaltest.Rig) string {
		all := r.HS.Messages(r.Room)
		require.Len(t, all, 1)
		s, _ := all[0].Content["formatted_body"].(string)
		return s
	}
	t.Run("picture in the text", func(t *testing.T) {
		r := started(t)
		r.Tenant.AddImage(imageURL, []byte("png"))
		m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, body)
		r.Quiet()
		require.Contains(t, html(r), `<img data-mx-emoticon="" src="mxc://`)
		require.Equal(t, []string{"Go :rocket:"}, r.Texts())
		clean(t, r)
		r.Tenant.Set(portaltest.Channel, m.ID, func(m *teams.Message) { m.Body += "<p></p>" })
		clean(t, r)
		require.Equal(t, 1, r.HS.Media())
	})
	for name, err := range map[string]error{"name where Graph does not work": portaltest.ErrUnavailable, "name where Graph hangs": portaltest.ErrHangs} {
		t.Run(name, func(t *testing.T) {
			r := started(t, func(r *portaltest.Rig) {
				r.Tune = func(in *portal.IngestOptions, _ *portal.SenderOptions) { in.EmojiPatience = 50 * time.Millisecond }
			})
			r.Tenant.SetRead(func(op string) error {
				if op == "image" {
					return err
				}
				return nil
			})
			r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, body)
			r.Quiet()
			require.Equal(t, []string{"Go :rocket:"}, r.Texts())
			require.Empty(t, html(r))
			require.Zero(t, r.Counts.Get(portal.MetricIngestRetry, "teams unavailable"), "nothing waits for an emoji")
		})
	}
}
