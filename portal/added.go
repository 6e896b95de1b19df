package portal

import (
	"context"
	"fmt"
	"slices"

	"maunium.net/go/mautrix/bridgev2"
	brdb "maunium.net/go/mautrix/bridgev2/database"
)

// tellAdded has the bot show, under a message that was written in Matrix, the
// pictures, files and snippets that somebody has added to it in Teams: each once.
func (d *delivery) tellAdded(ctx context.Context, p *bridgev2.Portal, row *brdb.Message, parts []rendered) error {
	meta := metaOf(row)
	for _, part := range parts {
		if part.source == "" || slices.Contains(meta.Added, hashOf(part.source)) {
			continue
		}
		key := d.onceKey("edit:" + hashOf(part.source))
		before, err := d.sentBefore(ctx, key)
		if err != nil {
			return err
		}
		if before == "" {
			if err = d.noticeEdit(ctx, p, row, part, d.editTime(), key); err != nil {
				return err
			}
		}
		meta.Added = append(meta.Added, hashOf(part.source))
		if err = p.Bridge.DB.Message.Update(ctx, row); err != nil {
			return fmt.Errorf("store what was added in Teams: %w", err)
		}
	}
	return nil
}
