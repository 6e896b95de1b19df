package matrix

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
)

// createPath matches POST …/createRoom.
var createPath = regexp.MustCompile(`/_matrix/client/[^/]+/createRoom$`)

// federateField is where a room's creation says whether other servers may take part.
const federateField = "m.federate"

type federationContext struct{}

// WithFederation returns a context under which rooms are made that other servers can
// take part in, or can not, whatever the framework's configuration says.
func WithFederation(ctx context.Context, federated bool) context.Context {
	return context.WithValue(ctx, federationContext{}, federated)
}

// FederationFrom returns what WithFederation says, and whether it says anything.
func FederationFrom(ctx context.Context) (federated, set bool) {
	federated, set = ctx.Value(federationContext{}).(bool)
	return federated, set
}

// federate puts into a request that makes a room what its context says.
func federate(req *http.Request) (*http.Request, error) {
	federated, set := FederationFrom(req.Context())
	if !set || req.Method != http.MethodPost || req.Body == nil || !createPath.MatchString(req.URL.EscapedPath()) {
		return req, nil
	}
	body, err := readBody(req)
	if err != nil {
		return nil, err
	}
	var fields, creation map[string]json.RawMessage
	if err = json.Unmarshal(body, &fields); err != nil {
		return nil, fmt.Errorf("decode the room to make: %w", err)
	}
	if raw := fields["creation_content"]; raw != nil {
		if err = json.Unmarshal(raw, &creation); err != nil {
			return nil, fmt.Errorf("decode the room's creation: %w", err)
		}
	}
	if creation == nil {
		creation = map[string]json.RawMessage{}
	}
	if creation[federateField], err = json.Marshal(federated); err != nil {
		return nil, fmt.Errorf("encode the room's creation: %w", err)
	}
	if fields["creation_content"], err = json.Marshal(creation); err != nil {
		return nil, fmt.Errorf("encode the room's creation: %w", err)
	}
	if body, err = json.Marshal(fields); err != nil {
		return nil, fmt.Errorf("encode the room to make: %w", err)
	}
	out := req.Clone(req.Context())
	setBody(out, body)
	return out, nil
}

// readBody reads and closes a request's body.
func readBody(req *http.Request) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(req.Body, maxEventBody+1))
	if err != nil {
		return nil, fmt.Errorf("read event: %w", err)
	} else if len(body) > maxEventBody {
		return nil, fmt.Errorf("event has more than %d bytes", maxEventBody)
	}
	_ = req.Body.Close()
	return body, nil
}

// setBody gives a request another body.
func setBody(req *http.Request, body []byte) {
	req.Body = io.NopCloser(bytes.NewReader(body))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	req.ContentLength = int64(len(body))
}
