package teamstest

import (
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	// subscriptionFloor: a shorter life is raised to it.
	subscriptionFloor = 45 * time.Minute
	// subscriptionCeiling is the longest life for Teams resources.
	subscriptionCeiling = 4320 * time.Minute
	// subscriptionPlain is the longest life without a lifecycle URL.
	subscriptionPlain = time.Hour
	// subscriptionQuota is the number of Teams subscriptions per organisation.
	subscriptionQuota = 10_000
	// maxClientState bounds clientState and encryptionCertificateId.
	maxClientState = 128
)

// subscription is a change notification subscription. The notifier's lock
// guards what changes.
type subscription struct {
	id, appID, userID string
	resource          string
	topic             topic
	changeTypes       []string
	changeType        string // as it was sent
	created           time.Time
	prefersUnknown    bool
	tlsVersion        string

	notificationURL, lifecycleURL string
	clientState                   string
	expires                       time.Time
	includeData                   bool
	certificate                   *certificate

	// reauthorizeAt is when the client will be told to reauthorize next;
	// authorizedUntil is when deliveries pause if it then does not.
	reauthorizeAt, authorizedUntil time.Time
	lastPatch, lastReauthorize     time.Time
	parked                         []*item // waiting for reauthorization
	held                           *item   // out of order on purpose
}

// certificate is what rich notifications are encrypted with.
type certificate struct {
	id         string
	thumbprint string
	key        *rsa.PublicKey
}

// topic is what a subscription listens to.
type topic struct {
	// key is the index that changes are looked up with, "" for a resource
	// that is accepted and never fires.
	key string
	// application and delegated are the permissions, as in permission.
	perm permission
	// wide is a resource of the whole tenant.
	wide bool
	// team and channel must exist where set.
	team, channel string
}

// topicOf resolves a subscription's resource.
func topicOf(resource string) (topic, *apiError) {
	path, query, _ := strings.Cut(strings.TrimPrefix(resource, "/"), "?")
	if values, err := url.ParseQuery(query); err != nil || len(values) > 1 || len(values) == 1 && !values.Has("model") {
		// $search and $filter exist; no bridge of whole channels needs them.
		return topic{}, extensionError(http.StatusBadRequest, "The query options of resource '"+resource+"' are not supported by the simulated tenant.")
	}
	if plain, err := url.PathUnescape(path); err == nil && plain != path {
		// Seen in the wild: an encoded id is accepted, validated, and then
		// nothing is ever delivered.
		t, refused := topicOf(plain)
		t.key, t.channel, t.team = "", "", ""
		return t, refused
	}
	seg, err := splitPath(path)
	if err != nil {
		return topic{}, errBadRequest("Invalid resource.")
	}
	is := func(pattern ...string) bool {
		if len(pattern) != len(seg) {
			return false
		}
		for i, p := range pattern {
			if p != "*" && !strings.EqualFold(p, seg[i]) {
				return false
			}
		}
		return true
	}
	messages := []string{"ChannelMessage.Read.All"}
	channels := []string{"Channel.ReadBasic.All", "ChannelSettings.Read.All"}
	teams := []string{"Team.ReadBasic.All", "TeamSettings.Read.All"}
	switch {
	case is("teams", "getAllMessages"):
		return topic{key: "messages", wide: true, perm: permission{application: messages}}, nil
	case is("teams", "getAllChannels"):
		return topic{key: "channels", wide: true, perm: permission{application: channels}}, nil
	case is("teams"):
		return topic{key: "teams", wide: true, perm: permission{application: teams}}, nil
	case is("teams", "*"):
		return topic{key: "teams " + seg[1], team: seg[1], perm: permission{delegated: teams, application: append(teams, "TeamSettings.Read.Group")}}, nil
	case is("teams", "*", "channels"):
		return topic{key: "channels " + seg[1], team: seg[1], perm: permission{delegated: channels, application: append(channels, "ChannelSettings.Read.Group")}}, nil
	case is("teams", "*", "members"):
		return topic{key: "members " + seg[1], team: seg[1], perm: permission{delegated: []string{"TeamMember.Read.All"}, application: []string{"TeamMember.Read.All", "TeamMember.Read.Group"}}}, nil
	case is("teams", "*", "channels", "getAllMembers"):
		return topic{key: "channel members " + seg[1], team: seg[1], perm: permission{delegated: []string{"ChannelMember.Read.All"}, application: []string{"ChannelMember.Read.All", "ChannelMember.Read.Group"}}}, nil
	case is("teams", "*", "channels", "*", "messages"):
		return topic{
			key: "messages " + seg[1] + "/" + seg[3], team: seg[1], channel: seg[3],
			perm: permission{delegated: messages, application: []string{"ChannelMessage.Read.Group", "ChannelMessage.Read.All"}},
		}, nil
	}
	return topic{}, extensionError(http.StatusBadRequest, "Resource '"+resource+"' is not supported.")
}

