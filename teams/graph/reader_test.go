package graph

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/stretchr/testify/require"
	"teamsbridge/teams"
	"teamsbridge/teams/teamstest"
)

func TestDirectory(t *testing.T) {
	w := newWorld(t, teamstest.Options{Name: "Contoso", PageSize: 2}, unlimited())
	ctx := t.Context()
	for i := range 5 {
		w.sim.AddUser(teamstest.UserSpec{DisplayName: fmt.Sprint("Person ", i), Guest: i == 0, Disabled: i == 1})
		w.sim.AddTeam(teamstest.TeamSpec{DisplayName: fmt.Sprint("Team ", i), Owners: []*teamstest.User{w.ann}})
	}
	name, err := w.client.Organization(ctx)
	require.NoError(t, err)
	require.Equal(t, "Contoso", name)

	list, err := w.client.Teams(ctx)
	require.NoError(t, err)
	require.Len(t, list, 6, "all pages are read")
	team, err := w.client.Team(ctx, w.team.ID)
	require.NoError(t, err)
	require.Equal(t, "Engineering", team.DisplayName)
	require.Equal(t, "We build", team.Description)
	require.False(t, team.Archived)
	require.NotEmpty(t, team.WebURL)
	w.team.SetArchived(w.ann, true)
	team, err = w.client.Team(ctx, w.team.ID)
	require.NoError(t, err)
	require.True(t, team.Archived)
	w.team.SetArchived(w.ann, false)
	_, err = w.client.Team(ctx, "00000000-0000-0000-0000-000000000000")
	require.Equal(t, teams.KindNotFound, teams.KindOf(err))

	channels, err := w.client.Channels(ctx, w.team.ID)
	require.NoError(t, err)
	kinds := map[string]string{}
	for _, ch := range channels {
		require.Equal(t, w.team.ID, ch.TeamID)
		require.Equal(t, ch.DisplayName == "Everything", ch.General)
		require.False(t, ch.Created.IsZero())
		kinds[ch.DisplayName] = ch.MembershipType
	}
	require.Equal(t, map[string]string{"Everything": teams.MembershipStandard, "Releases": teams.MembershipStandard,
		"Secrets": teams.MembershipPrivate, "Partners": teams.MembershipShared}, kinds)

	people, err := w.client.TeamMembers(ctx, w.team.ID)
	require.NoError(t, err)
	require.Len(t, people, 2)
	for _, m := range people {
		require.Equal(t, m.UserID == w.ann.ID, m.IsOwner())
	}
	people, err = w.client.ChannelMembers(ctx, ref(w.private))
	require.NoError(t, err)
	require.Len(t, people, 1)
	require.Equal(t, w.ann.ID, people[0].UserID)

	users, err := w.client.Users(ctx)
	require.NoError(t, err)
	require.Len(t, users, 7)
	byName := map[string]teams.User{}
	for _, u := range users {
		byName[u.DisplayName] = u
	}
	require.Equal(t, "Guest", byName["Person 0"].UserType)
	require.False(t, byName["Person 1"].Enabled)
	require.True(t, byName["Ann Baker"].Enabled)
	require.Equal(t, w.ann.UPN(), byName["Ann Baker"].UPN)
	require.Empty(t, byName["Bob Cook"].Mail)
	one, err := w.client.User(ctx, w.ann.ID)
	require.NoError(t, err)
	require.Equal(t, byName["Ann Baker"], one)

	_, _, err = w.client.UserPhoto(ctx, w.ann.ID)
	require.Equal(t, teams.KindNotFound, teams.KindOf(err))
	w.ann.SetPhoto(png(), "image/png")
	data, typ, err := w.client.UserPhoto(ctx, w.ann.ID)
	require.NoError(t, err)
	require.Equal(t, png(), data)
	require.Equal(t, "image/png", typ)
	w.ann.SetPhoto(make([]byte, maxPhoto+1), "image/png")
	_, _, err = w.client.UserPhoto(ctx, w.ann.ID)
	require.Error(t, err, "4 MiB is the limit")
	_, _, err = w.client.TeamPhoto(ctx, w.team.ID)
	require.Equal(t, teams.KindNotFound, teams.KindOf(err))

	for _, err := range []error{
		second(w.client.Team(ctx, "")), second(w.client.Channels(ctx, "..")), second(w.client.User(ctx, "")),
		second(w.client.Message(ctx, teams.MessageRef{})), second(w.client.List(ctx, teams.ChannelRef{}, "")),
	} {
		require.Equal(t, teams.KindBadRequest, teams.KindOf(err), "no path with a hole")
	}
}

