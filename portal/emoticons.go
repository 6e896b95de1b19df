package portal

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/rs/zerolog"
	brdb "maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"

	"teamsbridge/portal/msgconv"
)

// ShortcodeField is where a reaction whose key is a picture has its name
// (MSC4027, which is not accepted yet).
const ShortcodeField = "com.beeper.reaction.shortcode"

const (
	// maxReactionPictures is how many custom emoji in the reactions to a message
	// are fetched at once; the others show their names.
	maxReactionPictures = 8
	// maxPictures is how many pictures of reactions are remembered.
	maxPictures = 1000
)

// fetchEmoticons copies the pictures of the message's custom emoji, and of custom
// reactions to it, to the homeserver. They are a nicety: where one can't be had
// at once, its name stands there, and nothing waits.
func (d *delivery) fetchEmoticons(ctx context.Context) error {
	inText, err := d.emoticonsToFetch(ctx)
	if err != nil {
		return err
	}
	reactions, err := d.picturesToFetch(ctx)
	if err != nil || len(inText)+len(reactions) == 0 {
		return err
	}
	p, err := d.in.o.Bridge.GetExistingPortalByKey(ctx, ChannelPortal(d.m.Channel))
	if err != nil {
		return fmt.Errorf("get portal: %w", err)
	} else if p == nil || !p.RoomCreated.IsSet() {
		return errNoRoom
	}
	short, cancel := context.WithTimeout(ctx, d.in.o.EmojiPatience)
	defer cancel()
	fetch := func(ref msgconv.ImageRef) msgconv.Media {
		media, err := d.in.copyImage(short, p.MXID, ref)
		if err != nil {
			zerolog.Ctx(ctx).Debug().Err(err).Msg("Showing a custom emoji by its name")
			media = msgconv.Media{Problem: problemOf(err)}
		}
		d.outcome(MetricMedia, media)
		return media
	}
	if d.media == nil {
		d.media = make(map[string]msgconv.Media, len(inText))
	}
	for _, ref := range inText {
		if d.media[ref.URL] = fetch(ref); ctx.Err() != nil {
			return ctx.Err()
		}
	}
	d.pictures = make(map[networkid.EmojiID]string, len(reactions))
	for _, ref := range reactions {
		key, known := d.in.pictures.get(ref.URL)
		if !known {
			if key = msgconv.ReactionPicture(fetch(ref)); ctx.Err() != nil {
				return ctx.Err()
			}
			d.in.pictures.put(ref.URL, key)
		}
		d.pictures[emojiID(ref.Alt)] = key
	}
	return nil
}

// emoticonsToFetch lists the custom emoji in the text, unless that is shown.
func (d *delivery) emoticonsToFetch(ctx context.Context) ([]msgconv.ImageRef, error) {
	if d.own != nil && d.m.Edited.IsZero() {
		return nil, nil
	}
	refs := msgconv.Emoticons(d.m)
	if len(refs) == 0 {
		return nil, nil
	}
	if shown, err := d.isShown(ctx); err != nil || shown {
		return nil, err
	}
	return refs, nil
}

// picturesToFetch lists the custom emoji of reactions that are new, unless
// somebody's reaction shows that emoji on the message already: only what has the
// same key is counted together.
func (d *delivery) picturesToFetch(ctx context.Context) ([]msgconv.ImageRef, error) {
	if !d.in.o.ReactionPictures || d.own != nil && d.own.Part > 0 {
		return nil, nil
	}
	refs := msgconv.ReactionPictures(d.m)
	if len(refs) == 0 {
		return nil, nil
	}
	rows, err := d.rows(ctx)
	if err != nil {
		return nil, err
	}
	var have []*brdb.Reaction
	if len(rows) > 0 {
		if have, err = d.in.o.Bridge.DB.Reaction.GetAllToMessage(ctx, "", firstRow(rows).ID); err != nil {
			return nil, fmt.Errorf("get reactions: %w", err)
		}
	}
	shown := shownCustom(have)
	wanted := slices.DeleteFunc(d.wantedReactions(), func(w wantedReaction) bool {
		return slices.ContainsFunc(have, func(r *brdb.Reaction) bool { return w.reactionKey == reactionKey{r.SenderID, r.EmojiID} })
	})
	refs = slices.DeleteFunc(refs, func(ref msgconv.ImageRef) bool {
		emoji := emojiID(ref.Alt)
		return shown[emoji] != "" || !slices.ContainsFunc(wanted, func(w wantedReaction) bool { return w.emoji == emoji })
	})
	return refs[:min(len(refs), maxReactionPictures)], nil
}

// shownCustom returns the keys under which reactions show custom emoji, as far as
// their rows tell.
func shownCustom(have []*brdb.Reaction) map[networkid.EmojiID]string {
	shown := map[networkid.EmojiID]string{}
	for _, r := range have {
		if r.Emoji != "" {
			shown[r.EmojiID] = r.Emoji
		}
	}
	return shown
}

// showCustom decides under which key each custom reaction that is to be added
// shows. Its picture is only that: the reaction is known by its name.
func (d *delivery) showCustom(wanted []wantedReaction, have []*brdb.Reaction) {
	shown := shownCustom(have)
	for i, w := range wanted {
		if !msgconv.IsCustomReaction(w.teams) {
			continue
		}
		wanted[i].custom = w.shown
		if !d.in.o.ReactionPictures {
			continue
		}
		if key := cmp.Or(shown[w.emoji], d.pictures[w.emoji]); key != "" {
			wanted[i].shown = key
		}
	}
}

// pictures remembers which picture an address of a reaction became, so that what
// is tried again, or is on its way for several people, is copied once.
type pictures struct {
	mu    sync.Mutex
	byURL map[string]string
}

func (p *pictures) get(url string) (key string, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key, known = p.byURL[url]
	return key, known
}

// put remembers a picture; what is none is asked for again.
func (p *pictures) put(url, key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if key == "" {
		return
	}
	if p.byURL == nil || len(p.byURL) >= maxPictures {
		p.byURL = map[string]string{}
	}
	p.byURL[url] = key
}
