package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	mxdb "maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/bridgev2/status"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// retiringKey is where it is kept whose login is still to be taken away. The next
// listing of people shows no change any more, so nobody else would know.
const retiringKey = mxdb.Key("teams_directory_retiring")

// errNotKept says that the framework's store has not taken it.
var errNotKept = errors.New("who loses their account could not be stored")

// retiring returns whose logins are to be taken away.
func (s *staffing) retiring(ctx context.Context) []string {
	return strings.Fields(s.br.DB.KV.Get(ctx, retiringKey))
}

// retireLater keeps that logins are to be taken away, before it is stored that these
// people have another account or none.
func (s *staffing) retireLater(ctx context.Context, userIDs []string) error {
	return s.keepRetiring(ctx, append(s.retiring(ctx), userIDs...))
}

func (s *staffing) keepRetiring(ctx context.Context, userIDs []string) error {
	slices.Sort(userIDs)
	value := strings.Join(slices.Compact(userIDs), " ")
	s.br.DB.KV.Set(ctx, retiringKey, value)
	if s.br.DB.KV.Get(ctx, retiringKey) != value {
		return errNotKept
	}
	return nil
}

// retireAll takes away the logins that are to be, and keeps those for which that
// did not work.
func (s *staffing) retireAll(ctx context.Context) error {
	all := s.retiring(ctx)
	if len(all) == 0 {
		return nil
	}
	var left []string
	var errs []error
	for _, userID := range all {
		if err := s.retire(ctx, userID); err != nil {
			left, errs = append(left, userID), append(errs, fmt.Errorf("retiring the login of %s: %w", userID, err))
		}
	}
	return errors.Join(append(errs, s.keepRetiring(ctx, left))...)
}

// retire takes the login of a person away, unless it is of the account that they
// have now.
func (s *staffing) retire(ctx context.Context, userID string) error {
	login, err := s.br.GetExistingUserLoginByID(ctx, portal.LoginID(userID))
	if err != nil || login == nil {
		return err
	}
	if staff, _ := s.dir.staff(userID); staff.Status == database.StaffMapped && id.UserID(staff.MXID) == login.UserMXID {
		return nil
	}
	return s.dismiss(ctx, login)
}

// moveLogin takes the login of a mapped person away where it is of another account:
// making the new one would forget which rooms the old account is in, and leave it
// there.
func (s *staffing) moveLogin(ctx context.Context, staff database.Staff) error {
	if login := s.br.GetCachedUserLoginByID(portal.LoginID(staff.UserID)); login != nil && login.UserMXID == id.UserID(staff.MXID) {
		return nil
	}
	return s.retire(ctx, staff.UserID)
}

// dismiss takes an account out of all rooms that it was put into, or could join from
// its teams' spaces, and takes its login away.
func (s *staffing) dismiss(ctx context.Context, login *bridgev2.UserLogin) error {
	keys, err := s.roomsOf(ctx, login)
	if err != nil {
		return err
	}
	ghost := s.br.Matrix.GhostIntent(networkid.UserID(login.ID)).GetMXID()
	var errs []error
	for _, key := range keys {
		p, err := s.br.GetExistingPortalByKey(ctx, key)
		if err != nil {
			return fmt.Errorf("looking up portal: %w", err)
		} else if p == nil || p.MXID == "" {
			continue
		}
		for _, mxid := range []id.UserID{login.UserMXID, ghost} {
			err := kick(ctx, s.br, p.MXID, mxid, s.texts.Say(texts.NoAccount))
			if errors.Is(err, mautrix.MForbidden) {
				// The bot has no say there any more, and will not have it later.
				zerolog.Ctx(ctx).Err(err).Stringer("user_mxid", mxid).Stringer("room_id", p.MXID).Msg("Somebody who lost their account can't be taken out of a room: somebody has to do it by hand")
			} else if err != nil {
				errs = append(errs, err)
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := s.forget(ctx, string(login.ID)); err != nil {
		return err
	}
	login.Delete(ctx, status.BridgeState{}, bridgev2.DeleteOpts{DontCleanupRooms: true, BlockingCleanup: true})
	zerolog.Ctx(ctx).Info().Str("user_id", string(login.ID)).Stringer("user_mxid", login.UserMXID).Int("rooms", len(keys)).Msg("Took a login away")
	return nil
}

// roomsOf returns where a login was put, and the standard channels of its teams,
// which it may have joined unseen. Spaces come first: from there one can join again.
func (s *staffing) roomsOf(ctx context.Context, login *bridgev2.UserLogin) (keys []networkid.PortalKey, err error) {
	rows, err := s.br.DB.UserPortal.GetAllForLogin(ctx, login.UserLogin)
	if err != nil {
		return nil, fmt.Errorf("listing rooms: %w", err)
	}
	var channels []networkid.PortalKey
	seen := map[networkid.PortalKey]bool{}
	for _, row := range rows {
		seen[row.Portal] = true
		ref, ok := portal.ParsePortal(row.Portal.ID)
		if ok && ref.ChannelID == "" {
			keys = append(keys, row.Portal)
		} else {
			channels = append(channels, row.Portal)
		}
	}
	for _, space := range keys {
		ref, _ := portal.ParsePortal(space.ID)
		for _, conv := range s.catalog.ofTeam(ref.TeamID) {
			key := conversationKey(conv)
			if conv.Kind == database.ConversationChannel && conv.Membership == teams.MembershipStandard && !seen[key] {
				channels = append(channels, key)
			}
		}
	}
	return append(keys, channels...), nil
}
