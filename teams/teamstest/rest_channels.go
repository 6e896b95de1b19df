package teamstest

import (
	"net/http"
	"strings"
)

// listChannels lists the channels that the team owns, as far as the caller may
// see them. It knows no paging and refuses $top.
func listChannels(x *exchange) (*response, *apiError) {
	team, refused := x.findTeam()
	if refused != nil {
		return nil, refused
	}
	return x.channels(team, team.existing(), "channels", false)
}

// listAllChannels adds the channels that others share into the team.
func listAllChannels(x *exchange) (*response, *apiError) {
	team, refused := x.findTeam()
	if refused != nil {
		return nil, refused
	}
	return x.channels(team, append(team.existing(), team.incomingExisting()...), "allChannels", true)
}

func listIncomingChannels(x *exchange) (*response, *apiError) {
	team, refused := x.findTeam()
	if refused != nil {
		return nil, refused
	}
	return x.channels(team, team.incomingExisting(), "incomingChannels", true)
}

func (team *Team) incomingExisting() []*Channel {
	var list []*Channel
	for _, c := range team.incoming {
		if !c.deleted && !c.team.deleted {
			list = append(list, c)
		}
	}
	return list
}

func (x *exchange) channels(team *Team, list []*Channel, name string, linked bool) (*response, *apiError) {
	if refused := x.allow("$filter", "$select", "$expand"); refused != nil {
		return nil, refused
	}
	kind := ""
	if filter := x.query.Get("$filter"); filter != "" {
		var ok bool
		if kind, ok = strings.CutPrefix(filter, "membershipType eq '"); !ok {
			return nil, errBadRequest("Invalid filter clause.")
		}
		kind = strings.TrimSuffix(kind, "'")
	}
	value := []wireChannel{}
	for _, c := range list {
		if !x.caller.App && !c.mayRead(x.caller.UserID) {
			continue
		}
		if kind != "" && kind != c.kind {
			continue
		}
		w := c.wire().forReader(x.prefersUnknownEnumMembers())
		if linked {
			w.ODataID = x.t.GraphURL() + "/tenants/" + c.tenantID + "/teams/" + c.team.ID + "/channels/" + c.ID
		}
		value = append(value, w)
	}
	return jsonResponse(http.StatusOK, wirePage{
		Context: x.context("teams('" + team.ID + "')/" + name), Count: count(len(value)), Value: value,
	}), nil
}

func getChannel(x *exchange) (*response, *apiError) {
	c, refused := x.findChannel()
	if refused != nil {
		return nil, refused
	}
	return x.channel(c), nil
}

// getPrimaryChannel is the only way to find the channel that was called
// General once.
func getPrimaryChannel(x *exchange) (*response, *apiError) {
	team, refused := x.findTeam()
	if refused != nil {
		return nil, refused
	}
	return x.channel(team.channels[0]), nil
}

func (x *exchange) channel(c *Channel) *response {
	w := c.wire().forReader(x.prefersUnknownEnumMembers())
	w.Context = x.context("teams('" + c.team.ID + "')/channels/$entity")
	return jsonResponse(http.StatusOK, w)
}
