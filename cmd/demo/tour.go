package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/internal/demopage"
	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// patience is how long one step may take before the tour calls it a failure.
const patience = 2 * time.Minute

// tour is the demo's organisation and the people who act in it.
type tour struct {
	ctx   context.Context
	out   *transcript
	stack *stack.Stack
	org   *teamstest.Demo
	// writer signs in herself, speaker is heard through the relay, reader only reads.
	writer, speaker, reader *teamstest.User
	relay                   *teamstest.User
	general                 *teamstest.Channel
	// room is the room of the channel general.
	room id.RoomID
	bot  *stack.BotChat
}

// prepare fills the tenant, makes the Matrix accounts, with names for people to
// look at or without, starts the bridge and waits until everything is mirrored.
func (t *tour) prepare(named bool) error {
	t.org = t.stack.Tenant.SeedDemo()
	t.relay = t.stack.Tenant.AddUser(teamstest.UserSpec{DisplayName: "Matrix Relay", JobTitle: "speaks for people without a sign-in"})
	for _, team := range t.stack.Tenant.Teams() {
		team.AddMember(team.Members()[0], t.relay)
		for _, ch := range team.Channels() {
			if ch.Kind() != teamstest.Standard {
				ch.AddMember(ch.Members()[0], t.relay)
			}
		}
	}
	t.general = t.org.Company.General()
	var staff []*teamstest.User
	for _, u := range t.general.Members() {
		if !u.Guest() && u.ID != t.relay.ID {
			staff = append(staff, u)
		}
	}
	if len(staff) < 3 {
		return errors.New("the demo's organisation has too few people")
	}
	t.writer, t.speaker, t.reader = staff[0], staff[1], staff[2]
	began := time.Now()
	if err := t.stack.RegisterStaff(t.ctx); err != nil {
		return err
	}
	if named {
		if err := t.stack.NameStaff(t.ctx); err != nil {
			return err
		}
	}
	t.out.done(time.Since(began), "an organisation of %d people in %d teams; %d of them have Matrix accounts", len(t.org.People), len(t.stack.Tenant.Teams()), len(t.org.People)-1)
	began = time.Now()
	if err := t.stack.StartBridge(t.ctx); err != nil {
		return err
	}
	t.out.done(time.Since(began), "the bridge is ready")
	return t.mirrored(began)
}

// mirrored waits until every channel has its room with everything that was said.
func (t *tour) mirrored(began time.Time) error {
	t.out.heading("Mirroring")
	for _, team := range t.stack.Tenant.Teams() {
		var names []string
		for _, ch := range team.Channels() {
			if err := t.wait("the room of "+ch.DisplayName(), func(ctx context.Context) error { return t.agree(ctx, ch) }); err != nil {
				return err
			}
			name := ch.DisplayName()
			if ch.Kind() != teamstest.Standard {
				name += " (" + ch.Kind() + ")"
			}
			names = append(names, name)
		}
		t.out.done(time.Since(began), "space %q: %s", team.DisplayName(), strings.Join(names, ", "))
	}
	var err error
	t.room, err = stack.RoomOf(t.ctx, t.as(t.reader), t.general.ID)
	return err
}

// agree compares a channel with its room, seen by a member.
func (t *tour) agree(ctx context.Context, ch *teamstest.Channel) error {
	entries, err := t.read(ctx, ch)
	if err != nil {
		return err
	}
	if a := stack.Compare(ch.Messages(), entries, t.stack.IsBot); len(a.Differences) > 0 {
		return fmt.Errorf("%s:\n  %s", ch.DisplayName(), strings.Join(a.Differences, "\n  "))
	}
	return nil
}

// read returns the room's timeline as the first member with an account sees it.
func (t *tour) read(ctx context.Context, ch *teamstest.Channel) ([]stack.Entry, error) {
	members := ch.Members()
	i := slices.IndexFunc(members, func(u *teamstest.User) bool { return !u.Guest() && u.ID != t.relay.ID })
	if i < 0 {
		return nil, fmt.Errorf("nobody in %s has a Matrix account", ch.DisplayName())
	}
	cli := t.as(members[i])
	room, err := stack.RoomOf(ctx, cli, ch.ID)
	if err != nil {
		return nil, err
	}
	return stack.Timeline(ctx, cli, room)
}

// as returns a person's Matrix client; RegisterStaff has made all of them.
func (t *tour) as(u *teamstest.User) *mautrix.Client {
	cli, err := t.stack.Person(t.ctx, stack.Localpart(u))
	if err != nil {
		return &mautrix.Client{}
	}
	return cli
}

func (t *tour) wait(what string, check func(ctx context.Context) error) error {
	if err := stack.Eventually(t.ctx, patience, check); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// step does something on one side, waits for it on the other, and says how long it took.
func (t *tour) step(what string, act func() error, arrived func(ctx context.Context) error) error {
	began := time.Now()
	if err := act(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := t.wait(what, arrived); err != nil {
		return err
	}
	t.out.done(time.Since(began), "%s", what)
	return nil
}

// seen waits for a message with the text in the room; check looks closer.
func (t *tour) seen(text string, check func(e stack.Entry) bool) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		entries, err := stack.Timeline(ctx, t.as(t.reader), t.room)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !e.Redacted && strings.Contains(e.Body, text) && (check == nil || check(e)) {
				return nil
			}
		}
		return fmt.Errorf("%q is not in the room", text)
	}
}

// unseen waits until no message has the text.
func (t *tour) unseen(text string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		if t.seen(text, nil)(ctx) == nil {
			return fmt.Errorf("%q is still in the room", text)
		}
		return nil
	}
}

// inTeams waits for a message with the text in the channel.
func (t *tour) inTeams(text string, check func(m teamstest.MessageState) bool) func(ctx context.Context) error {
	return func(context.Context) error {
		for _, m := range t.general.Messages() {
			for _, one := range append([]teamstest.MessageState{m}, m.Replies...) {
				if one.Deleted.IsZero() && strings.Contains(one.Content, text) && (check == nil || check(one)) {
					return nil
				}
			}
		}
		return fmt.Errorf("%q is not in Teams", text)
	}
}

// stay serves the page until somebody ends the demo.
func (t *tour) stay(metrics string) error {
	if err := t.signIns(); err != nil {
		return err
	}
	page, err := demopage.Start(demopage.Options{Stack: t.stack, Relay: t.relay, SignedIn: []*teamstest.User{t.writer}, Metrics: metrics})
	if err != nil {
		return err
	}
	t.invite(page.URL())
	<-t.ctx.Done()
	return page.Close()
}

// invite tells how to look at the running demo.
func (t *tour) invite(page string) {
	t.out.heading("Running")
	t.out.say("Both sides, live, with a switch for an outage of Teams:")
	t.out.say("  %s", page)
	t.out.say("Or sign in with any Matrix client (Element: \"Edit\" the homeserver on the sign-in page):")
	t.out.say("  homeserver  %s", t.stack.Homeserver.URL())
	t.out.say("  user        %s, or %s, or the administrator %s", stack.Localpart(t.writer), stack.Localpart(t.speaker), stack.AdminName)
	t.out.say("  password    %s", stack.Password)
	t.out.say("Talk to the bot in a direct chat with %s: help, status, teams.", t.stack.UserID("teamsbot"))
	t.out.say("Ctrl-C ends everything.")
}

// text is a plain message's content.
func text(body string) *event.MessageEventContent {
	return &event.MessageEventContent{MsgType: event.MsgText, Body: body}
}
