package weblogin

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"

	"teamsbridge/bridge/webpage"
	"teamsbridge/texts"
)

//go:embed page.css
var style string

//go:embed page.html
var layout string

var pages = template.Must(template.New("page").Parse(layout))

// page is what the template shows.
type page struct {
	Title texts.Key
	// Says stand above the Matrix account, Then below it.
	Says, Then []string
	User       string
	Go         *button
	// Onward is where the browser is sent, Link what is pressed where it does not go.
	Onward, Link string
}

// button is the one thing that can be pressed.
type button struct{ Action, Token, Says string }

// policy lets the pages have their own style and send their own form. Nothing is
// loaded, nothing runs, and nobody puts them into a frame.
var policy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}()

// show writes a page.
func (s *Server) show(w http.ResponseWriter, status int, p page) {
	var b bytes.Buffer
	err := pages.Execute(&b, struct {
		page
		Language, Heading, Product string
		Style                      template.CSS
		Field                      string
	}{p, s.opts.Texts.Language(), s.say(p.Title), s.say(texts.WebProduct), template.CSS(style), webpage.TokenField}) //nolint:gosec // our own file
	if err != nil {
		s.opts.Logger.Err(err).Msg("A page of the web sign-in can't be made")
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}
