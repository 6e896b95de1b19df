package teamstest

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTenantBasics(t *testing.T) {
	w := newWorld(t, Options{PublicURL: "https://teams.example/"})
	require.Equal(t, "https://teams.example", w.URL())
	require.Equal(t, "https://teams.example/v1.0", w.GraphURL())
	path, err := w.CAFile(t.TempDir())
	require.NoError(t, err)
	written, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, w.CAPEM(), written)
	require.Same(t, w.clock, w.Clock())
	require.Same(t, w.team, w.Tenant.Team(w.team.ID))
	require.Equal(t, []*Team{w.team}, w.Teams())
	require.Same(t, w.private, w.team.Channel("Board"))
	require.Same(t, w.private, w.team.Channel(w.private.ID))
	require.Nil(t, w.team.Channel("Nowhere"))
	require.Same(t, w.team, w.private.Team())
	require.Same(t, w.private, w.private.Post(w.ann, Msg{Text: "x"}).Channel())
}

func TestATenantThatRefusesConnections(t *testing.T) {
	w := newWorld(t, Options{})
	w.get(asApp, "/organization").want(http.StatusOK)
	w.server.refuse()
	w.server.refuse()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.GraphURL()+"/organization", nil)
	require.NoError(t, err)
	resp, err := w.client.Do(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	require.Error(t, err)
	require.NoError(t, w.server.accept())
	require.NoError(t, w.server.accept())
	w.get(asApp, "/organization").want(http.StatusOK)
}

func TestTeamsAndChannelsComeAndGo(t *testing.T) {
	w := newWorld(t, Options{NoSystemEvents: true})
	w.private.AddMember(w.ann, w.bob)
	require.Len(t, w.private.Members(), 2)
	w.private.RemoveMember(w.ann, w.bob)
	require.Len(t, w.private.Members(), 1)
	w.private.AddMember(w.ann, w.bob)
	w.team.RemoveMember(w.ann, w.bob)
	require.Len(t, w.private.Members(), 1, "leaving a team means leaving its channels")
	require.Len(t, w.team.Members(), 1)
	w.get(as(w.bob), w.general.messagesPath()).refused(http.StatusForbidden, "Forbidden", "")

	w.private.SetArchived(true)
	w.post(as(w.ann), w.private.messagesPath(), htmlBody("x")).refused(http.StatusForbidden, "Forbidden", "archived")
	require.Equal(t, true, w.get(asApp, w.private.path()).want(http.StatusOK).json["isArchived"])
	w.private.SetArchived(false)

	m := w.private.Post(w.ann, Msg{Text: "kept"})
	w.private.Delete(w.ann)
	w.get(asApp, w.private.messagesPath()).refused(http.StatusNotFound, "NotFound", "")
	w.private.Restore()
	w.get(asApp, w.private.messagesPath()+"/"+m.ID).want(http.StatusOK)

	var kinds []changeKind
	for _, c := range w.takeChanges() {
		kinds = append(kinds, c.Kind)
		require.NotEmpty(t, c.resourceJSON(true))
		require.NotEmpty(t, c.Resource)
	}
	require.Equal(t, []changeKind{
		changeMemberCreated, changeMemberDeleted, changeMemberCreated, changeMemberDeleted, changeMemberDeleted,
		changeChannelUpdated, changeChannelUpdated, changeMessageCreated, changeChannelDeleted, changeChannelCreated,
	}, kinds)
}

// TestThroughTheRealSignIn goes the whole way once, with nothing of the edge
// replaced.
func TestThroughTheRealSignIn(t *testing.T) {
	tenant, err := Start(Options{Clock: NewClock(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC))})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tenant.Close()) })
	demo := tenant.SeedDemo()
	w := &world{T: t, Tenant: tenant, client: tenant.HTTPClient()}
	t.Cleanup(w.client.CloseIdleConnections)

	form := strings.NewReader("grant_type=client_credentials&client_id=" + tenant.App().ClientID +
		"&client_secret=" + strings.NewReplacer("+", "%2B", "/", "%2F", "=", "%3D", "&", "%26").Replace(tenant.App().Secret()) +
		"&scope=" + tenant.URL() + "/.default")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, tenant.URL()+"/"+tenant.TenantID+"/oauth2/v2.0/token", form)
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	token := w.do(req).want(http.StatusOK).json["access_token"].(string)

	require.Len(t, w.all(token, "/teams"), 3)
	require.Len(t, w.all(token, "/users?$top=7"), 30)
	require.NotEmpty(t, w.all(token, "/teams/"+demo.Company.ID+"/channels/getAllMessages"))
	batch := w.post(token, "/$batch", object{"requests": []object{{"id": "1", "method": "GET", "url": "/teams/" + demo.Care.ID + "/allChannels"}}}).want(http.StatusOK)
	require.EqualValues(t, 200, objects(batch.json["responses"])[0]["status"])
	w.post(token, demo.Care.General().messagesPath(), htmlBody("x")).refused(http.StatusPreconditionFailed, "PreconditionFailed", "application-only")
	w.get("rubbish", "/teams").want(http.StatusUnauthorized)
}
