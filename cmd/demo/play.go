package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// play is the tour. It ends with nil only if both sides agree on everything.
func (t *tour) play() error {
	began := time.Now()
	for _, part := range []func() error{t.fromTeams, t.signIns, t.fromMatrix, t.people, t.commands, t.outage, t.verdict} {
		if err := part(); err != nil {
			return err
		}
	}
	t.out.say("\nThe tour took %s.", time.Since(began).Round(100*time.Millisecond))
	return nil
}

func nothing() error { return nil }

func (t *tour) fromTeams() error {
	t.out.heading("Said in Teams, seen in Matrix")
	author := t.stack.UserID(stack.Localpart(t.speaker))
	var root, answer *teamstest.Message
	post := func(msg teamstest.Msg) func() error {
		return func() error { root = t.general.Post(t.speaker, msg); return nil }
	}
	steps := []struct {
		what    string
		act     func() error
		arrived func(ctx context.Context) error
	}{
		{"a post, under its author's own Matrix account", post(teamstest.Msg{HTML: "<p>Has anybody seen the <b>blue folder</b>?</p>"}),
			t.seen("blue folder", func(e stack.Entry) bool { return e.Sender == author && strings.Contains(e.HTML, "blue folder</") })},
		{"a reply, as a thread", func() error {
			answer = root.Reply(t.reader, teamstest.Msg{HTML: "<p>On the window sill, I think</p>"})
			return nil
		}, t.seen("window sill", func(e stack.Entry) bool { return e.Thread != "" })},
		{"an edit", func() error { answer.Edit(teamstest.Msg{HTML: "<p>On the window sill, for sure</p>"}); return nil },
			t.seen("for sure", func(e stack.Entry) bool { return e.Edited })},
		{"reactions of two people", func() error { root.React(t.reader, "like"); root.React(t.writer, "❤️"); return nil },
			t.seen("blue folder", func(e stack.Entry) bool { return len(e.Reactions) == 2 })},
		{"a mention, as a pill that notifies", func() error {
			t.general.Post(t.speaker, teamstest.Msg{HTML: `<p><at id="0">` + t.reader.DisplayName() + `</at> thank you</p>`, Mentions: []teamstest.Mention{{User: t.reader}}})
			return nil
		}, t.seen("thank you", func(e stack.Entry) bool { return e.Mentions != nil && len(e.Mentions.UserIDs) == 1 })},
		{"an urgent announcement with a table", post(teamstest.Msg{Subject: "Fire drill", Importance: "urgent",
			HTML: "<p>Today:</p><table><tbody><tr><td>10:00</td><td>North wing</td></tr><tr><td>10:30</td><td>South wing</td></tr></tbody></table>"}),
			t.seen("Fire drill", func(e stack.Entry) bool { return strings.Contains(e.HTML, "<table>") })},
		{"a picture", post(teamstest.Msg{HTML: `<p>The new sign <img src="../hostedContents/sign/$value" alt="sign"></p>`,
			Images: []teamstest.Image{{Name: "sign", ContentType: "image/png", Data: teamstest.PNG(teamstest.Avatar("sign", 64))}}}), t.pictureIn("The new sign")},
		{"a deletion", func() error { root.Delete(); return nil }, t.unseen("The new sign")},
		{"an un-deletion", func() error { root.Undelete(); return nil }, t.seen("The new sign", nil)},
	}
	for _, s := range steps {
		if err := t.step(s.what, s.act, s.arrived); err != nil {
			return err
		}
	}
	return nil
}

// pictureIn waits for a picture by the author of the message with the text.
func (t *tour) pictureIn(text string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		entries, err := stack.Timeline(ctx, t.as(t.reader), t.room)
		if err != nil {
			return err
		}
		source := ""
		for _, e := range entries {
			if strings.Contains(e.Body, text) {
				source = stack.SourceMessage(e)
			}
			if source != "" && e.MsgType == event.MsgImage && e.URL != "" && stack.SourceMessage(e) == source {
				return nil
			}
		}
		return errors.New("the picture is not in the room")
	}
}

