package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2"
	mxdb "maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// staffing gives mapped people their logins and takes them away. It is the
// only place that makes logins of people who did not sign in.
type staffing struct {
	br      *bridgev2.Bridge
	db      *database.Database
	catalog *catalog
	dir     *directory
	reader  teams.Reader
	// domain is the homeserver's name: only its accounts are brought into rooms.
	domain   string
	interval time.Duration
	now      func() time.Time
	// texts is what people are told in.
	texts texts.Texts
	// forget forgets a person's own sign-in.
	forget func(ctx context.Context, userID string) error
	// puppets are the servers on which staff can be double puppeted.
	puppets map[string]bool

	mu          sync.Mutex
	refreshedAt time.Time
	// refreshedHow is by which configuration people were mapped then.
	refreshedHow string
}

var _ people = (*staffing)(nil)

// refreshedKey is where the time of the last listing of people is kept.
const refreshedKey = mxdb.Key("teams_directory_refreshed")

// refresh implements people.
func (s *staffing) refresh(ctx context.Context, force bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.retireAll(ctx), s.list(ctx, force))
}

// list lists the directory anew where that is due.
func (s *staffing) list(ctx context.Context, force bool) error {
	if s.refreshedAt.IsZero() {
		s.refreshedAt, s.refreshedHow = s.refreshedBefore(ctx)
	}
	how := s.dir.mapper.fingerprint()
	if !force && how == s.refreshedHow && s.now().Sub(s.refreshedAt) < s.interval {
		return nil
	}
	users, err := s.reader.Users(ctx)
	if err != nil {
		return fmt.Errorf("listing people: %w", err)
	}
	if len(users) == 0 {
		return errors.New("listing people: Graph listed nobody, which can't be")
	}
	if err := s.dir.mapper.listAllowed(ctx, s.reader); err != nil {
		return err
	}
	changes, err := s.dir.apply(ctx, users)
	if err != nil {
		return err
	}
	// Who is still to be retired is known, so that nobody needs to be listed again
	// for that.
	retired := s.retireAll(ctx)
	if err := s.follow(ctx, changes); err != nil {
		return errors.Join(retired, err)
	}
	s.retryPuppets(ctx)
	s.refreshedAt, s.refreshedHow = s.now(), how
	s.br.DB.KV.Set(ctx, refreshedKey, s.refreshedAt.Format(time.RFC3339)+" "+how)
	return retired
}

// refreshedBefore is when an earlier process listed people, and how they were mapped
// then.
func (s *staffing) refreshedBefore(ctx context.Context) (at time.Time, how string) {
	when, how, _ := strings.Cut(s.br.DB.KV.Get(ctx, refreshedKey), " ")
	at, _ = time.Parse(time.RFC3339, when)
	return at, how
}

// follow looks at rooms again for those who have a new account: whoever is mapped
// only now may be a member of any team.
func (s *staffing) follow(ctx context.Context, changes []change) error {
	if slices.ContainsFunc(changes, func(c change) bool { return c.after.Status == database.StaffMapped }) {
		return s.forgetMembers(ctx, isMirrored)
	}
	return nil
}