func second[T any](_ T, err error) error { return err }

// all follows a source's pages and the replies that did not fit.
func all(t *testing.T, w *world, ch teams.ChannelRef, next func(link string) (teams.Page, error)) (got []teams.Message, delta string) {
	t.Helper()
	link := ""
	for range 100 {
		page, err := next(link)
		require.NoError(t, err)
		got = append(got, page.Messages...)
		for _, more := range page.MoreReplies {
			for reply := more.Link; reply != ""; {
				page, err := w.client.Replies(t.Context(), more.Root, reply)
				require.NoError(t, err)
				got = append(got, page.Messages...)
				reply = page.NextLink
			}
		}
		if link = page.NextLink; link == "" {
			return got, page.DeltaLink
		}
	}
	t.Fatal("the list does not end")
	return nil, ""
}

func keys(list []teams.Message) map[string]int {
	out := map[string]int{}
	for _, m := range list {
		out[m.Channel.String()+"/"+m.ReplyToID+"/"+m.ID]++
	}
	return out
}

func TestMessageSources(t *testing.T) {
	w := newWorld(t, teamstest.Options{PageSize: 3, ExpandLimit: 2, UnevenPages: true}, unlimited())
	ctx := t.Context()
	want := map[string]int{}
	for i := range 10 {
		root := w.channel.Post(w.ann, teamstest.Msg{HTML: fmt.Sprintf("<p>post %d</p>", i)})
		want[ref(w.channel).String()+"//"+root.State().ID] = 1
		for range i % 5 {
			reply := root.Reply(w.bob, teamstest.Msg{Text: "reply"})
			want[ref(w.channel).String()+"/"+root.State().ID+"/"+reply.State().ID] = 1
		}
	}
	listed, _ := all(t, w, ref(w.channel), func(link string) (teams.Page, error) { return w.client.List(ctx, ref(w.channel), link) })
	require.Equal(t, want, keys(listed))

	changed, link := all(t, w, ref(w.channel), func(link string) (teams.Page, error) {
		return w.client.Delta(ctx, ref(w.channel), time.Time{}, link)
	})
	seen := keys(changed)
	for key := range want {
		require.Contains(t, seen, key)
	}
	require.Len(t, seen, len(want), "a delta may repeat, but not lose or invent")
	require.NotEmpty(t, link)

	since := time.Now().Add(-time.Hour)
	exported, _ := all(t, w, ref(w.channel), func(link string) (teams.Page, error) { return w.client.ExportTeam(ctx, w.team.ID, since, link) })
	require.Equal(t, want, keys(exported))

	late := w.channel.Post(w.bob, teamstest.Msg{HTML: "late"})
	changed, _ = all(t, w, ref(w.channel), func(next string) (teams.Page, error) {
		if next == "" {
			next = link
		}
		return w.client.Delta(ctx, ref(w.channel), time.Time{}, next)
	})
	require.Contains(t, keys(changed), ref(w.channel).String()+"//"+late.State().ID)

	last := late.State()
	exported, _ = all(t, w, ref(w.channel), func(link string) (teams.Page, error) {
		return w.client.ExportTeam(ctx, w.team.ID, last.Modified.Add(-time.Millisecond), link)
	})
	require.Len(t, exported, 1)
	m, err := w.client.Message(ctx, exported[0].Ref())
	require.NoError(t, err)
	require.Equal(t, exported[0].ETag, m.ETag)
	require.Equal(t, w.bob.ID, m.From.ID)
	for _, m := range listed {
		if m.ReplyToID != "" {
			got, err := w.client.Message(ctx, m.Ref())
			require.NoError(t, err)
			require.Equal(t, m.Ref(), got.Ref())
			break
		}
	}
	require.Empty(t, w.sim.Violations(teamstest.ViolationTokenLeak))
}

