package bridge

import (
	"context"
	"fmt"
	"slices"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// adminLevel is the power level of the bridge's administrators in the rooms of
// their teams, with which they can look after them if the bridge is lost.
const adminLevel = 100

// audience is who a room is for, by what is done about them. Who is in neither
// list joins from the team's space, if they want to.
type audience struct{ join, invite []string }

// audience decides who of a conversation's members is brought into its room.
func (m *mirror) audience(ctx context.Context, conv *database.Conversation, members []string, rules roomRules) (audience, error) {
	if rules.everybody() || conv.Kind == database.ConversationTeam {
		return audience{join: members}, nil
	}
	var out audience
	if rules.join == JoinActive {
		active, err := m.active(ctx, conv.Portal, m.now().Add(-rules.active))
		if err != nil {
			return out, err
		}
		out.join = both(active, members)
	}
	if !rules.open(conv.Membership) {
		// There is no other way in for them.
		for _, userID := range members {
			if !slices.Contains(out.join, userID) {
				out.invite = append(out.invite, userID)
			}
		}
	}
	return out, nil
}

// both returns those of a who are among b, which is sorted.
func both(a, b []string) (out []string) {
	for _, userID := range a {
		if _, found := slices.BinarySearch(b, userID); found {
			out = append(out, userID)
		}
	}
	slices.Sort(out)
	return out
}

// membersHash is what tells whether a room's people are as they were.
func membersHash(ids []string, total int, conv *database.Conversation, rules roomRules) string {
	parts := append(slices.Clone(ids), fmt.Sprint(total))
	if !rules.everybody() && conv.Kind == database.ConversationChannel {
		parts = append(parts, rules.join, fmt.Sprint(rules.open(conv.Membership)))
	}
	return hashOf(parts...)
}

// syncMembers removes who was put into a room, or joined it, and does not belong
// there any more, and joins those whom the bridge can speak for; what it leaves
// for later is inviting the others. People whom somebody invited in Matrix are
// left alone.
func (m *mirror) syncMembers(ctx context.Context, conv *database.Conversation, key networkid.PortalKey, room string, members []teams.Member,
	rules roomRules,
) (later, error) {
	nothing := func(context.Context) error { return nil }
	wanted, err := m.people.place(ctx, members, room)
	if err != nil {
		return nil, fmt.Errorf("placing people: %w", err)
	}
	ids := make([]string, len(wanted))
	for i, w := range wanted {
		ids[i] = w.UserID
	}
	slices.Sort(ids)
	hash := membersHash(ids, len(members), conv, rules)
	if conv.MembersHash == hash {
		return nothing, nil
	}
	if err := m.removeOthers(ctx, key, ids); err != nil {
		return nil, err
	}
	who, err := m.audience(ctx, conv, ids, rules)
	if err != nil {
		return nil, err
	}
	if len(who.join) < len(ids) {
		if err := m.rooms.Adopt(ctx, key, ids); err != nil {
			return nil, err
		}
	}
	if _, err := m.rooms.Settle(ctx, key, who.join, settlePuppets); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		missing, err := m.rooms.Settle(ctx, key, who.join, settleEverybody)
		if err != nil {
			return err
		}
		uninvited, err := m.rooms.Settle(ctx, key, who.invite, settleInvitations)
		if err != nil {
			return err
		}
		if missing = append(missing, uninvited...); len(missing) > 0 {
			zerolog.Ctx(ctx).Warn().Str("portal_id", conv.Portal).Strs("user_ids", missing).Msg("The homeserver did not let everybody in")
			hash = ""
		}
		if err := m.empower(ctx, key, wanted, rules); err != nil {
			return err
		}
		return m.update(ctx, conv.Portal, func(c *database.Conversation) { c.MembersHash, c.MembersAt = hash, m.now() })
	}, nil
}

// removeOthers removes who is not to be in a room any more.
func (m *mirror) removeOthers(ctx context.Context, key networkid.PortalKey, ids []string) error {
	placed, err := m.rooms.Placed(ctx, key)
	if err != nil {
		return err
	}
	for _, userID := range placed {
		if _, found := slices.BinarySearch(ids, userID); !found {
			if err := m.rooms.Unplace(ctx, key, userID, m.texts.Say(texts.NotAMember)); err != nil {
				return err
			}
		}
	}
	return nil
}

// empower gives administrators their power level. Where the configuration says
// which one somebody has, that counts.
func (m *mirror) empower(ctx context.Context, key networkid.PortalKey, people []portal.RoomMember, rules roomRules) error {
	var admins []id.UserID
	for _, w := range people {
		if _, set := rules.levels[w.MXID]; w.Admin && !set {
			admins = append(admins, w.MXID)
		}
	}
	if len(admins) == 0 {
		return nil
	}
	return m.rooms.Empower(ctx, key, admins, adminLevel)
}
