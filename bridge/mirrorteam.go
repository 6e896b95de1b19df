package bridge

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// reasonDeleted is why a conversation is detached.
var reasonDeleted = inEnglish(texts.ChosenDeleted)

// syncTeam brings one team, its channels and their members up to date.
func (m *mirror) syncTeam(ctx context.Context, sel *selector, listed teams.Team) error {
	defer m.lockTeam(listed.ID)()
	log := zerolog.Ctx(ctx).With().Str("team_id", listed.ID).Logger()
	ctx = log.WithContext(ctx)
	if listed.DisplayName != "" && !sel.team(listed).mirror && !sel.anyChannelChosen(listed.ID) {
		return m.excludeTeam(ctx, listed, sel.team(listed).reason)
	}
	t, err := m.reader.Team(ctx, listed.ID)
	switch teams.KindOf(err) {
	case teams.KindNotFound, teams.KindGone:
		return m.detachTeam(ctx, listed.ID)
	case teams.KindPermission, teams.KindPrecondition:
		return m.refuse(ctx, teamConversation(listed), err)
	}
	if err != nil {
		return fmt.Errorf("reading team: %w", err)
	}
	if v := sel.team(t); !v.mirror && !sel.anyChannelChosen(t.ID) {
		return m.excludeTeam(ctx, t, v.reason)
	}
	channels, err := m.reader.Channels(ctx, t.ID)
	if kind := teams.KindOf(err); kind == teams.KindPermission || kind == teams.KindPrecondition {
		return m.refuse(ctx, teamConversation(t), err)
	} else if err != nil {
		return fmt.Errorf("listing channels: %w", err)
	}
	members, err := m.reader.TeamMembers(ctx, t.ID)
	if err != nil {
		return fmt.Errorf("listing team members: %w", err)
	}
	rules := m.roomsCfg.rules(t.ID, t.DisplayName)
	gone := m.letGo(ctx, t.ID, members, rules)
	rest, err := m.syncSpace(ctx, t, members, rules)
	if err != nil {
		return errors.Join(gone, err)
	}
	set := teamSet{Team: t, members: members, rules: rules}
	err = errors.Join(gone, m.detachMissing(ctx, t.ID, channels), m.syncChannels(ctx, sel, set, channels), rest(ctx))
	m.changed()
	if err != nil {
		return err
	}
	return m.finish(ctx, t.ID)
}

// finish notes that a team is up to date. Where somebody could not be let into
// a room it is not, and is tried again ever more rarely: most often the Matrix
// account does not exist yet.
func (m *mirror) finish(ctx context.Context, teamID string) error {
	known := m.catalog.ofTeam(teamID)
	incomplete := slices.ContainsFunc(known, func(c database.Conversation) bool {
		return c.State == database.ConversationMirrored && c.MembersHash == ""
	})
	if m.postpone(teamID, incomplete) {
		return nil
	}
	return m.update(ctx, string(portal.TeamPortal(teamID).ID), func(c *database.Conversation) { c.SyncedAt = m.now() })
}

// later is work that is left for when everything has its room.
type later func(ctx context.Context) error

// teamSet is a team as its channels need it: who is of it, and what holds for its
// rooms.
type teamSet struct {
	teams.Team
	members []teams.Member
	rules   roomRules
}

// syncChannels brings a team's channels up to date, a few at a time: one that
// takes long does not hold up the others. Whoever the bridge can speak for is
// brought into all rooms before others are invited into any.
func (m *mirror) syncChannels(ctx context.Context, sel *selector, t teamSet, channels []teams.Channel) error {
	errs := make([]error, len(channels))
	rest := make([]later, len(channels))
	var rooms, invitations errgroup.Group
	rooms.SetLimit(channelsAtOnce)
	invitations.SetLimit(channelsAtOnce)
	for i, c := range channels {
		if v := sel.channel(t.Team, c); !v.mirror {
			errs[i] = m.exclude(ctx, channelConversation(c), v.reason)
			continue
		}
		rooms.Go(func() error {
			var err error
			if rest[i], err = m.syncChannel(ctx, t, c); err != nil {
				errs[i] = fmt.Errorf("channel %s: %w", c.ID, err)
			}
			return nil
		})
	}
	_ = rooms.Wait()
	for i, work := range rest {
		if work == nil || errs[i] != nil || ctx.Err() != nil {
			continue
		}
		invitations.Go(func() error {
			if err := work(ctx); err != nil {
				errs[i] = fmt.Errorf("channel %s: %w", channels[i].ID, err)
			}
			return nil
		})
	}
	_ = invitations.Wait()
	return errors.Join(append(errs, ctx.Err())...)
}

