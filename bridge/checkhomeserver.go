package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.mau.fi/util/random"
	"gopkg.in/yaml.v3"
	"maunium.net/go/mautrix/appservice"
	"maunium.net/go/mautrix/id"

	"teamsbridge/bridge/check"
)

const (
	homeserverTimeout = 20 * time.Second
	maxHomeserverBody = 1 << 20
)

// homeserverProbe asks the homeserver the way an operator would with curl: what
// matters is what it says, and not what a client makes of it.
type homeserverProbe struct {
	base string
	http *http.Client
}

// hsAnswer is what a homeserver answered.
type hsAnswer struct {
	status  int
	ErrCode string `json:"errcode"`
	Err     string `json:"error"`
	raw     []byte
}

func (p *homeserverProbe) ask(ctx context.Context, method, path, token string, body any) (*hsAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, homeserverTimeout)
	defer cancel()
	var reader io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		reader = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(p.base, "/")+path, reader)
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := p.http.Do(req)
	if err != nil {
		var address *url.Error
		if errors.As(err, &address) {
			err = address.Err
		}
		return nil, err
	}
	defer resp.Body.Close()
	a := &hsAnswer{status: resp.StatusCode}
	if a.raw, err = io.ReadAll(io.LimitReader(resp.Body, maxHomeserverBody)); err != nil {
		return nil, err
	}
	_ = json.Unmarshal(a.raw, a)
	return a, nil
}

// checkHomeserver asks whether the homeserver answers, knows the registration,
// reaches the bridge, and lets it speak for staff.
func (c *Connector) checkHomeserver(ctx context.Context, registration string, running bool, area *check.Area) {
	cfg := c.main.Config
	p := &homeserverProbe{base: cfg.Homeserver.Address, http: &http.Client{}}
	if !p.checkVersions(ctx, area) {
		return
	}
	if !c.checkRegistration(ctx, p, area) {
		return
	}
	if c.checkRegistrationFile(registration, area); area.OK() {
		c.checkReach(ctx, p, running, area) // another file explains what this would find
	}
	c.checkPuppets(ctx, p, area)
	c.checkRooms(ctx, p, area)
}

func (p *homeserverProbe) checkVersions(ctx context.Context, area *check.Area) bool {
	a, err := p.ask(ctx, http.MethodGet, "/_matrix/client/versions", "", nil)
	if err != nil {
		area.Wrong("unreachable", fmt.Sprintf("the homeserver at %s does not answer: %v", p.base, err), "check homeserver.address, which is the address for this machine, and that the homeserver runs")
		return false
	}
	var versions struct {
		Versions []string `json:"versions"`
	}
	if a.status != http.StatusOK || json.Unmarshal(a.raw, &versions) != nil || len(versions.Versions) == 0 {
		area.Wrong("no-homeserver", fmt.Sprintf("what answers at %s is no homeserver (HTTP %d)", p.base, a.status), "write the address at which /_matrix/client/versions answers, without a path")
		return false
	}
	software := "a homeserver"
	var federation struct {
		Server struct{ Name, Version string } `json:"server"`
	}
	if a, err := p.ask(ctx, http.MethodGet, "/_matrix/federation/v1/version", "", nil); err == nil && json.Unmarshal(a.raw, &federation) == nil && federation.Server.Name != "" {
		software = federation.Server.Name + " " + federation.Server.Version
	}
	area.Right("versions", "%s answers at %s, up to Matrix %s", software, p.base, slices.MaxFunc(versions.Versions, compareSpec))
	return true
}

// compareSpec compares versions such as v1.12 and r0.6.1.
func compareSpec(a, b string) int {
	num := func(v string) (out [3]int) {
		if strings.HasPrefix(v, "v") {
			out[0] = 1
		}
		for i, part := range strings.SplitN(strings.TrimLeft(v, "vr"), ".", 2) {
			out[i+1], _ = strconv.Atoi(strings.SplitN(part, ".", 2)[0])
		}
		return out
	}
	x, y := num(a), num(b)
	return slices.Compare(x[:], y[:])
}

