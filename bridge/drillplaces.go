package bridge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// drillAnswer is how long an answer about one room is waited for.
const drillAnswer = 30 * time.Second

// drillFailures is how often in a row Teams is asked in vain; then a look goes on
// without it, for there may be hundreds of teams to ask for.
const drillFailures = 3

// errNoDrillRoom says that a conversation has no room to look into.
var errNoDrillRoom = errors.New("no room")

// memberLook looks into rooms, one after the other: who is in them by the
// homeserver, and who should be by Teams, or by what the bridge has done where
// Teams can't be asked.
type memberLook struct {
	r *runtime
	// left is who has left which room of their own will.
	left map[string]map[id.UserID]bool
	// teamID, members and err are the team asked for last, and what came of it.
	teamID  string
	members []teams.Member
	err     error
	// failures counts the times in a row that Teams did not answer.
	failures int
}

// openMemberLook begins to look into rooms.
func (r *runtime) openMemberLook(ctx context.Context) (func(context.Context, database.Conversation) (drillFound, error), error) {
	all, err := r.db.OptOuts.All(ctx)
	if err != nil {
		return nil, err
	}
	l := &memberLook{r: r, left: map[string]map[id.UserID]bool{}}
	for _, one := range all {
		if l.left[one.RoomID] == nil {
			l.left[one.RoomID] = map[id.UserID]bool{}
		}
		l.left[one.RoomID][id.UserID(one.MXID)] = true
	}
	return l.room, nil
}

// room looks into one room.
func (l *memberLook) room(ctx context.Context, conv database.Conversation) (found drillFound, err error) {
	r, key := l.r, conversationKey(conv)
	room, err := r.rooms.Room(ctx, key)
	if err == nil && room == "" {
		err = errNoDrillRoom
	}
	if err != nil {
		return found, err
	}
	in, err := l.inRoom(ctx, room)
	if err != nil {
		return found, fmt.Errorf("listing members: %w", err)
	}
	placed, err := r.rooms.Placed(ctx, key)
	if err != nil {
		return found, err
	}
	seen, put := map[string]database.DrillPlace{}, map[string]bool{}
	for _, userID := range placed {
		put[userID] = true
	}
	note := func(p database.DrillPlace) {
		if _, known := seen[p.Who]; !known && p.State != "" {
			seen[p.Who] = p
		}
	}
	for mxid, member := range in {
		if member.Membership == event.MembershipJoin {
			note(l.present(mxid))
		}
	}
	// Where not everybody is brought into channels, nobody has to be in one who could
	// be.
	brought := r.c.Config.Rooms.rules(conv.TeamID, r.catalog.teamName(conv.TeamID)).join == JoinAll
	absent := func(userID, name string, staff database.Staff) {
		p := l.absent(userID, name, staff, in[id.UserID(staff.MXID)], l.left[room.String()], put[userID])
		if p.State != database.PlaceNever || p.Why != "" || brought {
			note(p)
		}
	}
	listed, err := l.membersOf(ctx, conv)
	if ctx.Err() != nil {
		return found, ctx.Err()
	}
	found.unasked = err != nil
	for _, m := range listed {
		if m.UserID == "" {
			continue
		}
		staff, err := l.lookUp(ctx, m)
		if err != nil {
			found.unasked = true
			continue
		}
		absent(m.UserID, m.DisplayName, staff)
	}
	for _, userID := range placed {
		if staff, known := r.dir.staff(userID); known {
			absent(userID, "", staff)
		}
	}
	if found.unasked {
		for mxid := range l.left[room.String()] {
			if userID, name, ok := r.dir.Person(mxid); ok {
				note(database.DrillPlace{Who: userID, Name: name, State: database.PlaceLeft})
			}
		}
	}
	for _, who := range slices.Sorted(maps.Keys(seen)) {
		found.places = append(found.places, seen[who])
	}
	return found, nil
}

func (l *memberLook) inRoom(ctx context.Context, room id.RoomID) (map[id.UserID]*event.MemberEventContent, error) {
	ctx, cancel := context.WithTimeout(ctx, drillAnswer)
	defer cancel()
	return l.r.c.br.Matrix.GetMembers(ctx, room)
}

