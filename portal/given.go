package portal

import (
	"context"
	"slices"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	brdb "maunium.net/go/mautrix/bridgev2/database"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
	"teamsbridge/teams"
)

// given is what Teams was given for one part of a message. The fingerprint finds
// the text again however Teams writes it; the content hash tells texts of the same
// words apart.
type given struct {
	print, content string
}

// notGiven is the content of what somebody wrote in Teams.
const notGiven = "-"

// givenBy returns what drafts give to Teams.
func givenBy(drafts []teams.Draft) []given {
	all := make([]given, len(drafts))
	for i, d := range drafts {
		all[i] = given{fingerprint(d.HTML), contentOf(d)}
	}
	return all
}

func printsOf(all []given) []string {
	prints := make([]string, len(all))
	for i, g := range all {
		prints[i] = g.print
	}
	return prints
}

// givenBefore returns what Teams has of a message, from its row, or from its parts
// where the row does not say it yet.
func givenBefore(meta *MessageMetadata, parts []database.SentPart) []given {
	var all []given
	for i, print := range meta.Prints {
		g := given{print: print}
		if i < len(meta.Given) {
			g.content = meta.Given[i]
		}
		all = append(all, g)
	}
	if len(all) > 0 {
		return all
	}
	for _, p := range parts {
		if p.State == database.StateSent {
			all = append(all, given{p.Fingerprint, p.ContentHash})
		}
	}
	return all
}

// isGiven reports whether Teams is known to have just what is to be given to it.
// Of what a version before has sent nobody knows more than the words.
func isGiven(now, next []given) bool {
	return slices.Equal(now, next) && !slices.ContainsFunc(now, func(g given) bool { return g.content == "" })
}

// setGiven says in a message's row what Teams has.
func setGiven(meta *MessageMetadata, all []given) {
	meta.Prints, meta.Given = printsOf(all), make([]string, len(all))
	for i, g := range all {
		meta.Given[i] = g.content
	}
}

// givenNow returns what Teams has of a message's parts, with room for one of them.
func (d *delivery) givenNow(ctx context.Context, row *brdb.Message, part int) ([]given, error) {
	meta := metaOf(row)
	var parts []database.SentPart
	if d.own != nil && len(meta.Prints) == 0 {
		var err error
		if parts, err = d.in.o.DB.Sent.ByEvent(ctx, d.own.EventID); err != nil {
			return nil, err
		}
	}
	all := givenBefore(meta, parts)
	for d.own != nil && len(all) <= part {
		all = append(all, given{})
	}
	return all, nil
}

// isOurs reports whether what Teams lists of a part comes from Matrix: it is what
// Teams was given last, or by an edit that is on its way or had no outcome.
func (d *delivery) isOurs(ctx context.Context, p *bridgev2.Portal, row *brdb.Message, part int, all []given) (bool, error) {
	print, now, meta := msgconv.FingerprintOf(d.m), given{}, metaOf(row)
	if part < len(all) {
		now = all[part]
	}
	sameWords := now.print == print && now.content != notGiven
	if sameWords && (now.content == "" || msgconv.LooksLike(d.m, now.content)) {
		return true, nil
	}
	if undone, err := d.lateEdit(ctx, p, row, part, all, print); err != nil || undone {
		return undone, err
	}
	recent := d.m.Edited.Before(time.UnixMilli(meta.EditedMS).Add(staleEdit))
	switch {
	case sameWords && meta.Unseen && recent && meta.ContentHash != contentHash(d.m):
		// Teams writes some texts another way than they were given to it.
		return true, nil
	case d.own != nil && now.print != print && slices.Contains(meta.Before, print) && recent:
		d.count("stale own edit")
		return true, nil
	}
	return d.isOwnEdit(ctx, row, print)
}

// writtenInTeams says in a message's row that somebody gave a part another text there.
func (d *delivery) writtenInTeams(meta *MessageMetadata, part int, all []given) {
	if part < len(all) {
		all = slices.Clone(all)
		all[part] = given{msgconv.FingerprintOf(d.m), notGiven}
		setGiven(meta, all)
	}
	meta.Unseen = false
}
