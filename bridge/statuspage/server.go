package statuspage

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"teamsbridge/bridge/webpage"
	"teamsbridge/texts"
)

const (
	enterPath = "/enter/"
	livePath  = "/live"
	actPath   = "/act"
	leavePath = "/leave"
	stylePath = "/page.css"
	codePath  = "/page.js"

	maxForm = 8 << 10 // bytes
	maxFind = 200     // bytes

	// viewTimeout bounds how long a page is made, actTimeout how long a command takes.
	viewTimeout = 20 * time.Second
	actTimeout  = 2 * time.Minute
	// WriteTimeout is what the listener has to allow for that.
	WriteTimeout = actTimeout + 15*time.Second
)

// Options configures New.
type Options struct {
	// PublicURL is the page's address as browsers see it. Cookies are for https
	// alone where it is https.
	PublicURL string
	Bridge    Bridge
	Texts     texts.Texts
	Now       func() time.Time
	Logger    zerolog.Logger
	// Entered is told who opened a link, Refused of requests of strangers to what
	// only administrators may ask. Neither has to be set.
	Entered func(user string)
	Refused func(path string)
}

// Server has the sessions and serves the page.
type Server struct {
	opts Options
	site *webpage.Site

	mu       sync.Mutex
	tickets  map[webpage.Digest]ticket
	sessions map[webpage.Digest]*session
}

// New returns a server whom nobody may use yet.
func New(opts Options) *Server {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Server{opts: opts, site: webpage.NewSite(opts.PublicURL), tickets: map[webpage.Digest]ticket{}, sessions: map[webpage.Digest]*session{}}
}

// Handler serves the page.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+enterPath+"{word}", s.showLink)
	mux.HandleFunc("POST "+enterPath+"{word}", s.open)
	mux.HandleFunc("GET "+stylePath, serveFile("text/css; charset=utf-8", style))
	mux.HandleFunc("GET "+codePath, serveFile("text/javascript; charset=utf-8", code))
	mux.HandleFunc("GET /{$}", s.admins(s.showPage))
	mux.HandleFunc("GET "+livePath, s.admins(s.showLive))
	mux.HandleFunc("POST "+actPath, s.admins(s.act))
	mux.HandleFunc("POST "+leavePath, s.admins(s.goAway))
	mux.HandleFunc("/", s.admins(func(w http.ResponseWriter, r *http.Request, _, _ string) { http.NotFound(w, r) }))
	return s.site.Serve(mux, policy, "same-origin")
}

// admins refuses everybody else.
func (s *Server) admins(next func(w http.ResponseWriter, r *http.Request, user, word string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		user, word := s.visitor(r)
		if user == "" {
			s.refuse(w, r)
			return
		}
		next(w, r, user, word)
	}
}

// refuse answers a stranger.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request) {
	if s.opts.Refused != nil && r.Method != http.MethodGet {
		path := r.URL.Path
		if strings.HasPrefix(path, enterPath) {
			path = enterPath // the rest may still be good for somebody
		}
		s.opts.Refused(path)
	}
	s.showMessage(w, http.StatusUnauthorized, texts.PageStrangerTitle, texts.PageStranger)
}

// showLink asks whoever opens a link to press a button: what only looks at links
// uses none up.
func (s *Server) showLink(w http.ResponseWriter, r *http.Request) {
	word := r.PathValue("word")
	user := s.ticketOf(word)
	if user == "" {
		s.showMessage(w, http.StatusNotFound, texts.PageGoneTitle, texts.PageGone)
		return
	}
	s.render(w, http.StatusOK, "door", door{
		frame: s.frame(texts.PageTitle), Says: s.say(texts.PageEnter), User: user,
		Action: s.site.Address(enterPath + word), Token: s.site.Token(word), Button: s.say(texts.PageOpen),
	})
}

// open begins a session.
func (s *Server) open(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	word := r.PathValue("word")
	if !s.site.Pressed(r, word) {
		s.refuse(w, r)
		return
	}
	cookie, user := s.enter(word)
	if cookie == "" || !s.opts.Bridge.IsAdmin(user) {
		s.leave(cookie)
		s.showMessage(w, http.StatusNotFound, texts.PageGoneTitle, texts.PageGone)
		return
	}
	if s.opts.Entered != nil {
		s.opts.Entered(user)
	}
	s.setCookie(w, cookie)
	http.Redirect(w, r, s.site.Address("/"), http.StatusSeeOther)
}

// act does what a button stands for, and shows the page with the answer.
func (s *Server) act(w http.ResponseWriter, r *http.Request, user, word string) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if !s.site.Pressed(r, word) {
		s.refuse(w, r)
		return
	}
	command, arguments, ok := commandOf(r)
	if !ok {
		s.keep(word, s.say(texts.PageIncomplete), true)
	} else {
		// What was asked for is done whether or not the browser waits for it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), actTimeout)
		defer cancel()
		answer, err := s.opts.Bridge.Do(ctx, user, command, arguments)
		if err != nil {
			s.opts.Logger.Err(err).Str("user_id", user).Str("command", command).Msg("A button of the status page failed")
			answer = s.say(texts.PageFailed)
		}
		s.keep(word, answer, err != nil)
	}
	back := s.site.Address("/")
	if find := r.PostFormValue("find"); find != "" && len(find) <= maxFind {
		back += "?" + url.Values{"find": {find}}.Encode()
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
}

func (s *Server) goAway(w http.ResponseWriter, r *http.Request, _, word string) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if !s.site.Pressed(r, word) {
		s.refuse(w, r)
		return
	}
	s.leave(word)
	s.setCookie(w, "")
	s.showMessage(w, http.StatusOK, texts.PageLeftTitle, texts.PageStranger)
}

func (s *Server) say(key texts.Key, pairs ...string) string { return s.opts.Texts.Say(key, pairs...) }