func teamConversation(t teams.Team) database.Conversation {
	return database.Conversation{Portal: string(portal.TeamPortal(t.ID).ID), Kind: database.ConversationTeam, TeamID: t.ID, Name: t.DisplayName}
}

func channelConversation(c teams.Channel) database.Conversation {
	return database.Conversation{Portal: string(portal.ChannelPortal(c.Ref()).ID), Kind: database.ConversationChannel,
		TeamID: c.TeamID, ChannelID: c.ID, Name: c.DisplayName, Membership: c.MembershipType}
}

// current returns the stored conversation, with the name of fresh.
func (m *mirror) current(ctx context.Context, fresh database.Conversation) (database.Conversation, error) {
	out, known := m.catalog.get(fresh.Portal)
	if !known {
		fresh.State = database.ConversationWanted
		return fresh, m.catalog.put(ctx, fresh)
	}
	if fresh.Name != "" {
		out.Name = fresh.Name
	}
	out.Kind, out.TeamID, out.ChannelID, out.Membership = fresh.Kind, fresh.TeamID, fresh.ChannelID, fresh.Membership
	return out, nil
}

func (m *mirror) update(ctx context.Context, portalID string, change func(c *database.Conversation)) error {
	c, known := m.catalog.get(portalID)
	if !known {
		return nil
	}
	change(&c)
	return m.catalog.put(ctx, c)
}

// syncSpace makes a team's space and joins its members.
func (m *mirror) syncSpace(ctx context.Context, t teams.Team, members []teams.Member, rules roomRules) (later, error) {
	conv, err := m.current(ctx, teamConversation(t))
	if err != nil {
		return nil, err
	}
	key := conversationKey(conv)
	in := portal.TeamInput{Team: t, Total: len(members)}
	if t.Archived {
		in.Team.Description = m.texts.Say(texts.ArchivedMark) + " " + t.Description
	}
	var hash string
	in.Avatar, hash, err = m.teamPhoto(ctx, t)
	if err != nil {
		return nil, err
	}
	want := infoHash{base: hashOf(in.Team.DisplayName, in.Team.Description, in.Team.WebURL, hash), stamp: rules.stamp(), set: rules.ofSpace().stamp()}
	ctx = rules.creating(ctx)
	room, err := m.bring(ctx, &conv, key, want, rules.ofSpace(), portal.TeamInfo(in))
	if err != nil {
		return nil, fmt.Errorf("space of team: %w", err)
	}
	return m.syncMembers(ctx, &conv, key, room, members, rules)
}

// teamPhoto fetches a team's photo once per sync. A team without one has no
// avatar; a photo that can't be had now stays as it is.
func (m *mirror) teamPhoto(ctx context.Context, t teams.Team) (*bridgev2.Avatar, string, error) {
	data, _, err := m.reader.TeamPhoto(ctx, t.ID)
	switch teams.KindOf(err) {
	case teams.KindNotFound, teams.KindPermission, teams.KindTooLarge, teams.KindPrecondition, teams.KindBadRequest:
		return &bridgev2.Avatar{Remove: true}, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("reading team photo: %w", err)
	}
	sum := sha256.Sum256(data)
	hash := hex.EncodeToString(sum[:])
	return &bridgev2.Avatar{
		ID:  networkid.AvatarID(hash),
		Get: func(context.Context) ([]byte, error) { return data, nil },
	}, hash, nil
}