// present is somebody who is in a room; the bridge and its relay accounts are
// nobody.
func (l *memberLook) present(mxid id.UserID) (p database.DrillPlace) {
	br := l.r.c.br
	if mxid == br.Bot.GetMXID() || br.IsGhostMXID(mxid) {
		return p
	}
	userID, name, staff := l.r.dir.Person(mxid)
	switch {
	case l.r.writers.IsRelay(userID):
		return p
	case !staff:
		return database.DrillPlace{Who: mxid.String(), Stranger: true, Name: mxid.String(), State: database.PlaceIn}
	}
	return database.DrillPlace{Who: userID, Name: cmp.Or(name, mxid.String()), State: database.PlaceIn}
}

// absent is somebody who should be in a room and is not, with why. Relay accounts
// are no people, and whoever is disabled in the directory can't work in Teams
// either.
func (l *memberLook) absent(userID, name string, staff database.Staff, member *event.MemberEventContent, left map[id.UserID]bool, placed bool) database.DrillPlace {
	mxid := id.UserID(staff.MXID)
	p := database.DrillPlace{Who: userID, Name: cmp.Or(staff.DisplayName, name, userID)}
	switch {
	case l.r.writers.IsRelay(userID) || staff.Status == database.StaffDisabled:
	case staff.Status != database.StaffMapped:
		p.State, p.Why = database.PlaceNoAccount, cmp.Or(staff.Reason, inEnglish(texts.MappedForeign))
	case left[mxid]:
		p.State = database.PlaceLeft
	case member != nil && member.Membership == event.MembershipInvite:
		p.State = database.PlaceInvited
	case placed:
		p.State = database.PlaceGone
	case mxid.Homeserver() != l.r.c.br.Matrix.ServerName():
		p.State, p.Why = database.PlaceNever, inEnglish(texts.MappedElsewhere, "account", staff.MXID)
	default:
		p.State = database.PlaceNever
	}
	return p
}

// membersOf asks Teams who belongs to a channel.
func (l *memberLook) membersOf(ctx context.Context, conv database.Conversation) ([]teams.Member, error) {
	reader := l.r.staff.reader
	if conv.Membership != teams.MembershipStandard {
		return l.ask(ctx, conv, func(ctx context.Context) ([]teams.Member, error) {
			return reader.ChannelMembers(ctx, channelOf(conv).Ref())
		})
	}
	if l.teamID != conv.TeamID {
		l.teamID = conv.TeamID
		l.members, l.err = l.ask(ctx, conv, func(ctx context.Context) ([]teams.Member, error) { return reader.TeamMembers(ctx, conv.TeamID) })
	}
	return l.members, l.err
}

// errNotAsked says that Teams has not answered before.
var errNotAsked = errors.New("not asked")

// ask asks Teams something, unless it has not answered before. A refusal is an
// answer.
func (l *memberLook) ask(ctx context.Context, conv database.Conversation, what func(context.Context) ([]teams.Member, error)) ([]teams.Member, error) {
	if l.failures >= drillFailures {
		return nil, errNotAsked
	}
	ctx, cancel := context.WithTimeout(ctx, drillAnswer)
	defer cancel()
	members, err := what(ctx)
	switch teams.KindOf(err) {
	case teams.KindPermission, teams.KindPrecondition, teams.KindNotFound, teams.KindGone, teams.KindBadRequest:
		l.failures = 0
	default:
		l.failures++
	}
	if err == nil {
		l.failures = 0
		return members, nil
	}
	zerolog.Ctx(ctx).Warn().Err(err).Str("portal", conv.Portal).Msg("Could not see who belongs to a channel, for a drill's report")
	return nil, err
}

// lookUp returns a member's entry of the directory, as the mirror has it.
func (l *memberLook) lookUp(ctx context.Context, m teams.Member) (staff database.Staff, err error) {
	staff, known := l.r.dir.staff(m.UserID)
	switch {
	case known || l.r.dir.isForeign(m.UserID):
		return staff, nil
	case l.failures >= drillFailures:
		return staff, errNotAsked
	}
	ctx, cancel := context.WithTimeout(ctx, drillAnswer)
	defer cancel()
	if staff, err = l.r.staff.lookUp(ctx, m); err != nil {
		l.failures++
	}
	return staff, err
}
