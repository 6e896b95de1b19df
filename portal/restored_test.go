package portal_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// What a restored database does not know, and of which the rooms have no status, is
// found in Teams: as its author posted it, as a relay account did, as a reply. And
// no post of ours comes to the room.
//
// Proves M4.
func TestRestoredMessagesAreFoundInTeams(t *testing.T) {
	r := started(t)
	r.People.SignIn(portaltest.Alice, true)
	before := r.Say(portaltest.BobMXID, "before")
	r.Quiet()
	copied := r.Keep()
	r.Say(portaltest.AliceMXID, "of her own account")
	root := r.Say(portaltest.BobMXID, "by the relay")
	r.Quiet()
	r.Reply(portaltest.AliceMXID, root, "a reply to what is new")
	r.Reply(portaltest.BobMXID, before, "a reply to what is known")
	r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "<p>said in Teams</p>")
	r.Quiet()
	posts, texts := r.Posts(), r.Texts()
	require.Len(t, posts, 6)
	r.HS.Restart() // it does not know its transactions any more

	r.SetBack(copied, func(ctx context.Context, restorer *portal.Restorer, e portaltest.Event) {
		require.NoError(t, restorer.Doubt(ctx, e.Room, e.ID))
	})
	for _, m := range r.Tenant.Messages(portaltest.Channel) {
		require.NoError(t, r.Ingest.Accept(t.Context(), "poller", []teams.Message{m}))
	}
	r.Quiet()
	require.Equal(t, posts, r.Posts(), "nothing was posted again")
	require.Equal(t, texts, r.Texts(), "nothing came to the room again")
	r.Reply(portaltest.BobMXID, root, "it goes on")
	r.Quiet()
	require.Len(t, r.Posts(), 7)
}

// What the status of an event says is believed: nothing is written again, and what
// its author has taken back since is deleted in Teams.
func TestRestoredStatusesAreBelieved(t *testing.T) {
	r := started(t)
	copied := r.Keep()
	said := r.Say(portaltest.BobMXID, "first words")
	r.Quiet()
	r.Edit(portaltest.BobMXID, said, "second words")
	r.React(portaltest.BobMXID, said, "👍")
	gone := r.Say(portaltest.BobMXID, "taken back later")
	r.Quiet()
	posted := map[id.EventID]teams.Message{}
	all := r.Tenant.Messages(portaltest.Channel)
	require.Len(t, all, 2)
	r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "<p>said in Teams</p>")
	r.Quiet()
	require.Len(t, r.Texts(), 3)
	posted[said], posted[gone] = all[0], all[1]
	_, writes := r.Tenant.Requests()
	r.Stop()
	redaction, err := r.HS.Put(r.Room, portaltest.BobMXID, event.EventRedaction, "", time.Now(), portaltest.Redaction(gone))
	require.NoError(t, err)
	texts := r.Texts()
	r.HS.Restart() // it does not know its transactions any more

	r.SetBack(copied, func(ctx context.Context, restorer *portal.Restorer, e portaltest.Event) {
		if e.ID == redaction {
			return
		}
		shown := portal.Shown{RoomID: e.Room, EventID: e.ID, Sender: e.Sender, At: e.At, What: fmt.Appendf(nil, `{"account":%q}`, portaltest.Relay)}
		if m, ok := posted[e.ID]; ok {
			shown.What = fmt.Appendf(nil, `{"parts":[{"part":0,"id":%q,"account":%q,"at":%d}]}`, m.ID, m.From.ID, m.Created.UnixMilli())
		}
		if e.ID == gone {
			shown.Redaction, shown.By = redaction, e.Sender
		}
		require.NoError(t, restorer.Delivered(ctx, shown))
	})
	for _, m := range r.Tenant.Messages(portaltest.Channel) {
		require.NoError(t, r.Ingest.Accept(t.Context(), "poller", []teams.Message{m}))
	}
	r.Quiet()
	require.Equal(t, texts, r.Texts())
	require.Zero(t, r.Counts.Get(portal.MetricIngestDoubt, "doubled"), "not even to be taken back")
	require.Len(t, r.TeamsTexts(), 2)
	require.Contains(t, r.TeamsTexts()[0], "second words")
	_, after := r.Tenant.Requests()
	require.Equal(t, writes+1, after, "only the deletion")
	// The edit is measured against what Teams was given.
	r.Edit(portaltest.BobMXID, said, "third words")
	r.Quiet()
	require.Contains(t, r.TeamsTexts()[0], "third words")
	require.Len(t, r.Texts(), 2)
}

// What people did to a message that Teams may have is done to it there: it is not
// merged into what is looked for, nor does it take that back as if Teams had not
// seen it.
func TestRestoredMessagesAreChangedInTeams(t *testing.T) {
	r := started(t)
	copied := r.Keep()
	edited := r.Say(portaltest.BobMXID, "to be edited")
	removed := r.Say(portaltest.BobMXID, "to be removed")
	r.Quiet()
	require.Len(t, r.Posts(), 2)
	r.Stop()
	put := func(kind event.Type, content map[string]any) id.EventID {
		t.Helper()
		eventID, err := r.HS.Put(r.Room, portaltest.BobMXID, kind, "", time.Now(), content)
		require.NoError(t, err)
		return eventID
	}
	away := put(event.EventMessage, portaltest.NewText(edited, "edited while away"))
	r.SetBack(copied, func(ctx context.Context, restorer *portal.Restorer, e portaltest.Event) {
		if e.ID != away {
			require.NoError(t, restorer.Doubt(ctx, e.Room, e.ID))
			return
		}
		// Its author takes the other one back before anything was sent.
		require.NoError(t, r.Deliver(ctx, r.HS.Event(put(event.EventRedaction, portaltest.Redaction(removed)))))
	})
	for _, m := range r.Tenant.Messages(portaltest.Channel) {
		require.NoError(t, r.Ingest.Accept(t.Context(), "poller", []teams.Message{m}))
	}
	r.Quiet()
	require.Len(t, r.Posts(), 2, "nothing was posted again")
	require.Len(t, r.TeamsTexts(), 1)
	require.Contains(t, r.TeamsTexts()[0], "edited while away")
	require.Equal(t, []string{"edited while away"}, r.Texts(), "and nobody is told of an edit made in Teams")
}
