package bridge

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"maunium.net/go/mautrix/bridgev2/commands"

	"teamsbridge/database"
	"teamsbridge/texts"
)

// seen are the conversations that somebody may be told about: all of them for
// administrators, else those whose rooms the person was put into.
type seen struct {
	all bool
	ids map[string]bool
}

func (s seen) sees(conv database.Conversation) bool { return s.all || s.ids[conv.Portal] }

// seesTeam reports whether a team, or any channel of it, is the person's.
func (s seen) seesTeam(convs []database.Conversation) bool {
	return slices.ContainsFunc(convs, s.sees)
}

func (c *Connector) seenBy(ctx context.Context, ce *commands.Event) (seen, error) {
	if ce.User.Permissions.Admin {
		return seen{all: true}, nil
	}
	out := seen{ids: map[string]bool{}}
	for _, login := range ce.User.GetUserLogins() {
		rows, err := c.br.DB.UserPortal.GetAllForLogin(ctx, login.UserLogin)
		if err != nil {
			return out, fmt.Errorf("listing rooms: %w", err)
		}
		for _, row := range rows {
			out.ids[string(row.Portal.ID)] = true
		}
	}
	return out, nil
}

// teamView is a team with its channels, as commands show it.
type teamView struct {
	team     database.Conversation
	channels []database.Conversation
}

// teamViews sorts conversations into teams, by name.
func teamViews(all []database.Conversation) []teamView {
	byTeam := map[string]*teamView{}
	for _, conv := range all {
		view := byTeam[conv.TeamID]
		if view == nil {
			view = &teamView{}
			byTeam[conv.TeamID] = view
		}
		if conv.Kind == database.ConversationTeam {
			view.team = conv
		} else {
			view.channels = append(view.channels, conv)
		}
	}
	out := make([]teamView, 0, len(byTeam))
	for teamID, view := range byTeam {
		if view.team.TeamID == "" {
			view.team = database.Conversation{TeamID: teamID, Name: teamID, Kind: database.ConversationTeam}
		}
		slices.SortFunc(view.channels, byName)
		out = append(out, *view)
	}
	slices.SortFunc(out, func(a, b teamView) int { return byName(a.team, b.team) })
	return out
}

func byName(a, b database.Conversation) int {
	return cmp.Or(strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), strings.Compare(a.Portal, b.Portal))
}

// visible keeps what somebody may see.
func visible(views []teamView, who seen) []teamView {
	var out []teamView
	for _, view := range views {
		if !who.seesTeam(append(view.channels, view.team)) {
			continue
		}
		view.channels = slices.DeleteFunc(slices.Clone(view.channels), func(conv database.Conversation) bool { return !who.sees(conv) })
		out = append(out, view)
	}
	return out
}

// stateText says in words what becomes of a conversation.
func stateText(x texts.Texts, conv database.Conversation) string {
	switch conv.State {
	case database.ConversationMirrored:
		return x.Say(texts.Mirrored)
	case database.ConversationWanted:
		return x.Say(texts.MirrorWanted)
	case database.ConversationRefused:
		return x.Say(texts.NotMirroredRefused, "why", spoken(x, conv.Reason))
	default:
		return x.Say(texts.NotMirrored, "why", spoken(x, conv.Reason))
	}
}

func (c *Connector) commandTeams(ctx context.Context, ce *commands.Event) {
	who, err := c.seenBy(ctx, ce)
	if err != nil {
		c.failed(ce, err)
		return
	}
	reply(ce, teamsText(c.texts, visible(teamViews(c.rt.catalog.all(nil)), who), who.all))
}

// teamsText is the answer to teams.
func teamsText(x texts.Texts, views []teamView, admin bool) string {
	if len(views) == 0 {
		if admin {
			return x.Say(texts.NoTeams)
		}
		return x.Say(texts.NoTeamsOfYours)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "**%s**\n\n", x.Count(texts.TeamsCount, len(views)))
	for i, view := range views {
		if i == maxListed {
			fmt.Fprintf(&b, "* %s\n", x.Count(texts.ListMore, len(views)-i))
			break
		}
		fmt.Fprintf(&b, "* **%s** – %s", esc(view.team.Name), esc(stateText(x, view.team)))
		if mirrored := countMirrored(view.channels); len(view.channels) > 0 {
			fmt.Fprintf(&b, " (%s)", x.Count(texts.MirroredOf, len(view.channels), "mirrored", strconv.Itoa(mirrored)))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func countMirrored(convs []database.Conversation) (n int) {
	for _, conv := range convs {
		if isMirrored(conv) {
			n++
		}
	}
	return n
}

func (c *Connector) commandChannels(ctx context.Context, ce *commands.Event) {
	who, err := c.seenBy(ctx, ce)
	if err != nil {
		c.failed(ce, err)
		return
	}
	views := visible(teamViews(c.rt.catalog.all(nil)), who)
	if name := arguments(ce); name != "" {
		view, near := findTeam(views, name)
		if view == nil {
			reply(ce, unknownText(c.texts, unknownTeam, name, near))
			return
		}
		views = []teamView{*view}
	}
	reply(ce, channelsText(c.texts, views))
}

// channelsText is the answer to channels.
func channelsText(x texts.Texts, views []teamView) string {
	var b strings.Builder
	lines := 0
	for _, view := range views {
		if len(view.channels) == 0 && len(views) > 1 {
			continue
		}
		fmt.Fprintf(&b, "**%s** – %s\n\n", esc(view.team.Name), esc(stateText(x, view.team)))
		if len(view.channels) == 0 {
			b.WriteString(x.Say(texts.ChannelsUnknown) + "\n")
		}
		for _, conv := range view.channels {
			if lines++; lines > maxListed {
				b.WriteString("* " + x.Say(texts.ChannelsMore) + "\n")
				return b.String()
			}
			fmt.Fprintf(&b, "* %s (%s) – %s\n", esc(conv.Name), word(x, conv.Membership), esc(stateText(x, conv)))
		}
		b.WriteByte('\n')
	}
	if b.Len() == 0 {
		return x.Say(texts.NoChannels)
	}
	return b.String()
}

// failed answers a command that could not be done.
func (c *Connector) failed(ce *commands.Event, err error) {
	ce.Log.Err(err).Msg("Command failed")
	noteFailure(ce.Ctx, err)
	reply(ce, c.texts.Say(texts.CommandFailed, "why", esc(spoken(c.texts, err.Error()))))
}
