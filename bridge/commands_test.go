package bridge

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/bridgev2/commands"

	vitals "teamsbridge/bridge/health"
	"teamsbridge/database"
	"teamsbridge/matrix"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

func TestArguments(t *testing.T) {
	for _, tc := range []struct{ message, want string }{
		{`mirror Sales`, "Sales"},
		{`mirror  Sales EMEA/Leads 2026 `, "Sales EMEA/Leads 2026"},
		{`mirror "Sales EMEA"`, "Sales EMEA"},
		{`mirror "Sales EMEA"/"Leads 2026"`, "Sales EMEA/Leads 2026"},
		{`mirror “Sales EMEA”`, "Sales EMEA"},
		{`mirror The 5" screen team`, `The 5" screen team`},
		{`mirror`, ""},
		{`MIRROR Sales`, "Sales"},
		{`mirror mirror`, "mirror"},
	} {
		fields := strings.Fields(tc.message)
		command := strings.ToLower(fields[0])
		// As the framework takes a message apart.
		ce := &commands.Event{Command: command, Args: fields[1:], RawArgs: strings.TrimLeft(strings.TrimPrefix(tc.message, command), " ")}
		require.Equal(t, tc.want, arguments(ce), tc.message)
	}
}

func conversations() []database.Conversation {
	return []database.Conversation{
		{Portal: "t:1", Kind: database.ConversationTeam, TeamID: "1", Name: "Sales EMEA", State: database.ConversationMirrored},
		{Portal: "c:1/a", Kind: database.ConversationChannel, TeamID: "1", ChannelID: "a", Name: "General", Membership: "standard", State: database.ConversationMirrored},
		{Portal: "c:1/b", Kind: database.ConversationChannel, TeamID: "1", ChannelID: "b", Name: "R&D *secret*", Membership: "private",
			State: database.ConversationExcluded, Reason: `teams.channels does not name it`},
		{Portal: "t:2", Kind: database.ConversationTeam, TeamID: "2", Name: "IT/Operations", State: database.ConversationExcluded, Reason: "teams.include does not name it"},
		{Portal: "t:3", Kind: database.ConversationTeam, TeamID: "3", Name: "Care", State: database.ConversationRefused, Reason: "permission missing"},
	}
}

func TestListsSayWhatIsMirroredAndWhy(t *testing.T) {
	views := teamViews(conversations())
	text := teamsText(texts.Texts{}, views, true)
	require.Contains(t, text, "**3 teams**")
	require.Contains(t, text, "* **Sales EMEA** – mirrored (1 of 2 channels)")
	require.Contains(t, text, "* **IT/Operations** – not mirrored: teams.include does not name it")
	require.Contains(t, text, "Graph refuses: permission missing")
	require.Less(t, strings.Index(text, "Care"), strings.Index(text, "IT/"), "sorted by name")
	text = channelsText(texts.Texts{}, views)
	require.Contains(t, text, "* General (standard) – mirrored")
	require.Contains(t, text, `R&D \*secret\* (private) – not mirrored: teams.channels does not name it`, "a name is no markup")
}

func TestStaffSeeWhatIsTheirs(t *testing.T) {
	all := teamViews(conversations())
	require.Len(t, visible(all, seen{all: true}), 3)
	views := visible(all, seen{ids: map[string]bool{"c:1/a": true}})
	require.Len(t, views, 1)
	require.Len(t, views[0].channels, 1)
	require.Equal(t, "General", views[0].channels[0].Name)
	require.NotContains(t, channelsText(texts.Texts{}, views), "secret")
	require.Equal(t, "You are in no mirrored team.", teamsText(texts.Texts{}, visible(all, seen{}), false))
}

func TestNamesAreFoundAndNearOnesOffered(t *testing.T) {
	views := teamViews(conversations())
	for _, name := range []string{"sales emea", "1", "Sales EMEA"} {
		view, _ := findTeam(views, name)
		require.NotNil(t, view, name)
		require.Equal(t, "1", view.team.TeamID)
	}
	view, near := findTeam(views, "Sale EMEA")
	require.Nil(t, view)
	require.Equal(t, []string{"Sales EMEA"}, near)
	_, near = findTeam(views, "sales")
	require.Equal(t, []string{"Sales EMEA"}, near)
	_, near = findTeam(views, "Completely different")
	require.Empty(t, near)
	require.Equal(t, "There is no team called “Sale EMEA”, or more than one. Did you mean “Sales EMEA”?", unknownText(texts.Texts{}, unknownTeam, "Sale EMEA", []string{"Sales EMEA"}))
	twins := append(conversations(), database.Conversation{Portal: "t:4", Kind: database.ConversationTeam, TeamID: "4", Name: "Sales EMEA"})
	view, near = findTeam(teamViews(twins), "Sales EMEA")
	require.Nil(t, view, "two teams of one name are told apart by id")
	require.ElementsMatch(t, []string{"1", "4"}, near)
}

func TestNamesWithSlashes(t *testing.T) {
	require.Equal(t, [][2]string{{"IT/Operations/On call", ""}, {"IT", "Operations/On call"}, {"IT/Operations", "On call"}}, splits("IT/Operations/On call"))
	require.Equal(t, [][2]string{{"/", ""}}, splits("/"))
}

func TestStatusText(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	rec := database.Outage{Kind: database.OutageDetected, Cause: string(vitals.EgressDown), Detail: "GET team: unavailable", Began: now.Add(-time.Hour)}
	s := &statusReport{
		now: now, version: "v1", tenant: "Contoso (id)", up: 90 * time.Minute, known: true, down: true,
		outage: &rec, outages: []outageLine{{Outage: rec, total: tally{delivered: 2, waiting: 3}}}, teams: 2, channels: 1,
		outbox:     database.Stats{ByState: map[string]int{database.StateQueued: 3}, Oldest: now.Add(-10 * time.Minute)},
		redactions: matrix.RedactionState{Source: matrix.RedactionsSync, Homeserver: "Dendrite 0.15.2", Waiting: 4, LastError: "refused"},
		poller:     teams.PollerStatus{Scopes: map[string]int{"export": 2}},
		expired:    []database.Account{{UPN: "ann@corp.example", Kind: "user", Reason: "revoked"}}, webhook: true,
		subscriptions: []teams.SubscriptionState{{Resource: "/teams/getAllMessages", Status: teams.SubscriptionForbidden, LastError: "consent"}},
	}
	text := s.adminText(texts.Texts{})
	for _, want := range []string{"**unavailable** since 2026-11-23 11:00 UTC. Neither Microsoft Teams nor the sign-in service is reachable from here: they are unreachable over this network \\(GET team: unavailable\\). Look at this machine's way out", "5 messages, 2 delivered, 3 waiting", "2 teams, 1 channel", "3 queued", "the oldest for 10 minutes",
		"followed by sync (Dendrite 0.15.2); waiting for their events: 4", "redaction feed: refused", "export 2", "0 of 1 active", "permission missing consent", "There is no relay account", "ann@corp.example", "goes on"} {
		require.Contains(t, text, want)
	}
	require.NotContains(t, s.staffText(texts.Texts{}), "ann@corp.example")
	require.Contains(t, s.staffText(texts.Texts{}), "3 messages")
}

func TestDurations(t *testing.T) {
	require.Equal(t, "1 second", spokenFor(texts.Texts{}, time.Second))
	require.Equal(t, "90 minutes", spokenFor(texts.Texts{}, 90*time.Minute))
	require.Equal(t, "3 days", spokenFor(texts.Texts{}, 80*time.Hour))
}
