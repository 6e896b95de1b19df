package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"maunium.net/go/mautrix"
)

const (
	// longPoll is how long the homeserver may wait with its answer.
	longPoll = 30 * time.Second
	// answerTimeout is how much longer an answer may take, firstTimeout how long
	// the first one, for which some servers look into every room.
	answerTimeout = time.Minute
	firstTimeout  = 170 * time.Second
	maxAnswer     = 64 << 20
	// roomLimit is how many redactions of one room an answer has. More is a gap.
	roomLimit = 1000
	// gapPage is how many events of any type a page of a gap has.
	gapPage = 250
)

// redactionFilter leaves nothing but redactions, and of a first answer nearly nothing.
func redactionFilter(limit int) string {
	nothing := map[string]any{"types": []string{}, "not_types": []string{"*"}}
	filter := map[string]any{
		"presence": nothing, "account_data": nothing,
		"room": map[string]any{
			"timeline": map[string]any{"types": []string{redactionType}, "limit": limit},
			"state":    nothing, "ephemeral": nothing, "account_data": nothing,
		},
	}
	text, _ := json.Marshal(filter) // maps of strings and numbers
	return string(text)
}

// syncAnswer is an answer to /sync as far as it was asked for.
type syncAnswer struct {
	NextBatch string `json:"next_batch"`
	Rooms     struct {
		Join  map[string]syncRoom `json:"join"`
		Leave map[string]syncRoom `json:"leave"`
	} `json:"rooms"`
}

type syncRoom struct {
	Timeline struct {
		Events    []json.RawMessage `json:"events"`
		Limited   bool              `json:"limited"`
		PrevBatch string            `json:"prev_batch"`
	} `json:"timeline"`
}

// page is an answer to /messages.
type page struct {
	Chunk []json.RawMessage `json:"chunk"`
	End   string            `json:"end"`
}

// feedClient makes the feed's requests as the bot.
type feedClient struct{ client *mautrix.Client }

func (c *feedClient) sync(ctx context.Context, since string, wait time.Duration) (answer syncAnswer, err error) {
	query := map[string]string{
		"filter": redactionFilter(roomLimit), "set_presence": "offline", "timeout": strconv.FormatInt(wait.Milliseconds(), 10),
	}
	timeout := wait + answerTimeout
	if since != "" {
		query["since"] = since
	} else {
		query["filter"] = redactionFilter(1)
		timeout = firstTimeout
	}
	if err = c.get(ctx, timeout, mautrix.ClientURLPath{"v3", "sync"}, query, &answer); err == nil && answer.NextBatch == "" {
		err = errNoToken
	}
	return answer, err
}

var errNoToken = errors.New("the homeserver's answer has no next_batch")

// messages reads a room backwards. It filters nothing: Dendrite filters a page
// after it has cut it, and calls an empty page the room's beginning. For a like
// reason there is no lower bound (to): Dendrite leaves out the first event after it.
func (c *feedClient) messages(ctx context.Context, roomID, from string, limit int) (out page, err error) {
	query := map[string]string{"dir": "b", "limit": strconv.Itoa(limit)}
	if from != "" {
		query["from"] = from
	}
	err = c.get(ctx, answerTimeout, mautrix.ClientURLPath{"v3", "rooms", roomID, "messages"}, query, &out)
	return out, err
}

func (c *feedClient) get(ctx context.Context, timeout time.Duration, path mautrix.ClientURLPath, query map[string]string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err := c.client.MakeFullRequest(ctx, mautrix.FullRequest{
		Method: http.MethodGet, URL: c.client.BuildURLWithQuery(path, query), ResponseJSON: into,
		MaxAttempts: 1, ResponseSizeLimit: maxAnswer, SensitiveContent: true,
	})
	return err
}

// statusOf is the status of a refused request, 0 where there was no answer.
func statusOf(err error) int {
	var httpErr mautrix.HTTPError
	if errors.As(err, &httpErr) && httpErr.Response != nil {
		return httpErr.Response.StatusCode
	}
	return 0
}

// refused reports whether the homeserver will never answer a request with this
// token, while others may be fine.
func refused(err error) bool {
	switch status := statusOf(err); status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	default:
		return status >= 400 && status < 500
	}
}

// sleep waits; false means that the context ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
