package portal

import (
	"context"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	brdb "maunium.net/go/mautrix/bridgev2/database"

	"teamsbridge/teams"
)

// A deletion made in Matrix is known here before Teams shows it. What comes until
// then without it is from before it, and late, or somebody has taken it back in
// Teams, and no version with the deletion ever came. Their times would tell, but one
// is by Teams' clock and the other by ours. So Teams is asked what it has now, and
// versions are compared with versions. Nobody waits for that: the row is done, and
// delivered once more (youngmedia.go).

// isUnshown reports whether a message was deleted in Matrix, and Teams was not seen
// yet to have it deleted.
func isUnshown(row *brdb.Message) bool { return metaOf(row).Deleted && metaOf(row).DeletedMS != 0 }

// isBeforeDeletion reports whether this version is older than one in which Teams
// has shown the message's deletion.
func (d *delivery) isBeforeDeletion(row *brdb.Message) bool {
	return metaOf(row).Deleted && d.row.Version < metaOf(row).DeletedIn
}

// askAgain has this version delivered once more.
func (d *delivery) askAgain() {
	now := d.in.o.Now()
	d.row.AgainAt = now.Add(min(max(now.Sub(d.row.ReceivedAt), d.in.o.YoungRest), maxAgain))
}

// askIfBack asks Teams whether it has taken back the deletion of a message that it
// did not show. waits says that this can't be told yet.
func (d *delivery) askIfBack(ctx context.Context) (waits bool, err error) {
	rows, err := d.rows(ctx)
	if err != nil || len(rows) == 0 || !isUnshown(rows[0]) {
		return false, err
	}
	m, err := d.in.o.Reader.Message(ctx, teams.MessageRef{ChannelRef: d.m.Channel, RootID: d.m.ReplyToID, ID: d.m.ID})
	switch now := versionOf(m); {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case isMissing(err) && !d.isFresh(rows[0]):
		return true, nil // it is gone for good
	case err != nil:
		zerolog.Ctx(ctx).Info().Err(err).Msg("Could not see whether a deleted message is back, will look again")
	case now > d.row.Version:
		return d.takeNewer(ctx, m)
	case now < d.row.Version && !m.Deleted.IsZero():
		d.isBack = true // what came is newer than the deletion
		return false, nil
	case m.Deleted.IsZero() && !d.isFresh(rows[0]):
		d.isBack = true
		return false, nil
	}
	d.askAgain()
	return true, nil
}

// isFresh reports whether Teams may show what was before a deletion: not everything
// that it answers is of this moment. Both times are by our clock.
func (d *delivery) isFresh(row *brdb.Message) bool {
	return d.in.o.Now().Before(time.UnixMilli(metaOf(row).DeletedMS).Add(d.in.o.YoungMedia))
}

// takeNewer puts a newer version of the message into the ledger, which is delivered
// instead of this one.
func (d *delivery) takeNewer(ctx context.Context, m teams.Message) (waits bool, err error) {
	if err = d.in.Accept(ctx, "repair", []teams.Message{m}); err != nil {
		return false, err
	}
	row, err := d.in.o.DB.Inbox.Get(ctx, d.row.Portal, d.row.MessageID)
	switch {
	case err != nil:
		return false, fmt.Errorf("look for the newer version: %w", err)
	case row == nil || row.Version <= d.row.Version:
		return true, nil // the conversation is not mirrored any more
	}
	return false, errReread
}