// checkRegistration asks who the bridge is for the homeserver: first who has its
// token, then whether that may be the bot.
func (c *Connector) checkRegistration(ctx context.Context, p *homeserverProbe, area *check.Area) bool {
	cfg := c.main.Config
	a, who, err := p.whoami(ctx, cfg.AppService.ASToken, "")
	switch {
	case err != nil:
		area.Wrong("unreachable", fmt.Sprintf("the homeserver does not say who the bridge is: %v", err), "try again")
		return false
	case a.unknownToken():
		area.Wrong("registration", "the homeserver does not know appservice.as_token: the registration is not loaded, or is another one",
			"list the registration file in the homeserver's configuration, restart the homeserver, and keep the file and the config from the same `-g`")
		return false
	case who != "" && who.Homeserver() != cfg.Homeserver.Domain:
		area.Wrong("domain", fmt.Sprintf("the homeserver is %s, homeserver.domain says %s", who.Homeserver(), cfg.Homeserver.Domain), "write the server's name, the part behind the colon of its accounts, and make the registrations anew")
		return false
	}
	bot := id.NewUserID(cfg.AppService.Bot.Username, cfg.Homeserver.Domain)
	if a, _, err = p.whoami(ctx, cfg.AppService.ASToken, bot); err == nil && (a.unknownToken() || a.notCovered()) {
		area.Wrong("namespace", fmt.Sprintf("the registration does not cover %s", bot),
			"appservice.bot.username and homeserver.domain have to be those with which the registration was made; make it anew with `-g` after a change")
		return false
	}
	// Anything else about the bot is right: its account is made at the first start.
	area.Right("registration", "the homeserver has loaded the registration; the bot is %s", bot)
	return true
}

// whoami asks who somebody is who has a token, as one of those it may be.
func (p *homeserverProbe) whoami(ctx context.Context, token string, as id.UserID) (*hsAnswer, id.UserID, error) {
	path := "/_matrix/client/v3/account/whoami"
	if as != "" {
		path += "?user_id=" + url.QueryEscape(as.String())
	}
	a, err := p.ask(ctx, http.MethodGet, path, token, nil)
	if err != nil {
		return nil, "", err
	}
	var who struct {
		UserID id.UserID `json:"user_id"`
	}
	_ = json.Unmarshal(a.raw, &who)
	return a, who.UserID, nil
}

func (a *hsAnswer) unknownToken() bool {
	return a.ErrCode == "M_UNKNOWN_TOKEN" || a.status == http.StatusUnauthorized
}

// notCovered reports whether the homeserver says that a registration may not be
// an account. It has no error code of its own for that.
func (a *hsAnswer) notCovered() bool {
	text := strings.ToLower(a.Err)
	return a.ErrCode == "M_EXCLUSIVE" || strings.Contains(text, "namespace") || strings.Contains(text, "masquerade")
}

// checkRegistrationFile compares the file that the homeserver should have with
// the configuration.
func (c *Connector) checkRegistrationFile(path string, area *check.Area) {
	if path == "" {
		area.Skipped("registration-file", "the registration file was not named (-r), so it is not compared with the config")
		return
	}
	data, err := os.ReadFile(path)
	if err != nil {
		area.Doubt("registration-file", fmt.Sprintf("the registration file can't be read: %v", err), "name the file that the homeserver loads with -r")
		return
	}
	var reg appservice.Registration
	if err = yaml.Unmarshal(data, &reg); err != nil {
		area.Wrong("registration-file", "the registration file is not YAML: "+yamlProblem(err), "make it anew with `teamsbridge -g -r "+path+"`")
		return
	}
	want := c.main.Config.AppService.GetRegistration()
	var differ []string
	for key, same := range map[string]bool{
		"as_token": reg.AppToken == want.AppToken, "hs_token": reg.ServerToken == want.ServerToken, "id": reg.ID == want.ID,
	} {
		if !same {
			differ = append(differ, key)
		}
	}
	slices.Sort(differ)
	if len(differ) > 0 {
		area.Wrong("registration-file", fmt.Sprintf("the registration file and the config do not have the same %s", strings.Join(differ, ", ")), "make the file anew with `teamsbridge -g -r "+path+"`, and restart the homeserver and the bridge")
		return
	}
	if reg.URL != want.URL {
		area.Wrong("registration-url", fmt.Sprintf("the registration says that the bridge is at %s, appservice.address says %s", reg.URL, want.URL), "make the file anew with `teamsbridge -g -r "+path+"`, and restart the homeserver")
		return
	}
	if reg.RateLimited == nil || *reg.RateLimited {
		area.Doubt("rate-limited", "the registration lets the homeserver limit the bridge's rate: messages will be late", "write rate_limited: false into the file and restart the homeserver")
	}
	area.Right("registration-file", "the registration file is that of the config")
}