func (t *tour) signIns() error {
	t.out.heading("Signing in with the bot, by device code")
	var err error
	if t.bot, err = t.stack.OpenBotChat(t.ctx, t.stack.Admin); err != nil {
		return err
	}
	if err = t.signIn(t.bot, "relay login", t.relay, "the administrator signs in a relay account"); err != nil {
		return err
	}
	own, err := t.stack.OpenBotChat(t.ctx, t.as(t.writer))
	if err != nil {
		return err
	}
	return t.signIn(own, "login", t.writer, t.writer.DisplayName()+" signs in")
}

func (t *tour) signIn(bot *stack.BotChat, command string, account *teamstest.User, what string) error {
	return t.step(what, func() error {
		if err := bot.Say(t.ctx, command); err != nil {
			return err
		}
		if err := bot.Approve(t.ctx, patience, account); err != nil {
			return fmt.Errorf("a device code: %w", err)
		}
		return nil
	}, bot.SignedIn)
}

func (t *tour) fromMatrix() error {
	t.out.heading("Said in Matrix, seen in Teams")
	writer, speaker := t.as(t.writer), t.as(t.speaker)
	var sent, reaction id.EventID
	steps := []struct {
		what    string
		act     func() error
		arrived func(ctx context.Context) error
	}{
		{t.writer.DisplayName() + ", signed in, speaks as herself", func() error {
			r, err := writer.SendMessageEvent(t.ctx, t.room, event.EventMessage, &event.MessageEventContent{MsgType: event.MsgText, Body: "Lunch at *noon*?", Format: event.FormatHTML, FormattedBody: "Lunch at <em>noon</em>?"})
			if err == nil {
				sent = r.EventID
			}
			return err
		}, t.inTeams("noon", func(m teamstest.MessageState) bool { return m.From.ID == t.writer.ID })},
		{t.speaker.DisplayName() + ", not signed in, is heard through the relay with the name in front", func() error {
			_, err := speaker.SendMessageEvent(t.ctx, t.room, event.EventMessage, &event.MessageEventContent{MsgType: event.MsgText, Body: "Half past suits me better", RelatesTo: (&event.RelatesTo{}).SetThread(sent, sent)})
			return err
		}, t.inTeams("Half past", func(m teamstest.MessageState) bool {
			return m.From.ID == t.relay.ID && m.RootID != "" && strings.Contains(m.Content, t.speaker.DisplayName())
		})},
		{"an edit", func() error {
			_, err := writer.SendMessageEvent(t.ctx, t.room, event.EventMessage, &event.MessageEventContent{MsgType: event.MsgText, Body: "* Lunch at half past", NewContent: text("Lunch at half past"), RelatesTo: (&event.RelatesTo{}).SetReplace(sent)})
			return err
		}, t.inTeams("Lunch at half past", func(m teamstest.MessageState) bool { return !m.Edited.IsZero() })},
		{"a reaction", func() error {
			r, err := writer.SendReaction(t.ctx, t.room, sent, "🍜")
			if err == nil {
				reaction = r.EventID
			}
			return err
		}, t.inTeams("Lunch at half past", func(m teamstest.MessageState) bool { return len(m.Reactions) == 1 })},
		{"its removal", func() error { _, err := writer.RedactEvent(t.ctx, t.room, reaction); return err },
			t.inTeams("Lunch at half past", func(m teamstest.MessageState) bool { return len(m.Reactions) == 0 })},
		{"a message that is deleted again", func() error {
			r, err := speaker.SendText(t.ctx, t.room, "wrong room, sorry")
			if err != nil {
				return err
			}
			if err = t.wait("it arrived", t.inTeams("wrong room", nil)); err != nil {
				return err
			}
			_, err = speaker.RedactEvent(t.ctx, t.room, r.EventID)
			return err
		}, func(ctx context.Context) error {
			if t.inTeams("wrong room", nil)(ctx) == nil {
				return errors.New("it is still in Teams")
			}
			return nil
		}},
	}
	for _, s := range steps {
		if err := t.step(s.what, s.act, s.arrived); err != nil {
			return err
		}
	}
	return nil
}