// topicKeys lists the index keys under which a change is looked up.
func topicKeys(c change) []string {
	switch c.Kind {
	case changeMessageCreated, changeMessageUpdated, changeMessageDeleted:
		return []string{"messages", "messages " + c.TeamID + "/" + c.ChannelID}
	case changeChannelCreated, changeChannelUpdated, changeChannelDeleted:
		return []string{"channels", "channels " + c.TeamID}
	case changeTeamCreated, changeTeamUpdated, changeTeamDeleted:
		return []string{"teams", "teams " + c.TeamID}
	}
	if c.ChannelID != "" {
		return []string{"channel members " + c.TeamID}
	}
	return []string{"members " + c.TeamID}
}

// changeTypeOf is the notification's changeType.
func changeTypeOf(k changeKind) string {
	_, verb, _ := strings.Cut(string(k), ".")
	return verb
}

// subscriptionBody is what clients send.
type subscriptionBody struct {
	ChangeType      *string `json:"changeType"`
	NotificationURL *string `json:"notificationUrl"`
	LifecycleURL    *string `json:"lifecycleNotificationUrl"`
	Resource        *string `json:"resource"`
	Expires         *string `json:"expirationDateTime"`
	ClientState     *string `json:"clientState"`
	IncludeData     *bool   `json:"includeResourceData"`
	Certificate     *string `json:"encryptionCertificate"`
	CertificateID   *string `json:"encryptionCertificateId"`
	TLSVersion      *string `json:"latestSupportedTlsVersion"`
}

func value(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// checkURL applies Graph's rule for notification addresses. Loopback is the
// one exception from https: on one machine there is nobody to listen in, and
// a real tenant could never reach it.
func checkURL(name, raw string) *apiError {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil {
		return invalidRequest(name + " must be a valid HTTPS URL.")
	}
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Scheme != "https" && !(u.Scheme == "http" && loopback) {
		return invalidRequest(name + " must use the HTTPS protocol.")
	}
	return nil
}

// checkExpiry applies the rules for lifetimes.
func checkExpiry(raw, lifecycleURL string, now time.Time) (time.Time, *apiError) {
	at, err := time.Parse(time.RFC3339Nano, raw)
	if err != nil {
		return time.Time{}, invalidRequest("expirationDateTime is missing or not a valid date.")
	}
	life := at.Sub(now)
	switch {
	case life <= 0:
		return time.Time{}, invalidRequest("Subscription expiration must be in the future.")
	case life > subscriptionCeiling:
		return time.Time{}, invalidRequest("Subscription expiration can only be 4320 minutes in the future.")
	case life > subscriptionPlain && lifecycleURL == "":
		return time.Time{}, invalidRequest("lifecycleNotificationUrl is a required property for subscription creation on this resource when the expirationDateTime value is set to greater than 1 hour.")
	case life < subscriptionFloor:
		at = now.Add(subscriptionFloor)
	}
	return at.UTC(), nil
}

// parseCertificate reads an encryption certificate: base64 of a DER X.509
// certificate with an RSA key of 2,048 to 4,096 bits.
func parseCertificate(encoded, id string) (*certificate, *apiError) {
	if encoded == "" || id == "" {
		return nil, invalidRequest("encryptionCertificate and encryptionCertificateId are required when includeResourceData is true.")
	}
	if len(id) > maxClientState {
		return nil, invalidRequest("encryptionCertificateId must not be longer than 128 characters.")
	}
	der, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, invalidRequest("encryptionCertificate is not a valid base64 string.")
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, invalidRequest("encryptionCertificate is not a valid X.509 certificate.")
	}
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok || key.N.BitLen() < 2048 || key.N.BitLen() > 4096 {
		return nil, invalidRequest("encryptionCertificate must have an RSA key of 2048 to 4096 bits.")
	}
	sum := sha1.Sum(cert.Raw)
	return &certificate{id: id, thumbprint: strings.ToUpper(hex.EncodeToString(sum[:])), key: key}, nil
}