func TestSourcesThatAreRefused(t *testing.T) {
	w := newWorld(t, teamstest.Options{}, unlimited())
	ctx := t.Context()
	w.channel.Post(w.ann, teamstest.Msg{HTML: "x"})
	_, link := all(t, w, ref(w.channel), func(link string) (teams.Page, error) {
		return w.client.Delta(ctx, ref(w.channel), time.Time{}, link)
	})
	require.NotEmpty(t, link)
	for kind, want := range map[teamstest.FaultKind]teams.Kind{
		teamstest.FaultDeltaGone:         teams.KindGone,
		teamstest.FaultSyncStateNotFound: teams.KindGone,
		teamstest.FaultDeltaRefused:      teams.KindBadRequest,
	} {
		w.sim.Faults().Add(teamstest.Fault{Kind: kind, Times: 1})
		_, err := w.client.Delta(ctx, ref(w.channel), time.Time{}, link)
		require.Equal(t, want, teams.KindOf(err), kind)
		if kind == teamstest.FaultDeltaGone {
			var e *teams.Error
			require.ErrorAs(t, err, &e)
			require.NotEmpty(t, e.Location)
		}
	}
	w.sim.App().RevokeRoles("ChannelMessage.Read.All")
	w.sim.ExpireTokens()
	_, err := w.client.List(ctx, ref(w.channel), "")
	require.Equal(t, teams.KindPermission, teams.KindOf(err))
	var e *teams.Error
	require.ErrorAs(t, err, &e)
	require.Contains(t, e.Hint, "ChannelMessage.Read.All")
	require.NotEmpty(t, e.RequestID)
}

func TestHostedContent(t *testing.T) {
	w := newWorld(t, teamstest.Options{}, unlimited())
	ctx := t.Context()
	w.channel.Post(w.ann, teamstest.Msg{HTML: `<p><img src="../hostedContents/pic/$value"></p>`,
		Images: []teamstest.Image{{Name: "pic", ContentType: "image/png", Data: png()}}})
	page, err := w.client.List(ctx, ref(w.channel), "")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(page.Messages[0].Body, `src="`)
	require.True(t, ok)
	address, _, _ := strings.Cut(rest, `"`)
	hosted, ok := teams.ParseHostedContentURL(address)
	require.True(t, ok, address)
	require.Equal(t, page.Messages[0].Ref(), hosted)
	body, typ, err := w.client.HostedContent(ctx, address)
	require.NoError(t, err)
	data, err := io.ReadAll(body)
	require.NoError(t, err)
	require.NoError(t, body.Close())
	require.Equal(t, png(), data)
	require.Equal(t, "image/png", typ)

	before := w.sim.CountRequests(func(teamstest.Request) bool { return true })
	for _, bad := range []string{
		strings.Replace(address, "https://", "https://evil.example/?", 1),
		strings.Replace(address, "https://", "http://", 1),
		"https://evil.example/v1.0/teams/T/channels/C/messages/1/hostedContents/x/$value",
		w.sim.GraphURL() + "/users/" + w.ann.ID,
		w.sim.GraphURL() + "/teams/" + w.team.ID + "/channels/" + w.channel.ID + "/messages",
		"://", "",
	} {
		_, _, err := w.client.HostedContent(ctx, bad)
		require.Equal(t, teams.KindForeignHost, teams.KindOf(err), bad)
	}
	require.Equal(t, before, w.sim.CountRequests(func(teamstest.Request) bool { return true }), "nothing was sent")

	w.sim.Faults().Add(teamstest.Fault{Match: teamstest.Match{Op: teamstest.OpHostedContent}, Kind: teamstest.FaultCut, Times: 1})
	body, _, err = w.client.HostedContent(ctx, address)
	if err == nil {
		_, err = io.ReadAll(body)
		require.NoError(t, body.Close())
	}
	require.Equal(t, teams.KindUnavailable, teams.KindOf(err))
}

