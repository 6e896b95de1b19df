package bridge

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"

	"teamsbridge/database"
)

const (
	// resealBatch is how many values are sealed anew in one transaction.
	resealBatch = 50
	// resealPause lets others write between two of them.
	resealPause = 20 * time.Millisecond
	// resealAgain is when values that no key opens are looked at again: what waits
	// is asked for anew and stored under the key in use, the rest ends one day.
	resealAgain = time.Hour
	// missingKeyTimeout bounds how long a start looks for values that no key opens.
	missingKeyTimeout = 30 * time.Second
)

// tellMissingKeys says which encryption keys the config lacks, before anything is
// made anew that they would have opened. Where all was sealed with the key in use
// the last time, there is nothing to look at.
func (r *runtime) tellMissingKeys(ctx context.Context) error {
	status, err := r.db.Sealing.Status(ctx)
	if err != nil || status == (database.SealStatus{Done: true}) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, missingKeyTimeout)
	defer cancel()
	missing, err := r.db.Sealing.Missing(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		zerolog.Ctx(ctx).Warn().Err(err).Msg("Whether an encryption key is missing was not found out in time; `teamsbridge check` does not hurry")
		return nil
	}
	for _, key := range missing {
		zerolog.Ctx(ctx).Error().Str("missing_key", key.ID).Int("values", key.Values).Str("keys", r.secrets.keyNames()).
			Msg("What is stored is sealed with an encryption key that the config lacks. If network.encryption_key is not the right one, stop, and put that back; " +
				"if it was changed on purpose, put the one before into network.encryption_key_previous. Without it messages that wait are asked for again, and accounts have to sign in")
	}
	return err
}

// reseal brings everything that is stored under the encryption key in use, while
// the bridge works, and says when the previous ones are not needed any more.
func (r *runtime) reseal(ctx context.Context) error {
	for told := (database.SealStatus{}); ; {
		if err := r.db.Sealing.Again(ctx); err != nil {
			return err
		}
		if err := r.resealAll(ctx); err != nil {
			return err
		}
		status, err := r.db.Sealing.Status(ctx)
		if err != nil {
			return err
		}
		if status != told {
			told = status
			r.tellSealing(ctx, status)
		}
		if status.Unopened == 0 {
			return nil
		}
		if err = sleepFor(ctx, resealAgain); err != nil {
			return err
		}
	}
}

func (r *runtime) resealAll(ctx context.Context) error {
	for all := 0; ; {
		sealed, done, err := r.db.Sealing.Step(ctx, resealBatch)
		if err != nil {
			return err
		}
		all += sealed
		if done && all > 0 {
			zerolog.Ctx(ctx).Info().Int("values", all).Msg("What is stored was sealed with the encryption key in use")
			return r.db.Sealing.Tidy(ctx)
		} else if done {
			return nil
		}
		if sealed > 0 {
			err = sleepFor(ctx, resealPause)
		}
		if err != nil {
			return err
		}
	}
}

func (r *runtime) tellSealing(ctx context.Context, status database.SealStatus) {
	log := zerolog.Ctx(ctx)
	if status.Unopened > 0 {
		log.Warn().Int("values", status.Unopened).Msg("None of the encryption keys opens some of what is stored; messages that wait are asked for again")
	}
	if len(r.secrets.previousKeys) > 0 && status.Done {
		log.Info().Msg("Nothing needs network.encryption_key_previous any more: it can be removed")
	}
}
