package e2e

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/bridge/check"
	"teamsbridge/bridge/plan"
	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// settings are settings of the config file.
type settings = map[string]any

// network are settings of the config's network section.
func network(s settings) settings { return settings{"network": s} }

// broken is an installation with one thing wrong.
type broken struct {
	settings settings
	// breaks changes something outside of the config and returns how to undo it.
	breaks func() (mend func())
	args   []string
	// want are the codes of the errors and, with a ? in front, of the warnings.
	want []string
	// says is a part of the one finding that matters.
	says string
	// plan is a part of what plan says where it can't be made.
	plan string
}

// `check` finds nothing to complain of in an installation that works, and in
// each of those that do not the one thing that is wrong.
func TestCheck(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{})
	o.Tenant.AddTeam(teamstest.TeamSpec{DisplayName: "Sales", Owners: []*teamstest.User{o.ada}})
	o.team.AddChannel(teamstest.ChannelSpec{DisplayName: "Secret", Kind: teamstest.Private, Members: []*teamstest.User{o.ada}})
	require.NoError(t, o.Bridge.Configure(network(settings{"teams": settings{"include": []string{"Engineering"}}})))
	relay := o.runRelayed()
	registration := filepath.Join(o.Bridge.Dir, "registration.yaml")

	t.Run("while the bridge runs", func(t *testing.T) {
		findings, code := o.check(t, nil, "-r", registration)
		require.Empty(t, complaints(findings), findings)
		require.Equal(t, check.ExitRight, code)
		require.Contains(t, codes(findings), "database.running")
		require.Contains(t, codes(findings), "webhook.handshake")
	})
	o.Bridge.Stop()
	before := len(o.Tenant.Subscriptions())
	findings, code := o.check(t, nil, "-r", registration)
	require.Empty(t, complaints(findings), findings)
	require.Equal(t, check.ExitRight, code)
	require.Len(t, o.Tenant.Subscriptions(), before, "the subscription of the check is deleted again")

	app := o.Tenant.App()
	revoke := func(role string) func() func() {
		return func() func() {
			app.RevokeRoles(role)
			return func() { app.GrantRoles(role) }
		}
	}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "hello") }))
	defer elsewhere.Close()
	closed := func() string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer ln.Close()
		return ln.Addr().String()
	}()
	occupy := func(port int) func() func() {
		return func() func() {
			ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			require.NoError(t, err)
			return func() { _ = ln.Close() }
		}
	}
	file := func(name, content string) string {
		path := filepath.Join(o.Bridge.Dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	otherRegistration := file("other.yaml", "id: teams\nas_token: other\nhs_token: other\nurl: http://127.0.0.1:1\n")
	limited := func() string {
		data, err := os.ReadFile(registration)
		require.NoError(t, err)
		return file("limited.yaml", strings.Replace(string(data), "rate_limited: false", "rate_limited: true", 1))
	}()
	expired := file("expired.pem", expiredCertificate(t))
	uri := func(path string) settings {
		return settings{"database": settings{"uri": "file:" + path + "?_txlock=immediate"}}
	}
	domain := o.Homeserver.ServerName()
	nobody := settings{}
	for _, u := range []*teamstest.User{o.ada, o.ben, o.cleo, relay} {
		nobody[u.UPN()] = ""
	}

	// inDatabase changes the bridge's database, and takes that back.
	inDatabase := func(change, back string) func() func() {
		run := func(statement string) {
			db, err := sql.Open("sqlite3", "file:"+o.Bridge.DatabasePath())
			require.NoError(t, err)
			defer db.Close()
			_, err = db.ExecContext(o.ctx, statement)
			require.NoError(t, err)
		}
		return func() func() {
			run(change)
			return func() { run(back) }
		}
	}
	one := "@one:" + domain

	for name, c := range map[string]broken{
		"unknown key":            {settings: network(settings{"wehbook": settings{"enabled": true}}), want: []string{"?config.unknown-key"}, says: "network.wehbook"},
		"a list for a text":      {settings: network(settings{"language": []string{"de"}}), want: []string{"?config.shape"}, says: "network.language"},
		"no duration":            {settings: network(settings{"poller": settings{"interval": "often"}}), plan: "cannot unmarshal", want: []string{"config.value"}, says: "cannot unmarshal"},
		"two wrong values":       {settings: network(settings{"history": -1, "language": "tlh"}), plan: "network.history is negative", want: []string{"config.value", "config.value"}, says: "network.history is negative"},
		"nobody is permitted":    {settings: settings{"bridge": settings{"permissions": stack.Whole(settings{"example.com": "user"})}}, want: []string{"config.framework"}, says: "bridge.permissions"},
		"database: type":         {settings: settings{"database": settings{"type": "mysql"}}, plan: "database.type", want: []string{"database.type"}},
		"database: no folder":    {settings: uri("/nowhere/at/all.db"), plan: "can't be written to", want: []string{"database.folder"}},
		"database: in memory":    {settings: settings{"database": settings{"uri": "file::memory:"}}, want: []string{"database.memory"}},
		"database: damaged":      {settings: uri(file("damaged.db", "this is no database, but it is long enough to be one")), plan: "can't be opened", want: []string{"database.open"}},
		"database: not synced":   {settings: settings{"database": settings{"type": "sqlite3-fk-wal"}}, want: []string{"?database.sync"}},
		"database: no server":    {settings: settings{"database": settings{"type": "postgres", "uri": "postgres://u:secret@" + closed + "/db?sslmode=disable"}}, plan: "can't be opened", want: []string{"database.open"}},
		"homeserver: nobody":     {settings: settings{"homeserver": settings{"address": "http://" + closed}}, want: []string{"homeserver.unreachable"}},
		"homeserver: another":    {settings: settings{"homeserver": settings{"address": elsewhere.URL}}, want: []string{"homeserver.no-homeserver"}},
		"homeserver: as_token":   {settings: settings{"appservice": settings{"as_token": "another"}}, want: []string{"homeserver.registration"}},
		"homeserver: hs_token":   {settings: settings{"appservice": settings{"hs_token": "another"}}, args: []string{"-r", registration}, want: []string{"homeserver.registration-file"}, says: "hs_token"},
		"homeserver: domain":     {settings: settings{"homeserver": settings{"domain": "elsewhere.example"}, "double_puppet": settings{"secrets": stack.Whole(nil)}}, want: []string{"homeserver.domain"}},
		"homeserver: other file": {args: []string{"-r", otherRegistration}, want: []string{"homeserver.registration-file"}, says: "as_token"},
		"homeserver: limits":     {args: []string{"-r", limited}, want: []string{"?homeserver.rate-limited"}},
		"homeserver: port":       {breaks: occupy(o.Bridge.Port), want: []string{"homeserver.listen"}},
		"puppets: not set up":    {settings: settings{"double_puppet": settings{"secrets": stack.Whole(nil)}}, want: []string{"?homeserver.puppets"}},
		"puppets: wrong token":   {settings: settings{"double_puppet": settings{"secrets": settings{domain: "as_token:another"}}}, want: []string{"homeserver.puppets"}},
		"sign-in: secret":        {settings: network(settings{"client_secret": "another"}), plan: "7000215", want: []string{"sign-in.refused"}, says: "secret"},
		"sign-in: tenant":        {settings: network(settings{"tenant_id": "00000000-0000-0000-0000-00000000dead"}), plan: "sign-in", want: []string{"sign-in.refused"}, says: "tenant"},
		"sign-in: application":   {settings: network(settings{"client_id": "00000000-0000-0000-0000-00000000dead"}), want: []string{"sign-in.refused"}, says: "network.client_id"},
		"sign-in: no service":    {settings: network(settings{"endpoints": settings{"login": "https://" + closed}}), plan: "sign-in", want: []string{"sign-in.refused"}, says: "way out"},
		"sign-in: expired":       {settings: network(settings{"client_secret": "", "certificate_file": expired}), want: []string{"sign-in.certificate", "sign-in.refused"}},
		"no ChannelMessage":      {breaks: revoke("ChannelMessage.Read.All"), want: []string{"permissions.ChannelMessage.Read.All", "webhook.forbidden"}, says: "adminconsent?client_id="},
		"no Team":                {breaks: revoke("Team.ReadBasic.All"), plan: "Team.ReadBasic.All", want: []string{"permissions.Team.ReadBasic.All"}},
		"no Channel":             {breaks: revoke("Channel.ReadBasic.All"), want: []string{"permissions.Channel.ReadBasic.All"}},
		"no TeamMember":          {breaks: revoke("TeamMember.Read.All"), want: []string{"permissions.TeamMember.Read.All"}},
		"no ChannelMember":       {breaks: revoke("ChannelMember.Read.All"), want: []string{"permissions.ChannelMember.Read.All"}},
		"no User":                {breaks: revoke("User.Read.All"), plan: "User.ReadBasic.All", want: []string{"permissions.User.Read.All"}},
		"no Files":               {breaks: revoke("Files.Read.All"), want: []string{"permissions.Files.Read.All"}},
		"too much": {breaks: func() func() {
			app.GrantRoles("Group.ReadWrite.All")
			return func() { app.RevokeRoles("Group.ReadWrite.All") }
		}, want: []string{"?permissions.superfluous"}, says: "Group.ReadWrite.All"},
		"selection: no match":    {settings: network(settings{"teams": settings{"include": []string{"Engineering", "Enginering 2"}}}), want: []string{"?selection.no-match"}, says: "Enginering 2"},
		"selection: nothing":     {settings: network(settings{"teams": settings{"include": []string{"Nothing"}}}), want: []string{"?selection.no-match", "selection.nothing"}},
		"webhook: port":          {breaks: occupy(o.Bridge.WebhookPort), want: []string{"webhook.listen"}},
		"webhook: other machine": {settings: network(settings{"webhook": settings{"public_url": elsewhere.URL}}), want: []string{"webhook.proxy"}},
		"webhook: not reached":   {settings: network(settings{"webhook": settings{"public_url": "http://" + closed}}), want: []string{"webhook.handshake"}},
		"webhook: unknown name":  {settings: network(settings{"webhook": settings{"public_url": "https://nowhere.invalid"}}), want: []string{"webhook.name|webhook.handshake"}},
		"mapping: no template":   {settings: network(settings{"mapping": settings{"template": "{{.Local}}!"}}), want: []string{"config.value"}, says: "mapping.template"},
		"mapping: nobody":        {settings: network(settings{"mapping": settings{"overrides": nobody}}), want: []string{"mapping.nobody"}, says: "excluded by mapping.overrides"},
		"sign-in: secret's date": {settings: network(settings{"client_secret_expires": "2020-01-31"}), want: []string{"sign-in.secret"}, says: "has expired on 2020-01-31"},
		"database: newer": {breaks: inDatabase(`UPDATE teams_version SET version=version+1000, compat=version+1000`, `UPDATE teams_version SET version=version-1000, compat=compat-1000`),
			want: []string{"database.newer"}, says: "run that version"},
		"mapping: two with one": {settings: network(settings{"mapping": settings{"overrides": settings{o.ada.UPN(): one, o.ben.UPN(): one}}}), want: []string{"?mapping.same-account"}, says: "get none"},
		"relay: none":           {settings: uri(filepath.Join(o.Bridge.Dir, "fresh.db")), want: []string{"?relay.none"}, says: "relay login"},
		"relay: signed out": {breaks: inDatabase(`UPDATE teams_account SET state='expired'`, `UPDATE teams_account SET state='ok'`),
			want: []string{"?relay.signed-out", "?relay.none"}, says: relay.UPN()},
		"relay: not a member": {settings: network(settings{"teams": settings{"include": []string{"*"}}}), want: []string{"?relay.no-member"}, says: "Sales"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.breaks != nil {
				defer c.breaks()()
			}
			findings, code := o.check(t, c.settings, c.args...)
			got := complaints(findings)
			requireCodes(t, c.want, got, findings)
			wrong := check.ExitDoubt
			for _, g := range got {
				if !strings.HasPrefix(g, "?") {
					wrong = check.ExitWrong
				}
			}
			if len(got) > 0 {
				require.Equal(t, wrong, code)
			}
			all := fmt.Sprint(findings)
			require.Contains(t, all, c.says)
			for _, f := range findings {
				require.True(t, f.Status != check.Wrong && f.Status != check.Doubt || f.Fix != "", "%s says how to mend it", f.Code)
			}
			require.NotContains(t, all, app.Secret())
			require.NotContains(t, all, "u:secret")
			if c.plan != "" {
				_, errOut, code, err := o.Bridge.Subcommand(o.ctx, c.settings, "plan")
				require.NoError(t, err)
				require.Equal(t, plan.ExitFailed, code)
				require.Contains(t, errOut, c.plan)
				require.NotContains(t, errOut, app.Secret())
			}
		})
	}

	t.Run("for people", func(t *testing.T) {
		out, _, code, err := o.Bridge.Subcommand(o.ctx, network(settings{"client_secret": "another"}), "check")
		require.NoError(t, err)
		require.Equal(t, check.ExitWrong, code)
		require.Contains(t, out, "ERROR    sign-in")
		require.Contains(t, out, "1 error to mend, 0 warnings.")
		_, errOut, code, err := o.Bridge.Subcommand(o.ctx, nil, "check", "--nonsense")
		require.NoError(t, err)
		require.Equal(t, 2, code)
		require.Contains(t, errOut, "teamsbridge check")
	})
}

