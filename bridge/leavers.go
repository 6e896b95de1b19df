package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2/networkid"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// letGo takes those out of a team's rooms who are not of it any more: of its space,
// of its standard channels, and of channels that are not mirrored any more, which
// nobody looks at otherwise. It comes before all else that is done about a team,
// because that may fail for long: a photo that Graph does not give, a name that the
// homeserver does not take.
func (m *mirror) letGo(ctx context.Context, teamID string, members []teams.Member, rules roomRules) error {
	of := make(map[string]bool, len(members))
	for _, member := range members {
		of[member.UserID] = true
	}
	space := portal.TeamPortal(teamID)
	leavers, err := m.leavers(ctx, space, of)
	if err != nil {
		return err
	}
	channels := slices.DeleteFunc(m.catalog.ofTeam(teamID), func(c database.Conversation) bool { return !goesWithTeam(c) })
	var joined []string
	if rules.open(teams.MembershipStandard) && len(leavers) > 0 {
		// They may have joined rooms while nobody noticed. That is noted before the
		// space forgets them: the next look would not know whom to look for.
		joined = leavers
		for _, conv := range channels {
			if err := m.rooms.Adopt(ctx, conversationKey(conv), leavers); errors.Is(err, mautrix.MForbidden) {
				zerolog.Ctx(ctx).Warn().Err(err).Str("portal_id", conv.Portal).Msg("The bot has no say in a room: who has left the team has to be looked for by hand")
			} else if err != nil {
				return fmt.Errorf("looking for who has left the team in %s: %w", conv.Portal, err)
			}
		}
	}
	// The space comes first: from there one could join again.
	errs := []error{m.removeAll(ctx, space, leavers)}
	for _, conv := range channels {
		key := conversationKey(conv)
		gone, err := m.leavers(ctx, key, of)
		if err == nil {
			if conv.Membership == teams.MembershipStandard {
				gone = append(gone, joined...)
			}
			err = m.removeAll(ctx, key, gone)
		}
		if errors.Is(err, mautrix.MForbidden) && !isMirrored(conv) {
			zerolog.Ctx(ctx).Warn().Err(err).Str("portal_id", conv.Portal).Msg("Who has left the team can't be taken out of a room that is not mirrored any more: somebody has to do it by hand")
			continue
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// goesWithTeam reports whether whoever leaves a team leaves a channel, by what the
// team's members are. Who is in a private channel that is mirrored is asked for, and
// of a shared one people of other teams may be members.
func goesWithTeam(c database.Conversation) bool {
	if c.Kind != database.ConversationChannel {
		return false
	}
	return c.Membership == teams.MembershipStandard || (c.Membership == teams.MembershipPrivate && !anyAlive([]database.Conversation{c}))
}

// leavers are those who were put into a room and are not of the team any more.
func (m *mirror) leavers(ctx context.Context, key networkid.PortalKey, of map[string]bool) ([]string, error) {
	placed, err := m.rooms.Placed(ctx, key)
	return slices.DeleteFunc(placed, func(userID string) bool { return of[userID] }), err
}

// removeAll takes people out of a room.
func (m *mirror) removeAll(ctx context.Context, key networkid.PortalKey, userIDs []string) error {
	slices.Sort(userIDs)
	for _, userID := range slices.Compact(userIDs) {
		if err := m.rooms.Unplace(ctx, key, userID, m.texts.Say(texts.NotAMember)); err != nil {
			return err
		}
	}
	return nil
}
