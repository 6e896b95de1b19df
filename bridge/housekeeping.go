package bridge

import (
	"context"
	"errors"
	"time"

	"teamsbridge/portal"
)

// How long finished rows are kept.
const (
	keepOutbox   = 30 * 24 * time.Hour
	keepRefused  = 30 * 24 * time.Hour
	keepFinished = 90 * 24 * time.Hour
	keepOutages  = 2 * 365 * 24 * time.Hour
)

// housekeeping forgets what nobody needs any more. Echoes are the journal's.
func (r *runtime) housekeeping(ctx context.Context) error {
	_, err1 := r.db.Outbox.Purge(ctx, r.now().Add(-keepOutbox))
	_, err2 := r.db.Notifications.PurgeQuarantined(ctx, r.now().Add(-keepRefused))
	_, err3 := r.db.Inbox.Purge(ctx, r.now().Add(-keepFinished))
	err4 := r.keys.rotate(ctx)
	err5 := r.db.Outages.Purge(ctx, r.now().Add(-keepOutages))
	err6 := r.db.Digests.Purge(ctx, r.now().Add(-keepOutbox))
	_, err7 := r.db.Late.Purge(ctx, r.now().Add(-portal.LateMemory))
	_, err8 := r.db.Uploads.Purge(ctx, r.now().Add(-keepOutbox))
	err9 := r.sender.EndUploads(ctx)
	err10 := r.c.temp.keep(r.now())
	err11 := r.db.Polls.Purge(ctx, r.now().Add(-keepFinished))
	err12 := r.db.Digests.PurgeWrites(ctx, r.now().Add(-portal.LateMemory))
	err13 := r.db.Restores.Purge(ctx, r.now().Add(-keepOutbox))
	return errors.Join(err1, err2, err3, err4, err5, err6, err7, err8, err9, err10, err11, err12, err13)
}
