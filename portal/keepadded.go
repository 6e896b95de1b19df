package portal

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
	"teamsbridge/teams"
)

// revision is what an edit made in Matrix gives to a message's parts.
type revision struct {
	drafts []teams.Draft
	given  []given
	// files are the files of the event itself, among all that are attached.
	files []string
}

func revisionOf(drafts []teams.Draft) revision {
	r := revision{drafts: drafts, given: givenBy(drafts), files: make([]string, len(drafts))}
	for i, d := range drafts {
		r.files[i] = fileOf(d)
	}
	return r
}

// isThere reports whether Teams has all that an edit gives to it.
func (s *Sender) isThere(ctx context.Context, row *database.OutboxRow, t target, r revision) (bool, error) {
	unsure, err := s.maybeEdited(ctx, row, t, r.given)
	return err == nil && isGiven(t.given(), r.given) && sameFiles(t.parts, r.files) && !unsure, err
}

// keepAdded puts into an edit of a message from Matrix what somebody has added to
// it in Teams: an edit replaces all that a post shows, and its author, whose text
// it is, has taken nothing of that out. Teams is asked, because the bridge may not
// have heard of it.
func (s *Sender) keepAdded(ctx context.Context, row *database.OutboxRow, t target, r revision) (revision, error) {
	meta, before := &MessageMetadata{}, t.given()
	maybe, err := s.o.Echo.unfinished(ctx, row.Portal, t.event(row))
	if err != nil {
		return r, err
	}
	if t.stored != nil {
		meta = metaOf(t.stored)
	}
	drafts := slices.Clone(r.drafts)
	for _, part := range t.parts {
		if part.State != database.StateSent || part.Part >= len(drafts) {
			continue
		}
		m, err := s.postAsItIs(ctx, t, meta, part)
		if err != nil {
			return r, unread(err)
		} else if m.Edited.IsZero() {
			continue
		}
		g := given{part.Fingerprint, part.ContentHash}
		if part.Part < len(before) {
			g = before[part.Part]
		}
		with := func(own []string) teams.Draft {
			return msgconv.WithAdded(m, r.drafts[part.Part], func(source string) bool {
				return !slices.Contains(own, source) && source != attachedAs(m, part.Attachment)
			})
		}
		own, _ := ownPictures(meta, m, g, maybe)
		drafts[part.Part] = with(own)
		if known, strange := meta.pictures(m); len(strange) > 0 {
			// The process before may have made this very edit.
			own = append(known, strange[:min(len(r.drafts[part.Part].Images), len(strange))]...)
			if made := with(own); msgconv.LooksLike(m, contentOf(made)) {
				drafts[part.Part] = made
			}
		}
	}
	return revision{drafts, givenBy(drafts), r.files}, nil
}

// postAsItIs reads a post of ours, before it is edited. What is not there has
// nothing that could be kept, and the edit itself will tell.
func (s *Sender) postAsItIs(ctx context.Context, t target, meta *MessageMetadata, part database.SentPart) (m teams.Message, err error) {
	m, err = s.o.Reader.Message(ctx, partRef(part))
	switch kind := teams.KindOf(err); {
	case err == nil:
	case isMissing(err):
		young, ageErr := s.isYoung(ctx, partRef(part))
		if ageErr == nil && young {
			ageErr = youngTarget(err)
		}
		return teams.Message{}, ageErr
	case kind == teams.KindPermission, kind == teams.KindSignInExpired:
		// Who may write need not wait for who may read, if all there is to keep is a guess.
		if len(meta.Added) == 0 && !slices.Contains(meta.Given, notGiven) {
			return teams.Message{}, nil
		}
		return m, fmt.Errorf("%w: read the post that is edited: %w", errUnsettled, err)
	default:
		return m, fmt.Errorf("read the post that is edited: %w", err)
	}
	if shown := meta.ETag; len(t.parts) == 1 && versionOf(m) < shown && s.o.Now().Before(time.UnixMilli(shown).Add(s.o.TargetPatience+ClockSkew)) {
		return m, errUnsettled // the room shows a newer one already
	}
	return m, nil
}

// attachedAs is the address of a file of the event's own in a post, empty where it
// has none.
func attachedAs(m teams.Message, attachment string) string {
	for _, a := range m.Attachments {
		if attachment != "" && strings.EqualFold(a.ID, attachment) {
			return a.ContentURL
		}
	}
	return ""
}
