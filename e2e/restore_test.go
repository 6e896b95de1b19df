package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database/databasetest"
	"teamsbridge/internal/pgserver"
	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// A backup that is older than what was said since, on another machine: nothing is
// lost, nothing is there twice, everything is in order.
func TestRestoreOfAnOlderBackup(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{})
	testRestore(t, o, func() (restore func(moved *stack.Bridge)) {
		copied := o.backUp()
		return func(moved *stack.Bridge) {
			data, err := os.ReadFile(copied)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(moved.DatabasePath(), data, 0o600))
		}
	})
}

// The same with PostgreSQL's own dump, which does not say that it is one: the
// homeserver tells that the bridge has worked since.
func TestRestoreOfAnOlderDump(t *testing.T) {
	t.Parallel()
	if stackIsSynapse() {
		t.Skip("what differs from the other is the database: it runs on Dendrite")
	}
	server, err := pgserver.Start()
	if errors.Is(err, pgserver.ErrNotInstalled) && os.Getenv(databasetest.EnvRequire) == "" {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Stop() })
	uri, err := server.Create(context.Background(), "before")
	require.NoError(t, err)
	o := newOffice(t, stack.Options{Settings: map[string]any{"database": map[string]any{"type": "postgres", "uri": uri}}})
	testRestore(t, o, func() (restore func(moved *stack.Bridge)) {
		file := filepath.Join(t.TempDir(), "dump")
		require.NoError(t, server.Dump("before", file))
		// The next sign of life comes a minute later at most.
		bot := o.application("registration.yaml", o.UserID("teamsbot"))
		began := time.Now()
		o.within(2*time.Minute, "a sign of life", func(ctx context.Context) error {
			var alive struct {
				At int64 `json:"at"`
			}
			if err := bot.GetAccountData(ctx, "org.teamsbridge.alive", &alive); err != nil {
				return err
			}
			if time.UnixMilli(alive.At).Before(began) {
				return errors.New("it is an older one")
			}
			return nil
		})
		return func(moved *stack.Bridge) {
			fresh, err := server.Create(o.ctx, "after")
			require.NoError(t, err)
			require.NoError(t, server.Load("after", file))
			require.NoError(t, moved.Configure(map[string]any{"database": map[string]any{"uri": fresh}}))
		}
	})
}

// restoreTalk is what is said around a restore.
type restoreTalk struct {
	*office
	ada, ben *mautrix.Client
	room     id.RoomID
}

// say says a message.
func (r *restoreTalk) say(cli *mautrix.Client, text string) id.EventID {
	r.t.Helper()
	sent, err := cli.SendText(r.ctx, r.room, text)
	require.NoError(r.t, err)
	return sent.EventID
}

func (r *restoreTalk) post(text string) *teamstest.Message {
	return r.general.Post(r.cleo, teamstest.Msg{HTML: "<p>" + text + "</p>"})
}

// posted waits until Teams has a text and returns its message there.
func (r *restoreTalk) posted(text string) *teamstest.Message {
	r.t.Helper()
	m := r.inTeams(r.general, text, nil)
	return r.general.Message(m.ID)
}

// shown waits until the room has a text.
func (r *restoreTalk) shown(text string) id.EventID {
	r.t.Helper()
	return r.find(r.ben, r.room, text, nil).EventID
}

func (r *restoreTalk) react(cli *mautrix.Client, target id.EventID, key string) {
	r.t.Helper()
	_, err := cli.SendReaction(r.ctx, r.room, target, key)
	require.NoError(r.t, err)
}

func (r *restoreTalk) redact(cli *mautrix.Client, target id.EventID) {
	r.t.Helper()
	_, err := cli.RedactEvent(r.ctx, r.room, target)
	require.NoError(r.t, err)
}

