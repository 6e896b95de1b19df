package graph

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/microsoftgraph/msgraph-sdk-go/models"
	"teamsbridge/teams"
)

type wireSubscription struct {
	ID, Resource, ChangeType, NotificationURL, LifecycleNotificationURL, ClientState string
	ExpirationDateTime                                                               wireTime
	IncludeResourceData                                                              *bool
	EncryptionCertificate, EncryptionCertificateID                                   string
}

func (w wireSubscription) subscription() teams.Subscription {
	return teams.Subscription{ID: w.ID, Resource: w.Resource, ChangeType: w.ChangeType, NotificationURL: w.NotificationURL,
		LifecycleURL: w.LifecycleNotificationURL, ClientState: w.ClientState, Expires: w.ExpirationDateTime.Time,
		IncludeData: w.IncludeResourceData != nil && *w.IncludeResourceData, CertificateID: w.EncryptionCertificateID,
		CertificateBase64: w.EncryptionCertificate}
}

// CreateSubscription implements teams.SubscriptionAPI. The resource is sent as
// it is: with percent-encoded ids Graph accepts it and never notifies.
func (c *Client) CreateSubscription(ctx context.Context, s teams.Subscription) (teams.Subscription, error) {
	m := models.NewSubscription()
	m.SetResource(&s.Resource)
	m.SetChangeType(&s.ChangeType)
	m.SetNotificationUrl(&s.NotificationURL)
	if s.LifecycleURL != "" {
		m.SetLifecycleNotificationUrl(&s.LifecycleURL)
	}
	if s.ClientState != "" {
		m.SetClientState(&s.ClientState)
	}
	expires := s.Expires.UTC()
	m.SetExpirationDateTime(&expires)
	tls := "v1_2"
	m.SetLatestSupportedTlsVersion(&tls)
	if s.IncludeData {
		m.SetIncludeResourceData(&s.IncludeData)
		m.SetEncryptionCertificate(&s.CertificateBase64)
		m.SetEncryptionCertificateId(&s.CertificateID)
	}
	info, err := c.client.Subscriptions().ToPostRequestInformation(ctx, m, nil)
	raw, err := c.send(ctx, info, err)
	if err != nil {
		return teams.Subscription{}, err
	}
	return decodeSubscription("POST subscription", raw, s)
}

// RenewSubscription implements teams.SubscriptionAPI.
func (c *Client) RenewSubscription(ctx context.Context, s teams.Subscription) (teams.Subscription, error) {
	if err := need(s.ID); err != nil {
		return teams.Subscription{}, err
	}
	m := models.NewSubscription()
	expires := s.Expires.UTC()
	m.SetExpirationDateTime(&expires)
	if s.CertificateBase64 != "" {
		m.SetEncryptionCertificate(&s.CertificateBase64)
		m.SetEncryptionCertificateId(&s.CertificateID)
	}
	info, err := c.client.Subscriptions().BySubscriptionId(s.ID).ToPatchRequestInformation(ctx, m, nil)
	raw, err := c.send(ctx, info, err)
	if err != nil {
		return teams.Subscription{}, err
	}
	return decodeSubscription("PATCH subscription", raw, s)
}

// decodeSubscription takes what was asked for where the answer leaves it out:
// the certificate always, the rest where a renewal is answered without a body.
func decodeSubscription(op string, raw []byte, asked teams.Subscription) (teams.Subscription, error) {
	if len(raw) == 0 && asked.ID != "" {
		return asked, nil
	}
	var w wireSubscription
	if err := json.Unmarshal(raw, &w); err != nil {
		return teams.Subscription{}, ambiguous(op, err)
	}
	if w.ID == "" {
		return teams.Subscription{}, ambiguous(op, errors.New("no id in the answer"))
	}
	got := w.subscription()
	if got.CertificateBase64 == "" {
		got.CertificateBase64 = asked.CertificateBase64
	}
	if got.Expires.IsZero() {
		got.Expires = asked.Expires
	}
	return got, nil
}

// DeleteSubscription implements teams.SubscriptionAPI.
func (c *Client) DeleteSubscription(ctx context.Context, id string) error {
	if err := need(id); err != nil {
		return err
	}
	info, err := c.client.Subscriptions().BySubscriptionId(id).ToDeleteRequestInformation(ctx, nil)
	_, err = c.send(ctx, info, err)
	return err
}

// ListSubscriptions implements teams.SubscriptionAPI.
func (c *Client) ListSubscriptions(ctx context.Context) ([]teams.Subscription, error) {
	info, err := c.client.Subscriptions().ToGetRequestInformation(ctx, nil)
	items, err := list[wireSubscription](ctx, c.conn, "GET subscription", info, err)
	if err != nil {
		return nil, err
	}
	out := make([]teams.Subscription, 0, len(items))
	for _, w := range items {
		out = append(out, w.subscription())
	}
	return out, nil
}

// ambiguous is a write that was answered with success but not as documented.
func ambiguous(op string, err error) error {
	return &teams.Error{Op: op, Kind: teams.KindUnavailable, Ambiguous: true, Hint: "the answer is not from Graph or is damaged", Err: err}
}
