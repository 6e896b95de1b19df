package demopage

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"path/filepath"
	"slices"
	"strings"

	"teamsbridge/teams/teamstest"
)

const (
	// maxFile is the largest file that the page passes on.
	maxFile = 64 << 20
	// maxText bounds everything else that is sent to it.
	maxText = 64 << 10
	// inMemory is how much of a file is not put on disk meanwhile.
	inMemory = 4 << 20
)

var (
	errGone      = errors.New("that message is not there any more")
	errUnknown   = errors.New("no such action")
	errNoAccount = errors.New("nobody with a Matrix account is meant")
	errNoChannel = errors.New("no such channel")
	errNoPerson  = errors.New("no such person in the channel")
	errEmpty     = errors.New("there is nothing to say")
)

// said is a message to post.
type said struct {
	Side, Channel, As                  string
	Text, ReplyTo, Subject, Importance string
	file                               multipart.File
	name                               string
	size                               int64
}

// change is a change of a message.
type change struct {
	Side    string `json:"side"`
	Channel string `json:"channel"`
	As      string `json:"as"`
	Do      string `json:"do"`
	ID      string `json:"id"`
	Text    string `json:"text"`
	Key     string `json:"key"`
}

// serveSay posts a message: a form, with or without a file.
func (p *Page) serveSay(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxFile+maxText)
	if err := r.ParseMultipartForm(inMemory); err != nil {
		done(w, err)
		return
	}
	defer func() { _ = r.MultipartForm.RemoveAll() }()
	s := said{
		Side: r.FormValue("side"), Channel: r.FormValue("channel"), As: r.FormValue("as"), ReplyTo: r.FormValue("replyTo"),
		Text: strings.TrimSpace(r.FormValue("text")), Subject: strings.TrimSpace(r.FormValue("subject")), Importance: r.FormValue("importance"),
	}
	if len(s.Text)+len(s.Subject) > maxText {
		refuse(w, http.StatusRequestEntityTooLarge, "The text is too long.")
		return
	}
	if f, header, err := r.FormFile("file"); err == nil {
		defer func() { _ = f.Close() }()
		s.file, s.name, s.size = f, filepath.Base(header.Filename), header.Size
	}
	if s.Text == "" && s.file == nil {
		done(w, errEmpty)
		return
	}
	done(w, p.say(r.Context(), s))
}

func (p *Page) say(ctx context.Context, s said) error {
	ch := p.channel(s.Channel)
	if ch == nil {
		return errNoChannel
	}
	if s.Side == "teams" {
		u := p.member(ch, s.As)
		if u == nil {
			return errNoPerson
		}
		return p.sayInTeams(ctx, u, ch, s)
	}
	cli, err := p.speaker(ctx, s.As)
	if err != nil {
		return err
	}
	room, err := p.roomOf(ctx, cli, ch.ID)
	if err != nil {
		return err
	}
	return p.sayInMatrix(ctx, cli, room, s)
}

// serveChange edits, deletes or reacts.
func (p *Page) serveChange(w http.ResponseWriter, r *http.Request) {
	var c change
	if !read(w, r, &c) {
		return
	}
	if c.Text = strings.TrimSpace(c.Text); c.Do == "edit" && c.Text == "" {
		done(w, errEmpty)
		return
	}
	done(w, p.change(r.Context(), c))
}

func (p *Page) change(ctx context.Context, c change) error {
	ch := p.channel(c.Channel)
	if ch == nil {
		return errNoChannel
	}
	if c.Side == "teams" {
		u := p.member(ch, c.As)
		if u == nil {
			return errNoPerson
		}
		return p.changeInTeams(ctx, u, ch, c)
	}
	cli, err := p.speaker(ctx, c.As)
	if err != nil {
		return err
	}
	room, err := p.roomOf(ctx, cli, ch.ID)
	if err != nil {
		return err
	}
	return p.changeInMatrix(ctx, cli, room, c)
}

// serveOutage takes Teams down or brings it back.
func (p *Page) serveOutage(w http.ResponseWriter, r *http.Request) {
	var in struct {
		On bool `json:"on"`
	}
	if !read(w, r, &in) {
		return
	}
	if in.On {
		p.opts.Stack.Tenant.Down(teamstest.DownUnavailable)
		done(w, nil)
		return
	}
	done(w, p.opts.Stack.Tenant.Up())
}

// serveMember adds somebody to a channel, or takes them out of it, as an owner
// does in Teams; standard channels follow their team.
func (p *Page) serveMember(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Channel string `json:"channel"`
		Person  string `json:"person"`
		In      bool   `json:"in"`
	}
	if !read(w, r, &in) {
		return
	}
	ch, u := p.channel(in.Channel), p.opts.Stack.Tenant.User(in.Person)
	if ch == nil || u == nil {
		done(w, errNoPerson)
		return
	}
	owner := ch.Team().Members()[0]
	switch standard := ch.Kind() == teamstest.Standard; {
	case standard && in.In:
		ch.Team().AddMember(owner, u)
	case standard:
		ch.Team().RemoveMember(owner, u)
	case in.In:
		ch.AddMember(owner, u)
	default:
		ch.RemoveMember(owner, u)
	}
	done(w, nil)
}

// channel finds a channel by its id.
func (p *Page) channel(channelID string) *teamstest.Channel {
	for _, t := range p.opts.Stack.Tenant.Teams() {
		for _, ch := range t.Channels() {
			if ch.ID == channelID {
				return ch
			}
		}
	}
	return nil
}

// member finds a member of a channel by their id.
func (p *Page) member(ch *teamstest.Channel, userID string) *teamstest.User {
	members := ch.Members()
	if i := slices.IndexFunc(members, func(u *teamstest.User) bool { return u.ID == userID && !p.isRelay(u) }); i >= 0 {
		return members[i]
	}
	return nil
}

// read decodes a request, or answers why it can't.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxText)).Decode(into)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errEmpty
		}
		done(w, err)
	}
	return err == nil
}

// done answers a request that changes something.
func done(w http.ResponseWriter, err error) {
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		answer(w, http.StatusOK, map[string]bool{"ok": true})
	case errors.As(err, &tooLarge):
		refuse(w, http.StatusRequestEntityTooLarge, "That is too large: files may have 64 MiB here.")
	default:
		refuse(w, http.StatusUnprocessableEntity, err.Error())
	}
}
