package portal

import (
	"context"
	"slices"
	"time"

	"teamsbridge/database"
)

// digestSide is what the bridge's tables say of a digest, digestPostSide of one
// of its posts.
type digestSide struct {
	Posts map[int]*digestPostSide
	// Notice is the event in the room that stands for it.
	Notice string
}

type digestPostSide struct {
	Part database.SentPart
	// Events are the messages that are in it, Shown those of them that are not
	// deleted.
	Events []string
	Shown  map[string]bool
	// Says is the fingerprint of what it should say by its messages; empty where
	// nobody knows. Given are those of what it was given, the newest first.
	Says  string
	Given []string
	// GivenAt is when it was given the newest. Changing says that it is about to
	// get another one.
	GivenAt  time.Time
	Changing bool
}

// event is what a post is reported with.
func (p *digestPostSide) event() string {
	if p == nil || len(p.Events) == 0 {
		return ""
	}
	return p.Events[0]
}

// readDigests reads the digests whose messages the room shows, or whose posts
// Teams lists.
func (g *gathering) readDigests(ctx context.Context) error {
	var events, ids []string
	for _, e := range g.s.events {
		if !e.Own {
			events = append(events, e.ID)
		}
	}
	queued, err := g.v.o.DB.Outbox.ByEvents(ctx, events)
	if err != nil {
		return err
	}
	for _, row := range queued {
		if row.Digest != "" {
			ids = append(ids, row.Digest)
		}
	}
	for _, p := range g.s.parts {
		if isDigest(p.EventID) {
			ids = append(ids, p.EventID)
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	parts, err := g.v.o.DB.Sent.ByEvents(ctx, ids)
	if err != nil {
		return err
	}
	g.s.parts = append(slices.DeleteFunc(g.s.parts, func(p database.SentPart) bool { return isDigest(p.EventID) }), parts...)
	for _, id := range ids {
		if err = g.readDigest(ctx, id, parts); err != nil {
			return err
		}
	}
	return nil
}

func (g *gathering) readDigest(ctx context.Context, id string, parts []database.SentPart) error {
	d, err := g.v.o.DB.Digests.Get(ctx, id)
	if err != nil || d == nil {
		return err // so old that nobody knows what was in it
	}
	entries, err := g.v.o.DB.Digests.Entries(ctx, id, -1)
	if err != nil {
		return err
	}
	side := &digestSide{Posts: map[int]*digestPostSide{}, Notice: d.NoticeEvent}
	for _, p := range parts {
		if p.EventID != id {
			continue
		}
		post := &digestPostSide{Part: p, Shown: map[string]bool{}}
		mine := slices.DeleteFunc(slices.Clone(entries), func(e database.DigestEntry) bool { return p.Part != 0 && e.Part != p.Part })
		for _, e := range mine {
			post.Events = append(post.Events, e.EventID)
			if !e.Deleted {
				post.Shown[e.EventID] = true
			}
		}
		if p.Part != 0 && len(mine) > 0 && unreadableEntry(mine, "") == nil {
			post.Says = givenDigest(renderDigest(g.v.o.Texts, mine)).print
		}
		writes, err := g.v.o.DB.Digests.Writes(ctx, id, p.Part)
		if err != nil {
			return err
		}
		for i, w := range writes {
			if post.Given = append(post.Given, w.Print); i == 0 {
				post.GivenAt = w.TriedAt
			}
		}
		side.Posts[p.Part] = post
	}
	g.s.digests[id] = side
	return nil
}

// readChanging finds out which posts that show something else are about to be
// written again.
func (g *gathering) readChanging(ctx context.Context) error {
	if len(g.s.digests) == 0 {
		return nil
	}
	overtaken, err := g.v.o.DB.Digests.Overtaken(ctx, g.portal)
	if err != nil {
		return err
	}
	for _, p := range overtaken {
		if d := g.s.digests[p.EventID]; d != nil && d.Posts[p.Part] != nil {
			d.Posts[p.Part].Changing = true
		}
	}
	for _, d := range g.s.digests {
		for _, post := range d.Posts {
			at, listed := g.teams[post.Part.RemoteID]
			if !listed || post.Changing || post.Part.Part == 0 || post.shows(&g.s.teams[at]) {
				continue
			}
			for _, event := range post.Events {
				changes, err := g.v.o.DB.Outbox.ByTarget(ctx, event)
				if err != nil {
					return err
				}
				post.Changing = post.Changing || len(changes) > 0
			}
		}
	}
	return nil
}

// shows reports whether a message is what a post should be, or was given last.
func (p *digestPostSide) shows(t *teamsSide) bool {
	said := p.Part.Fingerprint
	if len(p.Given) > 0 {
		said = p.Given[0]
	}
	return t.Print == said || p.Says != "" && t.Print == p.Says
}
