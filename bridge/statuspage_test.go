package bridge

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/bridgeconfig"
	mxdb "maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/bridge/statuspage"
	"teamsbridge/database"
	"teamsbridge/texts"
)

// TestPageShowsWhatWaits: conversations in which something waits or can't go come
// first, with how much and since when; others can be looked for.
func TestPageShowsWhatWaits(t *testing.T) {
	r, _ := audited(t)
	page := pageBridge{r.rt}
	r.rt.queues = nil
	var v statuspage.View
	require.NoError(t, page.rows(t.Context(), "", &v))
	require.NotEmpty(t, v.Rows)
	for _, row := range v.Rows {
		require.Empty(t, row.ToTeams, "nothing waits in this database")
	}
	require.Equal(t, "Care", v.Rows[0].Team, "by name")
	var found statuspage.View
	require.NoError(t, page.rows(t.Context(), "general", &found))
	require.Len(t, found.Rows, 1)
	require.Equal(t, statuspage.Row{Target: "1/a", Team: "Sales EMEA", Name: "General", Kind: "standard", State: "mirrored", Level: statuspage.Good, Mirrored: true}, found.Rows[0])

	// Messages that wait on both ways, and a pause.
	_, err := r.w.db.Outbox.Enqueue(t.Context(), &database.OutboxRow{Portal: "c:1/b", EventID: "$1", Kind: database.KindMessage, Payload: []byte("{}"), CreatedAt: r.w.clock()})
	require.NoError(t, err)
	_, err = r.w.db.Inbox.Accept(t.Context(), []database.InboxRow{{Portal: "c:1/b", MessageID: "1", Version: 1, Payload: []byte("{}"), CreatedAt: r.w.clock()}})
	require.NoError(t, err)
	require.NoError(t, r.rt.holds.set(t.Context(), database.Hold{Kind: database.HoldPause, Scope: "c:1/a", By: "@admin:hs.example"}))
	v = statuspage.View{}
	require.NoError(t, page.rows(t.Context(), "", &v))
	require.Equal(t, "General", v.Rows[0].Name, "what is held comes first")
	require.True(t, v.Rows[0].Paused)
	require.Equal(t, "R&D *secret*", v.Rows[1].Name)
	require.Contains(t, v.Rows[1].ToTeams, "1 waiting")
	require.Contains(t, v.Rows[1].ToMatrix, "1 waiting")
}

// TestPageGivesCommands: a button is the bot's command, in the name of whoever
// pressed it, with the bot's rights, answer and record.
func TestPageGivesCommands(t *testing.T) {
	r, read := audited(t)
	r.br.Config.Permissions = bridgeconfig.PermissionConfig{"@admin:hs.example": &bridgeconfig.PermissionLevelAdmin, "@eve:hs.example": &bridgeconfig.PermissionLevelUser}
	page := pageBridge{r.rt}
	require.True(t, page.IsAdmin("@admin:hs.example"))
	require.False(t, page.IsAdmin("@eve:hs.example"))
	admin := &bridgev2.User{User: &mxdb.User{MXID: "@admin:hs.example"}, Permissions: bridgeconfig.PermissionLevelAdmin}
	eve := &bridgev2.User{User: &mxdb.User{MXID: "@eve:hs.example"}, Permissions: bridgeconfig.PermissionLevelUser}

	answer, err := page.give(t.Context(), admin, "outage", "start moving house")
	require.NoError(t, err)
	require.Contains(t, answer, "declared")
	require.NotContains(t, answer, "**")
	require.NotNil(t, r.w.outages.holdOf(database.HoldOutage))
	answer, err = page.give(t.Context(), eve, "outage", "end")
	require.NoError(t, err)
	require.Contains(t, answer, "administrators")
	require.NotNil(t, r.w.outages.holdOf(database.HoldOutage))
	_, err = page.give(t.Context(), admin, "frobnicate", "")
	require.ErrorIs(t, err, errNoCommand)

	got := read()
	require.Len(t, got, 3)
	require.Equal(t, "start moving house", got[0].Arguments)
	require.Empty(t, got[0].Room)
	require.Equal(t, "@eve:hs.example", got[2].By)
}

// membersOf is a homeserver that knows who is in a room.
type membersOf struct {
	bridgev2.MatrixConnector
	members map[id.UserID]*event.MemberEventContent
}

// GetMembers implements bridgev2.MatrixConnector.
func (m *membersOf) GetMembers(context.Context, id.RoomID) (map[id.UserID]*event.MemberEventContent, error) {
	return m.members, nil
}

// botNamed is the bot.
type botNamed struct{ *answers }

// GetMXID implements bridgev2.MatrixAPI.
func (botNamed) GetMXID() id.UserID { return "@bot:hs.example" }

// TestLinkIsForOneAlone: the bot sends no link where others can read it.
func TestLinkIsForOneAlone(t *testing.T) {
	r := newAdminRig(t, texts.Texts{})
	matrix := &membersOf{}
	r.br.Matrix, r.br.Bot = matrix, botNamed{r.bot}
	r.rt.statusPage = nil
	r.say("page", "", r.commandPage)
	require.Contains(t, r.bot.said[0], "network.status_page")
	r.rt.statusPage = statuspage.New(statuspage.Options{PublicURL: "https://bridge.example", Logger: zerolog.Nop()})
	matrix.members = map[id.UserID]*event.MemberEventContent{
		"@admin:hs.example": {Membership: event.MembershipJoin}, "@bot:hs.example": {Membership: event.MembershipJoin}, "@gone:hs.example": {Membership: event.MembershipLeave},
	}
	r.say("page", "", r.commandPage)
	require.Contains(t, r.bot.said[1], "https://bridge.example/enter/")
	matrix.members["@other:hs.example"] = &event.MemberEventContent{Membership: event.MembershipInvite}
	r.say("page", "", r.commandPage)
	require.NotContains(t, r.bot.said[2], "https://")
}

// TestAuditFileMustBeWritable is a mistake of the configuration that is told at the start.
func TestAuditFileMustBeWritable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(dir, nil, 0o600))
	c := New(Graph{})
	c.Config.Audit.File = filepath.Join(dir, "audit.jsonl")
	var problem *ConfigError
	_, err := c.Config.auditLog(zerolog.Nop(), time.Now)
	require.ErrorAs(t, err, &problem)
	require.Equal(t, "audit.file", problem.Key)
}

// TestPageSaysItWithoutMarks: what the bot says in Markdown is plain on the page.
func TestPageSaysItWithoutMarks(t *testing.T) {
	require.Equal(t, "unavailable since 10:00, until outage end; R&D *secret*", plainMarkdown("**unavailable** since _10:00_, until `outage end`; R&D \\*secret\\*"))
	require.Equal(t, "* one\n* two", plainMarkdown("* one\n* **two**"))
	require.Equal(t, "plain <b>", plainMarkdown("plain <b>"))
}
