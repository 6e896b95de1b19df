package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// picture makes a small PNG.
func picture(shade uint8) []byte {
	img := image.NewRGBA(image.Rect(0, 0, 24, 16))
	for x := range 24 {
		for y := range 16 {
			img.Set(x, y, color.RGBA{R: shade, G: uint8(x * 10), B: uint8(y * 10), A: 255})
		}
	}
	var b bytes.Buffer
	_ = png.Encode(&b, img)
	return b.Bytes()
}

// find waits for exactly one visible message that contains the text, and for
// the state that check asks for.
func (o *office) find(cli *mautrix.Client, room id.RoomID, text string, check func(e stack.Entry) error) (found stack.Entry) {
	o.t.Helper()
	o.until(text+" in the room", func(ctx context.Context) error {
		list, err := o.entries(ctx, cli, room, func(e stack.Entry) bool { return strings.Contains(e.Body, text) })
		if err != nil {
			return err
		}
		if len(list) != 1 {
			return fmt.Errorf("%d messages with %q", len(list), text)
		}
		found = list[0]
		if check != nil {
			return check(found)
		}
		return nil
	})
	return found
}

// inTeams waits for exactly one message in the channel that contains the text.
func (o *office) inTeams(ch *teamstest.Channel, text string, check func(m teamstest.MessageState) error) (found teamstest.MessageState) {
	o.t.Helper()
	o.until(text+" in Teams", func(context.Context) error {
		var list []teamstest.MessageState
		for _, m := range ch.Messages() {
			for _, one := range append([]teamstest.MessageState{m}, m.Replies...) {
				if one.Deleted.IsZero() && strings.Contains(one.Content, text) {
					list = append(list, one)
				}
			}
		}
		if len(list) != 1 {
			return fmt.Errorf("%d messages with %q", len(list), text)
		}
		found = list[0]
		if check != nil {
			return check(found)
		}
		return nil
	})
	return found
}

func reactions(want map[string]int) func(e stack.Entry) error {
	return func(e stack.Entry) error {
		got := map[string]int{}
		for k, who := range e.Reactions {
			got[strings.ReplaceAll(k, "\ufe0f", "")] = len(who)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("reactions are %v and not %v", got, want)
		}
		return nil
	}
}

