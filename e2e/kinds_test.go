package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/internal/stack"
)

// What Teams has no kind of message for arrives as a text that says what it was,
// a poll with its votes, in both spellings and from people without a login too.
func TestPollsStickersAndLocationsFromMatrix(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{})
	o.runRelayed(o.cleo)
	ben, cleo := o.as(stack.Localpart(o.ben)), o.as(stack.Localpart(o.cleo))
	room := o.room(ben, o.general)
	require.Equal(t, room, o.room(cleo, o.general))
	visitor := o.as("visitor")
	_, err := o.application("registration.yaml", o.UserID("teamsbot")).InviteUser(o.ctx, room, &mautrix.ReqInviteUser{UserID: visitor.UserID})
	require.NoError(t, err)
	_, err = visitor.JoinRoomByID(o.ctx, room)
	require.NoError(t, err)
	before := len(o.general.Messages())
	say := func(cli *mautrix.Client, kind event.Type, content map[string]any) id.EventID {
		sent, err := cli.SendMessageEvent(o.ctx, room, kind, content)
		require.NoError(t, err)
		return sent.EventID
	}
	lunch := say(ben, event.EventUnstablePollStart, unstablePoll("Lunch?", "Pizza", "Soup"))
	say(ben, event.EventSticker, map[string]any{"body": "Party parrot", "url": "mxc://example.org/none", "info": map[string]any{"mimetype": "image/png", "size": 10 << 20}})
	parrot := picture(7)
	up, err := ben.UploadBytesWithName(o.ctx, parrot, "image/png", "parrot.png")
	require.NoError(t, err)
	say(ben, event.EventSticker, map[string]any{"body": "Small parrot", "url": up.ContentURI, "info": map[string]any{"mimetype": "image/png", "size": len(parrot), "w": 24, "h": 16}})
	say(ben, event.EventMessage, map[string]any{"msgtype": "m.key.verification.request", "body": "Ben wants to verify", "from_device": "X", "to": o.UserID(stack.Localpart(o.cleo)), "methods": []string{}})
	say(ben, event.EventMessage, map[string]any{"msgtype": "m.location", "body": "Location geo:52.52,13.405", "geo_uri": "geo:52.52,13.405",
		"org.matrix.msc3488.location": map[string]any{"uri": "geo:52.52,13.405", "description": "Town hall"}})
	written := time.Now().Add(-time.Hour).UTC()
	_, err = o.application("doublepuppet.yaml", ben.UserID).SendMessageEvent(o.ctx, room, event.EventMessage, map[string]any{"msgtype": "m.text", "body": "Late already"}, mautrix.ReqSendEvent{Timestamp: written.UnixMilli()})
	require.NoError(t, err)
	cake := say(visitor, event.Type{Type: "m.poll.start", Class: event.MessageEventType}, stablePoll("Cake?", "Yes", "No"))
	shows := func(what string, want ...[]string) {
		o.until(what, func(context.Context) error {
			got := o.general.Messages()[before:]
			if len(got) != len(want) {
				return fmt.Errorf("%d messages", len(got))
			}
			for i, parts := range want {
				if err := inOrder(got[i].Content, parts); err != nil {
					return err
				}
			}
			return nil
		})
	}
	sticker, small, place := []string{"Ben Okri", "Sticker", "Party parrot"}, []string{"Ben Okri", "<img", `alt="Small parrot"`}, []string{"Ben Okri", "Location", "Town hall"}
	late := []string{"Ben Okri", "written " + written.Format("2006-01-02 15:04") + " UTC", "Late already"}
	shows("six messages in Teams", []string{"Ben Okri", "Poll: Lunch?", "1. Pizza", "2. Soup"}, sticker, small, place, late, []string{"visitor", "Poll: Cake?", "1. Yes", "2. No"})
	require.Equal(t, parrot, o.general.Messages()[before+2].Images[0].Data)
	o.notice(ben, room, "Your message was not bridged") // the request to verify, in which nothing is said

	vote := func(cli *mautrix.Client, poll id.EventID, answer string) id.EventID {
		return say(cli, event.EventUnstablePollResponse, map[string]any{
			"m.relates_to":                     map[string]any{"rel_type": "m.reference", "event_id": poll},
			"org.matrix.msc3381.poll.response": map[string]any{"answers": []string{answer}},
		})
	}
	stableVote := func(cli *mautrix.Client, poll id.EventID, answer string) {
		say(cli, event.Type{Type: "m.poll.response", Class: event.MessageEventType}, map[string]any{
			"m.relates_to": map[string]any{"rel_type": "m.reference", "event_id": poll}, "m.selections": []string{answer}})
	}
	vote(cleo, lunch, "Pizza")
	vote(cleo, lunch, "Soup")
	stableVote(visitor, lunch, "Soup")
	mistake := vote(ben, lunch, "Pizza")
	stableVote(cleo, cake, "Yes")
	shows("the votes in Teams", []string{"Ben Okri", "Poll: Lunch?", "1. Pizza – 1 vote", "2. Soup – 2 votes", "3 people have voted"}, sticker, small, place, late,
		[]string{"visitor", "Poll: Cake?", "1. Yes – 1 vote", "2. No – 0 votes", "1 person has voted"})

	_, err = ben.RedactEvent(o.ctx, room, mistake)
	require.NoError(t, err)
	reference := map[string]any{"rel_type": "m.reference", "event_id": lunch}
	say(visitor, event.EventUnstablePollEnd, map[string]any{"m.relates_to": reference, "org.matrix.msc3381.poll.end": map[string]any{}})
	shows("a vote taken back", []string{"Poll: Lunch?", "1. Pizza – 0 votes", "2. Soup – 2 votes", "2 people have voted"}, sticker, small, place, late, []string{"Cake?"})
	say(ben, event.Type{Type: "m.poll.end", Class: event.MessageEventType}, map[string]any{"m.relates_to": reference})
	shows("the end", []string{"Poll: Lunch?", "1. Pizza – 0 votes", "2. Soup – 2 votes", "The poll has ended. 2 people voted"}, sticker, small, place, late, []string{"Cake?"})
}

func unstablePoll(question string, answers ...string) map[string]any {
	text := func(s string) map[string]any { return map[string]any{"id": s, "org.matrix.msc1767.text": s} }
	return map[string]any{"org.matrix.msc3381.poll.start": map[string]any{
		"kind": "org.matrix.msc3381.poll.disclosed", "max_selections": 1, "question": text(question), "answers": each(answers, text),
	}}
}

func stablePoll(question string, answers ...string) map[string]any {
	text := func(s string) map[string]any {
		return map[string]any{"m.id": s, "m.text": []any{map[string]any{"body": s}}}
	}
	return map[string]any{"m.text": []any{map[string]any{"body": question}}, "m.poll": map[string]any{
		"kind": "m.disclosed", "max_selections": 1, "question": text(question), "answers": each(answers, text),
	}}
}

func each(list []string, f func(string) map[string]any) (out []any) {
	for _, s := range list {
		out = append(out, f(s))
	}
	return out
}
