package teamstest

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// maxRequest is Graph's bound for a whole request.
const maxRequest = 4 << 20

// ServeHTTP makes the tenant an http.Handler: Graph below /v1.0, the sign-in
// service everywhere else.
func (t *Tenant) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ok := isGraph(r)
	if !ok {
		t.seams.serveOther.ServeHTTP(w, r)
		return
	}
	x := t.newExchange(r, path)
	x.w = w
	resp, handled := t.seams.before(x)
	if handled {
		return
	}
	if resp == nil {
		resp = x.run()
	}
	x.stamp(resp)
	if t.seams.after(x, resp) {
		return
	}
	resp.writeTo(w)
}

func (t *Tenant) newExchange(r *http.Request, escapedPath string) *exchange {
	x := &exchange{
		t: t, r: r, op: OpUnknown,
		vars:            map[string]string{},
		requestID:       t.ids.guid(),
		clientRequestID: r.Header.Get("Client-Request-Id"),
		received:        t.clock.Now(),
		path:            escapedPath,
	}
	if x.clientRequestID == "" {
		x.clientRequestID = x.requestID
	}
	if plain, err := url.PathUnescape(escapedPath); err == nil {
		x.path = plain
	}
	// A query that can not be parsed keeps what could be.
	x.query, _ = url.ParseQuery(r.URL.RawQuery)
	segments, err := splitPath(escapedPath)
	if err != nil {
		return x
	}
	found, vars, _ := match(t.routes, r.Method, segments)
	if found != nil {
		x.op, x.perm, x.vars = found.op, found.perm, vars
		x.handle = found.handle
	}
	return x
}

// run carries an exchange out: everything between before and after.
func (x *exchange) run() *response {
	resp, refused := x.carryOut()
	if refused != nil {
		return refused.response(x)
	}
	return resp
}

func (x *exchange) carryOut() (*response, *apiError) {
	var refused *apiError
	if x.caller, refused = x.t.seams.authenticate(x); refused != nil {
		return nil, refused
	}
	if refused = x.readBody(); refused != nil {
		return nil, refused
	}
	if x.handle == nil {
		return nil, x.unknownRoute()
	}
	if refused = x.perm.check(x.caller); refused != nil {
		return nil, refused
	}
	if refused = x.t.seams.throttle(x); refused != nil {
		return nil, refused
	}
	return x.handle(x)
}

func (x *exchange) unknownRoute() *apiError {
	segments := strings.Split(strings.Trim(x.path, "/"), "/")
	return errBadRequest(fmt.Sprintf("Resource not found for the segment '%s'.", segments[len(segments)-1]))
}

// readBody reads the body whole, inflated: Microsoft's client compresses it by
// default.
func (x *exchange) readBody() *apiError {
	if x.body != nil || x.r.Body == nil {
		return nil
	}
	raw, err := io.ReadAll(io.LimitReader(x.r.Body, maxRequest+1))
	if err != nil {
		return errBadRequest("Unable to read the request body.")
	}
	if len(raw) > maxRequest {
		return errTooLarge("The request entity is too large.")
	}
	switch encoding := strings.ToLower(x.r.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
	case "gzip":
		if raw, err = inflate(raw); err != nil {
			return errBadRequest("Unable to read the request body: " + err.Error())
		}
	default:
		return &apiError{Status: http.StatusUnsupportedMediaType, Code: "UnsupportedMediaType", Message: "Content encoding '" + encoding + "' is not supported."}
	}
	x.body = raw
	return nil
}

func inflate(raw []byte) ([]byte, error) {
	zr, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("gzip header: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(zr, maxRequest+1))
	if err != nil {
		return nil, fmt.Errorf("gzip body: %w", err)
	}
	if len(plain) > maxRequest {
		return nil, errors.New("too large")
	}
	return plain, nil
}

// stamp adds the headers that every answer of Graph has.
func (x *exchange) stamp(resp *response) {
	resp.header.Set("request-id", x.requestID)
	resp.header.Set("client-request-id", x.clientRequestID)
	resp.header.Set("x-ms-ags-diagnostic", `{"ServerInfo":{"DataCenter":"Simulated","Slice":"E","Ring":"1","ScaleUnit":"000","RoleInstance":"SIM0"}}`)
	resp.header.Set("Strict-Transport-Security", "max-age=31536000")
	resp.header.Set("Cache-Control", "no-cache")
}

func (resp *response) writeTo(w http.ResponseWriter) {
	maps.Copy(w.Header(), resp.header)
	if resp.status != http.StatusNoContent {
		w.Header().Set("Content-Length", strconv.Itoa(len(resp.body)))
	}
	w.WriteHeader(resp.status)
	if resp.status != http.StatusNoContent {
		_, _ = w.Write(resp.body) // the client may be gone; nothing to do then
	}
}
