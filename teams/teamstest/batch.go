package teamstest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// maxBatch is how many steps one $batch may have.
const maxBatch = 20

type batchStep struct {
	ID        string            `json:"id"`
	Method    string            `json:"method"`
	URL       string            `json:"url"`
	Headers   map[string]string `json:"headers"`
	Body      json.RawMessage   `json:"body"`
	DependsOn []string          `json:"dependsOn"`
}

type batchAnswer struct {
	ID      string            `json:"id"`
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body,omitempty"`
}

// runBatch carries out the steps of a $batch one after the other. Each passes
// faults, sign-in, permissions and limits of its own. The answers come back in
// reverse, since any order may.
func runBatch(x *exchange) (*response, *apiError) {
	var in struct {
		Requests []batchStep `json:"requests"`
	}
	if err := json.Unmarshal(x.body, &in); err != nil || len(in.Requests) == 0 {
		return nil, errBadRequest("Invalid batch payload format.")
	}
	if len(in.Requests) > maxBatch {
		return nil, errBadRequest("Number of batch request steps exceeds the maximum value of 20.")
	}
	known := map[string]bool{}
	for _, step := range in.Requests {
		if step.ID == "" || known[step.ID] {
			return nil, errBadRequest("Batch request ids must be present and unique.")
		}
		for _, id := range step.DependsOn {
			if !known[id] {
				return nil, errBadRequest("Batch request '" + step.ID + "' depends on a request that does not come before it.")
			}
		}
		known[step.ID] = true
	}
	status := map[string]int{}
	answers := make([]batchAnswer, len(in.Requests))
	for i, step := range in.Requests {
		answer := x.step(step, status)
		status[step.ID] = answer.Status
		answers[len(answers)-1-i] = answer
	}
	return jsonResponse(http.StatusOK, map[string]any{"responses": answers}), nil
}

func (x *exchange) step(step batchStep, status map[string]int) batchAnswer {
	fail := func(e *apiError) batchAnswer { return answerOf(step.ID, e.response(x)) }
	for _, id := range step.DependsOn {
		if status[id] >= 300 {
			return fail(&apiError{Status: http.StatusFailedDependency, Code: "FailedDependency", Message: "Failed Dependency"})
		}
	}
	target, err := url.Parse("/" + strings.TrimPrefix(step.URL, "/"))
	if err != nil || strings.Contains(step.URL, "://") || step.Method == "" {
		return fail(errBadRequest("Invalid batch request url or method."))
	}
	if strings.EqualFold(strings.Trim(target.Path, "/"), "$batch") {
		return fail(errBadRequest("Batch requests can not be nested."))
	}
	body, refused := step.body()
	if refused != nil {
		return fail(refused)
	}
	full := *target
	full.Path, full.RawPath = "/v1.0"+target.Path, ""
	if target.RawPath != "" {
		full.RawPath = "/v1.0" + target.RawPath
	}
	r := (&http.Request{
		Method: strings.ToUpper(step.Method), URL: &full, Header: http.Header{}, Host: x.r.Host,
		Proto: x.r.Proto, ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: x.r.RemoteAddr, Body: http.NoBody,
	}).WithContext(x.r.Context())
	for name, value := range step.Headers {
		r.Header.Set(name, value)
	}
	if r.Header.Get("Authorization") == "" {
		r.Header["Authorization"] = x.r.Header["Authorization"]
	}
	path, _ := isGraph(r)
	inner := x.t.newExchange(r, path)
	inner.batch, inner.body = true, body
	resp, handled := x.t.seams.before(inner)
	if resp == nil && !handled {
		resp = inner.run()
	}
	if resp != nil {
		inner.stamp(resp)
		handled = x.t.seams.after(inner, resp)
	}
	if handled {
		// What would have cut a connection shows as a gateway's time-out.
		return fail(&apiError{Status: http.StatusGatewayTimeout, Code: "GatewayTimeout", Message: "The request timed out."})
	}
	return answerOf(step.ID, resp)
}

// body decodes a step's body: JSON as it is, anything else from base64.
func (step batchStep) body() ([]byte, *apiError) {
	if len(step.Body) == 0 || bytes.Equal(step.Body, []byte("null")) {
		return []byte{}, nil
	}
	contentType := ""
	for name, value := range step.Headers {
		if strings.EqualFold(name, "Content-Type") {
			contentType, _, _ = mime.ParseMediaType(value)
		}
	}
	switch {
	case contentType == "":
		return nil, errBadRequest("Content-Type header is required for a batch request with a body.")
	case contentType == "application/json":
		return step.Body, nil
	}
	var text string
	if err := json.Unmarshal(step.Body, &text); err != nil {
		return nil, errBadRequest("Invalid batch request body.")
	}
	plain, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errBadRequest("Invalid batch request body.")
	}
	return plain, nil
}

func answerOf(id string, resp *response) batchAnswer {
	answer := batchAnswer{ID: id, Status: resp.status, Headers: map[string]string{}}
	for name := range resp.header {
		answer.Headers[name] = resp.header.Get(name)
	}
	if len(resp.body) == 0 {
		return answer
	}
	if json.Valid(resp.body) {
		answer.Body = resp.body
	} else {
		answer.Body = mustJSON(base64.StdEncoding.EncodeToString(resp.body))
	}
	return answer
}
