package crashtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"

	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// kind is how somebody takes part.
type kind int

const (
	signedIn  kind = iota // writes from Matrix as themselves
	relayed               // writes from Matrix through the relay pool
	teamsOnly             // has no Matrix account
)

// person is somebody who talks.
type person struct {
	number int
	kind   kind
	user   *teamstest.User
	cli    *mautrix.Client // nil for those in Teams only
}

// emoji is the reaction that a person uses on a side, and nobody else does: a
// relay account can set an emoji once, whomever it speaks for.
func (p *person) emoji(on side) string { return string(rune(0x1F400 + 2*p.number + int(on))) }

// place is a channel and its room.
type place struct {
	channel *teamstest.Channel
	room    id.RoomID
	// remarks are what was said here, guarded by the book's lock.
	remarks []*remark
}

const perTeam = 10

// fill makes the organisation in the tenant and the accounts in Matrix.
func (r *run) fill() error {
	t := r.stack.Tenant
	for i := range r.o.People {
		p := &person{number: i, kind: kind(i % 3)}
		p.user = t.AddUser(teamstest.UserSpec{DisplayName: fmt.Sprintf("Person %d", i), UPN: r.upn("person", i)})
		r.people = append(r.people, p)
	}
	for i := range r.o.Relays {
		r.relays = append(r.relays, t.AddUser(teamstest.UserSpec{DisplayName: fmt.Sprintf("Relay %d", i), UPN: r.upn("relay", i)}))
	}
	owner := r.people[0].user
	var members []*teamstest.User
	for _, p := range r.people[1:] {
		members = append(members, p.user)
	}
	members = append(members, r.relays...)
	for len(r.places) < r.o.Channels {
		team := t.AddTeam(teamstest.TeamSpec{DisplayName: fmt.Sprintf("Team %d", len(r.places)/perTeam), Owners: []*teamstest.User{owner}, Members: members})
		r.places = append(r.places, &place{channel: team.General()})
		for i := 1; i < perTeam && len(r.places) < r.o.Channels; i++ {
			spec := teamstest.ChannelSpec{DisplayName: fmt.Sprintf("Channel %d", len(r.places)), By: owner}
			if i%4 == 3 {
				spec.Kind, spec.Owners, spec.Members = teamstest.Private, []*teamstest.User{owner}, members
			}
			r.places = append(r.places, &place{channel: team.AddChannel(spec)})
		}
	}
	for _, p := range r.people {
		if p.kind == teamsOnly {
			continue
		}
		cli, err := r.stack.Person(r.ctx, stack.Localpart(p.user))
		if err != nil {
			return err
		}
		if err = mute(r.ctx, cli); err != nil {
			return err
		}
		p.cli = cli
	}
	return nil
}

// mute turns somebody's notifications off. Nobody here reads, and Dendrite counts
// all that a person has not read for each of them at each event.
func mute(ctx context.Context, cli *mautrix.Client) error {
	url := cli.BuildClientURL("v3", "pushrules", "global", "override", ".m.rule.master", "enabled")
	if _, err := cli.MakeRequest(ctx, http.MethodPut, url, map[string]any{"enabled": true}, nil); err != nil {
		return fmt.Errorf("mute %s: %w", cli.UserID, err)
	}
	return nil
}

func (r *run) upn(what string, i int) string { return fmt.Sprintf("%s%d@crash.example", what, i) }

// unmapped are those who have no Matrix account, as the bridge's config says it.
func (r *run) unmapped() map[string]any {
	out := map[string]any{}
	for i := range r.o.Relays {
		out[r.upn("relay", i)] = ""
	}
	for i := range r.o.People {
		if kind(i%3) == teamsOnly {
			out[r.upn("person", i)] = ""
		}
	}
	return out
}

// enter waits until everybody with an account is in every room.
func (r *run) enter() error {
	for _, p := range r.people {
		if p.cli == nil {
			continue
		}
		err := stack.Eventually(r.ctx, 5*time.Minute, func(ctx context.Context) error {
			rooms, err := stack.RoomsOf(ctx, p.cli)
			if err != nil {
				return err
			}
			for _, at := range r.places {
				room, ok := rooms[at.channel.ID]
				if !ok {
					return fmt.Errorf("%s is in %d rooms and spaces", p.cli.UserID, len(rooms))
				}
				at.room = room
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// signInAll signs in the relay accounts and everybody who writes as themselves.
func (r *run) signInAll() (err error) {
	if r.admin, err = r.stack.OpenBotChat(r.ctx, r.stack.Admin); err != nil {
		return err
	}
	for _, account := range r.relays {
		if err = r.signIn(r.admin, "relay login", account); err != nil {
			return err
		}
	}
	for _, p := range r.people {
		if p.kind != signedIn {
			continue
		}
		chat, err := r.stack.OpenBotChat(r.ctx, p.cli)
		if err != nil {
			return err
		}
		if err = r.signIn(chat, "login", p.user); err != nil {
			return err
		}
	}
	return nil
}

// signIn asks the bot until the account is signed in: a question that it has
// read when it is killed is not answered. The homeserver hands the question on
// behind all that was said before, which may take it minutes.
func (r *run) signIn(chat *stack.BotChat, command string, account *teamstest.User) error {
	var err error
	for range 5 {
		chat.Mark(r.ctx)
		if err = chat.Say(r.ctx, command); err != nil {
			return err
		}
		if err = chat.Approve(r.ctx, 10*time.Minute, account); err == nil {
			if err = stack.Eventually(r.ctx, 5*time.Minute, chat.SignedIn); err == nil {
				return nil
			}
		}
		if r.ctx.Err() != nil {
			break
		}
	}
	return fmt.Errorf("sign in %s: %w", account.UPN(), errors.Join(err, context.Cause(r.ctx)))
}
