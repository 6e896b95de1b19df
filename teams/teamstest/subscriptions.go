package teamstest

import (
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The operations of the subscriptions API.
const (
	OpCreateSubscription      Op = "subscriptions.create"
	OpListSubscriptions       Op = "subscriptions.list"
	OpSubscription            Op = "subscriptions.get"
	OpRenewSubscription       Op = "subscriptions.renew"
	OpReauthorizeSubscription Op = "subscriptions.reauthorize"
	OpDeleteSubscription      Op = "subscriptions.delete"
)

// subscriptionPage is the size of a page of /subscriptions. Undocumented;
// small enough that clients meet the next link.
const subscriptionPage = 100

func (e *edgeState) subscriptionRoutes() []route {
	open := permission{open: true} // the resource decides, see topicOf
	return []route{
		{OpCreateSubscription, http.MethodPost, "/subscriptions", open, e.createSubscription},
		{OpListSubscriptions, http.MethodGet, "/subscriptions", open, e.listSubscriptions},
		{OpSubscription, http.MethodGet, "/subscriptions/{subscription}", open, e.getSubscription},
		{OpRenewSubscription, http.MethodPatch, "/subscriptions/{subscription}", open, e.renewSubscription},
		{OpReauthorizeSubscription, http.MethodPost, "/subscriptions/{subscription}/reauthorize", open, e.reauthorizeSubscription},
		{OpDeleteSubscription, http.MethodDelete, "/subscriptions/{subscription}", open, e.deleteSubscription},
	}
}

func (e *edgeState) createSubscription(x *exchange) (*response, *apiError) {
	var body subscriptionBody
	if err := json.Unmarshal(x.body, &body); err != nil {
		return nil, invalidRequest("Unable to read the subscription: " + err.Error())
	}
	s, refused := parseSubscription(body, x.caller, e.t.clock.Now())
	if refused != nil {
		return nil, refused
	}
	s.id = e.t.ids.guid()
	s.prefersUnknown = x.prefersUnknownEnumMembers()
	if refused = e.resourceExists(s.topic); refused != nil {
		return nil, refused
	}
	if refused = e.notifier.admit(s, false); refused != nil {
		return nil, refused
	}
	if refused = e.validate(x.r.Context(), s.notificationURL); refused != nil {
		return nil, refused
	}
	if s.lifecycleURL != "" {
		if refused = e.validate(x.r.Context(), s.lifecycleURL); refused != nil {
			return nil, refused
		}
	}
	// Another request may have taken the place during the handshake.
	if refused = e.notifier.admit(s, true); refused != nil {
		return nil, refused
	}
	return jsonResponse(http.StatusCreated, e.notifier.wire(s, e.t.GraphURL()+"/$metadata#subscriptions/$entity")), nil
}

// resourceExists refuses subscriptions to what is not there.
func (e *edgeState) resourceExists(topic topic) *apiError {
	if topic.team == "" {
		return nil
	}
	e.t.mu.Lock()
	defer e.t.mu.Unlock()
	team := e.t.team(topic.team)
	if team == nil || topic.channel != "" && team.channel(topic.channel) == nil {
		return extensionError(http.StatusNotFound, "Operation: Create; Exception: [Status Code: NotFound; Reason: Not Found]")
	}
	return nil
}

// validate is the handshake: the address must give the token back, decoded.
func (e *edgeState) validate(ctx context.Context, target string) *apiError {
	failed := func(reason string) *apiError {
		return &apiError{Status: http.StatusBadRequest, Code: "ValidationError", Message: "Subscription validation request failed. " + reason}
	}
	token := "Validation: Testing client application reachability for subscription Request-Id: " + e.t.ids.guid()
	glue := "?"
	if strings.Contains(target, "?") {
		glue = "&"
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target+glue+"validationToken="+url.QueryEscape(token), nil)
	if err != nil {
		return failed("The notification URL is not valid.")
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	resp, err := e.notifier.client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return invalidRequest("Subscription validation request timed out.")
		}
		return failed("Unable to connect to the remote server.")
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 8192))
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case err != nil:
		return failed("Unable to read the answer.")
	case resp.StatusCode != http.StatusOK:
		return failed("Notification endpoint must respond with 200 OK to validation request.")
	case media != "text/plain":
		return failed("Notification endpoint must respond with content type text/plain to validation request.")
	case string(answer) != token:
		return failed("Notification endpoint must respond with the decoded validation token.")
	}
	return nil
}

// own finds a subscription of the caller: an application sees its own, with a
// delegated token only the user's.
func (e *edgeState) own(x *exchange) (*subscription, *apiError) {
	s := e.notifier.find(x.vars["subscription"])
	if s == nil || s.appID != x.caller.AppID || s.userID != x.caller.UserID {
		return nil, &apiError{Status: http.StatusNotFound, Code: "ResourceNotFound", Message: "The object was not found."}
	}
	return s, nil
}

func (e *edgeState) getSubscription(x *exchange) (*response, *apiError) {
	s, refused := e.own(x)
	if refused != nil {
		return nil, refused
	}
	return jsonResponse(http.StatusOK, e.notifier.wire(s, e.t.GraphURL()+"/$metadata#subscriptions/$entity")), nil
}

