package bridge

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/bridgev2/bridgeconfig"
	"maunium.net/go/mautrix/bridgev2/matrix/mxmain"

	"teamsbridge/bridge/check"
)

// A homeserver that makes rooms in which nobody can be let in from a space is found
// before any is made, and only where it matters.
func TestCheckOfRoomVersions(t *testing.T) {
	answer := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "Bearer as", r.Header.Get("Authorization"))
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	findings := func(rooms RoomsConfig, answers string) map[string]check.Status {
		answer = answers
		c := New(Graph{})
		c.Config.Rooms = rooms
		c.main = &mxmain.BridgeMain{Config: &bridgeconfig.Config{}}
		c.main.Config.AppService.ASToken = "as"
		report := &check.Report{}
		c.checkRooms(t.Context(), &homeserverProbe{base: server.URL, http: server.Client()}, report.Area("homeserver"))
		out := map[string]check.Status{}
		for _, f := range report.Findings {
			out[f.Code] = f.Status
		}
		return out
	}
	old := `{"capabilities":{"m.room_versions":{"default":"6"}}}`
	team := RoomsConfig{Join: JoinAll, JoinRule: JoinRuleAuto, Teams: map[string]TeamRoomsConfig{"Big *": {Join: JoinSpace}}}
	require.Empty(t, findings(RoomsConfig{Join: JoinAll, JoinRule: JoinRuleAuto}, old))
	require.Equal(t, map[string]check.Status{"homeserver.room-version": check.Doubt}, findings(RoomsConfig{Join: JoinActive}, old))
	require.Equal(t, map[string]check.Status{"homeserver.room-version": check.Doubt}, findings(team, old))
	require.Equal(t, map[string]check.Status{"homeserver.room-version": check.Right}, findings(team, `{"capabilities":{"m.room_versions":{"default":"11"}}}`))
	require.Equal(t, map[string]check.Status{"homeserver.room-version": check.Skipped}, findings(team, `{}`))
}
