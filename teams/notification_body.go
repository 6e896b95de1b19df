package teams

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

var errDelivery = errors.New("malformed notification")

// notificationBody is a delivery of Graph (changeNotificationCollection),
// reduced to what is used; it is also the form in which it waits in the log.
// Resource data stays encrypted in there.
type notificationBody struct {
	Value            []notificationItem `json:"value"`
	ValidationTokens []string           `json:"validationTokens,omitempty"`
}

// notificationItem is a changeNotification or a lifecycle notification.
type notificationItem struct {
	SubscriptionID string            `json:"subscriptionId"`
	ClientState    string            `json:"clientState,omitempty"`
	ChangeType     string            `json:"changeType,omitempty"`
	LifecycleEvent string            `json:"lifecycleEvent,omitempty"`
	TenantID       string            `json:"tenantId,omitempty"`
	Resource       string            `json:"resource,omitempty"`
	Expires        json.RawMessage   `json:"subscriptionExpirationDateTime,omitempty"`
	Encrypted      *encryptedContent `json:"encryptedContent,omitempty"`
}

// encryptedContent is the resource data of a rich notification.
type encryptedContent struct {
	Data          string `json:"data"`
	DataKey       string `json:"dataKey"`
	DataSignature string `json:"dataSignature"`
	CertificateID string `json:"encryptionCertificateId"`
}

// parseDelivery checks the shape of what was posted. Items that are not
// objects of the right shape are left out and counted.
func parseDelivery(raw []byte) (body notificationBody, malformed int, err error) {
	var envelope struct {
		Value            []json.RawMessage `json:"value"`
		ValidationTokens []string          `json:"validationTokens"`
	}
	if err := json.Unmarshal(raw, &envelope); err != nil {
		return body, 0, fmt.Errorf("%w: not a JSON object of the expected shape", errDelivery)
	}
	if len(envelope.Value) == 0 {
		return body, 0, fmt.Errorf("%w: no value", errDelivery)
	}
	if len(envelope.Value) > maxItemsPerBody || len(envelope.ValidationTokens) > maxValidationTokenJWTs {
		return body, 0, fmt.Errorf("%w: too many items", errDelivery)
	}
	body.ValidationTokens = envelope.ValidationTokens
	for _, one := range envelope.Value {
		var item notificationItem
		if json.Unmarshal(one, &item) != nil || !item.shaped() {
			malformed++
			continue
		}
		body.Value = append(body.Value, item)
	}
	if len(body.Value) == 0 {
		return body, malformed, fmt.Errorf("%w: no usable item", errDelivery)
	}
	return body, malformed, nil
}

func (i *notificationItem) shaped() bool {
	return i.SubscriptionID != "" && (i.LifecycleEvent != "" || (i.ChangeType != "" && i.Resource != ""))
}

// created returns the new message that the item announces, if it does.
func (i *notificationItem) created() (ref MessageRef, ok bool) {
	if i.ChangeType != changeCreated || i.LifecycleEvent != "" {
		return MessageRef{}, false
	}
	r, ok := ParseResource(i.Resource)
	if !ok || r.Kind != ResourceMessage {
		return MessageRef{}, false
	}
	ref = r.Message()
	return ref, ref.TeamID != "" && ref.ChannelID != "" && ref.ID != ""
}

// created returns the new messages that the body announces.
func (b *notificationBody) created() (refs []MessageRef) {
	for i := range b.Value {
		if ref, ok := b.Value[i].created(); ok {
			refs = append(refs, ref)
		}
	}
	return refs
}

func (b *notificationBody) encode() ([]byte, error) { return json.Marshal(b) }

func decodeBody(raw []byte) (notificationBody, error) {
	var b notificationBody
	if err := json.Unmarshal(raw, &b); err != nil {
		return b, fmt.Errorf("%w: stored body is not JSON", errDelivery)
	}
	return b, nil
}

// expires returns when the subscription ends, zero where Graph does not say.
func (i *notificationItem) expires() time.Time {
	var s string
	if json.Unmarshal(i.Expires, &s) != nil {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}
