package portal_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// The posts of a digest are compared like others, though they stand for what
// several people said.
func TestVerifyPostsOfADigest(t *testing.T) {
	said := func(t *testing.T) (r *portaltest.Rig, head, reply teams.Message, events []id.EventID) {
		t.Helper()
		r, release := digesting(t, 2)
		for _, text := range []string{"one", "two", "three", "four"} {
			events = append(events, r.Say(portaltest.CarolMXID, text))
		}
		release()
		r.Quiet()
		posts, replies := split(r)
		require.Len(t, posts, 1)
		require.Len(t, replies, 1)
		clean(t, r)
		return r, posts[0], replies[0], events
	}
	body := func(r *portaltest.Rig) string {
		_, replies := split(r)
		return replies[0].Body
	}
	t.Run("deleted in Teams", func(t *testing.T) {
		r, _, reply, events := said(t)
		r.Tenant.Change(portaltest.Channel, reply.ID, portaltest.SetDeleted())
		r.Quiet()
		stays(t, r, portal.DeletedInTeams, "several people's messages")
		// When nothing of it is left in Matrix either, both sides are the same.
		for _, e := range events {
			r.Redact(portaltest.CarolMXID, e)
		}
		r.Quiet()
		clean(t, r)
	})
	t.Run("its first post deleted in Teams, and nobody told", func(t *testing.T) {
		r, head, _, _ := said(t)
		r.Silently(func() { r.Tenant.Change(portaltest.Channel, head.ID, portaltest.SetDeleted()) })
		mends(t, r, portal.DeletedInTeams)
		require.True(t, r.HS.Event(eventOfNotice(t, r)).Redacted)
	})
	t.Run("gone from Teams", func(t *testing.T) {
		r, _, reply, events := said(t)
		r.Tenant.Remove(portaltest.Channel, reply.ID)
		require.Equal(t, events[0], verify(t, r).Findings[0].Event, "it is reported with its first message")
		stays(t, r, portal.GoneInTeams, "no more")
	})
	t.Run("gone from Teams altogether", func(t *testing.T) {
		r, head, reply, _ := said(t)
		r.Tenant.Remove(portaltest.Channel, reply.ID)
		r.Tenant.Remove(portaltest.Channel, head.ID)
		require.Equal(t, []portal.Class{portal.GoneInTeams, portal.GoneInTeams}, classes(verify(t, r)))
	})
	t.Run("doubled in Teams", func(t *testing.T) {
		for _, account := range []string{portaltest.Relay, portaltest.SecondRelay} {
			r, head, reply, events := said(t)
			r.Silently(func() {
				r.Tenant.Post(portaltest.Channel, head.ID, account, reply.Body)
				r.Tenant.Post(portaltest.Channel, "", account, head.Body)
			})
			require.Equal(t, events[0], verify(t, r).Findings[0].Event)
			mends(t, r, portal.DoubledInTeams, portal.DoubledInTeams)
			posts, replies := split(r)
			require.Equal(t, []string{head.ID, reply.ID}, []string{posts[0].ID, replies[0].ID})
			require.Len(t, append(posts, replies...), 2)
		}
	})
	t.Run("an edit that Teams has lost", func(t *testing.T) {
		r, _, reply, events := said(t)
		r.Edit(portaltest.CarolMXID, events[1], "better")
		r.Quiet()
		require.Contains(t, body(r), "better")
		r.Tenant.Set(portaltest.Channel, reply.ID, func(m *teams.Message) { m.Body, m.Edited = reply.Body, time.Time{} })
		mends(t, r, portal.DifferentText)
		require.Contains(t, body(r), "better")
	})
	t.Run("changed in Teams", func(t *testing.T) {
		r, head, reply, _ := said(t)
		r.Tenant.Change(portaltest.Channel, reply.ID, portaltest.SetText("<p>something else</p>"))
		r.Quiet()
		stays(t, r, portal.DifferentText, "no one person's")
		r.Tenant.Change(portaltest.Channel, reply.ID, portaltest.SetText(reply.Body))
		r.Tenant.Change(portaltest.Channel, head.ID, portaltest.SetText("<p>something else</p>"))
		r.Quiet()
		stays(t, r, portal.DifferentText, "no one person's")
	})
	t.Run("changed in Matrix, which the bridge never got", func(t *testing.T) {
		r, _, _, events := said(t)
		r.Secretly(portaltest.CarolMXID, event.EventMessage, map[string]any{
			"msgtype": "m.text", "body": "* better", "m.new_content": map[string]any{"msgtype": "m.text", "body": "better"},
			"m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": events[1].String()}})
		r.Secretly(portaltest.CarolMXID, event.EventRedaction, map[string]any{"redacts": events[2].String()})
		mends(t, r, portal.DifferentText, portal.DeletedInMatrix)
		require.Contains(t, body(r), "better")
		require.NotContains(t, body(r), "three")
	})
	t.Run("removed by a moderator in Matrix", func(t *testing.T) {
		r, _, _, events := said(t)
		r.Redact(portaltest.ModeratorMXID, events[2])
		r.Quiet()
		clean(t, r)
		require.Equal(t, 1, verify(t, r).Left[portal.LeftModerated])
		require.Contains(t, body(r), "three")
	})
	t.Run("so old that nobody knows what was in it", func(t *testing.T) {
		r, _, _, _ := said(t)
		for _, table := range []string{"teams_outbox", "teams_digest", "teams_digest_entry", "teams_digest_write"} {
			_, err := r.Bridge.DB.Exec(t.Context(), `DELETE FROM `+table)
			require.NoError(t, err)
		}
		report := verify(t, r)
		require.NotContains(t, classes(report), portal.DifferentText)
		require.Equal(t, 2, report.Left[portal.LeftForgotten])
	})
}

func eventOfNotice(t *testing.T, r *portaltest.Rig) id.EventID {
	t.Helper()
	for _, e := range r.HS.Events(r.Room) {
		if e.Sender == portaltest.BotID && strings.Contains(e.Text(), "is in Teams as one post") {
			return e.ID
		}
	}
	t.Fatal("the room was not told")
	return ""
}
