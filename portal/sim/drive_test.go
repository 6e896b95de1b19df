package sim

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// run carries a plan out, ends all faults, waits for rest and checks.
func run(t *testing.T, p *plan, tune ...func(w *world)) *world {
	w := newWorld(t, p)
	for _, f := range tune {
		f(w)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait() // virtual time ends with this function
	defer cancel()
	w.start()
	wg.Go(func() { w.deliver(ctx) })
	began := time.Now()
	for _, o := range p.ops {
		w.until(began.Add(o.at))
		w.do(o)
	}
	w.until(began.Add(p.span))
	w.f.end()
	w.r.CrashIn(1 << 40)
	w.until(time.Now().Add(time.Second)) // a crash that is just happening
	w.restart()
	for _, account := range []string{portaltest.Alice, portaltest.Relay} {
		w.r.People.SignIn(account, true)
	}
	// What waits, parked, for an account is looked for at the next sweep.
	w.until(time.Now().Add(2 * time.Minute))
	w.rest()
	catchUp, stop := context.WithTimeout(ctx, liveness)
	defer stop()
	require.NoError(t, w.poller.CatchUp(catchUp, nil, "the end"))
	w.rest()
	w.check()
	return w
}

// until waits for a time; meanwhile a bridge that crashes stays down for a
// moment and starts again.
func (w *world) until(at time.Time) {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.crashed:
		w.halt()
		away := time.NewTimer(w.awayAfterCrash())
		defer away.Stop()
		select {
		case <-away.C:
		case <-timer.C:
		}
		w.restart()
		w.until(at)
	}
}

// awayAfterCrash is how long the bridge that has just crashed stays away.
func (w *world) awayAfterCrash() time.Duration {
	for _, o := range w.p.ops {
		if o.kind == opCrash {
			return o.away
		}
	}
	return time.Second
}

// halt takes a bridge down: one that crashed is gone, another one stops.
func (w *world) halt() {
	w.locked(func() {
		if w.up {
			w.up = false
			w.r.Halt()
		}
	})
}

// restart starts the bridge if it is down, also one that is just crashing.
func (w *world) restart() {
	if w.r.Crashing() {
		w.halt()
	}
	select {
	case <-w.crashed:
		w.halt()
	default:
	}
	if !w.up {
		w.start()
		if w.p.again > 0 { // once more, while it recovers
			w.r.CrashIn(w.p.again)
			w.p.again = 0
		}
	}
}

// do does what the plan says, if it is possible by now.
func (w *world) do(o op) {
	switch o.kind {
	case opCrash:
		w.r.CrashIn(o.n)
		return
	case opRestart:
		w.halt()
		w.until(time.Now().Add(o.away))
		w.restart()
		return
	case opForget:
		w.r.HS.Restart()
		return
	}
	m, s := w.p.messages[o.msg], &w.said[o.msg]
	if o.kind == opPost {
		w.post(o.msg, m, s)
		return
	}
	acts := m.side
	switch {
	case !s.done || s.deleted:
		return
	case o.kind != opReact && o.kind != opUnreact:
	case o.who == portaltest.Dave:
		acts = inTeams
	default:
		acts = inMatrix
	}
	if acts == inMatrix {
		w.inMatrix(o, m, s)
	} else {
		w.inTeams(o, m, s)
	}
}

func (w *world) text(msg int) string {
	text := fmt.Sprintf("w%dv%d", msg, w.said[msg].version)
	if w.p.messages[msg].poison {
		text = poison + " " + text
	}
	return text
}

func (w *world) post(msg int, m message, s *said) {
	s.reactions = map[string]id.EventID{}
	ch := w.p.channels[m.room]
	if m.side == inTeams {
		root := ""
		if m.root >= 0 {
			if root = w.inTeamsID(m.root); root == "" {
				return
			}
		}
		html := "<p>" + w.text(msg) + "</p>"
		if m.image {
			html += `<p><img src="` + imageURL(ch) + `" alt="pic"></p>`
		}
		s.done, s.teamsID = true, w.r.Tenant.Post(ch, root, m.who, html).ID
		return
	}
	content := portaltest.Text(w.text(msg))
	if m.image {
		content = map[string]any{
			"msgtype": "m.image", "filename": "pic.png", "body": w.text(msg), "url": string(w.r.HS.Upload(png)),
			"info": map[string]any{"mimetype": "image/png", "size": len(png)},
		}
	}
	if m.root >= 0 {
		root := w.known(m.root)
		if root == "" {
			return
		}
		content = portaltest.InThread(root, content)
	}
	s.done, s.event = true, w.put(m, m.who, event.EventMessage, content)
}

