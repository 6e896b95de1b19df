package database

import (
	"context"
	"time"

	"go.mau.fi/util/dbutil"
)

// Cursor is how far a scope (a team, a channel, the redaction feed of package
// matrix) has been read. A watermark
// keeps milliseconds and is rounded down, so that nothing is skipped.
type Cursor struct {
	Link      string
	Watermark time.Time
	Reader    string
	FullAt    time.Time
}

// Cursors keeps where reading goes on.
type Cursors struct{ base }

// LoadCursor returns the scope's cursor, the zero Cursor where there is none.
func (s *Cursors) LoadCursor(ctx context.Context, scope string) (Cursor, error) {
	c, err := one(ctx, s.base, "load cursor", scanCursor, `SELECT link, watermark, reader, full_at FROM teams_cursor WHERE scope = $1`, scope)
	if err != nil || c == nil {
		return Cursor{}, err
	}
	return *c, nil
}

// SaveCursor stores the scope's cursor. Call it only after everything before it was accepted.
func (s *Cursors) SaveCursor(ctx context.Context, scope string, c Cursor) error {
	_, err := s.exec(ctx, "save cursor", `
		INSERT INTO teams_cursor (scope, link, watermark, reader, full_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (scope) DO UPDATE SET link = excluded.link, watermark = excluded.watermark, reader = excluded.reader,
			full_at = excluded.full_at, updated_at = excluded.updated_at`,
		scope, c.Link, ms(c.Watermark), c.Reader, ms(c.FullAt), ms(s.now()))
	return err
}

// ListCursors returns the cursors whose scope begins with a prefix, by scope.
func (s *Cursors) ListCursors(ctx context.Context, prefix string) (map[string]Cursor, error) {
	type row struct {
		scope string
		c     Cursor
	}
	rows, err := list(ctx, s.base, "list cursors", func(r dbutil.Scannable) (out row, err error) {
		var watermark, fullAt int64
		err = r.Scan(&out.scope, &out.c.Link, &watermark, &out.c.Reader, &fullAt)
		out.c.Watermark, out.c.FullAt = fromMS(watermark), fromMS(fullAt)
		return out, err
	}, `SELECT scope, link, watermark, reader, full_at FROM teams_cursor WHERE substr(scope, 1, length(CAST($1 AS TEXT))) = $1`, prefix)
	if err != nil {
		return nil, err
	}
	out := make(map[string]Cursor, len(rows))
	for _, r := range rows {
		out[r.scope] = r.c
	}
	return out, nil
}

// DeleteCursor forgets a scope.
func (s *Cursors) DeleteCursor(ctx context.Context, scope string) error {
	_, err := s.exec(ctx, "delete cursor", `DELETE FROM teams_cursor WHERE scope = $1`, scope)
	return err
}

func scanCursor(row dbutil.Scannable) (c Cursor, err error) {
	var watermark, fullAt int64
	err = row.Scan(&c.Link, &watermark, &c.Reader, &fullAt)
	c.Watermark, c.FullAt = fromMS(watermark), fromMS(fullAt)
	return c, err
}
