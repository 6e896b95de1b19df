package e2e

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/appservice"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// What was said in an outage goes to Teams as a digest where much was said, and
// verify finds both sides the same; then it finds what somebody has damaged in
// the room, and mends it.
//
// Proves S4.
func TestDigestAndVerify(t *testing.T) {
	t.Parallel()
	const said = 24
	o := newOffice(t, stack.Options{Settings: map[string]any{"network": map[string]any{
		"outage": map[string]any{"policy": "digest", "digest_above": 10},
	}}})
	o.runRelayed(o.ada)
	ada, ben := o.as(stack.Localpart(o.ada)), o.as(stack.Localpart(o.ben))
	room := o.room(ben, o.general)
	o.room(ada, o.general)
	o.general.Post(o.cleo, teamstest.Msg{HTML: "<p>before the outage</p>"})
	o.find(ben, room, "before the outage", nil)

	o.Tenant.Down(teamstest.DownUnavailable)
	_, err := ben.SendText(o.ctx, room, "the first one finds out")
	require.NoError(t, err)
	o.notice(ben, room, "Microsoft Teams is unavailable since")
	// Ten minutes old already: only what is late goes as a digest.
	began := time.Now().Add(-10 * time.Minute)
	for i := range said {
		cli := o.application("doublepuppet.yaml", ada.UserID)
		if i%2 == 0 {
			cli = o.application("doublepuppet.yaml", ben.UserID)
		}
		_, err := cli.SendMessageEvent(o.ctx, room, event.EventMessage, &event.MessageEventContent{MsgType: event.MsgText, Body: fmt.Sprintf("offline-%02d.", i)},
			mautrix.ReqSendEvent{Timestamp: began.Add(time.Duration(i) * time.Second).UnixMilli()})
		require.NoError(t, err)
	}
	takenBack, err := o.application("doublepuppet.yaml", ben.UserID).SendMessageEvent(o.ctx, room, event.EventMessage,
		&event.MessageEventContent{MsgType: event.MsgText, Body: "offline, and taken back"}, mautrix.ReqSendEvent{Timestamp: began.UnixMilli()})
	require.NoError(t, err)
	_, err = ben.RedactEvent(o.ctx, room, takenBack.EventID)
	require.NoError(t, err)
	bot := o.bot(o.Admin)
	o.until("everything waits but what was taken back", func(ctx context.Context) error {
		before := len(bot.last(ctx))
		bot.send("status")
		var waits []string
		o.until("its answer", func(ctx context.Context) error {
			if waits = waiting.FindStringSubmatch(bot.last(ctx)[before:]); waits == nil {
				return errors.New("not yet")
			}
			return nil
		})
		if waits[1] != fmt.Sprint(said+1) && (waits[1] != fmt.Sprint(said) || waits[2] != "1") {
			return fmt.Errorf("%s queued and %s being sent", waits[1], waits[2])
		}
		return nil
	})
	require.NoError(t, o.Tenant.Up())
	o.within(2*time.Minute, "the digest is in Teams", func(context.Context) error {
		all, alone, digests := "", 0, 0
		for _, m := range o.general.Messages() {
			switch {
			case strings.Contains(m.Content, "In Matrix while Teams was unavailable"):
				digests++
				for _, reply := range m.Replies {
					all += reply.Content
				}
			case strings.Contains(m.Content, "offline"):
				alone++
				all += m.Content
			}
		}
		require.NotContains(t, all, "taken back")
		// One may find out that Teams is back before the bridge knows it.
		if digests != 1 || alone > 1 {
			return fmt.Errorf("there are %d digests, and %d messages outside of them", digests, alone)
		}
		last := -1
		for i := range said {
			text := fmt.Sprintf("offline-%02d.", i)
			switch at := strings.Index(all, text); {
			case strings.Count(all, text) > 1:
				return fmt.Errorf("%s is there twice", text)
			case at <= last:
				return fmt.Errorf("%s is not there, or out of order", text)
			default:
				last = at
			}
		}
		return nil
	})

	// verify compares until it says so; what is young may be on its way.
	verify := func(command, want string) (report string) {
		t.Helper()
		o.within(5*time.Minute, command+": "+want, func(ctx context.Context) error {
			before := len(bot.last(ctx))
			bot.send(command)
			report = ""
			o.until("its report", func(ctx context.Context) error {
				if report = bot.last(ctx)[before:]; !strings.Contains(report, "1 of 1 channel") {
					return errors.New(report)
				}
				return nil
			})
			if !strings.Contains(report, want) {
				return errors.New(report)
			}
			return nil
		})
		return report
	}
	verify("verify Engineering/General", "Both sides have the same")

	// Somebody with the bridge's own token takes away what was written in Teams.
	gone := o.find(ben, room, "before the outage", nil)
	_, err = o.application("registration.yaml", o.UserID("teamsbot")).RedactEvent(o.ctx, room, gone.EventID)
	require.NoError(t, err)
	require.Contains(t, verify("verify Engineering/General", "1 difference in 1 channel"), "missing in Matrix")
	verify("verify Engineering/General --repair", "of which 1 mended")
	o.until("it is there again", func(ctx context.Context) error {
		list, err := o.entries(ctx, ben, room, func(e stack.Entry) bool { return strings.Contains(e.Body, "before the outage") && !e.Redacted })
		if err == nil && len(list) != 1 {
			err = errors.New("it is not")
		}
		return err
	})
	verify("verify Engineering/General", "Both sides have the same")
}

var waiting = regexp.MustCompile(`To Teams: (\d+) queued, (\d+) being sent`)

// application returns a client that speaks as an account with the token of one of
// the bridge's registrations, and may so choose an event's time.
func (o *office) application(registration string, user id.UserID) *mautrix.Client {
	o.t.Helper()
	reg, err := appservice.LoadRegistration(filepath.Join(filepath.Dir(o.Bridge.DatabasePath()), registration))
	require.NoError(o.t, err)
	cli, err := mautrix.NewClient(o.Homeserver.URL(), user, reg.AppToken)
	require.NoError(o.t, err)
	cli.SetAppServiceUserID = true
	return cli
}