// checkReach lets the homeserver call the bridge, where it can be asked to.
func (c *Connector) checkReach(ctx context.Context, p *homeserverProbe, running bool, area *check.Area) {
	cfg := c.main.Config.AppService
	if !running {
		address := net.JoinHostPort(cfg.Hostname, strconv.Itoa(int(cfg.Port)))
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err != nil {
			area.Wrong("listen", fmt.Sprintf("the bridge can't listen on %s: %v", address, innermost(err)), "free the port, or change appservice.hostname and port")
			return
		}
		server := &http.Server{Handler: pingAnswer(cfg.HSToken), ReadHeaderTimeout: homeserverTimeout}
		go func() { _ = server.Serve(ln) }()
		defer server.Close()
	}
	a, err := p.ask(ctx, http.MethodPost, "/_matrix/client/v1/appservice/"+url.PathEscape(cfg.ID)+"/ping", cfg.ASToken, map[string]string{"transaction_id": random.String(16)})
	switch {
	case err != nil:
		area.Doubt("reach", fmt.Sprintf("whether the homeserver reaches the bridge can't be told: %v", err), "try again")
	case a.status == http.StatusOK:
		area.Right("reach", "the homeserver reaches the bridge at %s", cfg.Address)
	case a.ErrCode == "M_UNRECOGNIZED" || a.ErrCode == "" && a.status == http.StatusNotFound:
		area.Skipped("reach", "this homeserver can't be asked whether it reaches the bridge; call %s/_matrix/mau/live from its machine once the bridge runs", cfg.Address)
	case a.ErrCode == "M_URL_NOT_SET":
		area.Wrong("reach", "the registration has no url, so the homeserver tells the bridge nothing", "make the registration anew with `-g` and restart the homeserver")
	case a.ErrCode == "M_BAD_STATUS" && (strings.Contains(string(a.raw), "401") || strings.Contains(string(a.raw), "403")):
		area.Wrong("hs-token", "the homeserver reaches the bridge with another hs_token than the config's", "keep the registration file and the config from the same `-g`, and restart the homeserver")
	default:
		area.Wrong("reach", fmt.Sprintf("the homeserver does not reach the bridge at %s (%s)", cfg.Address, strings.TrimSpace(a.ErrCode+" "+a.Err)),
			"appservice.address has to be the bridge's address as the homeserver's machine sees it; after a change make the registration anew and restart the homeserver")
	}
}

// pingAnswer answers the homeserver as the bridge would.
func pingAnswer(token string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /_matrix/app/v1/ping", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Header.Get("Authorization") != "Bearer "+token {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"errcode":"M_FORBIDDEN"}`)
			return
		}
		_, _ = io.WriteString(w, `{}`)
	})
	return mux
}

func innermost(err error) error {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err
}

// checkPuppets asks whether the bridge may speak for accounts, with the token of
// the registration for double puppeting and an account that there should be.
func (c *Connector) checkPuppets(ctx context.Context, p *homeserverProbe, area *check.Area) {
	cfg := c.main.Config
	secret, set := cfg.DoublePuppet.Secrets[cfg.Homeserver.Domain]
	token, isToken := strings.CutPrefix(secret, "as_token:")
	switch {
	case !set:
		area.Doubt("puppets", "double puppeting is not set up: mapped staff have to be invited and accept, and what they wrote in Teams is a ghost's", "make the registration with `teamsbridge -d doublepuppet.yaml` and list it in the homeserver's configuration")
		return
	case !isToken:
		area.Wrong("puppets", "double_puppet.secrets has no as_token: for "+cfg.Homeserver.Domain, "make the registration with `teamsbridge -d doublepuppet.yaml`")
		return
	}
	who := c.someAccount()
	a, _, err := p.whoami(ctx, token, "")
	if err == nil && !a.unknownToken() {
		a, _, err = p.whoami(ctx, token, who)
	}
	switch {
	case err != nil:
		area.Doubt("puppets", fmt.Sprintf("whether the bridge may speak for staff can't be told: %v", err), "try again")
	case a.unknownToken():
		area.Wrong("puppets", "the homeserver does not know the token of double_puppet.secrets: that registration is not loaded, or is another one",
			"list the file of `-d` in the homeserver's configuration beside the bridge's own, and restart the homeserver")
	case a.notCovered():
		area.Wrong("puppets", fmt.Sprintf("the registration for double puppeting does not cover %s", who), "make it anew with `teamsbridge -d doublepuppet.yaml` and restart the homeserver")
	default:
		area.Right("puppets", "the bridge may speak for accounts of %s", cfg.Homeserver.Domain)
	}
}

// someAccount is an account of the homeserver that should exist: the first
// person whom the permissions name.
func (c *Connector) someAccount() id.UserID {
	cfg := c.main.Config
	var named []string
	for who := range cfg.Bridge.Permissions {
		if mxid := id.UserID(who); strings.HasPrefix(who, "@") && mxid.Homeserver() == cfg.Homeserver.Domain {
			named = append(named, who)
		}
	}
	if len(named) == 0 {
		return id.NewUserID("teamsbridge-check", cfg.Homeserver.Domain)
	}
	slices.Sort(named)
	return id.UserID(named[0])
}
