package teamstest

import (
	"slices"
	"time"
)

// wireNotification is one item of a notification's body.
type wireNotification struct {
	SubscriptionID string            `json:"subscriptionId"`
	Expires        string            `json:"subscriptionExpirationDateTime"`
	ChangeType     string            `json:"changeType,omitempty"`
	LifecycleEvent string            `json:"lifecycleEvent,omitempty"`
	Resource       string            `json:"resource,omitempty"`
	ResourceData   *wireResourceData `json:"resourceData,omitempty"`
	ClientState    string            `json:"clientState,omitempty"`
	TenantID       string            `json:"tenantId"`
	Encrypted      *encryptedContent `json:"encryptedContent,omitempty"`
}

type wireResourceData struct {
	ID        string `json:"id"`
	ODataType string `json:"@odata.type"`
	ODataID   string `json:"@odata.id"`
}

// body renders a batch. Every application that a rich item is for has a
// validation token of its own.
func (n *notifier) body(batch []*item) []byte {
	var body struct {
		Value            []wireNotification `json:"value"`
		ValidationTokens []string           `json:"validationTokens,omitempty"`
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	var apps []string
	for _, it := range batch {
		body.Value = append(body.Value, n.wireItem(it))
		if it.encrypted != nil && !slices.Contains(apps, it.s.appID) {
			apps = append(apps, it.s.appID)
			body.ValidationTokens = append(body.ValidationTokens, n.validationToken(it.s.appID))
		}
	}
	return mustJSON(body)
}

// wireItem renders one item. The lock is held.
func (n *notifier) wireItem(it *item) wireNotification {
	s := it.s
	// Seven digits and an offset that is not UTC's, as documented samples.
	pacific := time.FixedZone("", -8*60*60)
	w := wireNotification{
		SubscriptionID: s.id, ClientState: s.clientState, TenantID: n.e.t.TenantID,
		Expires: s.expires.In(pacific).Format("2006-01-02T15:04:05.0000000-07:00"),
	}
	if it.lifecycle != "" {
		w.LifecycleEvent = it.lifecycle
		return w
	}
	w.ChangeType, w.Resource = it.changeType, it.change.Resource
	w.ResourceData = &wireResourceData{ODataID: it.change.Resource}
	w.ResourceData.ID, w.ResourceData.ODataType = resourceIdentity(it.change)
	if it.object != nil && it.encrypted == nil && s.certificate != nil {
		// Encrypted once: a retry after the certificate was changed still
		// needs the old key.
		sealed, err := encrypt(it.object, s.certificate)
		if err != nil {
			panic("teamstest: " + err.Error()) // the certificate was checked
		}
		it.encrypted = sealed
	}
	w.Encrypted = it.encrypted
	return w
}

func resourceIdentity(c change) (id, odataType string) {
	switch c.Kind {
	case changeMessageCreated, changeMessageUpdated, changeMessageDeleted:
		return c.MessageID, "#Microsoft.Graph.chatMessage"
	case changeChannelCreated, changeChannelUpdated, changeChannelDeleted:
		return c.ChannelID, "#Microsoft.Graph.channel"
	case changeTeamCreated, changeTeamUpdated, changeTeamDeleted:
		return c.TeamID, "#Microsoft.Graph.team"
	}
	return c.MemberID, "#Microsoft.Graph.aadUserConversationMember"
}
