package matrix

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"teamsbridge/database"
)

// How redactions come from the homeserver.
const (
	// RedactionsPush: in transactions, like all events. Synapse does that.
	RedactionsPush = "push"
	// RedactionsSync: the bot follows /sync for them. Dendrite never puts them
	// into transactions (element-hq/dendrite, pull request 3445).
	RedactionsSync = "sync"
	// RedactionsAuto asks the homeserver what it is. Anything unknown pushes.
	RedactionsAuto = "auto"
)

// RedactionState is how redactions reach the bridge, for people to see.
type RedactionState struct {
	// Source is RedactionsPush or RedactionsSync, "" while nobody knows.
	Source string
	// Homeserver is what the homeserver calls itself, "" where it was not asked.
	Homeserver string
	// Waiting is how many redactions came before the event that they are for.
	Waiting int
	// Gaps is how many stretches of rooms are still to be read.
	Gaps int
	// AnsweredAt is the last answer to /sync, LastError what went wrong since.
	AnsweredAt time.Time
	LastError  string
}

const (
	softwareScope   = "homeserver:software"
	softwareTimeout = 10 * time.Second
	maxSoftwareBody = 256 << 10
)

// software asks a homeserver what it is.
type software struct {
	client  *http.Client
	address string
}

// ask returns what the homeserver is; "" means that it does not tell. An error
// means that the question is open.
func (s *software) ask(ctx context.Context) (name string, err error) {
	var server struct {
		Server struct{ Name, Version string } `json:"server"`
	}
	found, errFederation := s.get(ctx, "/_matrix/federation/v1/version", &server)
	if found && server.Server.Name != "" {
		return strings.TrimSpace(server.Server.Name + " " + server.Server.Version), nil
	}
	// The address may lead to the client API only.
	var client struct {
		Features map[string]bool `json:"unstable_features"`
	}
	if _, err := s.get(ctx, "/_matrix/client/versions", &client); err != nil {
		return "", err
	}
	if name := byFeatures(client.Features); name != "" {
		return name, nil
	}
	return "", errFederation
}

// byFeatures knows the homeservers by what only they announce.
func byFeatures(features map[string]bool) string {
	has := func(names ...string) bool {
		for _, name := range names {
			if _, there := features[name]; !there {
				return false
			}
		}
		return true
	}
	switch {
	case has("org.matrix.label_based_filtering"):
		return "Synapse"
	case has("org.matrix.e2e_cross_signing", "org.matrix.msc2285.stable", "org.matrix.msc3916.stable"):
		return "Dendrite"
	default:
		return ""
	}
}

// get reads a JSON document; found is false where the server has none.
func (s *software) get(ctx context.Context, path string, into any) (found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, softwareTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(s.address, "/")+path, nil)
	if err != nil {
		return false, fmt.Errorf("ask the homeserver: %w", err)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return false, fmt.Errorf("ask the homeserver: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return false, fmt.Errorf("ask the homeserver: it answered %d to %s", resp.StatusCode, path)
	case resp.StatusCode != http.StatusOK:
		return false, nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxSoftwareBody))
	if err != nil {
		return false, fmt.Errorf("ask the homeserver: %w", err)
	}
	return json.Unmarshal(body, into) == nil, nil
}

// sourceOf decides by the homeserver's name.
func sourceOf(name string) string {
	if first, _, _ := strings.Cut(name, " "); strings.EqualFold(first, "dendrite") {
		return RedactionsSync
	}
	return RedactionsPush
}

// decide says how redactions come. It is decided once per start; an answer of
// an earlier start counts while the homeserver gives none.
func (f *feed) decide(ctx context.Context) (source string, err error) {
	if f.mode != RedactionsAuto {
		f.log.Info().Str("source", f.mode).Msg("Redactions come as the configuration says")
		f.set(func(s *RedactionState) { s.Source = f.mode })
		return f.mode, nil
	}
	pause := f.pause
	for {
		name, err := f.software.ask(ctx)
		cached := false
		if err != nil {
			known, loadErr := f.db.Cursors.LoadCursor(ctx, softwareScope)
			if loadErr == nil && known.Reader != "" {
				name, cached, err = known.Link, true, nil
			}
		}
		if err == nil {
			source = sourceOf(name)
			f.log.Info().Str("source", source).Str("homeserver", name).Bool("from_last_start", cached).Msg("Decided how redactions come")
			f.set(func(s *RedactionState) { s.Source, s.Homeserver = source, name })
			if err := f.db.Cursors.SaveCursor(ctx, softwareScope, database.Cursor{Link: name, Reader: source}); err != nil {
				f.log.Warn().Err(err).Msg("Failed to remember what the homeserver is")
			}
			return source, nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		f.set(func(s *RedactionState) { s.LastError = err.Error() })
		f.log.Warn().Err(err).Msg("The homeserver does not say what it is, will ask again")
		if !sleep(ctx, pause) {
			return "", ctx.Err()
		}
		pause = min(2*pause, maxPause)
	}
}
