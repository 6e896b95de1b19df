package bridge

import (
	"context"
	"fmt"

	"maunium.net/go/mautrix/bridgev2/commands"

	"teamsbridge/database"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

func (c *Connector) commandMirror(ctx context.Context, ce *commands.Event) {
	c.choose(ctx, ce, true)
}

func (c *Connector) commandUnmirror(ctx context.Context, ce *commands.Event) {
	c.choose(ctx, ce, false)
}

// choose stores an administrator's choice and acts on it at once.
func (c *Connector) choose(ctx context.Context, ce *commands.Event, mirror bool) {
	name := arguments(ce)
	if name == "" {
		reply(ce, c.texts.Say(texts.MirrorUsage, "command", ce.Command))
		return
	}
	team, channel, problem, err := c.resolve(ctx, name)
	switch {
	case err != nil:
		c.failed(ce, err)
		return
	case problem != "":
		reply(ce, problem)
		return
	}
	selection := database.Selection{TeamID: team.TeamID, Mirror: mirror, By: ce.User.MXID.String()}
	if channel != nil {
		selection.ChannelID = channel.ID
	}
	if err := c.rt.db.Selections.Set(ctx, selection); err != nil {
		c.failed(ce, err)
		return
	}
	c.rt.mirror.DirectoryChanged(team.TeamID, "chosen by an administrator")
	reply(ce, chosenText(c.texts, mirror, team, channel))
}

// chosenText says what becomes of what was chosen.
func chosenText(x texts.Texts, mirror bool, team database.Conversation, channel *teams.Channel) string {
	switch name := esc(team.Name); {
	case mirror && channel != nil:
		return x.Say(texts.MirrorChannel, "channel", esc(channel.DisplayName), "team", name)
	case mirror:
		return x.Say(texts.MirrorTeam, "team", name)
	case channel != nil:
		return x.Say(texts.UnmirrorChannel, "channel", esc(channel.DisplayName), "team", name)
	default:
		return x.Say(texts.UnmirrorTeam, "team", name)
	}
}

// resolve finds what TEAM[/CHANNEL] names. Channels of a team that was never
// mirrored are asked for.
func (c *Connector) resolve(ctx context.Context, name string) (team database.Conversation, channel *teams.Channel, problem string, err error) {
	views := teamViews(c.rt.catalog.all(nil))
	var nearTeams []string
	for _, split := range splits(name) {
		view, near := findTeam(views, split[0])
		if view == nil {
			if split[1] == "" || len(nearTeams) == 0 {
				nearTeams = near
			}
			problem = unknownText(c.texts, unknownTeam, split[0], nearTeams)
			continue
		}
		if split[1] == "" {
			return view.team, nil, "", nil
		}
		found, _ := findChannel(view.channels, split[1])
		if found != nil {
			ch := channelOf(*found)
			return view.team, &ch, "", nil
		}
		listed, err := c.rt.graph.reader.Channels(ctx, view.team.TeamID)
		if err != nil {
			return view.team, nil, "", fmt.Errorf("listing the team's channels: %w", err)
		}
		convs := make([]database.Conversation, len(listed))
		for i, ch := range listed {
			convs[i] = channelConversation(ch)
		}
		if found, near = findChannel(convs, split[1]); found != nil {
			ch := channelOf(*found)
			return view.team, &ch, "", nil
		}
		problem = unknownText(c.texts, unknownChannel, split[1], near)
	}
	return team, nil, problem, nil
}

func (c *Connector) commandSync(_ context.Context, ce *commands.Event) {
	// Whoever asks may just have given a permission.
	c.rt.poller.Retry()
	if name := arguments(ce); name != "" {
		view, near := findTeam(teamViews(c.rt.catalog.all(nil)), name)
		if view == nil {
			reply(ce, unknownText(c.texts, unknownTeam, name, near))
			return
		}
		c.rt.mirror.DirectoryChanged(view.team.TeamID, "asked for by an administrator")
		c.rt.poller.Request("asked for by an administrator", teams.Scope{TeamID: view.team.TeamID})
		reply(ce, c.texts.Say(texts.SyncTeam, "team", esc(view.team.Name)))
		return
	}
	c.rt.mirror.requestFull()
	c.rt.poller.Request("asked for by an administrator")
	if c.rt.subs != nil {
		c.rt.subs.Wake()
	}
	reply(ce, c.texts.Say(texts.SyncAll))
}
