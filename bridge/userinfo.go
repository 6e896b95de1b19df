package bridge

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"

	"teamsbridge/portal"
	"teamsbridge/teams"
)

// GetUserInfo implements bridgev2.NetworkAPI from memory: a ghost's name comes
// at once, its photo when it has been fetched.
func (k *client) GetUserInfo(_ context.Context, ghost *bridgev2.Ghost) (*bridgev2.UserInfo, error) {
	if appID, isApp := portal.ParseAppUserID(ghost.ID); isApp {
		bot := true
		name, _ := k.c.rt.dir.name(appID)
		if name == "" {
			return &bridgev2.UserInfo{IsBot: &bot}, nil
		}
		return &bridgev2.UserInfo{Name: &name, IsBot: &bot}, nil
	}
	name, ok := k.c.rt.dir.name(string(ghost.ID))
	if !ghost.AvatarSet {
		k.c.rt.photos.want(string(ghost.ID))
	}
	if !ok {
		return nil, nil
	}
	return &bridgev2.UserInfo{Name: &name}, nil
}

const (
	// photosWaiting bounds the queue; whoever does not fit is asked for again
	// with their next message.
	photosWaiting = 1000
	photoRetry    = time.Hour
)

// photos gives ghosts their photos, slowly and in the background: nobody's
// message waits for a picture.
type photos struct {
	br     *bridgev2.Bridge
	reader teams.Reader
	dir    *directory
	now    func() time.Time
	pace   *rate.Limiter
	queue  chan string

	mu    sync.Mutex
	asked map[string]time.Time
}

func newPhotos(br *bridgev2.Bridge, reader teams.Reader, dir *directory, now func() time.Time) *photos {
	return &photos{br: br, reader: reader, dir: dir, now: now, pace: rate.NewLimiter(2, 2),
		queue: make(chan string, photosWaiting), asked: map[string]time.Time{}}
}

// want asks for a person's photo; it never waits.
func (p *photos) want(userID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if userID == "" || p.now().Sub(p.asked[userID]) < photoRetry {
		return
	}
	select {
	case p.queue <- userID:
		p.asked[userID] = p.now()
	default:
	}
}

func (p *photos) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case userID := <-p.queue:
			if err := p.pace.Wait(ctx); err != nil {
				return err
			}
			if err := p.fetch(ctx, userID); err != nil && ctx.Err() == nil {
				zerolog.Ctx(ctx).Debug().Err(err).Str("user_id", userID).Msg("No photo for now")
			}
		}
	}
}

func (p *photos) fetch(ctx context.Context, userID string) error {
	avatar := &bridgev2.Avatar{Remove: true}
	if _, inDirectory := p.dir.staff(userID); inDirectory {
		data, _, err := p.reader.UserPhoto(ctx, userID)
		switch teams.KindOf(err) {
		case teams.KindNotFound, teams.KindPermission, teams.KindTooLarge, teams.KindBadRequest:
		default:
			if err != nil {
				return fmt.Errorf("reading photo: %w", err)
			}
			sum := sha256.Sum256(data)
			avatar = &bridgev2.Avatar{
				ID:  networkid.AvatarID(hex.EncodeToString(sum[:])),
				Get: func(context.Context) ([]byte, error) { return data, nil },
			}
		}
	}
	ghost, err := p.br.GetGhostByID(ctx, portal.UserID(userID))
	if err != nil {
		return fmt.Errorf("loading ghost: %w", err)
	}
	ghost.UpdateInfo(ctx, &bridgev2.UserInfo{Avatar: avatar})
	return nil
}
