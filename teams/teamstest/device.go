package teamstest

import (
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// deviceCodeLife is how long a device code lives.
const deviceCodeLife = 900 * time.Second

// ErrNoSuchCode says that a user code is unknown, used, or too old.
var ErrNoSuchCode = errors.New("no such user code")

// PendingDevice is a device that waits for its user code to be approved.
type PendingDevice struct {
	UserCode string
	ClientID string
	Scopes   []string
	Expires  time.Time
}

// deviceFlow is one device code.
type deviceFlow struct {
	PendingDevice
	deviceCode string
	app        *App
	userID     string // set when approved
	denied     bool
	redeemed   bool
	interval   time.Duration
	lastPoll   time.Time
}

// devices is every device code that is out.
type devices struct {
	mu    sync.Mutex
	flows []*deviceFlow
}

func (d *devices) find(match func(*deviceFlow) bool) *deviceFlow {
	if i := slices.IndexFunc(d.flows, match); i >= 0 {
		return d.flows[i]
	}
	return nil
}

// serveDeviceCode begins a device code sign-in.
func (e *edgeState) serveDeviceCode(x *exchange) *response {
	form := formOf(x)
	app, refused := e.findApp(form.Get("client_id"))
	if refused == nil && strings.TrimSpace(form.Get("scope")) == "" {
		refused = missing("scope")
	}
	var names []string
	if refused == nil {
		names, _, refused = e.userScopes(app, form.Get("scope"))
	}
	if refused != nil {
		return refused.response(e)
	}
	const letters = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
	code := e.t.ids.bytes(9)
	for i := range code {
		code[i] = letters[int(code[i])%len(letters)]
	}
	f := &deviceFlow{
		PendingDevice: PendingDevice{
			UserCode: string(code), ClientID: app.ClientID, Scopes: names,
			Expires: e.t.clock.Now().Add(deviceCodeLife),
		},
		deviceCode: handle("GAQABIQEAAAD", 120), app: app, interval: e.tokens.opts.DeviceInterval,
	}
	e.devices.mu.Lock()
	e.devices.flows = append(e.devices.flows, f)
	e.devices.mu.Unlock()
	page := e.t.url + "/devicelogin"
	return signInJSON(struct {
		UserCode        string `json:"user_code"`
		DeviceCode      string `json:"device_code"`
		VerificationURI string `json:"verification_uri"`
		ExpiresIn       int    `json:"expires_in"`
		Interval        int    `json:"interval"`
		Message         string `json:"message"`
	}{
		f.UserCode, f.deviceCode, page, int(deviceCodeLife.Seconds()), int(f.interval.Seconds()),
		"To sign in, use a web browser to open the page " + page + " and enter the code " + f.UserCode + " to authenticate.",
	})
}

// deviceGrant answers a device that asks whether its code was approved.
func (e *edgeState) deviceGrant(app *App, form url.Values) (*response, *signInError) {
	code := form.Get("device_code")
	if code == "" {
		return nil, missing("device_code")
	}
	if refused := e.authenticateApp(app, form, false); refused != nil {
		return nil, refused
	}
	d := &e.devices
	d.mu.Lock()
	f := d.find(func(f *deviceFlow) bool { return f.deviceCode == code })
	refused := e.deviceState(f)
	if refused == nil {
		f.redeemed = true
	}
	d.mu.Unlock()
	if refused != nil {
		return nil, refused
	}
	return e.userAnswer(&session{app: app, userID: f.userID, scopes: f.Scopes}, "", nil)
}

// deviceState says why a device code can not be redeemed, nil if it can. The
// devices' lock is held.
func (e *edgeState) deviceState(f *deviceFlow) *signInError {
	now := e.t.clock.Now()
	switch {
	case f == nil || f.redeemed:
		return &signInError{code: 70018, kind: "bad_verification_code", text: "Invalid verification code due to user typing in wrong user code for device code flow."}
	case f.denied:
		// The documentation names the error and no number; 70000 is that of
		// a grant that is not valid.
		return &signInError{code: 70000, kind: "authorization_declined", text: "The end user has denied the authorization request."}
	case !now.Before(f.Expires):
		return &signInError{code: 70020, kind: "expired_token", text: "The provided value for the input parameter 'device_code' is not valid. This device code has expired."}
	case f.userID != "":
		return nil
	}
	early := !f.lastPoll.IsZero() && now.Sub(f.lastPoll) < f.interval*4/5
	f.lastPoll = now
	if early {
		// RFC 8628; Microsoft's page does not list it, a client must know it.
		f.interval += 5 * time.Second
		return &signInError{code: 70016, kind: "slow_down", text: "The client asks more often than the interval allows."}
	}
	return &signInError{code: 70016, kind: "authorization_pending", text: "OAuth 2.0 device flow error. Authorization is pending. Continue polling."}
}

// PendingDevices lists the devices that wait for approval, oldest first.
func (t *Tenant) PendingDevices() []PendingDevice {
	d := &t.edge.devices
	now := t.clock.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []PendingDevice
	for _, f := range d.flows {
		if f.waiting(now) {
			list = append(list, f.PendingDevice)
		}
	}
	return list
}

func (f *deviceFlow) waiting(now time.Time) bool {
	return f.userID == "" && !f.denied && !f.redeemed && now.Before(f.Expires)
}

// ApproveDevice signs a person in on the device that shows the user code.
func (t *Tenant) ApproveDevice(userCode string, u *User) error {
	if !t.edge.enabled(u.ID) {
		return fmt.Errorf("approve device: %s is disabled", u.ID)
	}
	return t.edge.decideDevice(userCode, func(f *deviceFlow) { f.userID = u.ID })
}

// DenyDevice refuses the device that shows the user code.
func (t *Tenant) DenyDevice(userCode string) error {
	return t.edge.decideDevice(userCode, func(f *deviceFlow) { f.denied = true })
}

func (e *edgeState) decideDevice(userCode string, decide func(*deviceFlow)) error {
	d := &e.devices
	now := e.t.clock.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.find(func(f *deviceFlow) bool {
		return strings.EqualFold(f.UserCode, strings.TrimSpace(userCode)) && f.waiting(now)
	})
	if f == nil {
		return fmt.Errorf("decide on device %q: %w", userCode, ErrNoSuchCode)
	}
	decide(f)
	return nil
}

// serveDeviceLogin is the page on which a person enters a user code.
func (e *edgeState) serveDeviceLogin(x *exchange) *response {
	if x.r.Method == http.MethodGet {
		return e.page("Enter the code of your device", `<form method="post">
<p><label>Code <input name="user_code" value="`+html.EscapeString(x.query.Get("user_code"))+`" autofocus></label></p>
`+e.peopleForm()+`</form>`)
	}
	form := formOf(x)
	var err error
	if form.Get("decision") == "deny" {
		err = e.t.DenyDevice(form.Get("user_code"))
	} else if u := e.findUser(form.Get("login")); u == nil {
		err = errors.New("no such person")
	} else {
		err = e.t.ApproveDevice(form.Get("user_code"), u)
	}
	if err != nil {
		resp := e.page("That did not work", "<p>"+html.EscapeString(err.Error())+"</p>")
		resp.status = http.StatusBadRequest
		return resp
	}
	return e.page("Done", "<p>You can close this page.</p>")
}

// peopleForm lets a browser choose who signs in: the simulated tenant has no
// passwords.
func (e *edgeState) peopleForm() string {
	var b strings.Builder
	b.WriteString(`<p><label>Sign in as <select name="login">`)
	e.t.mu.Lock()
	for _, u := range e.t.users {
		if u.enabled && !u.deleted {
			fmt.Fprintf(&b, `<option value="%s">%s</option>`, html.EscapeString(u.upn), html.EscapeString(u.displayName))
		}
	}
	e.t.mu.Unlock()
	b.WriteString(`</select></label></p>
<p><button name="decision" value="accept">Accept</button> <button name="decision" value="deny">Cancel</button></p>
`)
	return b.String()
}

func (e *edgeState) page(title, body string) *response {
	return &response{
		status: http.StatusOK,
		header: http.Header{"Content-Type": {"text/html; charset=utf-8"}, "Content-Security-Policy": {"default-src 'none'; form-action *"}},
		body:   []byte(`<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>` + html.EscapeString(title) + `</title><h1>` + html.EscapeString(title) + `</h1>` + body + `</html>`),
	}
}

func signInJSON(v any) *response {
	resp := jsonResponse(http.StatusOK, v)
	resp.header.Set("Content-Type", "application/json; charset=utf-8")
	resp.header.Set("Cache-Control", "no-store, no-cache")
	return resp
}
