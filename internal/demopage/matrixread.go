package demopage

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/format"
	"maunium.net/go/mautrix/id"

	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

var (
	errNobody = errors.New("nobody in the channel has a Matrix account")
	errNoRoom = errors.New("there is no room of this channel in Matrix, or not yet")
)

// matrixReader is whose eyes the page has in a channel's room.
func (p *Page) matrixReader(ctx context.Context, ch *teamstest.Channel) (*mautrix.Client, error) {
	for _, u := range ch.Members() {
		if p.hasAccount(u) {
			return p.opts.Stack.Person(ctx, stack.Localpart(u))
		}
	}
	return nil, errNobody
}

func (p *Page) hasAccount(u *teamstest.User) bool { return !u.Guest() && u.Enabled() && !p.isRelay(u) }

// roomOf is the room of a channel, asked for once.
func (p *Page) roomOf(ctx context.Context, cli *mautrix.Client, channelID string) (id.RoomID, error) {
	p.mu.Lock()
	room, ok := p.rooms[channelID]
	p.mu.Unlock()
	if ok {
		return room, nil
	}
	room, err := stack.RoomOf(ctx, cli, channelID)
	if errors.Is(err, stack.ErrNoRoom) {
		return "", errNoRoom
	} else if err != nil {
		return "", err
	}
	p.mu.Lock()
	p.rooms[channelID] = room
	p.mu.Unlock()
	return room, nil
}

