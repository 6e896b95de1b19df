package demopage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"maunium.net/go/mautrix/format"

	"teamsbridge/teams/teamstest"
)

// uploadStep is how much of a file goes in one request; Graph wants a multiple
// of 320 KiB.
const uploadStep = 10 * 320 << 10

// asHTML is what a composer's text means.
func asHTML(text string) string {
	content := format.RenderMarkdown(text, true, false)
	if content.FormattedBody == "" {
		return paragraph(content.Body)
	}
	return content.FormattedBody
}

// sayInTeams posts, or replies, with or without a file.
func (p *Page) sayInTeams(ctx context.Context, u *teamstest.User, ch *teamstest.Channel, s said) error {
	path := channelPath(ch) + "/messages"
	if s.ReplyTo != "" {
		m := ch.Message(s.ReplyTo)
		if m == nil {
			return errGone
		}
		root := m.ID
		if m.RootID != "" {
			root = m.RootID
		}
		path += "/" + url.PathEscape(root) + "/replies"
	}
	content := ""
	if s.Text != "" {
		content = asHTML(s.Text)
	}
	body := map[string]any{}
	if s.file != nil {
		a, err := p.uploadToTeams(ctx, u, ch, s)
		if err != nil {
			return err
		}
		content += `<attachment id="` + a.ID + `"></attachment>`
		body["attachments"] = []map[string]string{{"id": a.ID, "contentType": "reference", "contentUrl": a.ContentURL, "name": a.Name}}
	}
	body["body"] = map[string]string{"contentType": "html", "content": content}
	if s.Subject != "" && s.ReplyTo == "" {
		body["subject"] = s.Subject
	}
	if s.Importance != "" {
		body["importance"] = s.Importance
	}
	return p.graph.call(ctx, u, http.MethodPost, path, body, nil)
}

type driveItem struct {
	Name     string `json:"name"`
	ETag     string `json:"eTag"`
	WebURL   string `json:"webUrl"`
	Download string `json:"@microsoft.graph.downloadUrl"`
	Size     int64  `json:"size"`
	Parent   struct {
		DriveID string `json:"driveId"`
	} `json:"parentReference"`
	ID string `json:"id"`
}

// folder is the path of the channel's folder in Graph, and its address.
func (p *Page) folder(ctx context.Context, u *teamstest.User, ch *teamstest.Channel) (path, address string, err error) {
	var folder driveItem
	if err = p.graph.call(ctx, u, http.MethodGet, channelPath(ch)+"/filesFolder", nil, &folder); err != nil {
		return "", "", err
	}
	return "/drives/" + url.PathEscape(folder.Parent.DriveID) + "/items/" + url.PathEscape(folder.ID), folder.WebURL, nil
}

// uploadToTeams puts a file into the channel's folder, as Teams' clients do.
func (p *Page) uploadToTeams(ctx context.Context, u *teamstest.User, ch *teamstest.Channel, s said) (a graphAttachment, err error) {
	if s.size == 0 {
		return a, errors.New("the file is empty")
	}
	folder, address, err := p.folder(ctx, u, ch)
	if err != nil {
		return a, err
	}
	var session struct {
		URL string `json:"uploadUrl"`
	}
	rename := map[string]any{"item": map[string]any{"@microsoft.graph.conflictBehavior": "rename"}}
	if err = p.graph.call(ctx, u, http.MethodPost, folder+":/"+url.PathEscape(s.name)+":/createUploadSession", rename, &session); err != nil {
		return a, err
	}
	var item driveItem
	buffer := make([]byte, min(uploadStep, s.size))
	for from := int64(0); from < s.size; {
		n, err := io.ReadFull(s.file, buffer[:min(int64(len(buffer)), s.size-from)])
		if err != nil {
			return a, fmt.Errorf("read the file: %w", err)
		}
		if item, err = p.uploadPart(ctx, session.URL, buffer[:n], from, s.size); err != nil {
			return a, err
		}
		from += int64(n)
	}
	guid, _, _ := strings.Cut(strings.Trim(item.ETag, `"{`), "}")
	return graphAttachment{ID: strings.ToLower(guid), Name: item.Name, ContentURL: address + "/" + url.PathEscape(item.Name)}, nil
}

// uploadPart sends a part of a file, without a token: the address is the proof.
func (p *Page) uploadPart(ctx context.Context, address string, part []byte, from, size int64) (item driveItem, err error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, address, bytes.NewReader(part))
	if err != nil {
		return item, fmt.Errorf("make a request: %w", err)
	}
	req.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, from+int64(len(part))-1, size))
	resp, err := p.graph.http.Do(req)
	if err != nil {
		return item, fmt.Errorf("upload the file: %w", errors.Unwrap(err))
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= 300 {
		return item, readGraphError(resp)
	}
	if err = json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&item); err != nil {
		return item, fmt.Errorf("read the answer to an upload: %w", err)
	}
	return item, nil
}

// changeInTeams edits, deletes or reacts.
func (p *Page) changeInTeams(ctx context.Context, u *teamstest.User, ch *teamstest.Channel, c change) error {
	m := ch.Message(c.ID)
	if m == nil {
		return errGone
	}
	path := messagePath(m)
	switch c.Do {
	case "edit":
		return p.editInTeams(ctx, u, path, c.Text)
	case "delete":
		return p.graph.call(ctx, u, http.MethodPost, path+"/softDelete", nil, nil)
	case "react", "unreact":
		verb := map[string]string{"react": "/setReaction", "unreact": "/unsetReaction"}[c.Do]
		return p.graph.call(ctx, u, http.MethodPost, path+verb, map[string]string{"reactionType": c.Key}, nil)
	}
	return errUnknown
}

// editInTeams replaces the text. Graph drops the attachments that an edit does
// not name, so those that are there are named.
func (p *Page) editInTeams(ctx context.Context, u *teamstest.User, path, text string) error {
	var old graphMessage
	if err := p.graph.call(ctx, u, http.MethodGet, path, nil, &old); err != nil {
		return err
	}
	content := asHTML(text)
	for _, a := range old.Attachments {
		content += `<attachment id="` + a.ID + `"></attachment>`
	}
	body := map[string]any{"body": map[string]string{"contentType": "html", "content": content}}
	if len(old.Attachments) > 0 {
		body["attachments"] = old.Attachments
	}
	return p.graph.call(ctx, u, http.MethodPatch, path, body, nil)
}