var png = append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, 100)...)

func imageURL(ch teams.ChannelRef) string {
	return "https://graph.microsoft.com/v1.0/teams/" + ch.TeamID + "/channels/" + ch.ChannelID + "/messages/1/hostedContents/aWQ=/$value"
}

// put says something in Matrix; the homeserver has it, whatever the bridge does.
func (w *world) put(m message, who string, kind event.Type, content map[string]any) id.EventID {
	eventID, err := w.r.HS.Put(w.r.RoomOf(w.p.channels[m.room]), mxid(who), kind, "", time.Now(), content)
	require.NoError(w.t, err)
	return eventID
}

func (w *world) inMatrix(o op, m message, s *said) {
	target := w.known(o.msg)
	if target == "" {
		return
	}
	key := o.who + " " + o.emoji
	switch made := s.reactions[key]; o.kind {
	case opEdit:
		s.version++
		w.put(m, o.who, event.EventMessage, portaltest.NewText(target, w.text(o.msg)))
	case opDelete:
		s.deleted = true
		w.put(m, o.who, event.EventRedaction, portaltest.Redaction(target))
	case opReact:
		if made == "" {
			s.reactions[key] = w.put(m, o.who, event.EventReaction, portaltest.Reaction(target, o.emoji))
		}
	case opUnreact:
		if made != "" {
			delete(s.reactions, key)
			w.put(m, o.who, event.EventRedaction, portaltest.Redaction(made))
		}
	}
}

func (w *world) inTeams(o op, m message, s *said) {
	target := w.inTeamsID(o.msg)
	if target == "" {
		return
	}
	key := o.who + " " + o.emoji
	var change func(m *teams.Message, at time.Time)
	switch o.kind {
	case opEdit:
		s.version++
		change = portaltest.SetText("<p>" + w.text(o.msg) + "</p>")
	case opDelete:
		s.deleted = true
		change = portaltest.SetDeleted()
	case opReact:
		s.reactions[key] = "in Teams"
		change = portaltest.AddReaction(o.who, o.emoji)
	case opUnreact:
		delete(s.reactions, key)
		change = portaltest.DropReaction(o.who, o.emoji)
	}
	w.r.Tenant.Change(w.p.channels[m.room], target, change)
}

var token = regexp.MustCompile(`w(\d+)v(\d+)`)

// tokenOf reads which message of the plan a text is of, and in which version.
func tokenOf(text string) (msg, version int, ok bool) {
	all := token.FindAllStringSubmatch(text, -1)
	if len(all) == 0 {
		return 0, 0, false
	}
	last := all[len(all)-1]
	msg, _ = strconv.Atoi(last[1])
	version, _ = strconv.Atoi(last[2])
	return msg, version, true
}

// inMatrixID finds a message in Matrix, where it may not be yet.
func (w *world) inMatrixID(msg int) id.EventID {
	m, s := w.p.messages[msg], w.said[msg]
	if !s.done || m.side == inMatrix {
		return s.event
	}
	for _, e := range w.r.HS.Messages(w.r.RoomOf(w.p.channels[m.room])) {
		if got, _, ok := tokenOf(e.Text()); ok && got == msg {
			return e.ID
		}
	}
	return ""
}

// known is inMatrixID for a message that the bridge knows by its event. Between
// a send whose answer got lost and its next try it does not, and the framework
// refuses what is said about it.
func (w *world) known(msg int) (known id.EventID) {
	eventID := w.inMatrixID(msg)
	if eventID == "" || w.p.messages[msg].side == inMatrix {
		return eventID
	}
	w.locked(func() {
		if !w.up || w.r.Crashing() {
			return
		}
		row, err := w.r.Bridge.DB.Message.GetPartByMXID(context.Background(), eventID)
		require.NoError(w.t, err)
		if row != nil && !w.r.Crashing() {
			known = eventID
		}
	})
	return known
}

// inTeamsID finds a message in Teams, where it may not be yet.
func (w *world) inTeamsID(msg int) string {
	m, s := w.p.messages[msg], w.said[msg]
	if !s.done || m.side == inTeams {
		return s.teamsID
	}
	for _, x := range w.r.Tenant.Messages(w.p.channels[m.room]) {
		if got, _, ok := tokenOf(portaltest.Plain(x.Body)); ok && got == msg && x.Deleted.IsZero() {
			return x.ID
		}
	}
	return ""
}
