package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal"
)

// roomSettings is what a room is set to, beside its name and its people.
type roomSettings struct {
	// OpenTo is the space whose members may join; empty: on invitation only.
	OpenTo  id.RoomID
	History event.HistoryVisibility
	// Levels are power levels of chosen accounts.
	Levels map[id.UserID]int
	// InviteLevel is the power level that inviting takes, 0 for anybody's.
	InviteLevel int
}

// stamp tells settings from others, empty for what rooms are made with.
func (s roomSettings) stamp() string {
	if s.OpenTo == "" && s.History == event.HistoryVisibilityShared && len(s.Levels) == 0 && s.InviteLevel == 0 {
		return ""
	}
	parts := []string{s.OpenTo.String(), string(s.History), fmt.Sprint(s.InviteLevel)}
	return hashOf(append(parts, levelWords(s.Levels)...)...)[:8]
}

// joinRules is the state event that says who may join.
func (s roomSettings) joinRules() *event.JoinRulesEventContent {
	if s.OpenTo == "" {
		return &event.JoinRulesEventContent{JoinRule: event.JoinRuleInvite}
	}
	return &event.JoinRulesEventContent{JoinRule: event.JoinRuleRestricted, Allow: []event.JoinRuleAllow{
		{Type: event.JoinRuleAllowRoomMembership, RoomID: s.OpenTo},
	}}
}

// Set implements rooms. It sends what differs and nothing else, so that it may be
// called again.
func (m *matrixRooms) Set(ctx context.Context, key networkid.PortalKey, s roomSettings) error {
	release, err := m.take(ctx)
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := context.WithTimeout(ctx, roomTimeout)
	defer cancel()
	p, err := m.br.GetExistingPortalByKey(ctx, key)
	if err != nil || p == nil || p.MXID == "" {
		return err
	}
	return m.inLoop(ctx, p, func(ctx context.Context) error {
		if s.OpenTo != "" {
			ok, err := m.knowsRestricted(ctx, p.MXID)
			if err != nil {
				return err
			} else if !ok {
				zerolog.Ctx(ctx).Warn().Stringer("room_id", p.MXID).Msg("A room is of a version without restricted joins and stays on invitation")
				s.OpenTo = ""
			}
		}
		if err := m.setState(ctx, p.MXID, event.StateJoinRules, s.joinRules(), &event.JoinRulesEventContent{}); err != nil {
			return fmt.Errorf("setting who may join: %w", err)
		}
		visibility := &event.HistoryVisibilityEventContent{HistoryVisibility: s.History}
		if err := m.setState(ctx, p.MXID, event.StateHistoryVisibility, visibility, &event.HistoryVisibilityEventContent{}); err != nil {
			return fmt.Errorf("setting who may read back: %w", err)
		}
		return m.setLevels(ctx, p, s)
	})
}

// knowsRestricted reports whether a room's version knows the restricted join rule.
// In an older one nobody could join any more, not even on invitation.
func (m *matrixRooms) knowsRestricted(ctx context.Context, room id.RoomID) (bool, error) {
	evt, err := m.state(ctx, room, event.StateCreate)
	if err != nil {
		return false, fmt.Errorf("reading the room's version: %w", err)
	}
	var create event.CreateEventContent
	if evt == nil {
		return false, nil
	} else if err = asTyped(evt, &create); err != nil {
		return false, err
	}
	version := create.RoomVersion
	return version != "" && version.RestrictedJoins(), nil
}

// state returns a state event of a room, nil where there is none.
func (m *matrixRooms) state(ctx context.Context, room id.RoomID, typ event.Type) (*event.Event, error) {
	reader, ok := m.br.Matrix.(bridgev2.MatrixConnectorWithArbitraryRoomState)
	if !ok {
		return nil, errors.New("the homeserver's connector does not read state")
	}
	evt, err := reader.GetStateEvent(ctx, room, typ, "")
	if errors.Is(err, mautrix.MNotFound) {
		return nil, nil
	}
	return evt, err
}

