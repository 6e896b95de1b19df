package portal

import (
	"slices"
	"time"

	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/teams"
)

// postWindow is how long after a post a second one of the same may have come.
const postWindow = 10 * time.Minute

// doubledPost reports a second post of one event, by the account that made the
// first or by another of the relay pool. Nobody types with an account of the relay
// pool. With a person's own account somebody may, and may say the same twice, so
// what such an account says is never one too many.
func (c *comparison) doubledPost(t *teamsSide) bool {
	if !t.Relay {
		return false
	}
	same := c.posts[t.Root+"\x00"+t.Print+"\x00"+t.File]
	if slices.ContainsFunc(same, func(p *database.SentPart) bool { return p.State == database.StateSending && p.RemoteID == "" }) {
		c.report.OnTheWay++ // it may be that one's only post: nobody knows yet
		return true
	}
	unknown := false
	for _, p := range same {
		if p.RemoteID == "" || p.RemoteID == t.ID || t.Created.Before(p.StartedAt.Add(-postWindow)) || t.Created.After(p.StartedAt.Add(postWindow)) {
			continue
		}
		first := c.teams[p.RemoteID]
		switch {
		case c.s.gone[p.RemoteID], first != nil && first.Deleted, p.State == database.PartDeleted:
			continue // somebody has deleted that one, and this one is all that is left
		case first == nil:
			unknown = true
			continue
		case p.AccountID != t.Author && !first.Relay:
			continue // the first was made by its author's own account
		}
		event := p.EventID
		if d := c.s.digests[event]; d != nil {
			event = d.Posts[p.Part].event()
		}
		c.find(Finding{
			Class: DoubledInTeams, Message: t.ID, Event: id.EventID(event), At: t.Created, other: t.Author, fix: fixDeletePost,
			stays: teams.MessageRef{RootID: first.Root, ID: first.ID},
		})
		return true
	}
	if unknown { // whether the other is there
		c.report.Unseen[UnseenOneByOne]++
	}
	return unknown
}