func (t *tour) people() error {
	t.out.heading("Members follow Teams")
	var private *teamstest.Channel
	for _, team := range t.stack.Tenant.Teams() {
		for _, ch := range team.Channels() {
			if ch.Kind() == teamstest.Private {
				private = ch
			}
		}
	}
	members := private.Members()
	var leaver *teamstest.User
	for _, u := range members[1:] {
		if !u.Guest() && u.ID != t.relay.ID {
			leaver = u
		}
	}
	if leaver == nil {
		return errors.New("the private channel has nobody to remove")
	}
	in := func(ctx context.Context) error { _, err := stack.RoomOf(ctx, t.as(leaver), private.ID); return err }
	out := func(ctx context.Context) error {
		if err := in(ctx); !errors.Is(err, stack.ErrNoRoom) {
			return errors.New("still in the room")
		}
		return nil
	}
	if err := t.step(fmt.Sprintf("%s, who never signed in, is in the private channel %q", leaver.DisplayName(), private.DisplayName()), nothing, in); err != nil {
		return err
	}
	if err := t.step("removed from it in Teams, out of the room", func() error { private.RemoveMember(members[0], leaver); return nil }, out); err != nil {
		return err
	}
	return t.step("added again, in again", func() error { private.AddMember(members[0], leaver); return nil }, in)
}

func (t *tour) commands() error {
	t.out.heading("The administrator asks the bot")
	for _, command := range []string{"status", "teams"} {
		var said string
		if err := t.step(command, func() error { t.bot.Mark(t.ctx); return t.bot.Say(t.ctx, command) }, func(ctx context.Context) (err error) {
			if said, err = t.bot.Answers(ctx); err == nil && said == "" {
				err = errors.New("no answer")
			}
			return err
		}); err != nil {
			return err
		}
		t.out.quote(said)
	}
	return nil
}

func (t *tour) outage() error {
	t.out.heading("Teams is down, people go on in Matrix")
	t.stack.Tenant.Down(teamstest.DownUnavailable)
	began := time.Now()
	writer, speaker := t.as(t.writer), t.as(t.speaker)
	root, err := speaker.SendText(t.ctx, t.room, "Teams does not answer, let us use this room")
	if err != nil {
		return err
	}
	for i, line := range []string{"Same here", "The phones work at least", "I will tell the hotline"} {
		cli := writer
		if i%2 == 1 {
			cli = speaker
		}
		if _, err = cli.SendMessageEvent(t.ctx, t.room, event.EventMessage, &event.MessageEventContent{MsgType: event.MsgText, Body: line, RelatesTo: (&event.RelatesTo{}).SetThread(root.EventID, root.EventID)}); err != nil {
			return err
		}
	}
	if _, err = writer.SendReaction(t.ctx, t.room, root.EventID, "👍"); err != nil {
		return err
	}
	t.out.done(time.Since(began), "four messages and a reaction, nobody waits for anything")
	return t.step("Teams is back and has all of it, in order", t.stackUp, t.inTeams("Teams does not answer", func(m teamstest.MessageState) bool { return len(m.Replies) == 3 && len(m.Reactions) == 1 }))
}

func (t *tour) stackUp() error { return t.stack.Tenant.Up() }

// verdict compares every channel with its room.
func (t *tour) verdict() error {
	t.out.heading("Do both sides agree?")
	began := time.Now()
	var sum stack.Agreement
	rooms := 0
	for _, team := range t.stack.Tenant.Teams() {
		for _, ch := range team.Channels() {
			if err := t.wait("both sides agree about "+ch.DisplayName(), func(ctx context.Context) error { return t.agree(ctx, ch) }); err != nil {
				return err
			}
			entries, err := t.read(t.ctx, ch)
			if err != nil {
				return err
			}
			a := stack.Compare(ch.Messages(), entries, t.stack.IsBot)
			sum.Messages += a.Messages
			sum.Replies += a.Replies
			sum.Reactions += a.Reactions
			rooms++
		}
	}
	for _, v := range t.stack.Tenant.Violations(teamstest.ViolationRepeatedWrite, teamstest.ViolationTokenLeak, teamstest.ViolationEarly) {
		return fmt.Errorf("the bridge broke a rule of Graph: %s %s %s", v.Kind, v.Method, v.Path)
	}
	t.out.done(time.Since(began), "%d channels, %d messages (%d in threads), %d reactions: nothing missing, nothing twice, in order", rooms, sum.Messages, sum.Replies, sum.Reactions)
	return nil
}