// parseSubscription checks everything of a new subscription that needs no
// look at the tenant.
func parseSubscription(b subscriptionBody, c caller, now time.Time) (*subscription, *apiError) {
	s := &subscription{
		appID: c.AppID, userID: c.UserID, created: now,
		resource: value(b.Resource), changeType: value(b.ChangeType), clientState: value(b.ClientState),
		notificationURL: value(b.NotificationURL), lifecycleURL: value(b.LifecycleURL), tlsVersion: value(b.TLSVersion),
		includeData: b.IncludeData != nil && *b.IncludeData,
	}
	for _, part := range strings.Split(s.changeType, ",") {
		part = strings.ToLower(strings.TrimSpace(part))
		if !slices.Contains([]string{"created", "updated", "deleted"}, part) {
			return nil, invalidRequest("changeType must be a comma-separated list of created, updated and deleted.")
		}
		s.changeTypes = append(s.changeTypes, part)
	}
	if refused := checkURL("notificationUrl", s.notificationURL); refused != nil {
		return nil, refused
	}
	if s.lifecycleURL != "" {
		if refused := checkURL("lifecycleNotificationUrl", s.lifecycleURL); refused != nil {
			return nil, refused
		}
	}
	if len(s.clientState) > maxClientState {
		return nil, invalidRequest("clientState must not be longer than 128 characters.")
	}
	if s.tlsVersion == "" {
		s.tlsVersion = "v1_2"
	}
	if !slices.Contains([]string{"v1_0", "v1_1", "v1_2", "v1_3"}, s.tlsVersion) {
		return nil, invalidRequest("latestSupportedTlsVersion is not valid.")
	}
	var refused *apiError
	if s.topic, refused = topicOf(s.resource); refused != nil {
		return nil, refused
	}
	if refused = s.topic.check(c); refused != nil {
		return nil, refused
	}
	if s.expires, refused = checkExpiry(value(b.Expires), s.lifecycleURL, now); refused != nil {
		return nil, refused
	}
	if s.includeData {
		if s.certificate, refused = parseCertificate(value(b.Certificate), value(b.CertificateID)); refused != nil {
			return nil, refused
		}
	}
	s.authorize(now)
	return s, nil
}

// check applies the permissions of a resource. Write permissions never stand
// in for the read permission.
func (t topic) check(c caller) *apiError {
	refused := t.perm.check(c)
	if refused == nil {
		return nil
	}
	return extensionError(http.StatusForbidden, "Operation: Create; Exception: [Status Code: Forbidden; Reason: "+refused.Message+"]")
}

// authorize notes that the client has shown a valid token at now. It is asked
// for the next one when a quarter of the remaining life is over, every 15
// minutes at the end; if it has not come an hour after it was first asked,
// deliveries pause.
func (s *subscription) authorize(now time.Time) {
	s.reauthorizeAt = now.Add(max(15*time.Minute, s.expires.Sub(now)/4))
	s.authorizedUntil = s.reauthorizeAt.Add(time.Hour)
}

// place is what only one subscription may hold.
func (s *subscription) place() string {
	return s.appID + " " + strings.ToLower(strings.Trim(s.resource, "/"))
}

// wants reports whether the subscription is about this kind of change.
func (s *subscription) wants(changeType string) bool {
	return slices.Contains(s.changeTypes, changeType)
}

func invalidRequest(message string) *apiError {
	return &apiError{Status: http.StatusBadRequest, Code: "InvalidRequest", Message: message}
}

func extensionError(status int, message string) *apiError {
	return &apiError{Status: status, Code: "ExtensionError", Message: message}
}
