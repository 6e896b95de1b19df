package weblogin

import (
	"context"
	"net/http"
	"net/url"

	"github.com/rs/zerolog"

	"teamsbridge/bridge/webpage"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// showLink is the page of a link: who asked, or what has become of it.
func (s *Server) showLink(w http.ResponseWriter, r *http.Request) {
	word := r.PathValue("ticket")
	s.mu.Lock()
	t := s.find(word)
	var now Ticket
	if t != nil {
		now = *t
	}
	s.mu.Unlock()
	browser := s.browser(r)
	switch {
	case t == nil:
		s.show(w, http.StatusNotFound, page{Title: texts.WebGoneTitle, Says: []string{s.say(texts.WebGone)}})
	case now.taken && now.browser != webpage.DigestOf(browser):
		s.refused(t, "another browser opened the link")
		s.show(w, http.StatusForbidden, page{Title: texts.WebBrowserTitle, Says: []string{s.say(texts.WebBrowser)}})
	case now.phase == answering:
		s.show(w, http.StatusConflict, page{Title: texts.WebUsedTitle, Says: []string{s.say(texts.WebUsed)}})
	case now.phase == over:
		s.showOutcome(w, &now)
	default:
		s.showQuestion(w, &now, s.know(w, r))
	}
}

// showQuestion asks whether the person means to link their account to this one.
func (s *Server) showQuestion(w http.ResponseWriter, t *Ticket, browser string) {
	title, asks := texts.WebTitle, texts.WebAsks
	if t.request.Relay {
		title, asks = texts.WebRelayTitle, texts.WebRelayAsks
	}
	s.show(w, http.StatusOK, page{
		Title: title, Says: []string{s.say(asks)}, User: t.request.User,
		Then: []string{s.say(texts.WebCare), s.say(texts.WebUntil, "time", s.opts.Texts.Hour(t.expires))},
		Go:   &button{Action: s.site.Address(linkPath + t.word), Token: s.site.Token(t.word, browser), Says: s.say(texts.WebGoOn)},
	})
}

func (s *Server) showOutcome(w http.ResponseWriter, t *Ticket) {
	if t.err == nil {
		done := texts.WebDone
		if t.request.Relay {
			done = texts.WebRelayDone
		}
		s.show(w, http.StatusOK, page{
			Title: texts.WebDoneTitle, Says: []string{s.say(done, "account", t.account.UPN)}, User: t.request.User,
			Then: []string{s.say(texts.WebClose)},
		})
		return
	}
	s.show(w, http.StatusOK, page{Title: texts.WebFailedTitle, Says: []string{t.request.Say(t.err)}, Then: []string{s.say(texts.WebAgain)}})
}

// goOn takes the ticket up and sends the browser to the sign-in service. It is
// sent by a page and not by a redirect: browsers hold redirects that follow a form
// against the policy of the form's page, and an organisation's own sign-in
// service, to which Microsoft's sends people on, is not in ours.
func (s *Server) goOn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	word, browser := r.PathValue("ticket"), s.browser(r)
	s.mu.Lock()
	t := s.find(word)
	s.mu.Unlock()
	if t == nil {
		s.show(w, http.StatusNotFound, page{Title: texts.WebGoneTitle, Says: []string{s.say(texts.WebGone)}})
		return
	}
	if !s.pressed(r, word, browser) {
		s.refused(t, "the button was not pressed on the link's page")
		s.show(w, http.StatusForbidden, page{Title: texts.WebButtonTitle, Says: []string{s.say(texts.WebButton)}})
		return
	}
	address, ok, err := s.takeUp(t, browser)
	switch {
	case err != nil:
		s.log(t).Err(err).Msg("A web sign-in can't begin")
		s.show(w, http.StatusInternalServerError, page{Title: texts.WebFailedTitle, Says: []string{s.say(texts.WebAgain)}})
	case !ok:
		s.refused(t, "another browser, or answered already")
		s.show(w, http.StatusForbidden, page{Title: texts.WebBrowserTitle, Says: []string{s.say(texts.WebBrowser)}})
	default:
		s.show(w, http.StatusOK, page{Title: texts.WebLeavingTitle, Onward: address, Link: s.say(texts.WebGoOn)})
	}
}

// callback takes the sign-in service's answer.
func (s *Server) callback(w http.ResponseWriter, r *http.Request) {
	answer, ok := parseAnswer(r.URL.RawQuery)
	if !ok {
		s.show(w, http.StatusBadRequest, page{Title: texts.WebBadTitle, Says: []string{s.say(texts.WebBad)}})
		return
	}
	t, visit, verdict := s.answered(answer.Get("state"), s.browser(r))
	switch verdict {
	case unknownState:
		s.show(w, http.StatusBadRequest, page{Title: texts.WebUsedTitle, Says: []string{s.say(texts.WebUsed)}})
	case otherBrowser:
		s.refused(t, "another browser brought the answer")
		s.show(w, http.StatusForbidden, page{Title: texts.WebBrowserTitle, Says: []string{s.say(texts.WebBrowser)}})
	default:
		s.finish(r.Context(), t, visit, answer)
		// The code leaves the address bar and the history's last entry.
		http.Redirect(w, r, s.site.Address(linkPath+t.word), http.StatusSeeOther)
	}
}

// finish redeems an answer and stores what it brought, whether or not the browser
// waits for it.
func (s *Server) finish(ctx context.Context, t *Ticket, visit *teams.WebLogin, answer url.Values) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	var result teams.SignInResult
	err := ErrBroken
	defer func() { // also where something panics: somebody waits for it
		s.mu.Lock()
		defer s.mu.Unlock()
		s.end(t, result.Account, err)
	}()
	ctx = s.opts.Logger.WithContext(ctx)
	if result, err = visit.Finish(ctx, answer); err == nil {
		err = ErrBroken
		err = t.request.Take(ctx, result)
	} else if s.opts.Failed != nil {
		s.opts.Failed(t.request, err)
	}
	if err != nil {
		s.log(t).Warn().Err(err).Msg("A web sign-in did not work")
		return
	}
	s.log(t).Info().Str("teams_user_id", result.Account.UserID).Bool("relay", t.request.Relay).Msg("Somebody has signed in on the web")
}

// parseAnswer reads the query of an answer. Each of its words may come once.
func parseAnswer(query string) (url.Values, bool) {
	if len(query) > maxAnswer {
		return nil, false
	}
	answer, err := url.ParseQuery(query)
	if err != nil || !webpage.IsSecret(answer.Get("state")) {
		return nil, false
	}
	for _, name := range []string{"state", "code", "error", "error_description"} {
		if len(answer[name]) > 1 {
			return nil, false
		}
	}
	return answer, true
}

func (s *Server) say(key texts.Key, pairs ...string) string { return s.opts.Texts.Say(key, pairs...) }

func (s *Server) log(t *Ticket) *zerolog.Logger {
	log := s.opts.Logger.With().Str("user_id", t.request.User).Logger()
	return &log
}

// refused notes that somebody who holds a secret of a ticket was not the one.
func (s *Server) refused(t *Ticket, why string) {
	s.log(t).Warn().Str("reason", why).Msg("A web sign-in was refused")
	if s.opts.Refused != nil {
		s.opts.Refused(t.request, why)
	}
}