// testRestore lets both sides go on after a backup, loses the machine, and goes on
// with the backup on another one.
func testRestore(t *testing.T, o *office, backUp func() (restore func(moved *stack.Bridge))) {
	o.runRelayed(o.ada)
	r := &restoreTalk{office: o, ada: o.as(stack.Localpart(o.ada)), ben: o.as(stack.Localpart(o.ben))}
	r.room = o.room(r.ben, o.general)
	o.room(r.ada, o.general)
	oldPost, editedPost, deletedPost := r.post("Teams root"), r.post("Teams edited later"), r.post("Teams deleted later")
	oldSaid, editedSaid, deletedSaid := r.say(r.ben, "Matrix root"), r.say(r.ben, "Matrix to edit"), r.say(r.ada, "Matrix to delete")
	rootShown := r.shown("Teams root")
	r.shown("Teams deleted later")
	oldPost.React(o.cleo, "laugh")
	o.agree(o.general)
	o.quiet()
	restore := backUp()

	// What the backup does not know, a channel among it.
	fresh := o.team.AddChannel(teamstest.ChannelSpec{DisplayName: "Since", By: o.ada})
	freshRoom := o.room(r.ben, fresh)
	fresh.Post(o.cleo, teamstest.Msg{HTML: "<p>Teams in a new channel</p>"})
	_, err := r.ben.SendText(o.ctx, freshRoom, "Matrix in a new channel")
	require.NoError(t, err)
	for i := range 4 {
		r.post(fmt.Sprintf("Teams since %d", i))
		r.say(r.ben, fmt.Sprintf("Matrix since %d", i))
		r.say(r.ada, fmt.Sprintf("Matrix of Ada since %d", i))
	}
	oldPost.Reply(o.cleo, teamstest.Msg{HTML: "<p>Teams reply since</p>"})
	r.posted("Matrix root").Reply(o.cleo, teamstest.Msg{HTML: "<p>Teams answer to Matrix since</p>"})
	editedPost.Edit(teamstest.Msg{HTML: "<p>Teams edited since</p>"})
	deletedPost.Delete()
	newPost := r.post("Teams new and edited")
	r.shown("Teams new and edited")
	newPost.Edit(teamstest.Msg{HTML: "<p>Teams new and edited twice</p>"})
	oldPost.Unreact(o.cleo, "laugh")
	oldPost.React(o.cleo, "like")
	r.posted("Matrix root").React(o.cleo, "heart")
	o.replyTo(r.ben, r.room, rootShown, "Matrix reply since")
	newSaid := r.say(r.ben, "Matrix new root")
	o.replyTo(r.ada, r.room, newSaid, "Matrix reply to a new root")
	o.edit(r.ben, r.room, editedSaid, "Matrix edited since")
	newEdited := r.say(r.ben, "Matrix new to edit")
	r.posted("Matrix new to edit")
	o.edit(r.ben, r.room, newEdited, "Matrix new and edited")
	r.redact(r.ada, deletedSaid)
	gone := r.say(r.ben, "Matrix new to delete")
	r.posted("Matrix new to delete")
	r.redact(r.ben, gone)
	r.react(r.ben, rootShown, "👍")
	r.react(r.ada, oldSaid, "❤️")
	takenBack := r.say(r.ben, "Matrix taken back while away")
	editedAway := r.say(r.ben, "Matrix to edit while away")
	r.posted("Matrix to edit while away")
	o.agree(o.general, fresh)
	o.quiet()
	// And in mid-burst the machine is lost.
	for i := range 3 {
		r.post(fmt.Sprintf("Teams in the last moment %d", i))
		r.say(r.ben, fmt.Sprintf("Matrix in the last moment %d", i))
	}
	r.posted("Matrix in the last moment 0")
	o.Bridge.Kill()

	// While there is no bridge.
	r.redact(r.ben, takenBack)
	o.edit(r.ben, r.room, editedAway, "Matrix edited while away")
	for i := range 3 {
		r.post(fmt.Sprintf("Teams while away %d", i))
		r.say(r.ben, fmt.Sprintf("Matrix while away %d", i))
	}
	o.move(restore)

	for i := range 3 {
		r.post(fmt.Sprintf("Teams after %d", i))
		r.say(r.ben, fmt.Sprintf("Matrix after %d", i))
		r.say(r.ada, fmt.Sprintf("Matrix of Ada after %d", i))
	}
	o.replyTo(r.ada, r.room, newSaid, "Matrix reply to the new root after")
	o.edit(r.ben, r.room, newEdited, "Matrix new and edited after")
	newPost.Edit(teamstest.Msg{HTML: "<p>Teams new and edited after</p>"})
	newPost.Reply(o.cleo, teamstest.Msg{HTML: "<p>Teams reply after</p>"})
	fresh.Post(o.cleo, teamstest.Msg{HTML: "<p>Teams in the new channel after</p>"})
	_, err = r.ben.SendText(o.ctx, freshRoom, "Matrix in the new channel after")
	require.NoError(t, err)
	r.posted("Matrix after 2")
	r.posted("Matrix edited while away")
	r.shown("Teams reply after")
	r.shown("Teams new and edited after")
	o.inTeams(fresh, "Matrix in the new channel after", nil)
	o.agreeAfterAKill(o.general, fresh)
	require.Equal(t, freshRoom, o.room(r.ben, fresh), "it has one room")
	require.Empty(t, o.Tenant.Violations(teamstest.ViolationRepeatedWrite))
	o.toldNothing(r)
}

// toldNothing requires that the bot has not told in the room that somebody edited
// in Teams what was written in Matrix, nor that something can't go to Teams.
func (o *office) toldNothing(r *restoreTalk) {
	o.t.Helper()
	said, err := o.entries(o.ctx, r.ben, r.room, func(e stack.Entry) bool {
		return e.MsgType == event.MsgNotice && (strings.Contains(e.Body, "edited in Teams") || strings.Contains(e.Body, "⚠️"))
	})
	require.NoError(o.t, err)
	require.Empty(o.t, said)
}

// move goes on with a backup in another folder; the homeserver and Graph reach it
// where they reached the lost one.
func (o *office) move(restore func(moved *stack.Bridge)) {
	o.t.Helper()
	lost := o.Bridge
	moved := *lost
	moved.Dir = filepath.Join(o.Dir, "moved")
	require.NoError(o.t, os.Mkdir(moved.Dir, 0o700))
	for _, name := range []string{"config.yaml", "registration.yaml", "doublepuppet.yaml"} {
		data, err := os.ReadFile(filepath.Join(lost.Dir, name))
		require.NoError(o.t, err)
		require.NoError(o.t, os.WriteFile(filepath.Join(moved.Dir, name), data, 0o600))
	}
	o.Bridge = &moved
	restore(&moved)
	o.run()
}
