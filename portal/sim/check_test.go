package sim

import (
	"context"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// seen is a message as one side shows it.
type seen struct {
	version   int
	root      int // -1 for a post, -2 for something unknown
	reactions []string
	pos       int
	by        string
}

// check compares both sides with each other and with what was said.
func (w *world) check() {
	w.t.Helper()
	defer func() {
		if w.t.Failed() {
			w.dump()
		}
	}()
	excused := w.excused()
	for room, ch := range w.p.channels {
		matrix, teams := w.matrixShows(ch), w.teamsShows(ch)
		for msg, m := range w.p.messages {
			if m.room == room {
				w.checkMessage(msg, matrix[msg], teams[msg], excused)
			}
		}
		w.checkOrder(room, matrix, teams)
	}
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	if len(w.f.early) > 0 {
		w.t.Errorf("sent before an announced Retry-After was over: %q", w.f.early)
	}
}

// excused are the events that may have failed: their author was told why.
func (w *world) excused() map[id.EventID]string {
	ctx := context.Background()
	inbox, err := w.r.DB.Inbox.Stats(ctx)
	require.NoError(w.t, err)
	if inbox.ByState[database.StateParked] > 0 {
		w.t.Errorf("the ledger has given messages up")
	}
	out := map[id.EventID]string{}
	for _, ch := range w.p.channels {
		for _, e := range w.r.HS.Events(w.r.RoomOf(ch)) {
			if e.Bridge {
				continue
			}
			row, err := w.r.DB.Outbox.ByEvent(ctx, e.ID.String())
			require.NoError(w.t, err)
			told := slices.ContainsFunc(w.r.HS.Statuses(e.ID), func(s portaltest.Status) bool { return s.Status == event.MessageStatusFail }) || w.noticed(ch, e.ID)
			if row != nil && row.State == database.StateFailed && row.Reason == "taken back after it was parked" {
				continue // it was refused while that was in order, and its author has taken it back
			}
			if row != nil && row.State == database.StateCancelled && row.Reason == "message was deleted" &&
				(w.f.had(portaltest.Alice) || w.f.had(portaltest.Relay)) {
				continue // the same with an edit that waited for a sign-in
			}
			if row != nil && row.State == database.StateDone && w.endedWell(e.ID) {
				continue // it was parked, and went when its account was back
			}
			if row != nil && row.State == database.StateFailed && row.Reason == "a newer edit is in Teams" {
				continue // what it says is not what Teams has to show
			}
			failed := row != nil && (row.State == database.StateFailed || row.State == database.StateParked)
			if !failed && !told {
				continue
			} else if failed && !told {
				w.t.Errorf("%s of %s failed and nobody was told", e.Type.Type, e.Sender)
			}
			target := id.EventID(e.Relation("event_id"))
			if e.Type == event.EventRedaction {
				target = id.EventID(e.Content["redacts"].(string))
			}
			reason := "told"
			if row != nil {
				reason = row.Reason
			}
			out[e.ID] = reason
			if target != "" && e.Relation("rel_type") != "m.thread" {
				out[target] = reason
				// What fails may be the end of a reaction.
				if r := w.r.HS.Event(target); r.Type == event.EventReaction {
					out[id.EventID(r.Relation("event_id"))] = reason
				}
			}
			if !w.mayFail(ch, e, reason, out) {
				w.t.Errorf("%s of %s failed without a cause: %q, told %v", e.Type.Type, e.Sender, reason, told)
			}
		}
	}
	return out
}

// noticed reports whether the room was told that an event failed, by name. Its
// status may be lost with the bridge that sent it.
func (w *world) noticed(ch teams.ChannelRef, eventID id.EventID) bool {
	return slices.ContainsFunc(w.r.HS.Events(w.r.RoomOf(ch)), func(e portaltest.Event) bool {
		key, _ := e.Content[portal.SourceField].(string)
		return e.Bridge && strings.HasPrefix(key, "outbox/"+eventID.String()+"/")
	})
}

// endedWell reports whether an event's last status is that Teams has it.
func (w *world) endedWell(eventID id.EventID) bool {
	all := w.r.HS.Statuses(eventID)
	return len(all) > 0 && all[len(all)-1].Status == event.MessageStatusSuccess
}

// mayFail reports whether something that went wrong explains a failure.
func (w *world) mayFail(ch teams.ChannelRef, e portaltest.Event, reason string, excused map[id.EventID]string) bool {
	switch {
	case strings.Contains(e.Text(), poison):
		return true
	case reason == "permission missing" && w.f.had(ch.ChannelID):
		return true
	case reason == "own sign-in needed" && e.Sender == portaltest.BobMXID: // he never signs in
		return true
	}
	if reason == "not found" && w.actsOnDeleted(e) {
		return true // it came while Teams did not know the message, and then that was deleted
	}
	return w.f.had(ch.ChannelID) && (reason == "target not in Teams" || reason == "told")
}

// actsOnDeleted reports whether an event is about a message that was deleted.
func (w *world) actsOnDeleted(e portaltest.Event) bool {
	target := id.EventID(e.Relation("event_id"))
	if e.Type == event.EventRedaction {
		target = id.EventID(e.Content["redacts"].(string))
		if r := w.r.HS.Event(target); r.Type == event.EventReaction {
			target = id.EventID(r.Relation("event_id"))
		}
	}
	key, _ := w.r.HS.Event(target).Content[portal.SourceField].(string)
	return slices.ContainsFunc(w.said, func(s said) bool {
		return s.deleted && (s.event == target || s.teamsID != "" && strings.Contains(key, "/"+s.teamsID+"/"))
	})
}

func (w *world) checkMessage(msg int, matrix, teams []seen, excused map[id.EventID]string) {
	m, s := w.p.messages[msg], w.said[msg]
	_, free := excused[s.event]
	if m.side == inTeams {
		_, free = excused[w.inMatrixID(msg)]
	}
	if len(matrix) > 1 || len(teams) > 1 {
		w.t.Errorf("message %d is there %d times in Matrix, %d times in Teams", msg, len(matrix), len(teams))
		return
	}
	want := 1
	if !s.done || s.deleted {
		want = 0
	}
	inTeamsToo := want
	if m.poison {
		inTeamsToo = 0
	}
	switch {
	case len(matrix) != want && !(free && m.side == inTeams):
		w.t.Errorf("message %d is there %d times in Matrix, should be %d", msg, len(matrix), want)
	case len(teams) != inTeamsToo && !(free && m.side == inMatrix):
		w.t.Errorf("message %d is there %d times in Teams, should be %d", msg, len(teams), inTeamsToo)
	case len(matrix) == 0 || len(teams) == 0 || free:
	case matrix[0].version != s.version || teams[0].version != s.version:
		w.t.Errorf("message %d has version %d in Matrix, %d in Teams, should be %d", msg, matrix[0].version, teams[0].version, s.version)
	case matrix[0].root != m.root || teams[0].root != m.root && !w.isExcused(m.root, excused):
		w.t.Errorf("message %d is under %d in Matrix, %d in Teams, should be %d", msg, matrix[0].root, teams[0].root, m.root)
	default:
		w.checkReactions(msg, matrix[0], teams[0])
	}
}

func (w *world) isExcused(msg int, excused map[id.EventID]string) bool {
	if msg < 0 {
		return false
	}
	_, ok := excused[w.said[msg].event]
	return ok
}

// checkReactions compares reactions: Matrix shows all people's, Teams those of
// people by name and those of the relay once per emoji.
func (w *world) checkReactions(msg int, matrix, teams seen) {
	var people, inTeams []string
	for key := range w.said[msg].reactions {
		who, emoji, _ := strings.Cut(key, " ")
		people = append(people, key)
		if who == portaltest.Bob || who == portaltest.Alice && w.f.had(portaltest.Alice) {
			continue // by the relay, or maybe so
		}
		inTeams = append(inTeams, who+" "+emoji)
	}
	slices.Sort(people)
	slices.Sort(inTeams)
	if !slices.Equal(people, matrix.reactions) {
		w.t.Errorf("message %d has the reactions %q in Matrix, should be %q", msg, matrix.reactions, people)
	}
	named := slices.DeleteFunc(slices.Clone(teams.reactions), func(s string) bool {
		return strings.HasPrefix(s, portaltest.Relay+" ") || strings.HasPrefix(s, portaltest.Alice+" ") && w.f.had(portaltest.Alice)
	})
	if !slices.Equal(named, inTeams) {
		w.t.Errorf("message %d has the reactions %q in Teams, should be %q", msg, named, inTeams)
	}
	if a, b := emojisOf(teams.reactions), emojisOf(people); !slices.Equal(a, b) {
		w.t.Errorf("message %d has the emojis %q in Teams, should be %q", msg, a, b)
	}
}

func emojisOf(reactions []string) (out []string) {
	for _, r := range reactions {
		_, emoji, _ := strings.Cut(r, " ")
		out = append(out, emoji)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// checkOrder checks that each conversation is in order: what was said in Matrix
// in the order in which it was said, what was said in Teams in the order in
// which it was written, as far as the ledger had it in time.
func (w *world) checkOrder(room int, matrix, teams map[int][]seen) {
	type pair struct{ msg, from, to int }
	var said [2][]pair
	for msg, m := range w.p.messages {
		if m.room != room || len(matrix[msg]) != 1 || len(teams[msg]) != 1 {
			continue
		}
		p := pair{msg, matrix[msg][0].pos, teams[msg][0].pos}
		if m.side == inTeams {
			p.from, p.to = p.to, p.from
		}
		said[m.side] = append(said[m.side], p)
	}
	for s, pairs := range said {
		slices.SortFunc(pairs, func(a, b pair) int { return a.from - b.from })
		for i, a := range pairs {
			for _, b := range pairs[i+1:] {
				if a.to < b.to || side(s) == inTeams && !w.takenBefore(a.msg, b.msg) {
					continue
				}
				w.t.Errorf("messages %d and %d have swapped", a.msg, b.msg)
			}
		}
	}
}

// takenBefore reports whether the ledger certainly had a message from Teams
// before, or together with, another one. Of what was taken at the moment of a
// crash nobody knows, and a reply that was taken has its root fetched at once.
func (w *world) takenBefore(a, b int) bool {
	before, known := w.taken[w.said[a].teamsID]
	after, alsoKnown := w.taken[w.said[b].teamsID]
	known = known && !w.unsure[w.said[b].teamsID]
	for msg, m := range w.p.messages {
		if m.root != b || m.side != inTeams {
			continue
		}
		if reply, ok := w.taken[w.said[msg].teamsID]; ok {
			after = min(after, reply)
		}
		known = known && !w.unsure[w.said[msg].teamsID]
	}
	return known && alsoKnown && before <= after
}

// matrixShows returns what a room shows, by message of the plan.
func (w *world) matrixShows(ch teams.ChannelRef) map[int][]seen {
	room := w.r.RoomOf(ch)
	out := map[int][]seen{}
	which := map[id.EventID]int{}
	images := map[int]int{}
	for pos, e := range w.r.HS.Messages(room) {
		if e.Sender == portaltest.BotID && strings.HasPrefix(e.Text(), "⚠️") {
			continue // the author of something that failed is told
		}
		if e.Bridge && w.f.had("teams") && strings.HasPrefix(e.Text(), "Image “pic” is not shown here") {
			continue // it was not to be had while Teams was away
		}
		msg, version, ok := tokenOf(e.Text())
		if e.Content["msgtype"] == "m.image" && e.Bridge {
			images[len(out)]++
			continue
		} else if !ok {
			w.t.Errorf("Matrix shows something that nobody said: %q", e.Text())
			continue
		}
		which[e.ID] = msg
		root := -1
		if e.Relation("rel_type") == "m.thread" {
			if root, ok = which[id.EventID(e.Relation("event_id"))]; !ok {
				root = -2
			}
		}
		var reactions []string
		for _, r := range w.r.HS.Reactions(room, e.ID) {
			who, emoji, _ := strings.Cut(r, " ")
			who, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimPrefix(who, "@"), "teams_"), ":")
			reactions = append(reactions, who+" "+strings.TrimSuffix(emoji, "\ufe0f"))
		}
		slices.Sort(reactions)
		out[msg] = append(out[msg], seen{version: version, root: root, reactions: reactions, pos: pos, by: e.Sender.String()})
	}
	w.checkImages(ch, images)
	return out
}

// checkImages checks that every picture from Teams is there once.
func (w *world) checkImages(ch teams.ChannelRef, images map[int]int) {
	got, want := 0, 0
	for _, n := range images {
		got += n
	}
	for msg, m := range w.p.messages {
		if s := w.said[msg]; m.image && m.side == inTeams && s.done && !s.deleted && w.p.channels[m.room] == ch {
			want++
		}
	}
	if got > want || got < want && !w.f.had("teams") {
		w.t.Errorf("Matrix shows %d pictures from Teams, should be %d", got, want)
	}
}

// teamsShows returns what a channel shows, by message of the plan.
func (w *world) teamsShows(ch teams.ChannelRef) map[int][]seen {
	out := map[int][]seen{}
	which := map[string]int{}
	for pos, m := range w.r.Tenant.Messages(ch) {
		if !m.Deleted.IsZero() {
			continue
		}
		msg, version, ok := tokenOf(portaltest.Plain(m.Body))
		if !ok {
			w.t.Errorf("Teams shows something that nobody said: %q", m.Body)
			continue
		}
		which[m.ID] = msg
		root := -1
		if m.ReplyToID != "" {
			if root, ok = which[m.ReplyToID]; !ok {
				root = -2
			}
		}
		var reactions []string
		for _, r := range m.Reactions {
			reactions = append(reactions, r.User.ID+" "+strings.TrimSuffix(r.Type, "\ufe0f"))
		}
		slices.Sort(reactions)
		out[msg] = append(out[msg], seen{version: version, root: root, reactions: reactions, pos: pos, by: m.From.ID})
	}
	return out
}

// dump shows both sides and what went wrong on the way.
func (w *world) dump() {
	w.f.mu.Lock()
	w.t.Logf("windows %v, faults %v", w.f.windows, w.f.counts)
	w.f.mu.Unlock()
	for _, o := range w.p.ops {
		w.t.Logf("op %s kind=%d msg=%d %s %s n=%d away=%s", o.at, o.kind, o.msg, o.who, o.emoji, o.n, o.away)
	}
	for i, m := range w.p.messages {
		w.t.Logf("plan %d %+v %+v", i, m, w.said[i])
	}
	for _, ch := range w.p.channels {
		for _, e := range w.r.HS.Events(w.r.RoomOf(ch)) {
			w.t.Logf("matrix %s arrived %s %s %s %s %v redacted=%v %v", e.At.Format("15:04:05.000"), w.arrived[e.ID].Format("15:04:05.000"), e.ID, e.Sender, e.Type.Type, e.Content, e.Redacted, w.r.HS.Statuses(e.ID))
		}
		for _, m := range w.r.Tenant.Messages(ch) {
			w.t.Logf("teams %s taken %d %s root=%s %s %q %v edited=%v deleted=%v", m.Created.Format("15:04:05.000"), w.taken[m.ID], m.ID, m.ReplyToID, m.From.ID, m.Body, m.Reactions, !m.Edited.IsZero(), !m.Deleted.IsZero())
		}
	}
}
