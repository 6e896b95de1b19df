package portaltest

import (
	"context"
	"path/filepath"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
	"teamsbridge/portal"
)

// Keep copies the database, as a backup does.
func (r *Rig) Keep() (copied string) {
	r.t.Helper()
	copied = r.t.TempDir()
	r.snapshot(r.dir, copied)
	return copied
}

// SetBack goes on with a copy of the database, and tells the bridge what the rooms
// show, as package matrix does: what it has sent itself, and of people's events
// what tell says of them.
func (r *Rig) SetBack(copied string, tell func(ctx context.Context, restorer *portal.Restorer, e Event)) {
	r.t.Helper()
	r.Stop()
	r.dir = copied
	r.back = func(ctx context.Context, common portal.Common) {
		require.NoError(r.t, r.DB.Restores.Begin(ctx, database.Restore{Since: time.UnixMilli(1)}))
		restorer := portal.NewRestorer(common)
		for _, ch := range r.channels() {
			require.NoError(r.t, r.Look(ctx, r.rooms[ch]))
			var ids []string
			for _, e := range r.HS.Events(r.rooms[ch]) {
				if e.Bridge || isOwn(&e) {
					continue
				}
				tell(ctx, restorer, e)
				if known, err := r.DB.Outbox.ByEvent(ctx, e.ID.String()); err == nil && known == nil && !e.Redacted {
					require.NoError(r.t, r.Deliver(ctx, e))
					ids = append(ids, e.ID.String())
				}
			}
			r.Eventually(func() bool {
				open, err := r.DB.Journal.Open(ctx, ids)
				return err == nil && len(open) == 0
			}, filepath.Base(copied))
		}
		require.NoError(r.t, r.DB.Restores.Finish(ctx))
	}
	defer func() { r.back = nil }()
	r.Start()
}

// Posts returns the ids of what Teams has, in order.
func (r *Rig) Posts() (ids []string) {
	for _, m := range r.Tenant.Messages(Channel) {
		ids = append(ids, m.ID)
	}
	slices.Sort(ids)
	return ids
}
