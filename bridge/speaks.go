package bridge

import (
	"context"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal"
)

// speaks reports whether what a person said in Teams goes into a room from their
// own account. That joins the room: so it does only where they are in it, or are
// to be brought into it anyway. Others are there as ghosts.
func (r *runtime) speaks(ctx context.Context, p *bridgev2.Portal, userID string) bool {
	staff, known := r.dir.staff(userID)
	if !known || staff.Status != database.StaffMapped {
		return false
	}
	member, err := r.c.br.Matrix.GetMemberInfo(ctx, p.MXID, id.UserID(staff.MXID))
	if err == nil && isIn(member) {
		return true
	}
	left, optErr := r.db.OptOuts.Has(ctx, staff.MXID, p.MXID.String())
	if err != nil || optErr != nil {
		// A ghost can speak without knowing.
		zerolog.Ctx(ctx).Warn().AnErr("member", err).AnErr("opt_out", optErr).Msg("Could not look up whether somebody is in a room")
		return false
	}
	conv, mirrored := r.catalog.get(string(p.ID))
	return !left && mirrored && r.mirror.rulesOf(conv).everybody()
}

// spoke is told who said something as a ghost.
func (r *runtime) spoke(portalID, userID string, at time.Time) { r.mirror.spoke(portalID, userID, at) }

// active returns who was active in a conversation since a time.
func (r *runtime) active(ctx context.Context, portalID string, since time.Time) ([]string, error) {
	return portal.ActiveSince(ctx, r.db.Database, r.c.br.ID, portalID, since)
}
