package stack

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"

	"teamsbridge/teams/teamstest"
)

// BotName is the localpart of the bridge's bot.
const BotName = "teamsbot"

// IsBot reports whether a Matrix account is the bridge's bot.
func (s *Stack) IsBot(user id.UserID) bool { return user == s.UserID(BotName) }

// BotChat is a person's direct chat with the bridge's bot.
type BotChat struct {
	stack *Stack
	cli   *mautrix.Client
	room  id.RoomID
	// seen is how many of the bot's messages were there at the last mark.
	seen int
}

// OpenBotChat invites the bot into a new direct chat and waits until it came.
// Only a person's first one is the management room, where no prefix is needed.
func (s *Stack) OpenBotChat(ctx context.Context, cli *mautrix.Client) (*BotChat, error) {
	bot := s.UserID(BotName)
	created, err := cli.CreateRoom(ctx, &mautrix.ReqCreateRoom{Preset: "trusted_private_chat", IsDirect: true, Invite: []id.UserID{bot}})
	if err != nil {
		return nil, fmt.Errorf("open a chat with the bot: %w", err)
	}
	err = Eventually(ctx, 20*time.Second, func(ctx context.Context) error {
		members, err := cli.JoinedMembers(ctx, created.RoomID)
		if err != nil {
			return err
		}
		if _, ok := members.Joined[bot]; !ok {
			return errors.New("the bot has not come")
		}
		return nil
	})
	return &BotChat{stack: s, cli: cli, room: created.RoomID}, err
}

// Say sends the bot a command.
func (b *BotChat) Say(ctx context.Context, command string) error {
	if _, err := b.cli.SendText(ctx, b.room, command); err != nil {
		return fmt.Errorf("tell the bot %q: %w", command, err)
	}
	return nil
}

// Mark forgets what the bot said so far.
func (b *BotChat) Mark(ctx context.Context) {
	if all, err := b.all(ctx); err == nil {
		b.seen = len(all)
	}
}

// Answers is what the bot said since the last mark.
func (b *BotChat) Answers(ctx context.Context) (string, error) {
	all, err := b.all(ctx)
	if err != nil || len(all) <= b.seen {
		return "", err
	}
	return strings.Join(all[b.seen:], "\n"), nil
}

// Approve approves the sign-in that the chat has begun, as the account.
func (b *BotChat) Approve(ctx context.Context, limit time.Duration, account *teamstest.User) error {
	return Eventually(ctx, limit, func(context.Context) error {
		for _, p := range b.stack.Tenant.PendingDevices() {
			return b.stack.Tenant.ApproveDevice(p.UserCode, account)
		}
		return errors.New("no sign-in is pending")
	})
}

// SignedIn checks that the bot has said, since the last mark, that a sign-in succeeded.
func (b *BotChat) SignedIn(ctx context.Context) error {
	said, err := b.Answers(ctx)
	if err != nil {
		return err
	}
	for _, yes := range []string{"signed in", "logged in", "relay pool"} {
		if strings.Contains(strings.ToLower(said), yes) {
			return nil
		}
	}
	return fmt.Errorf("the bot said %q", said)
}

func (b *BotChat) all(ctx context.Context) ([]string, error) {
	entries, err := Timeline(ctx, b.cli, b.room)
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
