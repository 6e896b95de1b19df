package portal

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	brdb "maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
	"teamsbridge/teams"
)

// gathering collects what is compared. What one side or a table names and
// another did not show is asked for by name, so that what is merely on the
// other side of the time that was asked for does not look like a difference.
type gathering struct {
	v      *Verifier
	ch     teams.ChannelRef
	portal string
	room   id.RoomID
	source string

	s     sides
	teams map[string]int // index in s.teams by id
	seen  map[string]bool
	byMX  map[string]int // index in s.rows by event
	byID  map[string]int // index in s.rows by Teams id, of any part
}

func (g *gathering) gather(ctx context.Context, since time.Time) error {
	g.teams, g.seen, g.byMX, g.byID = map[string]int{}, map[string]bool{}, map[string]int{}, map[string]int{}
	now := g.v.o.Now()
	g.s = sides{
		since: since, until: now.Add(-g.v.o.Grace), memory: now.Add(-g.v.o.Memory), gone: map[string]bool{}, partial: map[string]bool{},
		outbox: map[string]database.OutboxRow{}, ledger: map[string]database.InboxRow{}, journal: map[string]bool{}, edited: map[string]bool{}, unseen: map[string]int{}, digests: map[string]*digestSide{},
	}
	conv, err := g.v.o.DB.Conversations.Get(ctx, g.portal)
	if err != nil {
		return err
	} else if conv != nil {
		g.s.mirrored = conv.HistoryAt
	}
	for _, step := range []func(context.Context) error{
		g.readTeams, g.readRoom, g.readRows, g.joinRows, g.readDigests, g.askTeams, g.readChanging, g.askRoom, g.readKept, g.readQueues, g.readReactions,
	} {
		if err = step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// readTeams lists the channel.
func (g *gathering) readTeams(ctx context.Context) (err error) {
	g.source, err = teams.ReadChannel(ctx, g.v.o.Reader, g.ch, g.s.since, g.v.o.Now, func(msgs []teams.Message) {
		for _, m := range msgs {
			g.addTeams(m)
		}
	})
	if err != nil {
		return fmt.Errorf("read the channel: %w", err)
	} else if len(g.s.teams) > g.v.o.MaxMessages {
		return ErrTooMuch
	}
	return nil
}

func (g *gathering) addTeams(listed teams.Message) {
	// As the ledger keeps it: what is empty has several forms on the way.
	m := listed
	if stored, err := teams.EncodeStored(listed); err == nil {
		if m, err = teams.DecodeStored(stored); err != nil {
			m = listed
		}
	}
	at, known := g.teams[m.ID]
	if known && g.s.teams[at].Version >= versionOf(m) {
		return
	}
	side := teamsSide{
		ID: m.ID, Root: m.ReplyToID, Author: m.From.ID, Created: m.Created, Modified: m.Modified, Edited: m.Edited, Version: versionOf(m),
		Deleted: !m.Deleted.IsZero(), System: m.Type != teams.TypeMessage, Relay: m.From.IsUser() && g.v.o.Directory.IsRelay(m.From.ID),
	}
	if !side.Deleted {
		side.Hash, side.Print = contentHash(m), msgconv.FingerprintOf(m)
		for i := range m.Attachments {
			if a := &m.Attachments[i]; a.ContentType == "reference" {
				side.Files = append(side.Files, strings.ToLower(a.ID))
				side.File = side.Files[0]
			}
		}
		// Pictures in the text were fetched, so that the text can't be foretold.
		emoticons := len(msgconv.Emoticons(m)) > 0
		for _, part := range msgconv.ToMatrix(m, msgconv.MatrixEnv{People: g.v.o.Directory, Texts: g.v.o.Texts, ChannelID: g.ch.ChannelID}).Parts {
			shown := shownPart{id: part.ID}
			if isFetched(part.ID) {
				shown.source = part.Source
			} else if !emoticons {
				shown.hash = contentPartHash(part.Content)
			}
			side.Parts = append(side.Parts, shown)
		}
		side.Reactions = g.reactionsOf(m)
	}
	if known {
		g.s.teams[at] = side
		return
	}
	if len(g.s.teams) <= g.v.o.MaxMessages {
		g.teams[m.ID] = len(g.s.teams)
		g.s.teams = append(g.s.teams, side)
	}
}

func (g *gathering) reactionsOf(m teams.Message) (out []teamsReaction) {
	for _, r := range m.Reactions {
		shown := msgconv.EmojiFromTeams(r)
		if shown == "" || r.User.ID == "" {
			continue
		}
		key := reactionKey{UserID(r.User.ID), emojiID(shown)}
		if r.User.Kind == "application" {
			key.sender = AppUserID(r.User.ID)
		}
		if !slices.ContainsFunc(out, func(have teamsReaction) bool { return have.reactionKey == key }) {
			out = append(out, teamsReaction{reactionKey: key, Relay: g.v.o.Directory.IsRelay(r.User.ID)})
		}
	}
	return out
}

// readRows reads the bridge's rows since the time, a day at a time.
func (g *gathering) readRows(ctx context.Context) error {
	db := g.v.o.Bridge.DB.Message
	key := ChannelPortal(g.ch)
	const day = 24 * time.Hour
	end := g.v.o.Now().Add(day)
	for from := g.s.since; from.Before(end); from = from.Add(day) {
		rows, err := db.GetMessagesBetweenTimeQuery(ctx, key, from, from.Add(day))
		if err != nil {
			return fmt.Errorf("read message rows: %w", err)
		}
		g.addRows(rows)
		if len(g.s.rows) > g.v.o.MaxMessages {
			return ErrTooMuch
		}
	}
	return nil
}

func (g *gathering) addRows(rows []*brdb.Message) {
	for _, m := range rows {
		if string(m.Room.ID) != g.portal {
			continue
		}
		if _, known := g.byMX[m.MXID.String()]; known {
			continue
		}
		meta := metaOf(m)
		row := rowSide{
			ID: m.RowID, Event: m.MXID.String(), Part: string(m.PartID), Message: m.ID, SenderMXID: m.SenderMXID.String(),
			Ghost: g.v.o.Bridge.IsGhostMXID(m.SenderMXID), At: m.Timestamp, Thread: m.ThreadRoot,
			ContentHash: meta.ContentHash, PartHash: meta.PartHash, Prints: meta.Prints, Before: meta.Before,
			Version: meta.ETag, LastEdit: meta.Edit, EditedMS: meta.EditedMS, Deleted: meta.Deleted, Deleting: meta.Deleting, TakenOut: meta.TakenOut,
			Source: meta.Source, Placeholder: meta.Placeholder, Outbound: meta.Outbound, Relayed: meta.Relayed, Gone: meta.Gone,
		}
		if meta.Media != nil {
			row.Media = string(meta.Media.Media.URI)
		}
		_, row.Remote, _ = ParseMessageID(m.ID)
		g.byMX[row.Event] = len(g.s.rows)
		if row.Remote != "" {
			g.byID[row.Remote] = len(g.s.rows)
		}
		g.s.rows = append(g.s.rows, row)
	}
}

// joinRows reads the rows that messages and events name and that are from
// before the time, and the sent parts.
func (g *gathering) joinRows(ctx context.Context) error {
	var ids, events []string
	for _, t := range g.s.teams {
		for _, remote := range []string{t.ID, t.Root} {
			if _, known := g.byID[remote]; !known && remote != "" {
				ids = append(ids, string(MessageID(g.ch, remote)))
			}
		}
	}
	for _, e := range g.s.events {
		for _, event := range []string{e.ID, e.Thread} {
			if _, known := g.byMX[event]; !known && event != "" {
				events = append(events, event)
			}
		}
	}
	for _, r := range g.s.reactions {
		if _, known := g.byMX[r.Target]; !known {
			events = append(events, r.Target)
		}
	}
	if err := g.rowsBy(ctx, "id", ids); err != nil {
		return err
	}
	if err := g.rowsBy(ctx, "mxid", events); err != nil {
		return err
	}
	return g.readParts(ctx)
}

const messageColumns = `rowid, bridge_id, id, part_id, mxid, room_id, room_receiver, sender_id, sender_mxid, timestamp, edit_count,
	double_puppeted, thread_root_id, reply_to_id, reply_to_part_id, send_txn_id, metadata`

// rowsBy reads message rows by a column that has an index.
func (g *gathering) rowsBy(ctx context.Context, column string, values []string) error {
	return chunked(values, func(marks string, args []any) error {
		rows, err := g.v.o.Bridge.DB.Message.QueryMany(ctx, `SELECT `+messageColumns+` FROM message WHERE bridge_id=$1 AND room_receiver='' AND `+column+` IN (`+marks+`)`,
			append([]any{g.v.o.Bridge.ID}, args...)...)
		if err != nil {
			return fmt.Errorf("read message rows: %w", err)
		}
		g.addRows(rows)
		return nil
	})
}

// readParts reads the sent parts of messages that may be ours, by either name.
func (g *gathering) readParts(ctx context.Context) error {
	var remotes, events []string
	for _, t := range g.s.teams {
		if at, known := g.byID[t.ID]; !known || g.s.rows[at].Outbound {
			remotes = append(remotes, t.ID)
		}
	}
	for _, e := range g.s.events {
		if !e.Own {
			events = append(events, e.ID)
		}
	}
	byRemote, err := g.v.o.DB.Sent.ByRemotes(ctx, g.portal, remotes)
	if err != nil {
		return err
	}
	var more []string
	for _, p := range byRemote {
		if !g.seen[p.EventID] {
			events = append(events, p.EventID)
		}
		if _, row := g.byMX[p.EventID]; !row {
			more = append(more, p.EventID)
		}
	}
	slices.Sort(events)
	events = slices.Compact(events)
	if g.s.parts, err = g.v.o.DB.Sent.ByEvents(ctx, events); err != nil {
		return err
	}
	return g.rowsBy(ctx, "mxid", more)
}

// askTeams asks for messages that the bridge knows of and that were not listed.
func (g *gathering) askTeams(ctx context.Context) error {
	type named struct{ root, id string }
	var ask []named
	asked := map[string]bool{}
	add := func(root, remote string) {
		if _, listed := g.teams[remote]; !listed && remote != "" && !asked[remote] {
			asked[remote] = true
			ask = append(ask, named{root, remote})
		}
	}
	outbound := map[string]bool{}
	for _, p := range g.s.parts {
		outbound[p.EventID] = true
		if p.State == database.StateSent && (g.seen[p.EventID] || isDigest(p.EventID)) && !p.SentAt.After(g.s.until) {
			add(p.RootID, p.RemoteID)
		}
	}
	for _, row := range g.s.rows {
		if row.At.Before(g.s.since) || row.At.After(g.s.until) || row.Deleted || row.Deleting || outbound[row.Event] {
			continue
		}
		root := ""
		if row.Thread != "" && row.Thread != row.Message {
			var ok bool
			if _, root, ok = ParseMessageID(row.Thread); !ok {
				continue // Graph wants the root's name, which nobody knows
			}
		}
		add(root, row.Remote)
	}
	for i, n := range ask {
		if i == g.v.o.MaxLookups {
			g.s.unseen[UnseenOneByOne] += len(ask) - i
			return nil
		}
		m, err := g.v.o.Reader.Message(ctx, teams.MessageRef{ChannelRef: g.ch, RootID: n.root, ID: n.id})
		switch {
		case err == nil:
			m.FillChannel(g.ch)
			g.addTeams(m)
		case isMissing(err):
			g.s.gone[n.id] = true
		case teams.KindOf(err) == teams.KindPermission:
			g.s.unseen[UnseenRefused] += len(ask) - i
			return nil
		default:
			return fmt.Errorf("ask for a message: %w", err)
		}
	}
	return nil
}

// askRoom asks for events that rows or parts name and that reading the room did
// not show.
func (g *gathering) askRoom(ctx context.Context) error {
	var ask []string
	add := func(event string) {
		if !g.seen[event] && event != "" {
			g.seen[event] = true
			ask = append(ask, event)
		}
	}
	for _, row := range g.s.rows {
		if _, listed := g.teams[row.Remote]; listed && !row.Deleted && !row.Deleting {
			add(row.Event)
		}
	}
	for _, p := range g.s.parts {
		if _, listed := g.teams[p.RemoteID]; listed {
			add(p.EventID)
		}
	}
	r := newRoom(g.v)
	for i, event := range ask {
		if g.s.partial[event] = true; !strings.HasPrefix(event, "$") {
			continue
		}
		if i >= g.v.o.MaxLookups {
			// It is taken to be there: nothing is concluded from not asking.
			g.s.unseen[UnseenOneByOne]++
			g.s.events = append(g.s.events, matrixSide{ID: event, Own: true})
			continue
		}
		e, err := g.v.o.Room.RoomEvent(ctx, g.room, id.EventID(event))
		if err != nil {
			return fmt.Errorf("ask for an event: %w", err)
		} else if e != nil {
			r.add(*e)
		}
	}
	g.s.events = append(g.s.events, r.events...)
	maps.Copy(g.s.removed, r.removed)
	return nil
}