func TestTokens(t *testing.T) {
	w := newWorld(t, teamstest.Options{}, unlimited())
	ctx := t.Context()
	_, err := w.client.Organization(ctx)
	require.NoError(t, err)
	w.sim.ExpireTokens()
	_, err = w.client.Organization(ctx)
	require.NoError(t, err, "a token that Graph no longer takes is replaced")
	w.sim.Faults().Add(teamstest.Fault{Match: teamstest.Match{Service: teamstest.ServiceGraph}, Kind: teamstest.FaultClaimsChallenge, Times: 1})
	_, err = w.client.Organization(ctx)
	require.NoError(t, err, "a claims challenge is answered")
	stuck := w.sim.Faults().Add(teamstest.Fault{Match: teamstest.Match{Service: teamstest.ServiceGraph}, Kind: teamstest.FaultClaimsChallenge})
	_, err = w.client.Organization(ctx)
	require.Equal(t, teams.KindSignInExpired, teams.KindOf(err))
	stuck.Clear()

	wrong, err := New(Options{Endpoints: w.endpoints, Credential: w.newApp(t, "not the secret"), HTTP: w.http, TenantID: w.sim.TenantID})
	require.NoError(t, err)
	_, err = wrong.Organization(ctx)
	var e *teams.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, teams.KindSignInExpired, e.Kind)
	require.Contains(t, e.Hint, "client secret")
}

func TestGraphIsDown(t *testing.T) {
	w := newWorld(t, teamstest.Options{}, unlimited())
	_, err := w.client.Organization(t.Context())
	require.NoError(t, err)
	for _, mode := range []teamstest.DownMode{teamstest.DownUnavailable, teamstest.DownHTML, teamstest.DownRefuse} {
		w.sim.Down(mode)
		_, err := w.client.Teams(t.Context())
		require.Equal(t, teams.KindUnavailable, teams.KindOf(err), "%s: %v", mode, err)
		require.NoError(t, w.sim.Up())
		require.Eventually(t, func() bool { return second(w.client.Teams(t.Context())) == nil }, 30*time.Second, 50*time.Millisecond)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	w := newWorld(t, teamstest.Options{}, unlimited())
	for _, o := range []Options{
		{Endpoints: w.endpoints, HTTP: w.http},
		{Endpoints: w.endpoints, Credential: w.app},
		{Credential: w.app, HTTP: w.http},
	} {
		_, err := New(o)
		require.Error(t, err)
	}
	require.Equal(t, teams.KindUnknown, teams.KindOf(typed(errors.New("x"))))
}

func TestCertificateSignIn(t *testing.T) {
	w := newWorld(t, teamstest.Options{}, unlimited())
	cert, key, err := w.sim.App().NewCertificate()
	require.NoError(t, err)
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(certFile, cert, 0o600))
	require.NoError(t, os.WriteFile(keyFile, key, 0o600))
	app, err := teams.NewAppCredential(teams.AppConfig{Endpoints: w.endpoints, TenantID: w.sim.TenantID, ClientID: w.sim.App().ClientID,
		CertificateFile: certFile, KeyFile: keyFile, HTTP: w.http})
	require.NoError(t, err)
	client, err := New(Options{Endpoints: w.endpoints, Credential: app, HTTP: w.http, TenantID: w.sim.TenantID})
	require.NoError(t, err)
	_, err = client.Organization(t.Context())
	require.NoError(t, err)

	w.sim.App().RemoveCertificates()
	require.True(t, app.Invalidate(first(app.GetToken(t.Context(), policy.TokenRequestOptions{})).Token))
	_, err = client.Organization(t.Context())
	var e *teams.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, teams.KindSignInExpired, e.Kind)
	require.Contains(t, e.Hint, "certificate")
}

func first[T any](v T, _ error) T { return v }
