package statuspage

import (
	"bytes"
	"context"
	_ "embed"
	"html/template"
	"net/http"

	"teamsbridge/texts"
)

//go:embed page.css
var style string

//go:embed page.js
var code string

//go:embed page.html
var layout string

var pages = template.Must(template.New("page").Funcs(template.FuncMap{"row": rowOf}).Parse(layout))

// frame is what every page has.
type frame struct {
	Language, Title, Product string
	Style, Code              string // addresses
}

func (s *Server) frame(title texts.Key) frame {
	return frame{Language: s.opts.Texts.Language(), Title: s.say(title), Product: s.say(texts.WebProduct), Style: s.site.Address(stylePath), Code: s.site.Address(codePath)}
}

// door is a page with one sentence and at most one button.
type door struct {
	frame
	Says, User            string
	Action, Token, Button string
}

// board is the page itself.
type board struct {
	frame
	View
	User, Find              string
	Token, Act, Leave, Home string
	Live                    string
	Answer                  string
	Failed                  bool
	Now                     string
	T                       func(name string) string
}

// rowOf is what a row's buttons need.
func rowOf(page board, row Row) (out struct {
	Page board
	Row  Row
}) {
	out.Page, out.Row = page, row
	return out
}

// labels are the page's own words.
var labels = map[string]texts.Key{
	"channels": texts.PageChannels, "team": texts.PageTeam, "channel": texts.PageChannel, "state": texts.PageState,
	"to_teams": texts.PageToTeams, "to_matrix": texts.PageToMatrix, "parked": texts.PageParked, "find": texts.PageFind, "search": texts.PageSearch,
	"outages": texts.PageOutages, "drill": texts.PageDrill, "report": texts.PageReport, "none": texts.PageNone, "nothing": texts.PageNothing, "leave": texts.PageLeave,
	"acts": texts.PageActs, "outage_start": texts.PageOutageStart, "outage_end": texts.PageOutageEnd, "reason": texts.PageReason,
	"drill_start": texts.PageDrillStart, "drill_end": texts.PageDrillEnd, "minutes": texts.PageMinutes, "everything": texts.Everything,
	"pause": texts.PagePause, "resume": texts.PageResume, "retry": texts.PageRetry, "drop": texts.PageDrop, "sure": texts.PageSure,
	"sync": texts.PageSync, "mirror": texts.PageMirror, "unmirror": texts.PageUnmirror, "answer": texts.PageAnswer, "skip": texts.PageSkip,
	"stale": texts.PageStale, "signed_in": texts.PageSignedIn,
}

// policy lets the page have its own style, script and forms, and ask its own
// server. Nothing else is loaded, and nobody puts it into a frame.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func serveFile(kind, content string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write([]byte(content))
	}
}

// showPage shows everything, showLive the part that changes.
func (s *Server) showPage(w http.ResponseWriter, r *http.Request, user, word string) {
	s.showBoard(w, r, user, word, "board", true)
}

func (s *Server) showLive(w http.ResponseWriter, r *http.Request, user, word string) {
	s.showBoard(w, r, user, word, "live", false)
}

func (s *Server) showBoard(w http.ResponseWriter, r *http.Request, user, word, name string, withAnswer bool) {
	ctx, cancel := context.WithTimeout(r.Context(), viewTimeout)
	defer cancel()
	find := r.URL.Query().Get("find")
	if len(find) > maxFind {
		find = ""
	}
	view, err := s.opts.Bridge.View(ctx, find)
	if err != nil {
		s.opts.Logger.Err(err).Msg("The status page can't be made")
		s.showMessage(w, http.StatusServiceUnavailable, texts.PageTitle, texts.PageFailed)
		return
	}
	b := board{
		frame: s.frame(texts.PageTitle), View: view, User: user, Find: find, Token: s.site.Token(word),
		Act: s.site.Address(actPath), Leave: s.site.Address(leavePath), Home: s.site.Address("/"), Live: s.site.Address(livePath), Now: s.opts.Texts.Time(s.opts.Now()),
		T: func(name string) string { return s.say(labels[name]) },
	}
	if withAnswer {
		b.Answer, b.Failed = s.taken(word)
	}
	s.render(w, http.StatusOK, name, b)
}

// showMessage shows a page with a sentence.
func (s *Server) showMessage(w http.ResponseWriter, status int, title, says texts.Key) {
	s.render(w, status, "door", door{frame: s.frame(title), Says: s.say(says)})
}

func (s *Server) render(w http.ResponseWriter, status int, name string, data any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		s.opts.Logger.Err(err).Msg("The status page's template failed")
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}
