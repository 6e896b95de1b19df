package weblogin

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/bridge/webpage"
	"teamsbridge/teams"
	"teamsbridge/teams/teamstest"
)

func TestSomebodySignsIn(t *testing.T) {
	w := newWorld(t)
	ticket, b := w.begin(ada), w.browser()
	done := b.signIn(b.press(ticket), w.ann)
	require.Equal(t, http.StatusOK, done.status)
	require.Equal(t, ticket.URL(), done.at.String(), "the code does not stay in the address bar")
	require.Contains(t, done.text, "Sie sind angemeldet")
	require.Contains(t, done.text, w.ann.UPN())
	account, err := w.outcome(ticket)
	require.NoError(t, err)
	require.Equal(t, w.ann.ID, account.UserID)
	require.Len(t, w.signedIn(), 1)
	require.NotEmpty(t, w.signedIn()[0].RefreshToken)

	require.Contains(t, w.browser().get(ticket.URL()).text, "anderen Browser", "what became of it is nobody else's business")
	w.advance(keepOutcome)
	require.Equal(t, http.StatusNotFound, b.get(ticket.URL()).status)
}

// Proves that a state that somebody got hold of is worth nothing to them, with or
// without a code, and does not end the person's own sign-in.
func TestAStolenStateIsRefused(t *testing.T) {
	w := newWorld(t)
	ticket, b, thief := w.begin(ada), w.browser(), w.browser()
	authority := b.press(ticket)
	to, err := url.Parse(authority)
	require.NoError(t, err)
	state := to.Query().Get("state")
	// The thief signs in as Bob with the stolen request: the code even fits.
	forged := thief.signIn(authority, w.bob)
	require.Equal(t, http.StatusForbidden, forged.status)
	require.Contains(t, forged.text, "anderen Browser")
	require.NotContains(t, forged.text, ada)
	// Or has a cookie of their own, and another ticket.
	other := w.begin("@mallory:example.org")
	code := mustQuery(t, thief.answer(thief.press(other), w.bob)).Get("code")
	swapped := thief.get(w.public + callbackPath + "?" + url.Values{"state": {state}, "code": {code}}.Encode())
	require.Equal(t, http.StatusBadRequest, swapped.status)
	w.undecided(ticket)
	// What came to the wrong browser is worth nothing in the right one either.
	require.Equal(t, http.StatusBadRequest, b.signIn(authority, w.bob).status)
	w.undecided(ticket)

	require.Contains(t, b.signIn(b.press(ticket), w.ann).text, "Sie sind angemeldet")
	account, err := w.outcome(ticket)
	require.NoError(t, err)
	require.Equal(t, w.ann.ID, account.UserID, "the person's own sign-in goes on")
}

// Proves that a code is redeemed once, whoever brings it again.
func TestAReplayedAnswerIsRefused(t *testing.T) {
	w := newWorld(t)
	ticket, b := w.begin(ada), w.browser()
	address := b.answer(b.press(ticket), w.ann)
	require.Contains(t, b.get(address).text, "Sie sind angemeldet")
	again := b.get(address)
	require.Equal(t, http.StatusBadRequest, again.status)
	require.Contains(t, again.text, "schon verwendet")
	require.Equal(t, http.StatusBadRequest, w.browser().get(address).status)
	require.Len(t, w.signedIn(), 1)

	// The same code with a fresh state of another sign-in: no proof key fits it.
	second := w.begin(ada)
	state := mustQuery(t, b.press(second)).Get("state")
	replayed := b.get(w.public + callbackPath + "?" + url.Values{"state": {state}, "code": {mustQuery(t, address).Get("code")}}.Encode())
	require.Contains(t, replayed.text, "hat nicht geklappt")
	_, err := w.outcome(second)
	require.Error(t, err)
	require.Len(t, w.signedIn(), 1)
}

