package portal_test

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// withPictures shows custom reactions by their pictures, once Graph has one.
func withPictures(r *portaltest.Rig) {
	r.Tenant.AddImage(imageURL, []byte("party"))
	r.Tune = func(in *portal.IngestOptions, _ *portal.SenderOptions) { in.ReactionPictures = true }
}

func party(r *portaltest.Rig, messageID, userID string) {
	r.Tenant.Change(portaltest.Channel, messageID, portaltest.AddCustomReaction(userID, "party", imageURL))
}

func unparty(r *portaltest.Rig, messageID, userID string) {
	r.Tenant.Change(portaltest.Channel, messageID, func(m *teams.Message, _ time.Time) {
		m.Reactions = slices.DeleteFunc(m.Reactions, func(x teams.Reaction) bool { return x.User.ID == userID && x.DisplayName == "party" })
	})
}

// reacted returns the keys of the reactions to the only message, each with its
// name behind it where it has one.
func reacted(r *portaltest.Rig) (out []string) {
	target := r.HS.Messages(r.Room)[0].ID
	for _, e := range r.HS.Events(r.Room) {
		if e.Type == event.EventReaction && !e.Redacted && e.Relation("event_id") == target.String() {
			name, _ := e.Content[portal.ShortcodeField].(string)
			out = append(out, strings.TrimSpace(e.Relation("key")+" "+name))
		}
	}
	return out
}

// Everybody's reaction with one emoji has one key, so that clients count them
// together; Teams' reaction is what counts, whatever shows.
func TestCustomReactions(t *testing.T) {
	r := started(t, withPictures)
	m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "t1")
	party(r, m.ID, portaltest.Dave)
	r.Quiet()
	all := reacted(r)
	require.Len(t, all, 1)
	key, name, _ := strings.Cut(all[0], " ")
	require.Equal(t, "party", string(r.HS.File(key)))
	require.Equal(t, ":party:", name)

	party(r, m.ID, portaltest.Alice)
	r.Quiet()
	require.Equal(t, []string{all[0], all[0]}, reacted(r))
	r.Restart()
	party(r, m.ID, portaltest.Bob)
	r.Tenant.Change(portaltest.Channel, m.ID, portaltest.AddReaction(portaltest.Dave, "👍"))
	require.NoError(t, r.Ingest.Accept(t.Context(), "list", r.Tenant.Messages(portaltest.Channel)))
	r.Quiet()
	require.Equal(t, []string{all[0], all[0], all[0], "👍️"}, reacted(r))
	require.Equal(t, 1, r.HS.Media(), "one picture for all, also after a restart")
	clean(t, r)

	unparty(r, m.ID, portaltest.Alice)
	r.Quiet()
	require.Equal(t, []string{all[0], all[0], "👍️"}, reacted(r))
	party(r, m.ID, portaltest.Alice)
	r.Quiet()
	require.Equal(t, []string{all[0], all[0], "👍️", all[0]}, reacted(r))
	clean(t, r)
}

func TestCustomReactionsByName(t *testing.T) {
	other := strings.Replace(imageURL, "19:one@", "19:two@", 1)
	foreign := strings.Replace(imageURL, "graph.microsoft.com", "evil.example", 1)
	for name, c := range map[string]struct {
		tune  func(r *portaltest.Rig)
		fail  error
		url   string
		asked int
	}{
		"as configured":       {func(r *portaltest.Rig) { r.Tenant.AddImage(imageURL, []byte("party")) }, nil, imageURL, 0},
		"Graph does not work": {withPictures, portaltest.ErrUnavailable, imageURL, 1},
		"Graph hangs":         {withPictures, portaltest.ErrHangs, imageURL, 1},
		"the picture is gone": {withPictures, nil, strings.Replace(imageURL, "aWQ=", "bm8=", 1), 1},
		"another host":        {withPictures, &teams.Error{Op: "test", Kind: teams.KindForeignHost}, foreign, 1},
		"another channel":     {withPictures, nil, other, 0},
		"without address":     {withPictures, nil, "", 0},
		"an encrypted room":   {func(r *portaltest.Rig) { withPictures(r); r.HS.Encrypted = true }, nil, imageURL, 1},
		"what is no picture":  {func(r *portaltest.Rig) { withPictures(r); r.Tenant.ImageType = "text/html" }, nil, imageURL, 1},
		"larger than a picture": {func(r *portaltest.Rig) {
			withPictures(r)
			r.Tune = func(in *portal.IngestOptions, _ *portal.SenderOptions) { in.ReactionPictures, in.MaxImage = true, 3 }
		}, nil, imageURL, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := started(t, c.tune, func(r *portaltest.Rig) {
				if tune := r.Tune; tune != nil {
					r.Tune = func(in *portal.IngestOptions, out *portal.SenderOptions) {
						tune(in, out)
						in.EmojiPatience = 50 * time.Millisecond
					}
				}
			})
			var asked atomic.Int32
			r.Tenant.SetRead(func(op string) error {
				if op == "image" {
					asked.Add(1)
					return c.fail
				}
				return nil
			})
			m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "t1")
			r.Tenant.Change(portaltest.Channel, m.ID, portaltest.AddCustomReaction(portaltest.Dave, "party", c.url))
			r.Quiet()
			require.Equal(t, []string{":party:"}, reacted(r))
			require.EqualValues(t, c.asked, asked.Load())
			require.Zero(t, r.Counts.Get(portal.MetricIngestRetry, "teams unavailable"), "nothing waits for a picture")
			// What others react with is counted together with it, though there is a picture now.
			r.Tenant.SetRead(nil)
			r.Tenant.Change(portaltest.Channel, m.ID, portaltest.AddCustomReaction(portaltest.Alice, "party", c.url))
			r.Quiet()
			require.Equal(t, []string{":party:", ":party:"}, reacted(r))
			clean(t, r)
		})
	}
}

