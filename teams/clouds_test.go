package teams

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func mustURL(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	return u
}

func TestCloud(t *testing.T) {
	for _, name := range append(CloudNames(), "", "GCCH") {
		e, err := Cloud(name)
		require.NoError(t, err)
		require.Equal(t, e.Graph+"/.default", e.Scope)
		require.True(t, e.AllowsToken(mustURL(t, e.Root()+"/teams")))
		require.True(t, e.IsLogin(mustURL(t, e.TokenURL("t"))))
	}
	e, err := Cloud("dod")
	require.NoError(t, err)
	require.Equal(t, "https://login.microsoftonline.us/t%2Fx/oauth2/v2.0/token", e.TokenURL("t/x"))
	require.Contains(t, e.DelegatedScopes(), "https://dod-graph.microsoft.us/ChannelMessage.Send")
	_, err = Cloud("mars")
	require.ErrorContains(t, err, "network.cloud")
}

func TestResolveEndpoints(t *testing.T) {
	e, err := ResolveEndpoints("global", "https://127.0.0.1:8443/", "https://127.0.0.1:8443/v1.0/", []string{"Graph.Example"})
	require.NoError(t, err)
	require.Equal(t, "https://127.0.0.1:8443", e.Login)
	require.Equal(t, "https://127.0.0.1:8443/v1.0", e.Root())
	require.Equal(t, "https://127.0.0.1:8443/.default", e.Scope)
	require.Equal(t, []string{"127.0.0.1:8443", "graph.example"}, e.Hosts)

	e, err = ResolveEndpoints("", "", "http://localhost:1/prefix", nil)
	require.NoError(t, err)
	require.Equal(t, "http://localhost:1/prefix/v1.0", e.Root())

	for setting, f := range map[string]func() (Endpoints, error){
		"network.cloud":           func() (Endpoints, error) { return ResolveEndpoints("x", "", "", nil) },
		"network.endpoints.login": func() (Endpoints, error) { return ResolveEndpoints("", "http://127.0.0.1", "", nil) },
		"network.endpoints.graph": func() (Endpoints, error) { return ResolveEndpoints("", "", "http://graph.example", nil) },
		"network.endpoints.hosts": func() (Endpoints, error) { return ResolveEndpoints("", "", "", []string{"https://graph.example"}) },
	} {
		_, err := f()
		require.ErrorContains(t, err, setting)
	}
	for _, bad := range []string{"graph.example", "ftp://graph.example", "https://", "https://u:p@graph.example", "https://graph.example?x=1", "://"} {
		_, err := ResolveEndpoints("", "", bad, nil)
		require.ErrorContains(t, err, "network.endpoints.graph", bad)
	}
	for _, bad := range []string{"", "a b", "graph.example/x", "u@graph.example"} {
		_, err := ResolveEndpoints("", "", "", []string{bad})
		require.ErrorContains(t, err, "network.endpoints.hosts", bad)
	}
}

func TestAllowsToken(t *testing.T) {
	e := Endpoints{Login: "https://login.example", Graph: "https://graph.example", Hosts: []string{"graph.example", "127.0.0.1:99", "[::1]:98"}}
	for raw, want := range map[string]bool{
		"https://graph.example/v1.0":          true,
		"https://GRAPH.example:443/":          true,
		"https://graph.example:8443/":         false,
		"http://graph.example/":               false,
		"https://graph.example.evil.example/": false,
		"https://evil.example/graph.example":  false,
		"https://user@graph.example/":         false,
		"https://login.example/":              false,
		"http://127.0.0.1:99/":                false,
		"https://127.0.0.1:99/":               true,
		"http://127.0.0.1:97/":                false,
		"https://[::1]:98/":                   true,
	} {
		require.Equal(t, want, e.AllowsToken(mustURL(t, raw)), raw)
	}
	require.False(t, e.AllowsToken(nil))
	plain := Endpoints{Graph: "http://127.0.0.1:99", Hosts: []string{"127.0.0.1:99", "graph.example:80"}}
	require.True(t, plain.AllowsToken(mustURL(t, "http://127.0.0.1:99/v1.0")))
	require.False(t, plain.AllowsToken(mustURL(t, "http://graph.example/v1.0")), "plain http is for loopback only")
	require.False(t, e.IsLogin(mustURL(t, "https://graph.example/")))
	require.False(t, e.IsLogin(mustURL(t, "http://login.example/")))
}

func TestParseHostedContentURL(t *testing.T) {
	ch := ChannelRef{TeamID: "T", ChannelID: "19:a@thread.tacv2"}
	const base = "https://graph.microsoft.com/v1.0/teams/T/channels/19%3Aa%40thread.tacv2/messages/10"
	for raw, want := range map[string]MessageRef{
		base + "/hostedContents/aWQ9/$value":                {ChannelRef: ch, ID: "10"},
		base + "/hostedContents/aW%2FQ9/$value":             {ChannelRef: ch, ID: "10"},
		base + "/replies/11/hostedContents/aWQ9/$value":     {ChannelRef: ch, RootID: "10", ID: "11"},
		base + "/hostedContents/aWQ9":                       {},
		base + "/hostedContents/../$value":                  {},
		base + "/hostedContents/aWQ9/$value?x=1":            {},
		base + "/other/11/hostedContents/aWQ9/$value":       {},
		"https://graph.microsoft.com/v1.0/users/u/messages": {},
		"": {},
	} {
		ref, ok := ParseHostedContentURL(raw)
		require.Equal(t, want, ref, raw)
		require.Equal(t, want.ID != "", ok, raw)
	}
}
