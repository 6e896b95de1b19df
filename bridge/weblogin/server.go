package weblogin

import (
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"teamsbridge/bridge/webpage"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

const (
	// DefaultLife is how long a link is good.
	DefaultLife = 10 * time.Minute
	// keepOutcome is how long a link's page says what became of it.
	keepOutcome = 5 * time.Minute
	// finishTimeout bounds what happens while the browser waits for an answer.
	finishTimeout = 45 * time.Second
	// WriteTimeout is what the listener has to allow for that.
	WriteTimeout = finishTimeout + 15*time.Second

	maxTickets = 10_000
	ticketSize = 24      // bytes
	maxForm    = 4 << 10 // bytes
	// maxAnswer is far more than Microsoft's codes have.
	maxAnswer = 12 << 10 // bytes

	linkPath     = "/login/"
	callbackPath = "/callback"
	checkPath    = "/check/"
)

// CheckMark is what the check's answer begins with.
const CheckMark = "teamsbridge web sign-in "

// Options configures New.
type Options struct {
	// PublicURL is the listener's address as browsers see it. Cookies are for
	// https alone where it is https.
	PublicURL string
	// Login prepares a visit to the sign-in service.
	Login func(redirect, account string) (*teams.WebLogin, error)
	Texts texts.Texts
	// Life is how long a link is good, 0 for DefaultLife.
	Life   time.Duration
	Now    func() time.Time
	Logger zerolog.Logger
	// Refused is told of somebody who holds a secret of a ticket and is not the
	// one, Failed of an answer that the sign-in service or this server did not
	// accept. Neither has to be set.
	Refused func(request Request, why string)
	Failed  func(request Request, err error)
}

// Server keeps the tickets and serves their pages.
type Server struct {
	opts Options
	site *webpage.Site

	mu      sync.Mutex
	tickets map[webpage.Digest]*Ticket
	visits  map[webpage.Digest]*Ticket // by state
}

// New returns a server without tickets.
func New(opts Options) *Server {
	if opts.Life == 0 {
		opts.Life = DefaultLife
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Server{opts: opts, site: webpage.NewSite(opts.PublicURL), tickets: map[webpage.Digest]*Ticket{}, visits: map[webpage.Digest]*Ticket{}}
}

// RedirectURL is the address that the app registration must have as a redirect
// URI, and CheckURL one that answers with CheckMark and the word.
func RedirectURL(public string) string { return strings.TrimRight(public, "/") + callbackPath }

// CheckURL see RedirectURL.
func CheckURL(public, word string) string { return strings.TrimRight(public, "/") + checkPath + word }

var checkWord = regexp.MustCompile(`^[A-Za-z0-9]{1,64}$`)

// Handler serves the pages.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+linkPath+"{ticket}", s.showLink)
	mux.HandleFunc("POST "+linkPath+"{ticket}", s.goOn)
	mux.HandleFunc("GET "+callbackPath, s.callback)
	mux.HandleFunc("GET "+checkPath+"{word}", serveCheck)
	return s.site.Serve(mux, policy, "no-referrer")
}

func serveCheck(w http.ResponseWriter, r *http.Request) {
	word := r.PathValue("word")
	if !checkWord.MatchString(word) {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(CheckMark + word))
}
