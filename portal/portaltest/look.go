package portaltest

import (
	"context"

	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal"
)

// Look does what package matrix does for a send in doubt: the room's events
// become echoes, and what is there twice is kept and reported.
func (r *Rig) Look(ctx context.Context, room id.RoomID) error {
	return r.Echo(ctx, r.HS.Events(room)...)
}

// run is what is told of events: a loop of the run before may look at a room while
// the next one begins.
type run struct {
	db     *database.Database
	ingest *portal.Ingest
}

// Echo tells the bridge about events, as a transaction of the homeserver does.
func (r *Rig) Echo(ctx context.Context, events ...Event) error {
	var echoes []database.Echo
	for _, e := range events {
		if key, ok := e.Content[portal.SourceField].(string); ok && !e.Redacted {
			echoes = append(echoes, database.Echo{SourceKey: key, EventID: e.ID.String(), RoomID: e.Room.String()})
		}
	}
	run := r.run.Load()
	doubled, err := run.db.Echoes.Record(ctx, echoes)
	if err == nil && len(echoes) > 0 {
		run.ingest.Echoed()
	}
	if err != nil || len(doubled) == 0 {
		return err
	}
	if err = run.db.Echoes.KeepDoubled(ctx, doubled); err == nil {
		run.ingest.Doubled()
	}
	return err
}
