package teamstest

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// strikeBefore carries out a fault that strikes before a request is. A nil
// response that was not handled lets the request pass.
func (e *edgeState) strikeBefore(x *exchange, in *Injected) (resp *response, handled bool) {
	f := in.fault
	switch f.Kind {
	case FaultRefuse:
		return e.cut(x)
	case FaultHang:
		return e.hang(x, in.cleared)
	case FaultSlow:
		e.pause(x.r.Context(), f.Delay, in.cleared)
		return nil, false
	case FaultExpireToken:
		e.tokens.expireAccess(bearer(x.r))
		return nil, false
	case FaultRevokeRefresh:
		if c, ok := e.tokens.peek(bearer(x.r)); ok && c.UserID != "" {
			e.tokens.revokeUser(c.UserID)
		} else if x.op == OpToken {
			e.tokens.revokeRefresh(formOf(x).Get("refresh_token"))
		}
		return nil, false
	}
	if f.RetryAfter > 0 && (f.Kind == FaultThrottled || f.Kind == FaultUnavailable) && serviceOf(x.op) == ServiceGraph {
		if q, resource, ok := quotaOf(x); ok {
			c, _ := e.tokens.peek(bearer(x.r))
			e.throttle.announced(q.scopes(resource, c), wholeSeconds(f.RetryAfter))
		}
	}
	return e.falseAnswer(x, f), false
}

// falseAnswer is the answer of a fault that answers.
func (e *edgeState) falseAnswer(x *exchange, f Fault) *response {
	refusal := &apiError{RetryAfter: f.RetryAfter}
	switch f.Kind {
	case FaultHTML:
		return gatewayPage()
	case FaultThrottled:
		refusal.Status, refusal.Code, refusal.Message = 429, "TooManyRequests", "Too many requests. Please wait and try again."
	case FaultInternalError:
		refusal.Status, refusal.Code, refusal.Message = 500, "InternalServerError", "An unexpected error has occurred."
	case FaultBadGateway, FaultAcceptBadGateway:
		refusal.Status, refusal.Code, refusal.Message = 502, "BadGateway", "Failed to execute backend request."
	case FaultUnavailable, FaultAcceptUnavailable:
		refusal.Status, refusal.Code, refusal.Message = 503, "serviceNotAvailable", "The service is temporarily unavailable."
	case FaultGatewayTimeout, FaultAcceptTimeout:
		refusal.Status, refusal.Code, refusal.Message = 504, "UnknownError", "The gateway did not receive a timely response."
	case FaultNotFound:
		refusal.Status, refusal.Code, refusal.Message = 404, "NotFound", "The resource could not be found."
	case FaultForbidden:
		refusal = errForbidden("Missing permissions on the request.")
		c, _ := e.tokens.peek(bearer(x.r))
		// As if every permission had been taken from the token.
		if missing := x.perm.check(caller{App: c.App}); missing != nil && missing.Status == http.StatusForbidden {
			refusal = missing
		}
	case FaultClaimsChallenge:
		refusal = claimsChallenge(e.t)
	case FaultDeltaGone:
		refusal.Status, refusal.Code, refusal.Message = 410, "resyncRequired", "Resync required. Replace any local items with the server's version."
		refusal.Header = http.Header{"Location": {e.t.GraphURL() + x.r.URL.EscapedPath()[len("/v1.0"):] + "?$deltatoken="}}
	case FaultDeltaRefused:
		refusal.Status, refusal.Code, refusal.Message = 400, "BadRequest", "Invalid request. Delta query is not supported by this resource."
	case FaultSyncStateNotFound:
		refusal.Status, refusal.Code, refusal.Message = 400, "syncStateNotFound", "The sync state generation is not found."
	}
	if serviceOf(x.op) == ServiceSignIn {
		return e.signInUnavailable(refusal)
	}
	return refusal.response(x)
}

// strikeAfter carries out a fault that strikes when a request was carried out.
func (e *edgeState) strikeAfter(x *exchange, resp *response, in *Injected) (handled bool) {
	f := in.fault
	switch f.Kind {
	case FaultNotifyEarly:
		ctx, cancel := context.WithTimeout(x.r.Context(), 10*time.Second)
		defer cancel()
		e.notifier.settle(ctx)
		return false
	case FaultCut:
		return cutHalfWay(x, resp)
	case FaultAcceptLose, FaultAcceptHang:
		var lost *response
		if f.Kind == FaultAcceptLose {
			lost, handled = e.cut(x)
		} else {
			lost, handled = e.hang(x, in.cleared)
		}
		if lost != nil {
			*resp = *lost
		}
		return handled
	}
	*resp = *e.falseAnswer(x, f)
	return false
}

// cut closes the connection with a reset. A step of a $batch has no
// connection of its own; what the client then sees is the gateway's 504.
func (e *edgeState) cut(x *exchange) (*response, bool) {
	if x.w == nil {
		return e.falseAnswer(x, Fault{Kind: FaultGatewayTimeout}), false
	}
	abort(x.w)
	return nil, true
}

// hang holds a request until the client, the fault or the tenant ends it.
func (e *edgeState) hang(x *exchange, cleared <-chan struct{}) (*response, bool) {
	if x.w == nil {
		return e.falseAnswer(x, Fault{Kind: FaultGatewayTimeout}), false
	}
	// The server notices a client that goes away only once the body is read.
	_ = x.readBody()
	select {
	case <-x.r.Context().Done():
	case <-cleared:
	case <-e.ctx.Done():
	}
	abort(x.w)
	return nil, true
}

// pause waits on the wall clock.
func (e *edgeState) pause(ctx context.Context, d time.Duration, cleared <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-cleared:
	case <-e.ctx.Done():
	}
}

// abort resets the connection of a response that was not begun.
func abort(w http.ResponseWriter) {
	conn, ok := takeOver(w)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := rawConn(conn).(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a reset, as a refused connection gives
	}
	_ = rawConn(conn).Close()
}

// cutHalfWay sends the head and half of the body that it announces.
func cutHalfWay(x *exchange, resp *response) bool {
	if x.w == nil {
		return false
	}
	conn, ok := takeOver(x.w)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", resp.status, http.StatusText(resp.status))
	_ = resp.header.Write(&b)
	// An answer without a body is cut in its head.
	if len(resp.body) > 0 {
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n", len(resp.body))
		b.Write(resp.body[:len(resp.body)/2])
	}
	_ = conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
	_, _ = conn.Write(b.Bytes())
	_ = rawConn(conn).Close()
	return true
}

func takeOver(w http.ResponseWriter) (net.Conn, bool) {
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		return nil, false
	}
	conn, _, err := hijacker.Hijack()
	return conn, err == nil
}

// rawConn is the connection under TLS: closing it sends no farewell.
func rawConn(conn net.Conn) net.Conn {
	if secure, ok := conn.(*tls.Conn); ok {
		return secure.NetConn()
	}
	return conn
}

// gatewayPage is what a gateway in front of Graph answers when it is in
// trouble: HTML where every client expects JSON.
func gatewayPage() *response {
	return &response{
		status: http.StatusBadGateway,
		header: http.Header{"Content-Type": {"text/html; charset=us-ascii"}},
		body: []byte(strings.Join([]string{
			`<!DOCTYPE html PUBLIC "-//W3C//DTD HTML 4.01//EN" "http://www.w3.org/TR/html4/strict.dtd">`,
			`<html><head><title>Bad Gateway</title></head>`,
			`<body><h2>Bad Gateway</h2><hr><p>HTTP Error 502. The server received an invalid response.</p></body></html>`,
		}, "\r\n")),
	}
}
