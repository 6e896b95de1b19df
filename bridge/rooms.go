package bridge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/bridgev2/simplevent"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/format"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal"
)

// roomTimeout bounds one change of one room. A portal's queue may hold a
// backlog of messages in front of it.
const roomTimeout = 5 * time.Minute

// rooms is what the mirror does to rooms; tests put a fake in its place.
type rooms interface {
	// Room returns the conversation's room, empty where there is none.
	Room(ctx context.Context, key networkid.PortalKey) (id.RoomID, error)
	// Ensure makes the room, or brings an existing one up to date. Nil means
	// that everything in info has arrived.
	Ensure(ctx context.Context, key networkid.PortalKey, info *bridgev2.ChatInfo) (id.RoomID, error)
	// Notice says something in the room as the bot.
	Notice(ctx context.Context, key networkid.PortalKey, text string) error
	// Detach says in the room why it is not connected any more and marks it
	// so that what is written there is refused with that reason.
	Detach(ctx context.Context, key networkid.PortalKey, reason, notice string) error
	// Placed lists the people who were put into the conversation's room.
	Placed(ctx context.Context, key networkid.PortalKey) ([]string, error)
	// Unplace takes a person out of the room and forgets that they were in it.
	Unplace(ctx context.Context, key networkid.PortalKey, userID, reason string) error
	// Settle brings people into the room, or only invites them, and returns those
	// who are neither in it nor invited after that.
	Settle(ctx context.Context, key networkid.PortalKey, userIDs []string, how settling) (missing []string, err error)
	// Adopt notes that those of the people belong to the room who are in it
	// already, because they joined it themselves.
	Adopt(ctx context.Context, key networkid.PortalKey, userIDs []string) error
	// Set sets the room as the configuration says.
	Set(ctx context.Context, key networkid.PortalKey, s roomSettings) error
	// Empower raises accounts to a power level.
	Empower(ctx context.Context, key networkid.PortalKey, mxids []id.UserID, level int) error
}

// settling is how people get into a room.
type settling int

const (
	// settlePuppets joins those whom the bridge can speak for, and no others.
	settlePuppets settling = iota
	// settleEverybody joins them, and invites the others.
	settleEverybody
	// settleInvitations invites everybody.
	settleInvitations
)

// noTime lets the homeserver choose an event's time.
var noTime time.Time

// matrixRooms changes rooms through the portals' own loops.
type matrixRooms struct {
	br     *bridgev2.Bridge
	source func() *bridgev2.UserLogin
	// slots are shared by everything that mirroring asks of the homeserver, so
	// that what is said does not queue behind it.
	slots chan struct{}
	// pace is how many people are brought into rooms in a second, joins counts them.
	pace  *rate.Limiter
	joins *joins
}

// homeserverSlots is how much mirroring does at once. A homeserver is not
// faster with more; it answers everybody more slowly.
const homeserverSlots = 6

func newMatrixRooms(br *bridgev2.Bridge, source func() *bridgev2.UserLogin, perSecond float64) *matrixRooms {
	return &matrixRooms{br: br, source: source, slots: make(chan struct{}, homeserverSlots),
		pace: rate.NewLimiter(rate.Limit(perSecond), 1), joins: newJoins()}
}