// readMatrix reads a channel's room as one of its members sees it.
func (p *Page) readMatrix(ctx context.Context, cli *mautrix.Client, room id.RoomID) (matrixView, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	view := matrixView{Room: room.String()}
	state, err := cli.State(ctx, room)
	if err != nil {
		return view, fmt.Errorf("read the room: %w", err)
	}
	view.Name, view.Topic = text(state, event.StateRoomName, "name"), text(state, event.StateTopic, "topic")
	names := map[id.UserID]string{}
	for key, evt := range state[event.StateMember] {
		member := evt.Content.AsMember()
		user := id.UserID(key)
		names[user] = cmpOr(member.Displayname, p.profileName(ctx, cli, user))
		if member.Membership == event.MembershipJoin {
			view.Members = append(view.Members, person{ID: key, Name: names[user], Bridge: p.isBridge(user)})
		}
	}
	slices.SortFunc(view.Members, func(a, b person) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
	view.Space, view.InSpace = p.spaceOf(ctx, cli, state)
	entries, err := stack.Timeline(ctx, cli, room)
	if err != nil {
		return view, err
	}
	byID := map[id.EventID]stack.Entry{}
	for _, e := range entries {
		byID[e.EventID] = e
		view.Messages = append(view.Messages, p.fromMatrix(e, names, byID))
	}
	view.Messages = threaded(view.Messages)
	return view, nil
}

// profileName is the name of somebody's profile, for whom the room has none.
func (p *Page) profileName(ctx context.Context, cli *mautrix.Client, user id.UserID) string {
	p.mu.Lock()
	name, ok := p.names[user]
	p.mu.Unlock()
	if ok {
		return name
	}
	name = user.Localpart()
	if profile, err := cli.GetDisplayName(ctx, user); err == nil {
		name = cmpOr(profile.DisplayName, name)
	}
	p.mu.Lock()
	p.names[user] = name
	p.mu.Unlock()
	return name
}

// isBridge reports whether an account is the bot or one that the bridge made.
func (p *Page) isBridge(user id.UserID) bool {
	return p.opts.Stack.IsBot(user) || strings.HasPrefix(user.Localpart(), "teams_")
}

// spaceOf is the name of the space that a room is in and how many rooms that has.
func (p *Page) spaceOf(ctx context.Context, cli *mautrix.Client, state mautrix.RoomStateMap) (name string, rooms int) {
	for parent := range state[event.StateSpaceParent] {
		space, err := cli.State(ctx, id.RoomID(parent))
		if err != nil {
			continue // the reader is not in it
		}
		for _, child := range space[event.StateSpaceChild] {
			if len(child.Content.Raw) > 0 {
				rooms++
			}
		}
		return text(space, event.StateRoomName, "name"), rooms
	}
	return "", 0
}

func text(state mautrix.RoomStateMap, kind event.Type, field string) string {
	if evt := state[kind][""]; evt != nil {
		value, _ := evt.Content.Raw[field].(string)
		return value
	}
	return ""
}

func (p *Page) fromMatrix(e stack.Entry, names map[id.UserID]string, earlier map[id.EventID]stack.Entry) message {
	m := message{
		ID: e.EventID.String(), Thread: e.Thread.String(), At: e.At.UnixMilli(), Edited: e.Edited, Deleted: e.Redacted,
		Author: personOf(e.Sender, names), System: e.MsgType == event.MsgNotice && p.opts.Stack.IsBot(e.Sender),
	}
	m.Author.Bridge = p.isBridge(e.Sender)
	if e.Redacted {
		return m
	}
	m.says(e)
	if target := repliesTo(e); target != "" {
		if original, ok := earlier[target]; ok {
			m.Quote = &quote{Author: personOf(original.Sender, names).Name, Text: shortened(original.Body, maxWords)}
		}
	}
	for key, senders := range e.Reactions {
		for _, sender := range senders {
			m.react(key, key, personOf(sender, names))
		}
	}
	slices.SortFunc(m.Reactions, func(a, b reaction) int { return strings.Compare(a.Key, b.Key) })
	return m
}

// says fills in what an event says: a text, or a file with or without one.
func (m *message) says(e stack.Entry) {
	m.HTML, m.Text, m.Source = cleaned(e.HTML), e.Body, e.Body
	switch e.MsgType {
	case event.MsgEmote:
		m.HTML, m.Text = "", "* "+m.Author.Name+" "+e.Body
	case event.MsgImage, event.MsgFile, event.MsgVideo, event.MsgAudio:
		f := file{Name: e.Body, Kind: "file"}
		if name, _ := e.Raw["filename"].(string); name != "" && name != e.Body {
			f.Name = name
		} else {
			m.HTML, m.Text, m.Source = "", "", ""
		}
		if e.MsgType == event.MsgImage {
			f.Kind = "image"
		}
		if info, _ := e.Raw["info"].(map[string]any); info != nil {
			size, _ := info["size"].(float64)
			f.Size = int64(size)
		}
		if uri, err := e.URL.Parse(); err == nil && !uri.IsEmpty() {
			f.URL = "/media/matrix/" + url.PathEscape(uri.Homeserver) + "/" + url.PathEscape(uri.FileID) + "?name=" + url.QueryEscape(f.Name)
		}
		m.Files = []file{f}
	}
	if m.HTML != "" {
		m.Source = strings.TrimSpace(format.HTMLToMarkdown(m.HTML))
	}
}

// repliesTo is the event that somebody answers, where that is more than a
// thread's way of telling clients that don't know threads.
func repliesTo(e stack.Entry) id.EventID {
	relation, _ := e.Raw["m.relates_to"].(map[string]any)
	if fallback, _ := relation["is_falling_back"].(bool); fallback {
		return ""
	}
	reply, _ := relation["m.in_reply_to"].(map[string]any)
	target, _ := reply["event_id"].(string)
	return id.EventID(target)
}

func personOf(user id.UserID, names map[id.UserID]string) person {
	return person{ID: user.String(), Name: cmpOr(names[user], user.Localpart())}
}

// threaded puts the messages of a thread behind its root.
func threaded(messages []message) []message {
	inThread := map[string][]message{}
	known := map[string]bool{}
	for _, m := range messages {
		known[m.ID] = true
	}
	out := make([]message, 0, len(messages))
	for _, m := range messages {
		if known[m.Thread] {
			inThread[m.Thread] = append(inThread[m.Thread], m)
		}
	}
	for _, m := range messages {
		if known[m.Thread] {
			continue
		}
		out = append(append(out, m), inThread[m.ID]...)
	}
	return out
}
