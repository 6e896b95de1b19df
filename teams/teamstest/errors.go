package teamstest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// apiError is a refusal in Graph's error format.
type apiError struct {
	Status  int
	Code    string
	Message string
	// RetryAfter, when positive, is announced in the header of that name.
	RetryAfter time.Duration
	// Header holds further headers, such as Location or WWW-Authenticate.
	Header http.Header
}

func errUnauthenticated() *apiError {
	return &apiError{Status: http.StatusUnauthorized, Code: "InvalidAuthenticationToken", Message: "Access token is empty."}
}

func errBadRequest(message string) *apiError {
	return &apiError{Status: http.StatusBadRequest, Code: "BadRequest", Message: message}
}

func errForbidden(message string) *apiError {
	return &apiError{Status: http.StatusForbidden, Code: "Forbidden", Message: message}
}

func errNotFound(message string) *apiError {
	return &apiError{Status: http.StatusNotFound, Code: "NotFound", Message: message}
}

func errTooLarge(message string) *apiError {
	return &apiError{Status: http.StatusRequestEntityTooLarge, Code: "RequestEntityTooLarge", Message: message}
}

func errWrongContext(context string) *apiError {
	return &apiError{
		Status:  http.StatusPreconditionFailed,
		Code:    "PreconditionFailed",
		Message: "Requested API is not supported in " + context + " context",
	}
}

type wireInnerError struct {
	Date            string `json:"date"`
	RequestID       string `json:"request-id"`
	ClientRequestID string `json:"client-request-id"`
}

type wireError struct {
	Code       string         `json:"code"`
	Message    string         `json:"message"`
	InnerError wireInnerError `json:"innerError"`
}

// response renders the refusal for one exchange.
func (e *apiError) response(x *exchange) *response {
	body := mustJSON(struct {
		Error wireError `json:"error"`
	}{wireError{e.Code, e.Message, wireInnerError{
		Date:            x.received.UTC().Format("2006-01-02T15:04:05"),
		RequestID:       x.requestID,
		ClientRequestID: x.clientRequestID,
	}}})
	resp := &response{status: e.Status, header: http.Header{}, body: body}
	for name, values := range e.Header {
		resp.header[name] = append([]string(nil), values...)
	}
	resp.header.Set("Content-Type", "application/json")
	if e.RetryAfter > 0 {
		seconds := int((e.RetryAfter + time.Second - 1) / time.Second)
		resp.header.Set("Retry-After", strconv.Itoa(seconds))
	}
	return resp
}

// mustJSON marshals values that always can be marshalled. Graph does not
// escape <, > and & in strings.
func mustJSON(v any) []byte {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("teamstest: " + err.Error())
	}
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}

func jsonResponse(status int, v any) *response {
	return &response{
		status: status,
		header: http.Header{"Content-Type": {"application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"}},
		body:   mustJSON(v),
	}
}

func noContent() *response {
	return &response{status: http.StatusNoContent, header: http.Header{}}
}