// `plan` says what the bridge then does.
func TestPlan(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{})
	steps, code := o.plan(t)
	require.Equal(t, plan.ExitChanges, code)
	require.Equal(t, 1, steps.Count(plan.CreateSpace))
	require.Equal(t, 1, steps.Count(plan.CreateRoom))
	require.Equal(t, 6, steps.Count(plan.Join), "three people into a space and a room: %v", steps)
	require.NoFileExists(t, o.Bridge.DatabasePath())
	o.run()
	settled := func(ctx context.Context) error {
		if steps, code := o.plan(t); code != plan.ExitNothing {
			return fmt.Errorf("there is still to do: %v", steps)
		}
		return nil
	}
	o.until("everything is done", settled)

	o.Bridge.Stop()
	news := o.team.AddChannel(teamstest.ChannelSpec{DisplayName: "News"})
	o.team.RemoveMember(o.ada, o.cleo)
	o.general.SetDescription(o.ada, "What we talk about")
	steps, code = o.plan(t)
	require.Equal(t, plan.ExitChanges, code)
	var what []string
	for _, s := range steps.Steps {
		what = append(what, fmt.Sprintf("%s %s %s", s.Verb, s.Channel, s.Person))
	}
	ada, ben, cleo := o.UserID(stack.Localpart(o.ada)).String(), o.UserID(stack.Localpart(o.ben)).String(), o.UserID(stack.Localpart(o.cleo)).String()
	require.ElementsMatch(t, []string{"create-room News ", "join News " + ada, "join News " + ben, "leave  " + cleo, "leave General " + cleo, "update General "}, what)
	o.run()
	o.until("that is done, too", settled)
	o.room(o.as(stack.Localpart(o.ben)), news)
	out, _, _, err := o.Bridge.Subcommand(o.ctx, network(settings{"teams": settings{"exclude": []string{"Engineering"}}}), "plan", "--people")
	require.NoError(t, err)
	require.Contains(t, out, "- Engineering / News  let go")
}

