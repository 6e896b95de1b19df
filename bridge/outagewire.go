package bridge

import (
	vitals "teamsbridge/bridge/health"
	"teamsbridge/database"
)

// wireOutages makes the part that looks after outages.
func (r *runtime) wireOutages() {
	r.outages = newOutages(r.db, r.holds, r.now)
	r.outages.texts = r.c.texts
	r.outages.graph = func() (down, known bool) {
		down, known, _ = r.health.state()
		return down, known
	}
	r.outages.say, r.outages.admins = r.notices.say, r.notices.admins
	r.outages.policy = func(portalID string) string {
		policy, _ := r.retention.policy(portalID)
		return policy
	}
	r.outages.writeDoubt = func() bool { return r.health.monitor.Doubtful(vitals.GraphWrite) }
	r.outages.reads = func() readTimes {
		out := readTimes{}
		for _, scope := range r.poller.Scopes() {
			out[scope.Scope] = scope
		}
		return out
	}
	r.outages.title = r.title
	r.outages.begun = r.metrics.outageBegun
	r.drills = newDrillLooks(r.outages)
	r.drills.rooms, r.drills.open = r.drillRoomsOf, r.openMemberLook
}

// title is a conversation's name for people, with its team's.
func (r *runtime) title(portalID string) string {
	conv, ok := r.catalog.get(portalID)
	if !ok || conv.Name == "" {
		return portalID
	}
	if conv.Kind != database.ConversationChannel {
		return conv.Name
	}
	for _, other := range r.catalog.ofTeam(conv.TeamID) {
		if other.Kind == database.ConversationTeam && other.Name != "" {
			return other.Name + "/" + conv.Name
		}
	}
	return conv.Name
}
