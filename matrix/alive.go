package matrix

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"

	"teamsbridge/database"
)

const (
	// aliveType is where the bot's account says when a bridge last worked in its
	// name, aliveScope is where the database does.
	aliveType  = "org.teamsbridge.alive"
	aliveScope = "bridge:alive"
	// aliveEvery is how often that is said.
	aliveEvery = time.Minute
	// aliveFor is how long after it was said a bridge may have worked on.
	aliveFor = 2 * aliveEvery
)

// alive notes when the bridge works, in the database first and at the homeserver
// then. So the homeserver knows a later time than a database only where that was
// set back: restored from a backup, or from a replica that lacks the last commits.
type alive struct {
	db     *database.Database
	client *mautrix.Client
	log    zerolog.Logger
	now    func() time.Time
}

type aliveContent struct {
	At int64 `json:"at"`
}

// isBack reports whether the database was set back, and what time it does not know.
func (a *alive) isBack(ctx context.Context) (*database.Restore, error) {
	open, err := a.db.Restores.Open(ctx)
	if err != nil {
		return nil, err
	}
	told, err := a.told(ctx)
	if err != nil {
		return nil, err
	}
	until := told.Add(aliveFor)
	if told.IsZero() || until.After(a.now()) {
		until = a.now()
	}
	if open != nil {
		// A copy that says so itself, or a start before this one that was cut off.
		if open.Until.IsZero() {
			open.Until = until
			err = a.db.Restores.Begin(ctx, *open)
		}
		return open, err
	}
	here, err := a.db.Cursors.LoadCursor(ctx, aliveScope)
	switch {
	case err != nil:
		return nil, err
	case here.Watermark.IsZero(), !told.After(here.Watermark):
		return nil, nil
	}
	back := &database.Restore{Since: here.Watermark, Until: until}
	return back, a.db.Restores.Begin(ctx, *back)
}

// told is what the homeserver knows, the zero time where nobody has told it.
func (a *alive) told(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	var content aliveContent
	err := a.client.GetAccountData(ctx, aliveType, &content)
	switch {
	case errors.Is(err, mautrix.MNotFound):
		return time.Time{}, nil
	case refused(err):
		a.log.Warn().Err(err).Msg("The homeserver does not say when the bridge worked last, it can't be seen whether the database was restored")
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, fmt.Errorf("ask the homeserver when the bridge worked last: %w", err)
	}
	return time.UnixMilli(content.At), nil
}

// tell notes that the bridge works. What is noted only grows: another instance's
// clock may be ahead of this one's, and a database that says less than the homeserver
// was set back.
func (a *alive) tell(ctx context.Context) error {
	before, err := a.db.Cursors.LoadCursor(ctx, aliveScope)
	if err != nil {
		return err
	}
	at := a.now()
	if before.Watermark.After(at) {
		at = before.Watermark.Add(time.Millisecond)
	}
	if err := a.db.Cursors.SaveCursor(ctx, aliveScope, database.Cursor{Watermark: at}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if err := a.client.SetAccountData(ctx, aliveType, aliveContent{At: at.UnixMilli()}); err != nil {
		return fmt.Errorf("tell the homeserver that the bridge works: %w", err)
	}
	return nil
}