// Threads, edits, deletes and un-deletes, reactions and pictures from Teams.
func TestChangesFromTeams(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{})
	o.run()
	ben := o.as(stack.Localpart(o.ben))
	room := o.room(ben, o.general)

	root := o.general.Post(o.ada, teamstest.Msg{HTML: "<p>thread root</p>"})
	reply := root.Reply(o.cleo, teamstest.Msg{HTML: "<p>first reply</p>"})
	rootEntry := o.find(ben, room, "thread root", nil)
	o.find(ben, room, "first reply", func(e stack.Entry) error {
		if e.Thread != rootEntry.EventID {
			return fmt.Errorf("thread is %q", e.Thread)
		}
		return nil
	})

	t.Run("edit", func(t *testing.T) {
		reply.Edit(teamstest.Msg{HTML: "<p>first reply, <b>corrected</b></p>"})
		o.find(ben, room, "first reply, corrected", func(e stack.Entry) error {
			if !e.Edited || e.Thread != rootEntry.EventID {
				return fmt.Errorf("edited %v in thread %q", e.Edited, e.Thread)
			}
			return nil
		})
	})
	t.Run("reactions of several people, old words, removal", func(t *testing.T) {
		root.React(o.ben, "like")
		root.React(o.cleo, "👍")
		root.React(o.cleo, "heart")
		root.React(o.ada, "🎉")
		o.find(ben, room, "thread root", reactions(map[string]int{"👍": 2, "❤": 1, "🎉": 1}))
		root.Unreact(o.cleo, "heart")
		root.Unreact(o.ben, "like")
		e := o.find(ben, room, "thread root", reactions(map[string]int{"👍": 1, "🎉": 1}))
		require.False(t, e.Edited, "a reaction is no edit")
	})
	t.Run("delete and un-delete", func(t *testing.T) {
		gone := o.general.Post(o.ada, teamstest.Msg{HTML: "<p>to be deleted</p>"})
		o.find(ben, room, "to be deleted", nil)
		gone.Delete()
		o.until("the redaction", func(ctx context.Context) error {
			list, err := o.entries(ctx, ben, room, func(e stack.Entry) bool { return strings.Contains(e.Body, "to be deleted") })
			if err == nil && len(list) > 0 {
				return errors.New("still there")
			}
			return err
		})
		gone.Undelete()
		o.find(ben, room, "to be deleted", nil)
	})
	t.Run("picture", func(t *testing.T) {
		data := picture(200)
		msg := root.Reply(o.ada, teamstest.Msg{HTML: `<p>look at this <a href="https://example.org/chart"><img src="../hostedContents/one/$value" alt="a chart" width="24" height="16"></a></p>`,
			Images: []teamstest.Image{{Name: "one", ContentType: "image/png", Data: data}}})
		require.Contains(t, o.find(ben, room, "look at this", nil).HTML, `<a href="https://example.org/chart">`)
		var entry stack.Entry
		o.until("the picture", func(ctx context.Context) error {
			list, err := o.entries(ctx, ben, room, func(e stack.Entry) bool {
				return e.MsgType == event.MsgImage && stack.SourceMessage(e) == msg.State().ID
			})
			if err != nil || len(list) != 1 {
				return fmt.Errorf("%d pictures: %w", len(list), err)
			}
			entry = list[0]
			return nil
		})
		require.Equal(t, rootEntry.EventID, entry.Thread)
		uri, err := entry.URL.Parse()
		require.NoError(t, err)
		got, err := ben.DownloadBytes(o.ctx, uri)
		require.NoError(t, err)
		require.Equal(t, data, got)
	})
	t.Run("picture on a foreign host", func(t *testing.T) {
		foreign := o.general.Post(o.ada, teamstest.Msg{HTML: `<p>foreign <img src="https://images.example/x.png" alt="pixel"></p>`})
		e := o.find(ben, room, "foreign", nil)
		require.Contains(t, e.HTML, `href="https://images.example/x.png"`, "it stays a link")
		foreign.Delete()
		require.Empty(t, o.Tenant.Violations(teamstest.ViolationTokenLeak))
	})
	t.Run("agree", func(t *testing.T) { o.agree(o.general) })
}

// Reactions with an organisation's own emoji show its name, and its picture
// where that is configured; what is there stays when that is changed.
func TestCustomReactionsFromTeams(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{Settings: map[string]any{"network": map[string]any{"custom_reactions": "picture"}}})
	o.run()
	ben := o.as(stack.Localpart(o.ben))
	room := o.room(ben, o.general)
	party := teamstest.Image{ContentType: "image/gif", Data: []byte("GIF89a party")}
	msg := o.general.Post(o.ada, teamstest.Msg{HTML: "<p>we did it</p>"})
	o.find(ben, room, "we did it", nil)

	var key string
	shown := func(people, others int) func(e stack.Entry) error {
		return func(e stack.Entry) error {
			pictures := 0
			for k, who := range e.Reactions {
				if strings.HasPrefix(k, "mxc://") {
					key, pictures = k, pictures+1
					if len(who) != people {
						return fmt.Errorf("%d people at %s", len(who), k)
					}
				}
			}
			if pictures != min(people, 1) || len(e.Reactions) != pictures+others {
				return fmt.Errorf("reactions are %v", e.Reactions)
			}
			return nil
		}
	}
	msg.ReactCustom(o.ada, "party", party)
	o.find(ben, room, "we did it", shown(1, 0))
	require.NoError(t, showsPicture(o, key, party.Data))
	first := key
	msg.ReactCustom(o.cleo, "party", party)
	o.find(ben, room, "we did it", shown(2, 0))
	o.Bridge.Kill()
	require.NoError(t, o.StartBridge(o.ctx))
	msg.ReactCustom(o.ben, "party", party)
	o.find(ben, room, "we did it", shown(3, 0))
	require.Equal(t, first, key, "counted together, also after a restart")
	msg.Unreact(o.ada, "party")
	o.find(ben, room, "we did it", shown(2, 0))
	msg.Unreact(o.ben, "party")
	msg.Unreact(o.cleo, "party")
	msg.React(o.cleo, "👍")
	o.find(ben, room, "we did it", shown(0, 1))

	plain := newOffice(t, stack.Options{})
	plain.run()
	ben = plain.as(stack.Localpart(plain.ben))
	named := plain.general.Post(plain.ada, teamstest.Msg{HTML: "<p>we did it</p>"})
	named.ReactCustom(plain.cleo, "party", party)
	plain.find(ben, plain.room(ben, plain.general), "we did it", reactions(map[string]int{":party:": 1}))
}

