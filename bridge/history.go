package bridge

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"teamsbridge/portal"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// readHistory reads a channel's recent messages into the ledger.
func (r *runtime) readHistory(ctx context.Context, ch teams.ChannelRef) error {
	_, err := r.poller.History(ctx, ch, r.c.Config.History)
	return err
}

const (
	deliverTimeout = 2 * time.Minute
	deliverLook    = 50 * time.Millisecond
)

// deliverHistory waits until what the ledger had of a channel is in its room,
// but not for ever: it is safe in the ledger, and people want to get in.
func (r *runtime) deliverHistory(ctx context.Context, ch teams.ChannelRef) error {
	patience := r.now().Add(deliverTimeout)
	portalID := string(portal.ChannelPortal(ch).ID)
	if _, err := r.db.Inbox.Unpark(ctx, portalID); err != nil {
		return err
	}
	began := r.now()
	if err := r.hurry(ctx, portalID); err != nil {
		return err
	}
	ticker := time.NewTicker(deliverLook)
	defer ticker.Stop()
	for {
		rows, err := r.db.Inbox.Due(ctx, portalID, r.now().Add(365*24*time.Hour), 1)
		if err != nil {
			return err
		}
		if len(rows) == 0 || rows[0].ReceivedAt.After(began) {
			return nil
		}
		if r.now().After(patience) {
			zerolog.Ctx(ctx).Warn().Str("portal_id", portalID).Msg("History takes long, people join before it is complete")
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// ledgerBatch is how many rows of the ledger are looked at in one go.
const ledgerBatch = 500

// hurry makes a conversation's waiting messages due now that its room is there.
func (r *runtime) hurry(ctx context.Context, portalID string) error {
	rows, err := r.db.Inbox.Due(ctx, portalID, r.now().Add(365*24*time.Hour), ledgerBatch)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if !row.NextAt.After(r.now()) {
			continue
		}
		if err := r.db.Inbox.Retry(ctx, portalID, row.MessageID, row.Version, r.now(), "its room is there"); err != nil {
			return err
		}
	}
	r.ingest.Wake(portalID)
	return nil
}

// putAside parks what waits for a conversation that is not to be mirrored.
func (r *runtime) putAside(ctx context.Context, portalID string) error {
	for {
		rows, err := r.db.Inbox.Due(ctx, portalID, r.now().Add(365*24*time.Hour), ledgerBatch)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, row := range rows {
			if err := r.db.Inbox.Park(ctx, portalID, row.MessageID, row.Version, inEnglish(texts.RowNotMirrored)); err != nil {
				return err
			}
		}
	}
}

// readFromMargin is how far before the first mirroring of a scope the first
// read begins: history was read a while before the reader took over.
const readFromMargin = time.Hour

// readFrom says where a scope begins that has no cursor yet.
func (r *runtime) readFrom(scope teams.Scope) time.Time {
	from := r.now()
	for _, conv := range r.catalog.ofTeam(scope.TeamID) {
		if scope.ChannelID != "" && conv.ChannelID != scope.ChannelID {
			continue
		}
		if !conv.HistoryAt.IsZero() && conv.HistoryAt.Before(from) {
			from = conv.HistoryAt
		}
	}
	return from.Add(-readFromMargin)
}
