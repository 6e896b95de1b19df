package portal_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// sendFile says a file in Matrix.
func sendFile(r *portaltest.Rig, user id.UserID, msgType event.MessageType, name, caption string, data []byte) id.EventID {
	return r.Send(user, event.EventMessage, fileContent(r, msgType, name, caption, data))
}

func fileContent(r *portaltest.Rig, msgType event.MessageType, name, caption string, data []byte) map[string]any {
	c := map[string]any{"msgtype": string(msgType), "body": name, "url": string(r.HS.Upload(data)), "info": map[string]any{"size": len(data)}}
	if caption != "" {
		c["filename"], c["body"] = name, caption
	}
	return c
}

// posts returns what Teams shows, as "author: text [file = bytes]".
func posts(r *portaltest.Rig) []string {
	var out []string
	for _, m := range r.Tenant.Messages(portaltest.Channel) {
		if !m.Deleted.IsZero() {
			continue
		}
		s := m.From.ID + ": " + portaltest.Plain(m.Body)
		for _, a := range m.Attachments {
			name := strings.TrimPrefix(a.ContentURL, portaltest.FolderURL+"/")
			for _, f := range r.Tenant.Files() {
				if f.Name == strings.ReplaceAll(name, "%20", " ") {
					s += fmt.Sprintf(" [%s = %s]", a.Name, f.Data)
				}
			}
			if !strings.Contains(m.Body, a.ID) {
				s += " without its mark"
			}
		}
		out = append(out, s)
	}
	return out
}

func names(r *portaltest.Rig) (out []string) {
	for _, f := range r.Tenant.Files() {
		out = append(out, f.Name)
	}
	return out
}

// A file from Matrix is in the channel's folder and attached to its message, in
// the name of whoever wrote it.
func TestFilesToTeams(t *testing.T) {
	r := started(t)
	sendFile(r, portaltest.AliceMXID, event.MsgFile, "a/b: plan.pdf", "", []byte("first"))
	sendFile(r, portaltest.BobMXID, event.MsgVideo, "clip.mp4", "look at this", []byte("second"))
	sendFile(r, portaltest.CarolMXID, event.MsgAudio, "Voice message", "", []byte("third"))
	sendFile(r, portaltest.AliceMXID, event.MsgFile, "clip.mp4", "", []byte("fourth"))
	r.Say(portaltest.AliceMXID, "behind them")
	r.Quiet()
	got := posts(r)
	require.Len(t, got, 5)
	require.Equal(t, "alice:  [a_b_ plan.pdf = first]", got[0])
	require.Equal(t, "relay: bob: look at this [clip.mp4 = second]", got[1])
	require.Contains(t, got[2], "relay: ")
	require.Contains(t, got[2], "[Voice message = third]")
	require.Equal(t, "alice:  [1 clip.mp4 = fourth]", got[3], "another file of the same name")
	require.Equal(t, "alice: behind them", got[4])
	require.Len(t, r.HS.Messages(r.Room), 5, "none comes back")
	require.Equal(t, 4, r.Counts.Get(portal.MetricUploads, "uploaded"))
}

// An edit of the caption keeps the file, an edit of the file brings the new one,
// and one that leaves nothing but text takes it away.
func TestEditOfAFileToTeams(t *testing.T) {
	r := started(t)
	content := fileContent(r, event.MsgFile, "a.pdf", "old", []byte("first"))
	eventID := r.Send(portaltest.AliceMXID, event.EventMessage, content)
	r.Quiet()
	edit := func(to map[string]any) {
		c := map[string]any{"msgtype": to["msgtype"], "body": "* " + fmt.Sprint(to["body"]), "m.new_content": to, "m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": eventID.String()}}
		for k, v := range to {
			if _, has := c[k]; !has {
				c[k] = v
			}
		}
		r.Send(portaltest.AliceMXID, event.EventMessage, c)
		r.Quiet()
	}
	content["body"] = "new"
	edit(content)
	require.Equal(t, 1, r.HS.Media(), "the file is not copied back")
	require.Equal(t, []string{"alice: new [a.pdf = first]"}, posts(r))
	require.Equal(t, []string{"a.pdf"}, names(r))
	edit(fileContent(r, event.MsgFile, "b.pdf", "new", []byte("second")))
	require.Equal(t, []string{"alice: new [b.pdf = second]"}, posts(r))
	edit(map[string]any{"msgtype": "m.text", "body": "no file"})
	require.Equal(t, []string{"alice: no file"}, posts(r))
}