// Whoever changes the configuration finds what is there as it is.
func TestCustomReactionsOfAnotherConfiguration(t *testing.T) {
	r := started(t, withPictures)
	m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "t1")
	party(r, m.ID, portaltest.Dave)
	r.Quiet()
	picture := reacted(r)[0]
	r.Stop()
	r.Tune = nil
	r.Start()
	party(r, m.ID, portaltest.Alice)
	r.Quiet()
	require.Equal(t, []string{picture, ":party:"}, reacted(r))
	clean(t, r)
	unparty(r, m.ID, portaltest.Dave)
	r.Quiet()
	require.Equal(t, []string{":party:"}, reacted(r))
	clean(t, r)
}

// A send that is tried again is the same event with the same picture.
func TestCustomReactionIsSentAgain(t *testing.T) {
	r := started(t, withPictures)
	m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "t1")
	r.Quiet()
	lost, refused := 0, 0
	r.HS.SetFaults(func(_ id.UserID, kind event.Type, _ map[string]any) error {
		if kind == event.EventReaction && refused < 2 {
			refused++
			return portaltest.Down()
		}
		return nil
	}, func(_ id.UserID, kind event.Type, _ map[string]any) error {
		if kind == event.EventReaction && lost == 0 {
			lost++
			return errors.New("the answer is lost")
		}
		return nil
	})
	party(r, m.ID, portaltest.Dave)
	r.Quiet()
	require.Equal(t, 1, lost)
	require.Len(t, reacted(r), 1)
	require.Equal(t, 1, r.HS.Media())
	party(r, m.ID, portaltest.Alice)
	r.Quiet()
	require.Len(t, reacted(r), 2)
	require.Equal(t, reacted(r)[0], reacted(r)[1])
	clean(t, r)
}

// A reaction whose row got lost is found again by what it is, not redacted for
// the key that it shows.
func TestVerifyKnowsReactionsByPicture(t *testing.T) {
	r := started(t, withPictures)
	m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "t1")
	party(r, m.ID, portaltest.Dave)
	r.Quiet()
	before := reacted(r)
	for _, e := range r.HS.Events(r.Room) {
		if e.Type == event.EventReaction {
			row, err := r.Bridge.DB.Reaction.GetByMXID(t.Context(), e.ID)
			require.NoError(t, err)
			require.NotNil(t, row)
			require.NoError(t, r.Bridge.DB.Reaction.Delete(t.Context(), row))
		}
	}
	mends(t, r, portal.DifferentReactions)
	require.Equal(t, before, reacted(r))
}

// Wherever the bridge is cut off, each reaction is there once, and goes when
// Teams says so.
func TestCrashWithCustomReactions(t *testing.T) {
	var messageID string
	scenario := func(r *portaltest.Rig, step func(f func())) {
		step(func() { messageID = r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "t1").ID })
		step(func() { party(r, messageID, portaltest.Dave) })
		step(func() { party(r, messageID, portaltest.Alice) })
		step(func() { unparty(r, messageID, portaltest.Dave) })
	}
	crashEverywhere(t, scenario, func(t *testing.T, r *portaltest.Rig) {
		all := reacted(r)
		require.Len(t, all, 1)
		require.True(t, strings.HasPrefix(all[0], "mxc://") && strings.HasSuffix(all[0], " :party:"), all[0])
		clean(t, r)
	}, withPictures)
}