func (e *edgeState) listSubscriptions(x *exchange) (*response, *apiError) {
	all := slices.DeleteFunc(e.notifier.all(), func(s *subscription) bool {
		return s.appID != x.caller.AppID || s.userID != x.caller.UserID
	})
	start, _ := strconv.Atoi(x.query.Get("$skiptoken")) // none is the start
	start = min(max(start, 0), len(all))
	end := min(start+subscriptionPage, len(all))
	page := struct {
		Context string             `json:"@odata.context"`
		Next    string             `json:"@odata.nextLink,omitempty"`
		Value   []wireSubscription `json:"value"`
	}{Context: e.t.GraphURL() + "/$metadata#subscriptions", Value: []wireSubscription{}}
	for _, s := range all[start:end] {
		page.Value = append(page.Value, e.notifier.wire(s, ""))
	}
	if end < len(all) {
		page.Next = e.t.GraphURL() + "/subscriptions?$skiptoken=" + strconv.Itoa(end)
	}
	return jsonResponse(http.StatusOK, page), nil
}

// renewSubscription changes what can be changed. It reauthorizes as well.
func (e *edgeState) renewSubscription(x *exchange) (*response, *apiError) {
	s, refused := e.own(x)
	if refused != nil {
		return nil, refused
	}
	var body subscriptionBody
	if err := json.Unmarshal(x.body, &body); err != nil {
		return nil, invalidRequest("Unable to read the subscription: " + err.Error())
	}
	if refused = s.topic.check(x.caller); refused != nil {
		return nil, refused
	}
	now := e.t.clock.Now()
	patch := subscriptionPatch{now: now}
	if body.LifecycleURL != nil && *body.LifecycleURL != s.lifecycleURL {
		return nil, invalidRequest("lifecycleNotificationUrl cannot be changed after the subscription was created.")
	}
	if body.Expires != nil {
		at, refused := checkExpiry(*body.Expires, s.lifecycleURL, now)
		if refused != nil {
			return nil, refused
		}
		patch.expires = at
	}
	if body.Certificate != nil || body.CertificateID != nil {
		if patch.certificate, refused = parseCertificate(value(body.Certificate), value(body.CertificateID)); refused != nil {
			return nil, refused
		}
	}
	if body.NotificationURL != nil {
		if refused = checkURL("notificationUrl", *body.NotificationURL); refused != nil {
			return nil, refused
		}
		if refused = e.validate(x.r.Context(), *body.NotificationURL); refused != nil {
			return nil, refused
		}
		patch.notificationURL = *body.NotificationURL
	}
	soon, ok := e.notifier.patch(s, patch)
	if !ok {
		return nil, &apiError{Status: http.StatusNotFound, Code: "ResourceNotFound", Message: "The object was not found."}
	}
	if soon {
		e.violate(x, ViolationReauthorize, s.id)
	}
	return jsonResponse(http.StatusOK, e.notifier.wire(s, e.t.GraphURL()+"/$metadata#subscriptions/$entity")), nil
}

func (e *edgeState) reauthorizeSubscription(x *exchange) (*response, *apiError) {
	s, refused := e.own(x)
	if refused != nil {
		return nil, refused
	}
	if refused = s.topic.check(x.caller); refused != nil {
		return nil, refused
	}
	if e.notifier.reauthorize(s, e.t.clock.Now()) {
		e.violate(x, ViolationReauthorize, s.id)
	}
	return noContent(), nil
}

func (e *edgeState) deleteSubscription(x *exchange) (*response, *apiError) {
	s, refused := e.own(x)
	if refused != nil {
		return nil, refused
	}
	e.notifier.remove(s.id)
	return noContent(), nil
}

// wireSubscription is a subscription as Graph shows it. The certificate is
// never shown.
type wireSubscription struct {
	Context              string  `json:"@odata.context,omitempty"`
	ID                   string  `json:"id"`
	Resource             string  `json:"resource"`
	ApplicationID        string  `json:"applicationId"`
	ChangeType           string  `json:"changeType"`
	ClientState          *string `json:"clientState"`
	NotificationURL      string  `json:"notificationUrl"`
	LifecycleURL         *string `json:"lifecycleNotificationUrl"`
	QueryOptions         *string `json:"notificationQueryOptions"`
	Expires              string  `json:"expirationDateTime"`
	CreatorID            string  `json:"creatorId"`
	TLSVersion           string  `json:"latestSupportedTlsVersion"`
	IncludeData          bool    `json:"includeResourceData"`
	Certificate          string  `json:"encryptionCertificate"`
	CertificateID        *string `json:"encryptionCertificateId"`
	NotificationURLAppID *string `json:"notificationUrlAppId"`
	ContentType          *string `json:"notificationContentType"`
}

func (n *notifier) wire(s *subscription, odataContext string) wireSubscription {
	n.mu.Lock()
	defer n.mu.Unlock()
	creator := s.userID
	if creator == "" {
		creator = n.e.app.ObjectID
	}
	w := wireSubscription{
		Context: odataContext, ID: s.id, Resource: s.resource, ApplicationID: s.appID, ChangeType: s.changeType,
		ClientState: orNull(s.clientState), NotificationURL: s.notificationURL, LifecycleURL: orNull(s.lifecycleURL),
		Expires: s.expires.UTC().Format("2006-01-02T15:04:05.0000000Z"), CreatorID: creator,
		TLSVersion: s.tlsVersion, IncludeData: s.includeData,
	}
	if s.certificate != nil {
		w.CertificateID = orNull(s.certificate.id)
	}
	return w
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