// What does not go as a file is a line with a link that says why.
func TestFilesThatDoNotGoToTeams(t *testing.T) {
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) { out.MaxFile = 10 }
	})
	sendFile(r, portaltest.AliceMXID, event.MsgFile, "big.iso", "", bytes.Repeat([]byte("x"), 11))
	lying := fileContent(r, event.MsgFile, "lying.iso", "", bytes.Repeat([]byte("x"), 11))
	lying["info"] = map[string]any{"size": 3}
	r.Send(portaltest.AliceMXID, event.EventMessage, lying)
	sendFile(r, portaltest.AliceMXID, event.MsgFile, "empty.txt", "", nil)
	r.Send(portaltest.AliceMXID, event.EventMessage, map[string]any{"msgtype": "m.file", "body": "gone.txt", "url": "mxc://example.org/nothing"})
	r.Quiet()
	r.Tenant.SetFault(func(op, _ string) portaltest.Fault {
		if op == "session" {
			return portaltest.Fault{Refuse: portaltest.ErrPermission}
		}
		return portaltest.Fault{}
	})
	sendFile(r, portaltest.AliceMXID, event.MsgFile, "no.txt", "caption", []byte("x"))
	r.Quiet()
	require.Equal(t, []string{
		"alice: 📎 File: big.iso (11 B, too large)",
		"alice: 📎 File: lying.iso (3 B, too large)",
		"alice: 📎 File: empty.txt (empty)",
		"alice: 📎 File: gone.txt (the homeserver refused it)",
		"alice: 📎 File: no.txt (1 B, the account may not put files into this channel)caption",
	}, posts(r))
	require.Empty(t, names(r))
}

// While Teams is down files wait, in order, and what was uploaded is not
// uploaded again; answers that get lost make nothing twice.
func TestFilesWaitForTeams(t *testing.T) {
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) { out.MediaPatience = time.Nanosecond }
	})
	down, writes := true, map[string]int{}
	r.Tenant.SetFault(func(op, _ string) portaltest.Fault {
		writes[op]++
		switch {
		case down:
			return portaltest.Fault{Refuse: portaltest.ErrUnavailable}
		case op == "chunk" && writes[op]%3 == 0, op == "session" && writes[op] == 1, op == "post" && writes[op] == 1:
			return portaltest.Fault{Lose: portaltest.ErrAmbiguous}
		}
		return portaltest.Fault{}
	})
	sendFile(r, portaltest.AliceMXID, event.MsgFile, "a.pdf", "", []byte("first"))
	r.Say(portaltest.AliceMXID, "between")
	sendFile(r, portaltest.AliceMXID, event.MsgFile, "b.pdf", "", []byte("second"))
	r.Eventually(func() bool { return r.Counts.Get(portal.MetricSendRetry, "unavailable") > 8 })
	require.Empty(t, posts(r), "Graph's outage is waited for, however long")
	r.Tenant.SetFault(func(op, _ string) portaltest.Fault {
		writes[op]++
		if op == "chunk" && writes[op]%3 == 0 || (op == "session" || op == "post") && writes[op] == 1 {
			return portaltest.Fault{Lose: portaltest.ErrAmbiguous}
		}
		return portaltest.Fault{}
	})
	r.Quiet()
	require.Equal(t, []string{"alice:  [a.pdf = first]", "alice: between", "alice:  [b.pdf = second]"}, posts(r))
	require.Equal(t, []string{"a.pdf", "b.pdf"}, names(r))
}

// A host of files that fails while Graph works holds nobody up for ever.
func TestFileHostIsWaitedForSomeTime(t *testing.T) {
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) { out.MediaPatience = 50 * time.Millisecond }
	})
	r.Tenant.SetFault(func(op, _ string) portaltest.Fault {
		if op == "chunk" {
			return portaltest.Fault{Refuse: &teams.Error{Op: "PUT file content", Kind: teams.KindUnavailable}}
		}
		return portaltest.Fault{}
	})
	sendFile(r, portaltest.AliceMXID, event.MsgFile, "a.pdf", "", []byte("first"))
	r.Say(portaltest.AliceMXID, "behind it")
	r.Quiet()
	require.Equal(t, []string{"alice: 📎 File: a.pdf (5 B, Teams did not take it)", "alice: behind it"}, posts(r))
}

