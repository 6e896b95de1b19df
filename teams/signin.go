package teams

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"golang.org/x/oauth2"
)

// signInReply is the sign-in service's error answer.
type signInReply struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	Codes       []int  `json:"error_codes"`
	TraceID     string `json:"trace_id"`
}

// signInError turns what the credential libraries return into an *Error.
func signInError(op string, err error) *Error {
	var typed *Error
	if errors.As(err, &typed) {
		e := *typed
		e.Op = op
		return &e
	}
	var failed *azidentity.AuthenticationFailedError
	if errors.As(err, &failed) && failed.RawResponse != nil {
		body, _ := io.ReadAll(io.LimitReader(failed.RawResponse.Body, maxErrorBody))
		return signInAnswer(op, failed.RawResponse, body)
	}
	var retrieve *oauth2.RetrieveError
	if errors.As(err, &retrieve) && retrieve.Response != nil {
		return signInAnswer(op, retrieve.Response, retrieve.Body)
	}
	// Without an answer it is the network, whatever the library calls it.
	return &Error{Op: op, Kind: KindUnavailable, Hint: "the sign-in service can't be reached", Err: errors.New(clean(err.Error()))}
}

func signInAnswer(op string, resp *http.Response, body []byte) *Error {
	e := &Error{Op: op, Status: resp.StatusCode, RequestID: requestID(resp.Header), RetryAfter: retryAfter(resp.Header, nil, time.Now())}
	var reply signInReply
	known := json.Unmarshal(body, &reply) == nil && reply.Error != ""
	if known {
		e.Code = clean(reply.Error)
		if reply.TraceID != "" {
			e.RequestID = clean(reply.TraceID)
		}
	}
	aadsts := aadstsCode(reply)
	if aadsts != 0 {
		e.Message = "AADSTS" + strconv.Itoa(aadsts)
		e.Hint = aadstsHint(aadsts)
	}
	switch {
	case e.Status == http.StatusTooManyRequests:
		e.Kind = KindThrottled
	case e.Status >= 500 || e.Status == http.StatusRequestTimeout || e.Code == "temporarily_unavailable" || e.Code == "server_error":
		e.Kind = KindUnavailable
	case known && e.Status >= 400:
		e.Kind = KindSignInExpired
	default:
		// A proxy's or a captive portal's page, or something else in between.
		e.Kind = KindUnavailable
		e.Hint = "the answer is not from a sign-in service: check network.proxy and network.endpoints.login"
	}
	return e
}

// aadstsCode returns the numeric reason. Microsoft asks clients not to take
// the description apart, so it is only used where error_codes is missing, and
// only for the hint.
func aadstsCode(r signInReply) int {
	if len(r.Codes) > 0 {
		return r.Codes[0]
	}
	if m := regexp.MustCompile(`^AADSTS(\d{4,9})`).FindStringSubmatch(r.Description); m != nil {
		n, _ := strconv.Atoi(m[1])
		return n
	}
	return 0
}

// aadstsHint tells an operator what to do about a reason.
func aadstsHint(code int) string {
	switch code {
	case 7000215:
		return "the client secret is wrong: network.client_secret wants the secret's value, not its id"
	case 7000222:
		return "the client secret has expired: create a new one in the app registration and set network.client_secret"
	case 700016:
		return "the application is not known in this tenant: check network.client_id, network.tenant_id and network.cloud"
	case 90002, 900021, 900023:
		return "the tenant is not known: check network.tenant_id and network.cloud"
	case 700027, 7000214, 7000216:
		return "the certificate is not the one of the app registration, or has expired: check network.certificate_file"
	case 7000218:
		return "people's sign-in needs \"Allow public client flows\" in the app registration, or a client secret"
	case 700025:
		return "the redirect URI is registered for a public client: register it with the platform Web"
	case 54005, 501481, 500112:
		return "the sign-in service's answer belongs to another sign-in: start again"
	case 7000112:
		return "the application is disabled in this tenant"
	case 65001, 65004:
		return "consent is missing: an administrator must grant the delegated permissions"
	case 50034, 50020:
		return "the account is not of this tenant"
	case 50057:
		return "the account is disabled"
	case 50053:
		return "the account is locked"
	case 50055, 50173:
		return "the account's password was changed or its sessions were revoked: sign in again"
	case 70008, 70043, 700082, 700084:
		return "the sign-in has expired: sign in again"
	case 50076, 50078, 50079, 50074, 53003, 53000, 530032:
		return "a policy (multi-factor, conditional access) asks for a new sign-in"
	case 500011:
		return "Graph is not known to this tenant: check network.cloud and network.endpoints.graph"
	case 70011, 28002:
		return "the requested scope is not valid: check network.cloud and network.endpoints.graph"
	default:
		return ""
	}
}