// plan runs `plan --json`.
func (o *office) plan(t *testing.T) (*plan.Plan, int) {
	t.Helper()
	out, errOut, code, err := o.Bridge.Subcommand(o.ctx, nil, "plan", "--json")
	require.NoError(t, err)
	require.NotEqual(t, plan.ExitFailed, code, errOut)
	p := &plan.Plan{}
	require.NoError(t, json.Unmarshal([]byte(out), p), out)
	return p, code
}

// check runs `check --json`.
func (o *office) check(t *testing.T, changed settings, args ...string) ([]check.Finding, int) {
	t.Helper()
	out, errOut, code, err := o.Bridge.Subcommand(o.ctx, changed, "check", append(args, "--json")...)
	require.NoError(t, err)
	var report struct {
		OK       bool
		Findings []check.Finding
	}
	require.NoError(t, json.Unmarshal([]byte(out), &report), "%s\n%s", out, errOut)
	require.Equal(t, code != check.ExitWrong, report.OK)
	return report.Findings, code
}

// complaints are the codes of errors and, with a ? in front, of warnings.
func complaints(findings []check.Finding) (out []string) {
	for _, f := range findings {
		switch f.Status {
		case check.Wrong:
			out = append(out, f.Code)
		case check.Doubt:
			out = append(out, "?"+f.Code)
		}
	}
	return out
}

func codes(findings []check.Finding) (out []string) {
	for _, f := range findings {
		out = append(out, f.Code)
	}
	return out
}

// requireCodes compares codes; one wanted may be several with | between.
func requireCodes(t *testing.T, want, got []string, findings []check.Finding) {
	t.Helper()
	left := got
	for _, w := range want {
		found := false
		for _, one := range strings.Split(w, "|") {
			if i := slices.Index(left, one); i >= 0 && !found {
				left, found = slices.Delete(slices.Clone(left), i, i+1), true
			}
		}
		require.True(t, found, "%s is not among %v: %v", w, got, findings)
	}
	require.Empty(t, left, "%v", findings)
}

// expiredCertificate is a key and a certificate for it that has expired.
func expiredCertificate(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})) + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}