// Proves that a code that was slipped into somebody's sign-in, in their own
// browser with their own state, does not sign them in as somebody else.
func TestAnotherVisitsCodeIsRefused(t *testing.T) {
	w := newWorld(t)
	mallory, ticket := w.begin("@mallory:example.org"), w.begin(ada)
	thief, b := w.browser(), w.browser()
	code := mustQuery(t, thief.answer(thief.press(mallory), w.bob)).Get("code")
	state := mustQuery(t, b.press(ticket)).Get("state")
	page := b.get(w.public + callbackPath + "?" + url.Values{"state": {state}, "code": {code}}.Encode())
	require.Contains(t, page.text, "hat nicht geklappt")
	_, err := w.outcome(ticket)
	require.Equal(t, teams.KindSignInExpired, teams.KindOf(err))
	require.Empty(t, w.signedIn())
}

// Proves that who takes a link up is who finishes it.
func TestAnotherPersonsBrowserIsRefused(t *testing.T) {
	w := newWorld(t)
	ticket, b, other := w.begin(ada), w.browser(), w.browser()
	early := other.get(ticket.URL())
	require.Equal(t, http.StatusOK, early.status, "opening a link binds nothing: chat programs look at links")
	authority := b.press(ticket)

	require.Equal(t, http.StatusForbidden, other.get(ticket.URL()).status)
	require.Equal(t, http.StatusForbidden, other.post(ticket.URL(), url.Values{"token": {early.token()}}).status, "its page was open already")
	require.Equal(t, http.StatusForbidden, other.get(b.answer(authority, w.ann)).status)
	require.Equal(t, http.StatusForbidden, w.browser().get(b.answer(b.press(ticket), w.ann)).status, "no cookie at all")
	require.Equal(t, 4, strings.Count(w.refused.String(), "\n"), "each is told, for the audit log: %s", &w.refused)
	w.undecided(ticket)
	require.NotContains(t, w.log.String(), ticket.word)
}

// Proves that the button is pressed on the page and nowhere else.
func TestAnotherSitesFormIsRefused(t *testing.T) {
	w := newWorld(t)
	ticket, b := w.begin(ada), w.browser()
	token := b.get(ticket.URL()).token()
	foreign := w.begin("@mallory:example.org")
	for name, form := range map[string]url.Values{
		"no token":               {},
		"another ticket's token": {"token": {b.get(foreign.URL()).token()}},
		"another browser's":      {"token": {w.browser().get(ticket.URL()).token()}},
	} {
		require.Equal(t, http.StatusForbidden, b.post(ticket.URL(), form).status, name)
	}
	require.Equal(t, http.StatusForbidden, w.browser().post(ticket.URL(), url.Values{"token": {token}}).status, "no cookie")
	r, err := http.NewRequest(http.MethodPost, ticket.URL(), strings.NewReader(url.Values{"token": {token}}.Encode()))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	require.Equal(t, http.StatusForbidden, b.do(r).status)
	w.undecided(ticket)
}

func TestAnExpiredLinkIsRefused(t *testing.T) {
	for name, at := range map[string]int{"before it is opened": 0, "before the button": 1, "at the sign-in service": 2} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ticket, b := w.begin(ada), w.browser()
			var token, authority string
			if at > 0 {
				token = b.get(ticket.URL()).token()
			}
			if at > 1 {
				authority = b.press(ticket)
			}
			w.advance(DefaultLife)
			gone := b.get(ticket.URL())
			require.Equal(t, http.StatusNotFound, gone.status)
			require.Contains(t, gone.text, "gilt nicht mehr")
			if at == 1 {
				require.Equal(t, http.StatusNotFound, b.post(ticket.URL(), url.Values{"token": {token}}).status)
			}
			if at == 2 {
				require.Equal(t, http.StatusBadRequest, b.signIn(authority, w.ann).status)
			}
			_, err := w.outcome(ticket)
			require.ErrorIs(t, err, ErrExpired)
			require.Empty(t, w.signedIn())
		})
	}
}

// Proves that two tickets in one browser are not mixed up.
func TestSwappedTickets(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	first, second := w.begin(ada), w.begin("@bob:example.org")
	one, two := mustQuery(t, b.answer(b.press(first), w.ann)), mustQuery(t, b.answer(b.press(second), w.bob))
	code := one.Get("code")
	one.Set("code", two.Get("code"))
	two.Set("code", code)
	for ticket, answer := range map[*Ticket]url.Values{first: one, second: two} {
		require.Contains(t, b.get(w.public+callbackPath+"?"+answer.Encode()).text, "hat nicht geklappt")
		_, err := w.outcome(ticket)
		require.Error(t, err)
	}
	require.Empty(t, w.signedIn())
}

