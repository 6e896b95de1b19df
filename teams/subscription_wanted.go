package teams

import (
	"strings"
	"time"
)

// What is subscribed to by default, and for how long: Graph grants Teams
// resources 4,320 minutes, and a margin keeps a fast clock from asking for more.
const (
	AllChanges              = "created,updated,deleted"
	maxSubscriptionLife     = 4320 * time.Minute
	subscriptionLifeMargin  = 10 * time.Minute
	subscriptionRenewRepeat = 10 * time.Minute
)

// WantedSubscription is a subscription that ought to exist.
type WantedSubscription struct {
	// Resource is written with raw ids: percent-encoded ones are accepted by
	// Graph and then never notify.
	Resource string
	// ChangeType defaults to AllChanges.
	ChangeType string
	// Data asks for encrypted resource data.
	Data bool
}

// TenantMessages wants the messages of every channel of the tenant, with data
// or as hints only. It needs ChannelMessage.Read.All.
func TenantMessages(data bool) WantedSubscription {
	return WantedSubscription{Resource: "/teams/getAllMessages", Data: data}
}

// ChannelMessages wants the messages of one channel, replies included.
func ChannelMessages(ch ChannelRef, data bool) WantedSubscription {
	return WantedSubscription{Resource: "/teams/" + ch.TeamID + "/channels/" + ch.ChannelID + "/messages", Data: data}
}

// TenantChannels wants every channel that is made, changed or deleted.
func TenantChannels() WantedSubscription {
	return WantedSubscription{Resource: "/teams/getAllChannels"}
}

// TeamChannels wants the channels of one team.
func TeamChannels(teamID string) WantedSubscription {
	return WantedSubscription{Resource: "/teams/" + teamID + "/channels"}
}

// TeamMembers wants who joins and leaves a team.
func TeamMembers(teamID string) WantedSubscription {
	return WantedSubscription{Resource: "/teams/" + teamID + "/members"}
}

// PrivateChannelMembers wants who joins and leaves the team's channels that
// have members of their own.
func PrivateChannelMembers(teamID string) WantedSubscription {
	return WantedSubscription{Resource: "/teams/" + teamID + "/channels/getAllMembers"}
}

// resourceKey is what makes two resources the same. Escapes are not undone: a
// subscription to an escaped channel id is silent and must not pass for a good one.
func resourceKey(resource string) string {
	resource, _, _ = strings.Cut(resource, "?model=")
	return strings.ToLower(strings.Trim(resource, "/"))
}

func changeKey(changeType string) string {
	if changeType == "" {
		changeType = AllChanges
	}
	var have [3]bool
	for part := range strings.SplitSeq(changeType, ",") {
		for i, name := range strings.Split(AllChanges, ",") {
			have[i] = have[i] || strings.EqualFold(strings.TrimSpace(part), name)
		}
	}
	key := ""
	for i, name := range strings.Split(AllChanges, ",") {
		if have[i] {
			key += name + ","
		}
	}
	return key
}
