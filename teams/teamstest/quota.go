package teamstest

import "net/http"

// quota is a row of the documented throttling table for Teams: sustained
// requests per second in each dimension, 0 where the table has no number. The
// table's first column (one app over all tenants) is left out: with a single
// tenant the app+tenant number is always reached first.
type quota struct {
	name     string
	tenant   float64 // per app and tenant
	resource float64 // per app and team or channel
	user     float64 // per signed-in user
}

// scopeLimit is one bucket that a request draws from.
type scopeLimit struct {
	key  string
	rate float64
}

// scopes lists the buckets of a call.
func (q quota) scopes(resource string, c caller) []scopeLimit {
	list := make([]scopeLimit, 0, 3)
	if q.tenant > 0 {
		list = append(list, scopeLimit{q.name + " per app and tenant " + c.AppID, q.tenant})
	}
	if q.resource > 0 && resource != "" {
		list = append(list, scopeLimit{q.name + " per resource " + c.AppID + " " + resource, q.resource})
	}
	if q.user > 0 && c.UserID != "" {
		list = append(list, scopeLimit{q.name + " per user " + c.UserID, q.user})
	}
	return list
}

// quotaOf names the row that a call counts in and the resource that it counts
// against, with the figures of February 2026. ok is false for calls that the
// Teams table does not cover (directory, files, subscriptions, $batch itself);
// no numbers are made up for them.
//
// Undocumented, so the harder reading: replies, single messages and delta all
// count as "GET channel messages" of their channel, the lists of a team's
// channels all as "GET channels".
func quotaOf(x *exchange) (q quota, resource string, ok bool) {
	team := "team " + x.vars["team"]
	channel := "channel " + x.vars["team"] + "/" + x.vars["channel"]
	switch x.op {
	case OpTeam:
		return quota{"GET team", 30, 4, 0}, team, true
	case OpJoinedTeams:
		return quota{"GET joinedTeams", 30, 0, 0}, "", true
	case OpChannels, OpAllChannels, OpIncomingChannels:
		return quota{"GET channels", 60, 4, 0}, team, true
	case OpChannel:
		return quota{"GET channel", 30, 1, 0}, channel, true
	case OpTeamMembers:
		return quota{"GET team members", 60, 4, 0}, team, true
	case OpChannelMembers, OpChannelAllMembers:
		return quota{"GET channel members", 60, 1, 0}, channel, true
	case OpMessages, OpMessagesDelta, OpMessage, OpReplies, OpReply:
		return quota{"GET channel messages", 20, 1, 0}, channel, true
	case OpPostMessage, OpPostReply:
		return quota{"POST channel message", 50, 1, 1}, channel, true
	case OpPatchMessage:
		return quota{"PATCH message", 30, 1, 0}, channel, true
	case OpSoftDelete, OpUndoSoftDelete:
		return quota{"softDelete", 30, 1, 0}, channel, true
	case OpHostedContents:
		return quota{"GET hostedContents", 50, 1, 0}, channel, true
	case OpHostedContent:
		return quota{"GET hostedContents value", 60, 1, 0}, channel, true
	case OpExport:
		return quota{"getAllMessages", 200, 0, 0}, "", true
	case OpTeams, OpPrimaryChannel, OpFilesFolder, OpTeamPhoto:
		return other(x, channel)
	case OpSetReaction, OpUnsetReaction:
		return other(x, channel)
	}
	return quota{}, "", false
}

// other is the table's rows for every call that has none of its own. Their
// resource is a channel; a call that names none has no resource limit.
func other(x *exchange, channel string) (quota, string, bool) {
	if x.vars["channel"] == "" {
		channel = ""
	}
	if x.r.Method == http.MethodGet {
		return quota{"other GET", 30, 1, 1}, channel, true
	}
	return quota{"other write", 30, 1, 1}, channel, true
}