// What was begun and given up is ended, also by the next process; what Teams does
// not answer about is tried again, and what still may go on is left alone.
func TestUploadsThatAreGivenUpAreEnded(t *testing.T) {
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) { out.MediaPatience = 50 * time.Millisecond }
	})
	failWith := func(err error) {
		r.Tenant.SetFault(func(op, _ string) portaltest.Fault {
			if op == "chunk" {
				return portaltest.Fault{Refuse: err}
			}
			return portaltest.Fault{}
		})
	}
	failWith(&teams.Error{Op: "PUT file content", Kind: teams.KindUnavailable})
	sendFile(r, portaltest.AliceMXID, event.MsgFile, "a.pdf", "", []byte("first"))
	r.Quiet()
	require.Equal(t, []string{"alice: 📎 File: a.pdf (5 B, Teams did not take it)"}, posts(r))
	require.Equal(t, 1, r.Tenant.Sessions())
	r.Restart()

	failWith(portaltest.ErrUnavailable)
	sendFile(r, portaltest.AliceMXID, event.MsgFile, "b.pdf", "", []byte("second"))
	r.Eventually(func() bool { return r.Tenant.Sessions() == 2 })
	r.Tenant.SetRead(func(op string) error {
		if op == "cancel" {
			return portaltest.ErrUnavailable
		}
		return nil
	})
	require.NoError(t, r.Sender.EndUploads(t.Context()))
	require.Equal(t, 2, r.Tenant.Sessions())
	r.Tenant.SetRead(nil)
	require.NoError(t, r.Sender.EndUploads(t.Context()))
	require.Equal(t, 1, r.Tenant.Sessions())
	require.NoError(t, r.Sender.EndUploads(t.Context()))
	require.Equal(t, 1, r.Counts.Get(portal.MetricUploads, "ended"))

	r.Tenant.SetFault(nil)
	r.Quiet()
	require.Equal(t, []string{"b.pdf"}, names(r))
	require.Zero(t, r.Tenant.Sessions())
}

// An edit that brings a file of which the upload was ended uploads it anew.
func TestEndedUploadBeginsAnew(t *testing.T) {
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) { out.MediaPatience = 50 * time.Millisecond }
	})
	r.Tenant.SetFault(func(op, _ string) portaltest.Fault {
		if op == "chunk" {
			return portaltest.Fault{Refuse: &teams.Error{Op: "PUT file content", Kind: teams.KindUnavailable}}
		}
		return portaltest.Fault{}
	})
	content := fileContent(r, event.MsgFile, "a.pdf", "old", []byte("first"))
	eventID := r.Send(portaltest.AliceMXID, event.EventMessage, content)
	r.Quiet()
	require.NoError(t, r.Sender.EndUploads(t.Context()))
	require.Zero(t, r.Tenant.Sessions())
	r.Tenant.SetFault(nil)
	to := map[string]any{"msgtype": "m.file", "filename": "a.pdf", "body": "new", "url": content["url"], "info": content["info"]}
	r.Send(portaltest.AliceMXID, event.EventMessage, map[string]any{"msgtype": "m.file", "body": "* new", "url": content["url"],
		"m.new_content": to, "m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": eventID.String()}})
	r.Quiet()
	require.Equal(t, []string{"alice: new [a.pdf = first]"}, posts(r))
}

// A sign-in that ends while a file is uploaded: a relay account goes on.
func TestFileOfAnAccountThatIsSignedOut(t *testing.T) {
	r := started(t)
	r.Tenant.SetFault(func(op, account string) portaltest.Fault {
		if op == "session" && account == portaltest.Alice {
			return portaltest.Fault{Refuse: portaltest.ErrExpired}
		}
		return portaltest.Fault{}
	})
	sendFile(r, portaltest.AliceMXID, event.MsgFile, "a.pdf", "", []byte("first"))
	r.Quiet()
	require.Equal(t, []string{"relay: alice: [a.pdf = first]"}, posts(r))
}

// The bridge is cut off after each statement while files go to Teams; each is
// posted once, in order, with its bytes. Proves M2 and M4.
func TestCrashWithFilesToTeams(t *testing.T) {
	scenario := func(r *portaltest.Rig, step func(f func())) {
		var first id.EventID
		var content map[string]any
		step(func() {
			content = fileContent(r, event.MsgFile, "a.pdf", "old", []byte("first"))
			first = r.Send(portaltest.AliceMXID, event.EventMessage, content)
		})
		step(func() { sendFile(r, portaltest.BobMXID, event.MsgVideo, "b.mp4", "", []byte("second")) })
		step(func() {
			to := map[string]any{"msgtype": "m.file", "filename": "a.pdf", "body": "new", "url": content["url"], "info": content["info"]}
			r.Send(portaltest.AliceMXID, event.EventMessage, map[string]any{"msgtype": "m.file", "body": "* new", "url": content["url"],
				"m.new_content": to, "m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": first.String()}})
		})
		step(func() { r.Say(portaltest.AliceMXID, "behind them") })
	}
	crashEverywhere(t, scenario, func(t *testing.T, r *portaltest.Rig) {
		require.Equal(t, []string{"alice: new [a.pdf = first]", "relay: bob: [b.mp4 = second]", "alice: behind them"}, posts(r))
		require.Len(t, r.HS.Messages(r.Room), 3, "none comes back")
	})
}
