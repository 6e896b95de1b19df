package demopage

import (
	"context"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"

	"maunium.net/go/mautrix/id"

	"teamsbridge/internal/stack"
)

// imageType is the type of a file that the page shows as a picture, by its
// name; empty for everything else. SVG is a document with scripts, not a picture.
func imageType(name string) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".png":
		return "image/png"
	case ".jpg", ".jpeg":
		return "image/jpeg"
	case ".gif":
		return "image/gif"
	case ".webp":
		return "image/webp"
	}
	return ""
}

// pass hands a file on. Only pictures keep their type; all else is for saving,
// and nothing of it may act as a page.
func pass(w http.ResponseWriter, resp *http.Response, name string) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if named := imageType(name); named != "" {
		kind = named
	}
	switch kind {
	case "image/png", "image/jpeg", "image/gif", "image/webp":
		h.Set("Content-Type", kind)
	default:
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": cmpOr(name, "file")}))
	}
	h.Set("Cache-Control", "private, max-age=3600")
	_, _ = io.Copy(w, io.LimitReader(resp.Body, 1<<30))
}

func (p *Page) serveMatrixMedia(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), uploadLimit)
	defer cancel()
	cli, err := p.opts.Stack.Person(ctx, stack.AdminName)
	if err != nil {
		done(w, err)
		return
	}
	resp, err := cli.Download(ctx, id.ContentURI{Homeserver: r.PathValue("server"), FileID: r.PathValue("id")})
	if err != nil {
		refuse(w, http.StatusNotFound, "The homeserver does not have it.")
		return
	}
	defer func() { _ = resp.Body.Close() }()
	pass(w, resp, r.URL.Query().Get("name"))
}

// hostedPath is the path of a picture in a message, and of nothing else.
var hostedPath = regexp.MustCompile(`^teams/[^/]+/channels/([^/]+)/messages/[^/]+(?:/replies/[^/]+)?/hostedContents/[^/]+/\$value$`)

// serveTeamsImage serves a picture that stands in a message.
func (p *Page) serveTeamsImage(w http.ResponseWriter, r *http.Request) {
	escaped := strings.TrimPrefix(r.URL.EscapedPath(), "/media/teams/")
	found := hostedPath.FindStringSubmatch(strings.ReplaceAll(escaped, "%24value", "$value"))
	if found == nil {
		refuse(w, http.StatusNotFound, "That is no picture of a message.")
		return
	}
	channelID, err := url.PathUnescape(found[1])
	ch := p.channel(channelID)
	if err != nil || ch == nil {
		done(w, errNoChannel)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), callLimit)
	defer cancel()
	resp, err := p.graph.request(ctx, p.teamsReader(ch), http.MethodGet, "/"+found[0], nil)
	if err != nil {
		done(w, err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	pass(w, resp, "")
}

// serveTeamsFile serves a file of a channel's folder.
func (p *Page) serveTeamsFile(w http.ResponseWriter, r *http.Request) {
	ch := p.channel(r.URL.Query().Get("channel"))
	if ch == nil {
		done(w, errNoChannel)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), uploadLimit)
	defer cancel()
	reader, name := p.teamsReader(ch), r.URL.Query().Get("name")
	folder, _, err := p.folder(ctx, reader, ch)
	if err != nil {
		done(w, err)
		return
	}
	var item driveItem
	if err = p.graph.call(ctx, reader, http.MethodGet, folder+":/"+url.PathEscape(name)+":", nil, &item); err != nil {
		done(w, err)
		return
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, item.Download, nil)
	if err != nil {
		done(w, err)
		return
	}
	// Without a token: the address is the proof.
	resp, err := p.graph.http.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		refuse(w, http.StatusNotFound, "Teams does not have it.")
		return
	}
	defer func() { _ = resp.Body.Close() }()
	pass(w, resp, item.Name)
}