// bring makes a conversation's room equal to info and sets it unless the hash says
// that it already is so, and returns the room.
func (m *mirror) bring(ctx context.Context, conv *database.Conversation, key networkid.PortalKey, want infoHash, set roomSettings, info *bridgev2.ChatInfo) (string, error) {
	room, err := m.rooms.Room(ctx, key)
	if err != nil {
		return "", err
	}
	have, existed, mirrored := parseInfoHash(conv.InfoHash), room != "", conv.State == database.ConversationMirrored
	if existed && mirrored && have == want {
		return string(room), nil
	}
	if !existed {
		if err := m.pace.Wait(ctx); err != nil {
			return "", err
		}
		conv.MembersHash = ""
	}
	if !existed || !mirrored || have.base != want.base || have.archived != want.archived {
		if room, err = m.rooms.Ensure(ctx, key, info); err != nil {
			return "", err
		}
	}
	// A room that is let go keeps its settings, and which they were is forgotten.
	if want.set != have.set || (existed && !mirrored) || (!existed && want.set != "") {
		if err := m.rooms.Set(ctx, key, set); err != nil {
			return "", err
		}
	}
	conv.State, conv.Reason, conv.InfoHash = database.ConversationMirrored, "", want.String()
	return string(room), m.catalog.put(ctx, *conv)
}

// syncChannel makes a channel's room: what was said recently goes into the
// ledger first, then the room is made, then the ledger is delivered, and only
// then people join, so that history notifies nobody.
func (m *mirror) syncChannel(ctx context.Context, t teamSet, c teams.Channel) (later, error) {
	conv, err := m.current(ctx, channelConversation(c))
	if err != nil {
		return nil, err
	}
	key := conversationKey(conv)
	wasArchived, existed := parseInfoHash(conv.InfoHash).archived, conv.InfoHash != ""
	if conv.State != database.ConversationMirrored && conv.State != database.ConversationWanted {
		// From now on its messages are to be kept: the ledger takes nothing,
		// history included, of what the catalog does not say is wanted.
		conv.State, conv.Reason = database.ConversationWanted, ""
		if err := m.catalog.put(ctx, conv); err != nil {
			return nil, err
		}
	}
	if conv.HistoryAt.IsZero() {
		if err := m.history(ctx, c.Ref()); err != nil {
			if kind := teams.KindOf(err); kind == teams.KindPermission || kind == teams.KindPrecondition {
				return nil, m.refuse(ctx, conv, err)
			}
			return nil, fmt.Errorf("reading history: %w", err)
		}
	}
	in := portal.ChannelInput{Channel: c, Team: t.Team, Relay: m.relay(), Total: len(t.members)}
	archived := c.Archived || t.Archived
	if archived {
		in.Channel.Description = m.texts.Say(texts.ArchivedMark) + " " + c.Description
	}
	set, err := m.channelSettings(ctx, t, c)
	if err != nil {
		return nil, err
	}
	ctx = t.rules.creating(ctx)
	want := infoHash{base: channelHash(in), stamp: t.rules.stamp(), set: set.stamp(), archived: archived}
	room, err := m.bring(ctx, &conv, key, want, set, portal.ChannelInfo(in))
	if err != nil {
		return nil, err
	}
	if existed && wasArchived != archived {
		text := m.texts.Say(texts.RoomUnarchived)
		if archived {
			text = m.texts.Say(texts.RoomArchived)
		}
		if err := m.rooms.Notice(ctx, key, text); err != nil {
			return nil, err
		}
	}
	if conv.HistoryAt.IsZero() {
		if err := m.deliver(ctx, c.Ref()); err != nil {
			return nil, fmt.Errorf("delivering history: %w", err)
		}
		conv.HistoryAt = m.now()
		if err := m.catalog.put(ctx, conv); err != nil {
			return nil, err
		}
	}
	members := t.members
	if c.MembershipType != teams.MembershipStandard {
		if members, err = m.reader.ChannelMembers(ctx, c.Ref()); err != nil {
			return nil, fmt.Errorf("listing channel members: %w", err)
		}
	}
	return m.syncMembers(ctx, &conv, key, room, members, t.rules)
}

// channelSettings returns what a channel's room is set to.
func (m *mirror) channelSettings(ctx context.Context, t teamSet, c teams.Channel) (roomSettings, error) {
	if !t.rules.open(c.MembershipType) {
		return t.rules.of(c.MembershipType, ""), nil
	}
	space, err := m.rooms.Room(ctx, portal.TeamPortal(t.ID))
	if err == nil && space == "" {
		err = errors.New("the team has no space that its channels could be open to")
	}
	return t.rules.of(c.MembershipType, space), err
}

