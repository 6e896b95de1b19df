package teams

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/tidwall/gjson"
)

const (
	// maxAnnounced bounds what a Retry-After can do to us.
	maxAnnounced = 24 * time.Hour
	// maxErrorText bounds the service's own words in an Error.
	maxErrorText = 500
)

// retryAfter returns the pause that an answer announces: the Retry-After
// header in seconds or as a date, or the retryAfterSeconds of an error body.
func retryAfter(h http.Header, body []byte, now time.Time) time.Duration {
	var d time.Duration
	if v := strings.TrimSpace(h.Get("Retry-After")); v != "" {
		if s, err := strconv.ParseFloat(v, 64); err == nil {
			d = seconds(s)
		} else if at, err := http.ParseTime(v); err == nil {
			// The service's own clock counts, where it tells it.
			if date, err := http.ParseTime(h.Get("Date")); err == nil {
				now = date
			}
			d = at.Sub(now)
		}
	}
	if d <= 0 && len(body) > 0 {
		for _, path := range []string{"error.retryAfterSeconds", "error.innerError.retryAfterSeconds"} {
			if v := gjson.GetBytes(body, path); v.Exists() {
				d = max(d, seconds(v.Float()))
			}
		}
	}
	return min(max(d, 0), maxAnnounced)
}

func seconds(s float64) time.Duration {
	if !(s > 0) { // also NaN
		return 0
	}
	return time.Duration(min(s, maxAnnounced.Seconds()) * float64(time.Second))
}

// answerError turns an answer of Graph that is not a success into an *Error.
func answerError(c call, resp *http.Response, body []byte) *Error {
	e := &Error{
		Op:         c.op,
		Status:     resp.StatusCode,
		RequestID:  requestID(resp.Header),
		RetryAfter: retryAfter(resp.Header, body, time.Now()),
	}
	if json := gjson.ParseBytes(body); json.IsObject() && gjson.ValidBytes(body) {
		e.Code = clean(json.Get("error.code").String())
		e.Message = clean(json.Get("error.message").String())
		if e.RequestID == "" {
			e.RequestID = clean(json.Get("error.innerError.request-id").String())
		}
	}
	e.Kind = kindOf(e.Status, e.Code)
	switch {
	case e.Kind == KindPermission:
		e.Hint = c.hint
	case e.Status == http.StatusProxyAuthRequired:
		e.Hint = "the proxy wants a user and password: network.proxy"
	case e.Kind == KindPrecondition:
		e.Hint = "Graph does not take this kind of sign-in (application or person) for the call"
	}
	if e.Kind == KindGone {
		e.Location = resp.Header.Get("Location")
	}
	// A gateway in front of Graph may fail after Graph has acted.
	e.Ambiguous = c.write && !c.login && (e.Status >= 500 && e.Status != http.StatusNotImplemented || e.Status == http.StatusRequestTimeout)
	return e
}

func kindOf(status int, code string) Kind {
	if status >= 400 && status < 500 {
		switch strings.ToLower(code) {
		case "syncstatenotfound", "syncstateinvalid", "resyncrequired":
			return KindGone
		}
	}
	switch status {
	case http.StatusUnauthorized:
		return KindSignInExpired
	case http.StatusPaymentRequired, http.StatusForbidden:
		return KindPermission
	case http.StatusNotFound:
		return KindNotFound
	case http.StatusRequestTimeout, http.StatusProxyAuthRequired:
		return KindUnavailable
	case http.StatusConflict:
		return KindConflict
	case http.StatusGone:
		return KindGone
	case http.StatusPreconditionFailed:
		return KindPrecondition
	case http.StatusRequestEntityTooLarge:
		return KindTooLarge
	case http.StatusTooManyRequests:
		return KindThrottled
	case http.StatusNotImplemented:
		return KindBadRequest
	}
	switch {
	case status >= 500:
		return KindUnavailable
	case status >= 400:
		return KindBadRequest
	default:
		return KindUnknown
	}
}

// transportError describes a request that got no usable answer; reached says
// that a connection to the service existed, so a write may have arrived.
func transportError(c call, err error, reached bool) *Error {
	return &Error{Op: c.op, Kind: KindUnavailable, Ambiguous: reached && c.write && !c.login, Err: err}
}

// canceled describes a call that its caller gave up.
func canceled(c call, err error, reached bool) *Error {
	e := transportError(c, err, reached)
	if errors.Is(err, context.Canceled) {
		e.Kind = KindUnknown
	}
	return e
}

// repeatable reports whether a failed request is worth another attempt now.
// Only reads are: a write that failed may have been accepted.
func repeatable(c call, e *Error) bool {
	if c.write {
		return false
	}
	switch e.Status {
	case 0:
		return e.Kind == KindUnavailable
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		// An answer that broke off keeps its status of success.
		return e.Status < 300 && e.Kind == KindUnavailable
	}
}

func requestID(h http.Header) string {
	for _, name := range []string{"request-id", "x-ms-request-id", "client-request-id"} {
		if v := h.Get(name); v != "" {
			return clean(v)
		}
	}
	return ""
}

// clean makes a service's text fit for one line of a log.
func clean(s string) string {
	if len(s) > maxErrorText {
		s = s[:maxErrorText]
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, s)
}