// Threads, edits, deletes, reactions and pictures from Matrix, as own sign-in
// and through the relay, and nobody touches what is another's.
func TestChangesFromMatrix(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{})
	relay := o.runRelayed(o.ada)
	teamsRoot := o.general.Post(o.cleo, teamstest.Msg{HTML: "<p>asked in Teams</p>"})

	for _, who := range []*teamstest.User{o.ada, o.ben} {
		name := map[bool]string{true: "own sign-in", false: "relay"}[who == o.ada]
		account := map[bool]*teamstest.User{true: o.ada, false: relay}[who == o.ada]
		cli := o.as(stack.Localpart(who))
		room := o.room(cli, o.general)
		tag := strings.Split(name, " ")[0]
		t.Run(name+"/thread on a Teams post", func(t *testing.T) {
			question := o.find(cli, room, "asked in Teams", nil)
			_, err := cli.SendMessageEvent(o.ctx, room, event.EventMessage, &event.MessageEventContent{MsgType: event.MsgText, Body: tag + " answer",
				RelatesTo: (&event.RelatesTo{}).SetThread(question.EventID, question.EventID)})
			require.NoError(t, err)
			m := o.inTeams(o.general, tag+" answer", nil)
			require.Equal(t, teamsRoot.State().ID, m.RootID)
			require.Equal(t, account.ID, m.From.ID)
		})
		t.Run(name+"/an answer in a thread has its quote", func(t *testing.T) {
			question := o.find(cli, room, "asked in Teams", nil)
			first := o.find(cli, room, tag+" answer", nil)
			_, err := cli.SendMessageEvent(o.ctx, room, event.EventMessage, &event.MessageEventContent{MsgType: event.MsgText, Body: tag + " objection",
				RelatesTo: (&event.RelatesTo{}).SetThread(question.EventID, first.EventID).SetReplyTo(first.EventID)})
			require.NoError(t, err)
			m := o.inTeams(o.general, tag+" objection", nil)
			require.Equal(t, teamsRoot.State().ID, m.RootID)
			require.NoError(t, inOrder(m.Content, []string{"<blockquote>", "https://matrix.to/", who.DisplayName(), tag + " answer", "</blockquote>", tag + " objection"}))

			teamsRoot.Reply(o.cleo, teamstest.Msg{HTML: "<p>" + tag + " aside</p>"})
			aside := o.find(cli, room, tag+" aside", nil)
			_, err = cli.SendMessageEvent(o.ctx, room, event.EventMessage, &event.MessageEventContent{MsgType: event.MsgText, Body: tag + " agreed",
				Mentions: &event.Mentions{UserIDs: []id.UserID{aside.Sender}}, RelatesTo: (&event.RelatesTo{}).SetThread(question.EventID, aside.EventID).SetReplyTo(aside.EventID)})
			require.NoError(t, err)
			m = o.inTeams(o.general, tag+" agreed", nil)
			require.NoError(t, inOrder(m.Content, []string{tag + " aside", "</blockquote>", "<at id=", tag + " agreed"}))
			require.Len(t, m.Mentions, 1)
		})
		t.Run(name+"/edit, reaction and delete at once", func(t *testing.T) {
			sent, err := cli.SendText(o.ctx, room, tag+" draft")
			require.NoError(t, err)
			_, err = cli.SendMessageEvent(o.ctx, room, event.EventMessage, &event.MessageEventContent{MsgType: event.MsgText, Body: "* " + tag + " final",
				NewContent: &event.MessageEventContent{MsgType: event.MsgText, Body: tag + " final"}, RelatesTo: (&event.RelatesTo{}).SetReplace(sent.EventID)})
			require.NoError(t, err)
			reaction, err := cli.SendReaction(o.ctx, room, sent.EventID, "🚀")
			require.NoError(t, err)
			o.inTeams(o.general, tag+" final", func(m teamstest.MessageState) error {
				if len(m.Reactions) != 1 || m.Reactions[0].Kind != "🚀" || m.Reactions[0].User.ID != account.ID {
					return fmt.Errorf("reactions are %+v", m.Reactions)
				}
				return nil
			})
			_, err = cli.RedactEvent(o.ctx, room, reaction.EventID)
			require.NoError(t, err)
			o.inTeams(o.general, tag+" final", func(m teamstest.MessageState) error {
				if len(m.Reactions) != 0 {
					return fmt.Errorf("reactions are %+v", m.Reactions)
				}
				return nil
			})
			_, err = cli.RedactEvent(o.ctx, room, sent.EventID)
			require.NoError(t, err)
			o.until("the deletion in Teams", func(context.Context) error {
				for _, m := range o.general.Messages() {
					if m.Deleted.IsZero() && strings.Contains(m.Content, tag+" final") {
						return errors.New("still there")
					}
				}
				return nil
			})
		})
		t.Run(name+"/picture with a caption", func(t *testing.T) {
			data := picture(uint8(len(tag)))
			up, err := cli.UploadBytesWithName(o.ctx, data, "image/png", "chart.png")
			require.NoError(t, err)
			_, err = cli.SendMessageEvent(o.ctx, room, event.EventMessage, &event.MessageEventContent{MsgType: event.MsgImage, Body: tag + " caption",
				FileName: "chart.png", URL: up.ContentURI.CUString(), Info: &event.FileInfo{MimeType: "image/png", Size: len(data), Width: 24, Height: 16}})
			require.NoError(t, err)
			m := o.inTeams(o.general, tag+" caption", nil)
			require.Len(t, m.Images, 1)
			require.Equal(t, data, m.Images[0].Data)
		})
		t.Run(name+"/a body over Graph's limit arrives whole", func(t *testing.T) {
			var body strings.Builder
			for i := range 4000 {
				fmt.Fprintf(&body, "%sword%d ", tag, i)
			}
			_, err := cli.SendText(o.ctx, room, body.String())
			require.NoError(t, err)
			o.until("all parts", func(context.Context) error {
				var all strings.Builder
				for _, m := range o.general.Messages() {
					for _, one := range append([]teamstest.MessageState{m}, m.Replies...) {
						if strings.Contains(one.Content, tag+"word") {
							all.WriteString(one.Content + " ")
						}
					}
				}
				if n := strings.Count(all.String(), tag+"word"); n != 4000 {
					return fmt.Errorf("%d of 4000 words", n)
				}
				return nil
			})
		})
	}
	t.Run("nobody edits or deletes what is another's", func(t *testing.T) {
		ben, ada := o.as(stack.Localpart(o.ben)), o.as(stack.Localpart(o.ada))
		room := o.room(ben, o.general)
		sent, err := ben.SendText(o.ctx, room, "this is Ben's")
		require.NoError(t, err)
		o.inTeams(o.general, "this is Ben", nil)
		_, err = ada.SendMessageEvent(o.ctx, room, event.EventMessage, &event.MessageEventContent{MsgType: event.MsgText, Body: "* forged",
			NewContent: &event.MessageEventContent{MsgType: event.MsgText, Body: "forged words"}, RelatesTo: (&event.RelatesTo{}).SetReplace(sent.EventID)})
		require.NoError(t, err)
		marker, err := ada.SendText(o.ctx, room, "after the forgery")
		require.NoError(t, err)
		require.NotEmpty(t, marker.EventID)
		o.inTeams(o.general, "after the forgery", nil)
		for _, m := range o.general.Messages() {
			require.NotContains(t, m.Content, "forged words")
		}
	})
}
