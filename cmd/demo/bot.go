package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"

	"teamsbridge/internal/stack"
)

// botChat is a person's direct chat with the bridge's bot.
type botChat struct {
	cli  *mautrix.Client
	room id.RoomID
	// seen is how many of the bot's messages were there at the last mark.
	seen int
}

func openBot(ctx context.Context, s *stack.Stack, cli *mautrix.Client) (*botChat, error) {
	bot := s.UserID("teamsbot")
	created, err := cli.CreateRoom(ctx, &mautrix.ReqCreateRoom{Preset: "trusted_private_chat", IsDirect: true, Invite: []id.UserID{bot}})
	if err != nil {
		return nil, fmt.Errorf("open a chat with the bot: %w", err)
	}
	err = stack.Eventually(ctx, 20*time.Second, func(ctx context.Context) error {
		members, err := cli.JoinedMembers(ctx, created.RoomID)
		if err != nil {
			return err
		}
		if _, ok := members.Joined[bot]; !ok {
			return errors.New("the bot has not come")
		}
		return nil
	})
	return &botChat{cli: cli, room: created.RoomID}, err
}

func (b *botChat) say(ctx context.Context, command string) error {
	if _, err := b.cli.SendText(ctx, b.room, command); err != nil {
		return fmt.Errorf("tell the bot %q: %w", command, err)
	}
	return nil
}

// mark forgets what the bot said so far.
func (b *botChat) mark(ctx context.Context) {
	if all, err := b.all(ctx); err == nil {
		b.seen = len(all)
	}
}

// answers is what the bot said since the last mark.
func (b *botChat) answers(ctx context.Context) (string, error) {
	all, err := b.all(ctx)
	if err != nil || len(all) <= b.seen {
		return "", err
	}
	return strings.Join(all[b.seen:], "\n"), nil
}

func (b *botChat) all(ctx context.Context) ([]string, error) {
	entries, err := stack.Timeline(ctx, b.cli, b.room)
	if err != nil {
		return nil, err
	}
	var said []string
	for _, e := range entries {
		if e.Sender != b.cli.UserID && !e.Redacted {
			said = append(said, e.Body)
		}
	}
	return said, nil
}
