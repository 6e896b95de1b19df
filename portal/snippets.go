package portal

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/rs/zerolog"

	"teamsbridge/portal/msgconv"
)

// fetchSnippets reads the code of the message's code snippets, before the
// portal's loop is entered. As with images, the message waits while Graph does
// not answer, but not for ever.
func (d *delivery) fetchSnippets(ctx context.Context) error {
	if d.own != nil && d.m.Edited.IsZero() {
		return nil
	}
	refs := msgconv.Snippets(d.m)
	if len(refs) == 0 {
		return nil
	}
	if shown, err := d.isShown(ctx); err != nil || shown {
		return err
	}
	d.snippets = make(map[string]msgconv.Snippet, len(refs))
	for _, ref := range refs {
		if _, done := d.snippets[ref.URL]; done {
			continue
		}
		snippet, err := d.in.readSnippet(ctx, ref.URL)
		if err != nil {
			if !d.in.givesUpImage(d, err) {
				return err
			}
			zerolog.Ctx(ctx).Warn().Err(err).Msg("Delivering a message without one of its code snippets")
			snippet.Problem = problemOf(err)
			d.problems = append(d.problems, problem{MetricMedia, snippet.Problem})
		} else {
			d.in.o.Metrics.Count(MetricMedia, "code read")
		}
		d.snippets[ref.URL] = snippet
	}
	return nil
}

// readSnippet reads as much of a code snippet as is shown.
func (in *Ingest) readSnippet(ctx context.Context, url string) (msgconv.Snippet, error) {
	body, _, err := in.o.Reader.HostedContent(ctx, url)
	if err != nil {
		return msgconv.Snippet{}, fmt.Errorf("open code snippet: %w", err)
	}
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, msgconv.MaxSnippet))
	if err != nil {
		return msgconv.Snippet{}, fmt.Errorf("read code snippet: %w", err)
	}
	return msgconv.Snippet{Text: string(text)}, nil
}

// isFetched reports whether what a part shows was fetched, so that it can't be
// told from the message alone.
func isFetched(partID string) bool {
	_, image := imageIndex(partID)
	_, file := fileIndex(partID)
	return image || file || strings.HasPrefix(partID, "code:")
}