// channelHash is the part of a channel's infoHash that is about what it is called
// and so on.
func channelHash(in portal.ChannelInput) string {
	relay := ""
	if in.Relay != nil {
		relay = string(in.Relay.ID)
	}
	return hashOf(in.Channel.DisplayName, in.Channel.Description, in.Channel.WebURL, in.Channel.MembershipType,
		fmt.Sprint(in.Channel.General), in.Team.DisplayName, relay)
}

func (m *mirror) excludeTeam(ctx context.Context, t teams.Team, reason string) error {
	known := m.catalog.ofTeam(t.ID)
	errs := []error{m.exclude(ctx, teamConversation(t), reason)}
	for _, c := range known {
		if c.Kind == database.ConversationChannel {
			errs = append(errs, m.exclude(ctx, c, inEnglish(texts.ChosenTeamNot, "why", reason)))
		}
	}
	return errors.Join(errs...)
}

// exclude records that something is not selected; a room that it had is told.
func (m *mirror) exclude(ctx context.Context, fresh database.Conversation, reason string) error {
	conv, err := m.current(ctx, fresh)
	if err != nil {
		return err
	}
	if conv.State == database.ConversationExcluded && conv.Reason == reason {
		return nil
	}
	if conv.State != database.ConversationExcluded && conv.State != database.ConversationDetached && conv.Kind == database.ConversationChannel {
		if err := m.rooms.Detach(ctx, conversationKey(conv), reason, m.texts.Say(texts.RoomUnmirrored, "why", spoken(m.texts, reason))); err != nil {
			return err
		}
	}
	conv.State, conv.Reason = database.ConversationExcluded, reason
	// What is said from now on is not kept: if the conversation is mirrored
	// again, it begins with history again.
	conv.HistoryAt = time.Time{}
	if err := m.catalog.put(ctx, conv); err != nil {
		return err
	}
	return m.putAside(ctx, conv.Portal)
}

// refuse records that Graph does not let the bridge read something.
func (m *mirror) refuse(ctx context.Context, fresh database.Conversation, cause error) error {
	conv, err := m.current(ctx, fresh)
	if err != nil {
		return err
	}
	zerolog.Ctx(ctx).Warn().Err(cause).Str("portal_id", conv.Portal).Msg("Graph refuses to be asked about this")
	conv.State, conv.Reason, conv.SyncedAt = database.ConversationRefused, cause.Error(), m.now()
	return m.catalog.put(ctx, conv)
}

// detachMissing detaches the channels that the team does not have any more.
func (m *mirror) detachMissing(ctx context.Context, teamID string, have []teams.Channel) error {
	known := m.catalog.ofTeam(teamID)
	var errs []error
	for _, c := range known {
		gone := c.Kind == database.ConversationChannel &&
			!slices.ContainsFunc(have, func(ch teams.Channel) bool { return ch.ID == c.ChannelID })
		if gone {
			errs = append(errs, m.detach(ctx, c, m.texts.Say(texts.ChannelGone)))
		}
	}
	return errors.Join(errs...)
}

func (m *mirror) detachTeam(ctx context.Context, teamID string) error {
	known := m.catalog.ofTeam(teamID)
	var errs []error
	for _, c := range known {
		errs = append(errs, m.detach(ctx, c, m.texts.Say(texts.TeamGone)))
	}
	return errors.Join(errs...)
}

// detach lets go of a conversation that Teams does not have any more. Its room
// stays and says so; the next message in it gets the reason.
func (m *mirror) detach(ctx context.Context, c database.Conversation, notice string) error {
	if c.State == database.ConversationDetached {
		return nil
	}
	if c.State != database.ConversationExcluded {
		if err := m.rooms.Detach(ctx, conversationKey(c), reasonDeleted, notice); err != nil {
			return err
		}
	}
	c.State, c.Reason, c.InfoHash, c.SyncedAt = database.ConversationDetached, reasonDeleted, "", m.now()
	c.HistoryAt = time.Time{}
	if err := m.catalog.put(ctx, c); err != nil {
		return err
	}
	return m.putAside(ctx, c.Portal)
}

// hashOf is a short hash over strings, unambiguous about where each ends.
func hashOf(parts ...string) string {
	data, err := json.Marshal(parts)
	if err != nil { // strings always marshal
		panic(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:12])
}