// Proves that only the newest visit of a ticket, and the newest ticket of an
// account, count.
func TestWhatWasReplacedIsWorthNothing(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	older := w.begin(ada)
	first := b.press(older)
	b.press(older)
	require.Equal(t, http.StatusBadRequest, b.signIn(first, w.ann).status, "the button was pressed again")
	w.undecided(older)
	authority := b.press(older)
	newer := w.begin(ada)
	_, err := w.outcome(older)
	require.ErrorIs(t, err, ErrReplaced)
	require.Equal(t, http.StatusNotFound, b.get(older.URL()).status)
	require.Equal(t, http.StatusBadRequest, b.signIn(authority, w.ann).status)
	w.undecided(newer)
}

func TestARefusalIsTold(t *testing.T) {
	w := newWorld(t)
	ticket, b := w.begin(ada), w.browser()
	page := b.post(b.press(ticket), url.Values{"decision": {"deny"}})
	require.Contains(t, page.text, "because "+"web sign-in")
	_, err := w.outcome(ticket)
	require.ErrorIs(t, err, teams.ErrDeclined)

	w.refuses = errors.New("this is not your account <b>")
	ticket = w.begin(ada)
	page = b.signIn(b.press(ticket), w.bob)
	require.Contains(t, page.text, "because this is not your account &lt;b&gt;")
	_, err = w.outcome(ticket)
	require.ErrorIs(t, err, w.refuses)
	require.Empty(t, w.signedIn())
}

// An address that is not registered is refused by the sign-in service, which
// sends nobody there.
func TestAnUnregisteredRedirectIsRefused(t *testing.T) {
	w := newWorld(t)
	ticket, b := w.begin(ada), w.browser()
	authority := strings.Replace(b.press(ticket), url.QueryEscape(RedirectURL(w.public)), url.QueryEscape(w.public+"/elsewhere"), 1)
	page := b.get(authority)
	require.Equal(t, http.StatusBadRequest, page.status)
	require.Contains(t, page.text, "AADSTS50011")
	w.undecided(ticket)
}

func TestAnOutageOfTheSignInServiceIsTold(t *testing.T) {
	w := newWorld(t)
	ticket, b := w.begin(ada), w.browser()
	address := b.answer(b.press(ticket), w.ann)
	w.sim.Down(teamstest.DownUnavailable, teamstest.ServiceSignIn)
	require.Contains(t, b.get(address).text, "hat nicht geklappt")
	_, err := w.outcome(ticket)
	require.Equal(t, teams.KindUnavailable, teams.KindOf(err))
}

