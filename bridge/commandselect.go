package bridge

import (
	"context"
	"fmt"

	"maunium.net/go/mautrix/bridgev2/commands"

	"teamsbridge/database"
	"teamsbridge/teams"
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
		reply(ce, fmt.Sprintf("Usage: `%s TEAM` or `%s TEAM/CHANNEL`, by name or id. `teams` and `channels` list them.", ce.Command, ce.Command))
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
	label := "team **" + esc(team.Name) + "**"
	if channel != nil {
		selection.ChannelID = channel.ID
		label = fmt.Sprintf("channel **%s** of team **%s**", esc(channel.DisplayName), esc(team.Name))
	}
	if err := c.rt.db.Selections.Set(ctx, selection); err != nil {
		c.failed(ce, err)
		return
	}
	c.rt.mirror.DirectoryChanged(team.TeamID, "chosen by an administrator")
	if mirror {
		reply(ce, fmt.Sprintf("The %s will be mirrored now. `channels` shows how far it is.", label))
		return
	}
	reply(ce, fmt.Sprintf("The %s will no longer be mirrored. Its rooms stay.", label))
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
			problem = unknownText("team", split[0], nearTeams)
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
		problem = unknownText("channel", split[1], near)
	}
	return team, nil, problem, nil
}

func (c *Connector) commandSync(_ context.Context, ce *commands.Event) {
	// Whoever asks may just have given a permission.
	c.rt.poller.Retry()
	if name := arguments(ce); name != "" {
		view, near := findTeam(teamViews(c.rt.catalog.all(nil)), name)
		if view == nil {
			reply(ce, unknownText("team", name, near))
			return
		}
		c.rt.mirror.DirectoryChanged(view.team.TeamID, "asked for by an administrator")
		c.rt.poller.Request("asked for by an administrator", teams.Scope{TeamID: view.team.TeamID})
		reply(ce, fmt.Sprintf("The team **%s** is being listed and read again.", esc(view.team.Name)))
		return
	}
	c.rt.mirror.requestFull()
	c.rt.poller.Request("asked for by an administrator")
	if c.rt.subs != nil {
		c.rt.subs.Wake()
	}
	reply(ce, "People, teams and channels are being listed again, and what was said is read. `status` shows how far it is.")
}
