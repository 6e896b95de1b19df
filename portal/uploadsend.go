package portal

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"teamsbridge/teams"
)

const (
	// endBatch is how many uploads are ended at once.
	endBatch = 50
	// endPatience is how long one of them may take.
	endPatience = 20 * time.Second
)

// EndUploads ends the uploads that were given up: their messages went without
// the file, or were taken back. It is called now and then, beside everything
// that sends. What can't be ended now is tried at the next call, until it has
// ended by itself; an upload that somebody takes up again all the same begins
// anew.
func (s *Sender) EndUploads(ctx context.Context) error {
	all, err := s.o.DB.Uploads.GivenUp(ctx, endBatch)
	if err != nil {
		return err
	}
	for _, up := range all {
		var state teams.Upload
		if json.Unmarshal(up.Session, &state) == nil {
			if err = s.endUpload(ctx, state); ctx.Err() != nil {
				return ctx.Err()
			} else if err != nil && teams.KindOf(err) != teams.KindForeignHost {
				zerolog.Ctx(ctx).Debug().Err(err).Str("event_id", up.EventID).Msg("Could not end an upload that was given up")
				s.o.Metrics.Count(MetricUploads, "not ended")
				continue
			}
		}
		if err = s.o.DB.Uploads.Forget(ctx, up); err != nil {
			return err
		}
		s.o.Metrics.Count(MetricUploads, "ended")
	}
	return nil
}

func (s *Sender) endUpload(ctx context.Context, u teams.Upload) error {
	ctx, cancel := context.WithTimeout(ctx, endPatience)
	defer cancel()
	if err := s.o.Reader.CancelUpload(ctx, u); err != nil {
		return fmt.Errorf("end upload: %w", err)
	}
	return nil
}