// Of many copies of an answer that arrive at once, one is redeemed.
func TestAnswersAtOnce(t *testing.T) {
	w := newWorld(t)
	ticket, b := w.begin(ada), w.browser()
	address := b.answer(b.press(ticket), w.ann)
	var wg sync.WaitGroup
	var good, refused atomic.Int32
	for range 12 {
		wg.Go(func() {
			switch page := b.get(address); page.status {
			case http.StatusOK:
				good.Add(1)
			case http.StatusBadRequest:
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, good.Load())
	require.EqualValues(t, 11, refused.Load())
	require.Len(t, w.signedIn(), 1)
}

func TestManyPeopleAtOnce(t *testing.T) {
	w := newWorld(t)
	var wg sync.WaitGroup
	for i := range 20 {
		user, b := "@person"+string(rune('a'+i))+":example.org", w.browser()
		ticket := w.begin(user)
		wg.Go(func() { b.signIn(b.press(ticket), w.ann) })
		wg.Go(func() {
			_, err := w.outcome(ticket)
			require.NoError(w, err)
		})
	}
	wg.Wait()
	require.Len(t, w.signedIn(), 20)
}

func TestHugeAndBrokenRequests(t *testing.T) {
	w := newWorld(t)
	ticket, b := w.begin(ada), w.browser()
	state := mustQuery(t, b.press(ticket)).Get("state")
	for name, query := range map[string]string{
		"nothing":         "",
		"a long code":     "state=" + state + "&code=" + strings.Repeat("x", maxAnswer),
		"a long state":    "state=" + strings.Repeat("x", 5000) + "&code=x",
		"two states":      "state=" + state + "&state=" + state + "&code=x",
		"two codes":       "state=" + state + "&code=x&code=y",
		"no state":        "code=x",
		"broken escaping": "state=" + state + "&code=%zz",
		"a semicolon":     "state=" + state + ";code=x",
	} {
		page := b.get(w.public + callbackPath + "?" + query)
		require.Equal(t, http.StatusBadRequest, page.status, name)
		require.Contains(t, page.text, "unvollständig", name)
	}
	require.Equal(t, http.StatusForbidden, b.post(ticket.URL(), url.Values{"token": {strings.Repeat("x", 1<<20)}}).status)
	require.Equal(t, http.StatusNotFound, b.get(w.public+linkPath+strings.Repeat("a", 4000)).status)
	require.Equal(t, http.StatusBadRequest, b.get(w.public+callbackPath+"?state="+strings.Repeat("s", 43)+"&code=x").status)
	w.undecided(ticket)
	for _, address := range []string{w.public + "/", w.http.URL + "/", w.public + "/notifications", w.public + checkPath + "a%3Cb"} {
		require.Equal(t, http.StatusNotFound, b.get(address).status, address)
	}
	require.Equal(t, http.StatusMethodNotAllowed, b.post(w.http.URL+callbackPath, url.Values{}).status)
}

func TestEveryPageIsGuarded(t *testing.T) {
	w := newWorld(t)
	ticket, b := w.begin(ada), w.browser()
	pages := map[string]shown{
		"question": b.get(ticket.URL()), "gone": b.get(w.public + linkPath + "x"), "bad": b.get(w.public + callbackPath), "nothing": b.get(w.public),
		"leaving": b.post(ticket.URL(), url.Values{"token": {b.get(ticket.URL()).token()}}),
	}
	for name, page := range pages {
		policy := page.header.Get("Content-Security-Policy")
		require.Contains(t, policy, "default-src 'none'", name)
		require.Contains(t, policy, "frame-ancestors 'none'", name)
		require.Contains(t, policy, "form-action 'self'", name)
		require.NotContains(t, policy, "unsafe", name)
		require.Equal(t, "no-referrer", page.header.Get("Referrer-Policy"), name)
		require.Equal(t, "no-store", page.header.Get("Cache-Control"), name)
		require.Equal(t, "nosniff", page.header.Get("X-Content-Type-Options"), name)
		require.NotContains(t, page.text, "<script", name)
	}
	sum := sha256.Sum256([]byte(pages["question"].find(`(?s)<style>(.*?)</style>`)))
	require.Contains(t, pages["question"].header.Get("Content-Security-Policy"), base64.StdEncoding.EncodeToString(sum[:]), "the style is let through")
	require.Contains(t, pages["question"].text, `<html lang="de">`)
	cookie := pages["question"].header.Get("Set-Cookie")
	for _, attribute := range []string{"__Host-", "HttpOnly", "Secure", "SameSite=Lax", "Path=/"} {
		require.Contains(t, cookie, attribute)
	}
}

// Proves that no state, code, cookie or token is in the log, nor the link.
func TestNoSecretIsLogged(t *testing.T) {
	w := newWorld(t)
	ticket, b := w.begin(ada), w.browser()
	authority := b.press(ticket)
	address := b.answer(authority, w.ann)
	b.get(address)
	b.get(address)
	stolen := w.begin(ada)
	w.browser().get(b.answer(b.press(stolen), w.ann))
	failed := w.begin(ada)
	b.get(w.public + callbackPath + "?state=" + mustQuery(t, b.press(failed)).Get("state") + "&code=planted-code&error_description=planted")
	require.Contains(t, w.log.String(), "Somebody has signed in on the web")
	require.Contains(t, w.log.String(), "A web sign-in was refused")
	require.Contains(t, w.log.String(), "A web sign-in did not work")
	home, err := url.Parse(w.public)
	require.NoError(t, err)
	secrets := []string{
		ticket.word, failed.word, "planted", mustQuery(t, address).Get("code"), mustQuery(t, authority).Get("state"),
		mustQuery(t, authority).Get("nonce"), strings.TrimPrefix(w.signedIn()[0].RefreshToken, "web:"), w.sim.App().Secret(),
	}
	for _, cookie := range b.http.Jar.Cookies(home) {
		secrets = append(secrets, cookie.Value)
	}
	require.Len(t, secrets, 9)
	for _, secret := range secrets {
		require.NotEmpty(t, secret)
		require.NotContains(t, w.log.String(), secret)
	}
}

// A proxy may take the path of the public URL away; the check's answer tells that
// the address leads here.
func TestBehindAProxyThatTakesThePathAway(t *testing.T) {
	w := newWorld(t)
	ticket, b := w.begin(ada), w.browser()
	require.Equal(t, http.StatusOK, b.get(w.http.URL+linkPath+ticket.word).status)
	require.Equal(t, CheckMark+"word1", b.get(CheckURL(w.public, "word1")).text)
	require.Equal(t, CheckMark+"word1", b.get(w.http.URL+checkPath+"word1").text)
	w.server.site = webpage.NewSite(w.http.URL + "/login") // a path that looks like one of ours
	for _, path := range []string{linkPath + ticket.word, "/login" + linkPath + ticket.word} {
		require.Equal(t, http.StatusOK, b.get(w.http.URL+path).status, path)
	}
	for _, path := range []string{callbackPath, "/login" + callbackPath} {
		require.Contains(t, b.get(w.http.URL+path).text, "unvollständig", path)
	}
}

func TestWaitingEnds(t *testing.T) {
	w := newWorld(t)
	ticket, b := w.begin(ada), w.browser()
	authority := b.press(ticket)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := ticket.Wait(ctx)
	require.ErrorIs(t, err, ErrCancelled)
	require.Equal(t, http.StatusBadRequest, b.signIn(authority, w.ann).status, "nothing is linked after `cancel`")
	require.Empty(t, w.signedIn())

	w.server.opts.Life = 20 * time.Millisecond
	_, err = w.outcome(w.begin(ada))
	require.ErrorIs(t, err, ErrExpired)
}

// What stores the sign-in may panic: the bot and the page are told all the same.
func TestATicketEndsWhateverHappens(t *testing.T) {
	w := newWorld(t)
	ticket, b := w.begin(ada), w.browser()
	ticket.request.Take = func(context.Context, teams.SignInResult) error { panic("broken") }
	b.get(b.answer(b.press(ticket), w.ann)) // the connection breaks, and the browser asks again
	_, err := w.outcome(ticket)
	require.ErrorIs(t, err, ErrBroken)
	require.Contains(t, b.get(ticket.URL()).text, "because "+ErrBroken.Error())
}

// Tickets that nobody needs any more are forgotten, and there is an end to how
// many there are.
func TestTicketsAreBounded(t *testing.T) {
	w := newWorld(t)
	for range 50 {
		w.begin(ada)
	}
	require.Len(t, w.server.tickets, 1)
	for i := range maxTickets - 1 {
		w.server.tickets[webpage.DigestOf(string(rune(i)))] = &Ticket{request: Request{User: "@other:example.org"}, expires: time.Now().Add(time.Hour), done: make(chan struct{})}
	}
	_, err := w.server.Begin(Request{User: "@one-more:example.org"})
	require.ErrorIs(t, err, ErrTooMany)
	w.advance(2 * time.Hour)
	w.begin(ada)
	require.Len(t, w.server.tickets, 1)
	require.Empty(t, w.server.visits)
}

func FuzzAnswer(f *testing.F) {
	state := strings.Repeat("s", 43)
	for _, seed := range []string{"", "state=" + state + "&code=x", "state=" + state + "&error=access_denied", "state=%00", "state=" + state + "&state=x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		answer, ok := parseAnswer(query)
		if !ok {
			return
		}
		require.LessOrEqual(t, len(query), maxAnswer)
		require.True(t, webpage.IsSecret(answer.Get("state")))
		for _, name := range []string{"state", "code", "error"} {
			require.LessOrEqual(t, len(answer[name]), 1)
		}
	})
}

func mustQuery(t *testing.T, address string) url.Values {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	return u.Query()
}