// asTyped reads the content of an event, parsed or not.
func asTyped(evt *event.Event, into any) error {
	data, err := json.Marshal(&evt.Content)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", evt.Type.Type, err)
	}
	return nil
}

// setState sends a state event unless the room has it already. have is where what
// the room has is read into.
func (m *matrixRooms) setState(ctx context.Context, room id.RoomID, typ event.Type, want, have any) error {
	evt, err := m.state(ctx, room, typ)
	if err != nil {
		return err
	}
	if evt != nil && asTyped(evt, have) == nil && reflect.DeepEqual(have, want) {
		return nil
	}
	_, err = m.br.Bot.SendState(ctx, room, typ, "", &event.Content{Parsed: want}, noTime)
	return err
}

// setLevels gives accounts their power levels, and takes back what was given to
// those that are not named any more.
func (m *matrixRooms) setLevels(ctx context.Context, p *bridgev2.Portal, s roomSettings) error {
	meta, ok := p.Metadata.(*portal.PortalMetadata)
	if !ok || meta == nil {
		meta = &portal.PortalMetadata{}
		p.Metadata = meta
	}
	if len(s.Levels) == 0 && len(meta.Levels) == 0 && s.InviteLevel == meta.InviteLevel {
		return nil
	}
	err := m.changeLevels(ctx, p.MXID, func(levels *event.PowerLevelsEventContent) (changed bool) {
		for mxid, given := range meta.Levels {
			// An administrator may have that level anyway.
			anyway := given >= adminLevel && m.br.Config.Permissions.Get(mxid).Admin
			if _, kept := s.Levels[mxid]; kept || anyway || levels.GetUserLevel(mxid) != given {
				continue
			}
			delete(levels.Users, mxid)
			changed = true
		}
		for mxid, level := range s.Levels {
			changed = levels.EnsureUserLevel(mxid, level) || changed
		}
		if levels.Invite() != s.InviteLevel && s.InviteLevel != meta.InviteLevel {
			levels.InvitePtr = &s.InviteLevel
			changed = true
		}
		return changed
	})
	if err != nil {
		return err
	}
	meta.Levels, meta.InviteLevel = maps.Clone(s.Levels), s.InviteLevel
	return p.Save(ctx)
}

// Empower implements rooms: it only raises.
func (m *matrixRooms) Empower(ctx context.Context, key networkid.PortalKey, mxids []id.UserID, level int) error {
	ctx, cancel := context.WithTimeout(ctx, roomTimeout)
	defer cancel()
	p, err := m.br.GetExistingPortalByKey(ctx, key)
	if err != nil || p == nil || p.MXID == "" || len(mxids) == 0 {
		return err
	}
	return m.inLoop(ctx, p, func(ctx context.Context) error {
		return m.changeLevels(ctx, p.MXID, func(levels *event.PowerLevelsEventContent) (changed bool) {
			for _, mxid := range mxids {
				if levels.GetUserLevel(mxid) < level {
					levels.SetUserLevel(mxid, level)
					changed = true
				}
			}
			return changed
		})
	})
}

// changeLevels changes a room's power levels, where change reports that there is
// something to change.
func (m *matrixRooms) changeLevels(ctx context.Context, room id.RoomID, change func(*event.PowerLevelsEventContent) bool) error {
	levels, err := m.br.Matrix.GetPowerLevels(ctx, room)
	if err != nil {
		return fmt.Errorf("reading power levels: %w", err)
	}
	levels = levels.Clone()
	if !change(levels) {
		return nil
	}
	if _, err = m.br.Bot.SendState(ctx, room, event.StatePowerLevels, "", &event.Content{Parsed: levels}, noTime); err != nil {
		return fmt.Errorf("setting power levels: %w", err)
	}
	return nil
}