// take waits for a slot.
func (m *matrixRooms) take(ctx context.Context) (release func(), err error) {
	select {
	case m.slots <- struct{}{}:
		return func() { <-m.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

var _ rooms = (*matrixRooms)(nil)

// errIncomplete says that the homeserver refused a part of a room's info; the
// framework has logged which.
var errIncomplete = errors.New("the room did not take everything")

func (m *matrixRooms) Room(ctx context.Context, key networkid.PortalKey) (id.RoomID, error) {
	p, err := m.br.GetExistingPortalByKey(ctx, key)
	if err != nil {
		return "", fmt.Errorf("looking up portal: %w", err)
	} else if p == nil {
		return "", nil
	}
	return p.MXID, nil
}

func (m *matrixRooms) Ensure(ctx context.Context, key networkid.PortalKey, info *bridgev2.ChatInfo) (id.RoomID, error) {
	release, err := m.take(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	ctx, cancel := context.WithTimeout(ctx, roomTimeout)
	defer cancel()
	p, err := m.br.GetPortalByKey(ctx, key)
	if err != nil {
		return "", fmt.Errorf("looking up portal: %w", err)
	}
	if p.MXID == "" {
		// A stop must not cut this short: the homeserver might have made a room
		// that nobody knows of.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), roomTimeout)
		defer cancel()
		if err := p.CreateMatrixRoom(ctx, m.source(), info); err != nil {
			return "", fmt.Errorf("creating room: %w", err)
		}
		return p.MXID, nil
	}
	err = m.inLoop(ctx, p, func(ctx context.Context) error {
		p.UpdateInfo(ctx, info, m.source(), nil, time.Time{})
		if !p.NameSet || !p.TopicSet || (info.Avatar != nil && !info.Avatar.Remove && !p.AvatarSet) {
			return errIncomplete
		}
		return nil
	})
	return p.MXID, err
}

// inLoop runs fn inside the portal's event loop and waits for it.
func (m *matrixRooms) inLoop(ctx context.Context, p *bridgev2.Portal, fn func(ctx context.Context) error) error {
	done := make(chan error, 1)
	m.br.QueueRemoteEvent(m.source(), &simplevent.EventMeta{
		Type:      bridgev2.RemoteEventUnknown,
		PortalKey: p.PortalKey,
		PreHandleFunc: func(ctx context.Context, _ *bridgev2.Portal) {
			done <- fn(ctx)
		},
	})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("waiting for the portal: %w", ctx.Err())
	}
}

func (m *matrixRooms) Notice(ctx context.Context, key networkid.PortalKey, text string) error {
	room, err := m.Room(ctx, key)
	if err != nil || room == "" {
		return err
	}
	return sendNotice(ctx, m.br, room, text)
}

func (m *matrixRooms) Detach(ctx context.Context, key networkid.PortalKey, reason, notice string) error {
	ctx, cancel := context.WithTimeout(ctx, roomTimeout)
	defer cancel()
	p, err := m.br.GetExistingPortalByKey(ctx, key)
	if err != nil || p == nil || p.MXID == "" {
		return err
	}
	err = m.inLoop(ctx, p, func(ctx context.Context) error {
		meta, ok := p.Metadata.(*portal.PortalMetadata)
		if !ok || meta == nil {
			meta = &portal.PortalMetadata{}
			p.Metadata = meta
		}
		meta.Detached = reason
		return p.Save(ctx)
	})
	if err != nil {
		return fmt.Errorf("detaching: %w", err)
	}
	return sendNotice(ctx, m.br, p.MXID, notice)
}

// sendNotice says something as the bot.
func sendNotice(ctx context.Context, br *bridgev2.Bridge, room id.RoomID, markdown string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	content := format.RenderMarkdown(markdown, true, false)
	content.MsgType = event.MsgNotice
	if _, err := br.Bot.SendMessage(ctx, room, event.EventMessage, &event.Content{Parsed: &content}, nil); err != nil {
		return fmt.Errorf("sending notice: %w", err)
	}
	return nil
}

func (m *matrixRooms) Placed(ctx context.Context, key networkid.PortalKey) ([]string, error) {
	rows, err := m.br.DB.UserPortal.GetAllInPortal(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("listing people of portal: %w", err)
	}
	out := make([]string, 0, len(rows))
	for _, row := range rows {
		if row.LoginID != m.source().ID {
			out = append(out, string(row.LoginID))
		}
	}
	return out, nil
}

func (m *matrixRooms) Unplace(ctx context.Context, key networkid.PortalKey, userID, reason string) error {
	ctx, cancel := context.WithTimeout(ctx, roomTimeout)
	defer cancel()
	p, err := m.br.GetExistingPortalByKey(ctx, key)
	if err != nil || p == nil {
		return err
	}
	return m.inLoop(ctx, p, func(ctx context.Context) error {
		login, err := m.br.GetExistingUserLoginByID(ctx, networkid.UserLoginID(userID))
		if err != nil || login == nil {
			return err
		}
		if p.MXID != "" {
			ghost := m.br.Matrix.GhostIntent(networkid.UserID(userID)).GetMXID()
			for _, mxid := range []id.UserID{login.UserMXID, ghost} {
				if err := kick(ctx, m.br, p.MXID, mxid, reason); err != nil {
					return err
				}
			}
		}
		//lint:ignore SA1019 a login that has left must be let in again; nothing public forgets it
		p.Internal().RemoveInPortalCache(ctx)
		row, err := m.br.DB.UserPortal.Get(ctx, login.UserLogin, key)
		if err != nil || row == nil {
			return err
		}
		return m.br.DB.UserPortal.Delete(ctx, row)
	})
}

// kick removes an account that is in the room or invited into it.
func kick(ctx context.Context, br *bridgev2.Bridge, room id.RoomID, mxid id.UserID, reason string) error {
	member, err := br.Matrix.GetMemberInfo(ctx, room, mxid)
	if err != nil {
		return fmt.Errorf("looking up member: %w", err)
	}
	if member == nil || (member.Membership != event.MembershipJoin && member.Membership != event.MembershipInvite) {
		return nil
	}
	content := &event.Content{Parsed: &event.MemberEventContent{Membership: event.MembershipLeave, Reason: reason}}
	if _, err := br.Bot.SendState(ctx, room, event.StateMember, mxid.String(), content, noTime); err != nil {
		return fmt.Errorf("removing member: %w", err)
	}
	return nil
}
