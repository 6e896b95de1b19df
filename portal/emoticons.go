package portal

import (
	"context"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"teamsbridge/portal/msgconv"
)

// emoticonPatience is how long a message waits for the pictures of its custom
// emoji, all together.
const emoticonPatience = 10 * time.Second

// fetchEmoticons copies the pictures of the message's custom emoji to the
// homeserver. They are a nicety: where one can't be had at once, its name stands
// in the text, and nothing waits.
func (d *delivery) fetchEmoticons(ctx context.Context) error {
	if d.own != nil && d.m.Edited.IsZero() {
		return nil
	}
	refs := msgconv.Emoticons(d.m)
	if len(refs) == 0 {
		return nil
	}
	if shown, err := d.isShown(ctx); err != nil || shown {
		return err
	}
	p, err := d.in.o.Bridge.GetExistingPortalByKey(ctx, ChannelPortal(d.m.Channel))
	if err != nil {
		return fmt.Errorf("get portal: %w", err)
	} else if p == nil || !p.RoomCreated.IsSet() {
		return errNoRoom
	}
	if d.media == nil {
		d.media = make(map[string]msgconv.Media, len(refs))
	}
	short, cancel := context.WithTimeout(ctx, emoticonPatience)
	defer cancel()
	for _, ref := range refs {
		media, err := d.in.copyImage(short, p.MXID, ref)
		if ctx.Err() != nil {
			return ctx.Err()
		} else if err != nil {
			zerolog.Ctx(ctx).Debug().Err(err).Msg("Showing a custom emoji by its name")
			media = msgconv.Media{Problem: problemOf(err)}
		}
		d.in.o.Metrics.Count(MetricMedia, mediaOutcome(media))
		d.media[ref.URL] = media
	}
	return nil
}
