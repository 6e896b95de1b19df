package msgconv

import (
	"regexp"
	"strings"

	"github.com/microcosm-cc/bluemonday"
)

// SanitizeMatrix reduces HTML to what may stand in a formatted_body. What it
// returns it would return unchanged.
func SanitizeMatrix(html string) string { return lockMatrix(parse(html, forMatrix)) }

// SanitizeTeams reduces HTML to what we may post to Teams. What it returns it
// would return unchanged.
func SanitizeTeams(html string) string { return lockTeams(parse(html, forTeams)) }

// lockMatrix writes a tree out through the allow-list for Matrix.
func lockMatrix(root *node) string { return lock(matrixPolicy, matrixTags, root) }

// lockTeams writes a tree out through the allow-list for Teams.
func lockTeams(root *node) string { return lock(teamsPolicy, teamsTags, root) }

// lock looks through what is written out, and has the sanitiser clean what is
// not of the one form that it would leave as it is (FuzzSanitize compares).
// Apostrophes are left alone, which bluemonday writes as entities although they
// are harmless in text and in attributes in double quotes.
func lock(policy *bluemonday.Policy, tags map[string]allowed, root *node) string {
	html := render(root)
	if !strict(html, tags) {
		html = policy.Sanitize(html)
	}
	return strings.ReplaceAll(html, "&#39;", "'")
}

// The policies are the second lock: the builder has let nothing else through,
// and they would stop it if it did. Both are safe for concurrent use.
var (
	matrixPolicy = newMatrixPolicy()
	teamsPolicy  = newTeamsPolicy()
)

func newMatrixPolicy() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements("p", "div", "br", "b", "strong", "i", "em", "u", "del", "sub", "sup", "code", "h1", "h2", "h3", "h4", "h5", "h6",
		"ul", "ol", "li", "blockquote", "pre", "hr", "table", "thead", "tbody", "tr", "td", "th", "caption", "details", "summary")
	p.AllowAttrs("href").Matching(regexp.MustCompile(`^(https?://|mailto:|matrix:)`)).OnElements("a")
	p.AllowAttrs("class").Matching(regexp.MustCompile(`^language-[A-Za-z0-9+#._-]{1,32}$`)).OnElements("code")
	p.AllowAttrs("data-mx-spoiler").OnElements("span")
	p.AllowAttrs("data-mx-color", "data-mx-bg-color").Matching(regexp.MustCompile(`^#[0-9a-f]{6}$`)).OnElements("span")
	p.AllowAttrs("start").Matching(bluemonday.Integer).OnElements("ol")
	p.AllowAttrs("src").Matching(mxc).OnElements("img")
	p.AllowAttrs("alt", "title", "data-mx-emoticon").OnElements("img")
	p.AllowAttrs("height").Matching(bluemonday.Integer).OnElements("img")
	p.AllowURLSchemes("http", "https", "mailto", "matrix", "mxc")
	p.RequireParseableURLs(true)
	return p
}

func newTeamsPolicy() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements("p", "div", "br", "b", "strong", "i", "em", "u", "s", "sub", "sup", "code", "h1", "h2", "h3",
		"ul", "ol", "li", "blockquote", "pre", "hr", "table", "tbody", "tr", "td", "th", "caption")
	p.AllowAttrs("href").Matching(regexp.MustCompile(`^(https?://|mailto:)`)).OnElements("a")
	p.AllowAttrs("style").Matching(regexp.MustCompile(`^(color:#[0-9a-f]{6})?;?(background-color:#[0-9a-f]{6})?$`)).OnElements("span")
	p.AllowAttrs("id").Matching(bluemonday.Integer).OnElements("at")
	p.AllowAttrs("class").Matching(regexp.MustCompile(`^[A-Za-z0-9+#._-]{0,32}$`)).OnElements("codeblock")
	p.AllowAttrs("src").Matching(regexp.MustCompile(`^\.\./hostedContents/[A-Za-z0-9_-]{1,32}/\$value$`)).OnElements("img")
	p.AllowAttrs("alt").OnElements("img")
	p.AllowAttrs("width", "height").Matching(bluemonday.Integer).OnElements("img")
	p.AllowAttrs("start").Matching(bluemonday.Integer).OnElements("ol")
	p.AllowURLSchemes("http", "https", "mailto")
	p.AllowRelativeURLs(true)
	p.RequireParseableURLs(true)
	return p
}