// forgetMembers makes the next sync look at the members of conversations again.
func (s *staffing) forgetMembers(ctx context.Context, which func(database.Conversation) bool) error {
	for _, c := range s.catalog.all(which) {
		c.MembersHash, c.SyncedAt = "", time.Time{}
		if err := s.catalog.put(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// place implements people.
func (s *staffing) place(ctx context.Context, members []teams.Member, room string) ([]portal.RoomMember, error) {
	out := make([]portal.RoomMember, 0, len(members))
	seen := make(map[string]bool, len(members))
	for _, m := range members {
		if m.UserID == "" || seen[m.UserID] {
			continue
		}
		seen[m.UserID] = true
		staff, belongs, err := s.belongs(ctx, m, room)
		if err != nil {
			return nil, err
		} else if !belongs {
			continue
		}
		if err := s.moveLogin(ctx, staff); err != nil {
			return nil, err
		}
		if err := s.ensureLogin(ctx, staff); err != nil {
			return nil, err
		}
		out = append(out, portal.RoomMember{UserID: m.UserID, MXID: id.UserID(staff.MXID), Mapped: true, Admin: s.br.Config.Permissions.Get(id.UserID(staff.MXID)).Admin})
	}
	return out, nil
}

// belongs reports whether a member is to be in a room: mapped to an account of
// the homeserver, whose owner did not leave it.
func (s *staffing) belongs(ctx context.Context, m teams.Member, room string) (staff database.Staff, ok bool, err error) {
	staff, err = s.lookUp(ctx, m)
	if err != nil || staff.Status != database.StaffMapped || id.UserID(staff.MXID).Homeserver() != s.domain {
		return staff, false, err
	}
	left, err := s.db.OptOuts.Has(ctx, staff.MXID, room)
	return staff, !left && err == nil, err
}

// lookUp returns a member's entry of the directory. Somebody who is new since
// people were listed last is asked for; people of other tenants have none.
func (s *staffing) lookUp(ctx context.Context, m teams.Member) (database.Staff, error) {
	if staff, known := s.dir.staff(m.UserID); known || s.dir.isForeign(m.UserID) {
		return staff, nil
	}
	user, err := s.reader.User(ctx, m.UserID)
	switch teams.KindOf(err) {
	case teams.KindNotFound, teams.KindPermission, teams.KindBadRequest, teams.KindGone:
		s.dir.learn(m.UserID, m.DisplayName)
		return database.Staff{}, nil
	}
	if err != nil {
		return database.Staff{}, fmt.Errorf("reading person: %w", err)
	}
	if s.dir.mapper.allowed.Load() == nil {
		if err := s.dir.mapper.listAllowed(ctx, s.reader); err != nil {
			return database.Staff{}, err
		}
	}
	return s.dir.add(ctx, user)
}

// ensureLogin gives a mapped person a login without a token, with which the
// framework invites, joins and speaks as their account.
func (s *staffing) ensureLogin(ctx context.Context, staff database.Staff) error {
	loginID := portal.LoginID(staff.UserID)
	if login := s.br.GetCachedUserLoginByID(loginID); login != nil && login.UserMXID == id.UserID(staff.MXID) {
		return nil
	}
	user, err := s.br.GetUserByMXID(ctx, id.UserID(staff.MXID))
	if err != nil {
		return fmt.Errorf("loading user: %w", err)
	}
	_, err = user.NewLogin(ctx, &mxdb.UserLogin{
		ID:         loginID,
		RemoteName: staff.DisplayName,
		Metadata:   &portal.UserLoginMetadata{Mirror: true, UPN: staff.UPN},
	}, &bridgev2.NewLoginParams{DeleteOnConflict: true})
	if err != nil {
		return fmt.Errorf("making a login for %s: %w", staff.MXID, err)
	}
	return nil
}

// retryPuppets tries double puppeting again for those for whom it did not work
// when they were first seen, because the framework remembers a failure for
// ever. Their rooms are looked at again, so that the account joins itself.
func (s *staffing) retryPuppets(ctx context.Context) {
	won := map[string]bool{}
	for _, login := range s.br.GetAllCachedUserLogins() {
		meta, ok := login.Metadata.(*portal.UserLoginMetadata)
		if !ok || !meta.Mirror || !s.puppets[login.UserMXID.Homeserver()] || login.User.DoublePuppet(ctx) != nil {
			continue
		}
		login.User.LogoutDoublePuppet(ctx)
		if login.User.DoublePuppet(ctx) == nil {
			continue
		}
		rows, err := s.br.DB.UserPortal.GetAllForLogin(ctx, login.UserLogin)
		if err != nil {
			zerolog.Ctx(ctx).Err(err).Msg("Could not list the rooms of a person whose double puppet works now")
			continue
		}
		for _, row := range rows {
			won[string(row.Portal.ID)] = true
		}
	}
	if len(won) == 0 {
		return
	}
	if err := s.forgetMembers(ctx, func(c database.Conversation) bool { return won[c.Portal] }); err != nil {
		zerolog.Ctx(ctx).Err(err).Msg("Could not plan another look at the rooms of new double puppets")
	}
}
