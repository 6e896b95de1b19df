package database

import (
	"context"
	"time"

	"go.mau.fi/util/dbutil"
)

// DigestWrite is a text that a post of a digest was given, or may have been:
// nobody need have seen what became of it.
type DigestWrite struct {
	DigestID string
	Part     int
	// Print finds the text again however Teams writes it, Content tells texts of
	// the same words apart.
	Print, Content string
	// TriedAt is when it was sent last.
	TriedAt time.Time
}

// NoteWrite notes a text before it is sent, as the newest one of its post.
func (s *Digests) NoteWrite(ctx context.Context, w DigestWrite) error {
	_, err := s.exec(ctx, "note what a digest is given", `INSERT INTO teams_digest_write (digest_id, part, seq, print, content, tried_at)
		VALUES ($1, $2, (SELECT COALESCE(MAX(seq), 0) + 1 FROM teams_digest_write WHERE digest_id = $1 AND part = $2), $3, $4, $5)
		ON CONFLICT (digest_id, part, print, content) DO UPDATE SET seq = excluded.seq, tried_at = excluded.tried_at`,
		w.DigestID, w.Part, w.Print, w.Content, ms(s.orNow(w.TriedAt)))
	return err
}

// Writes returns what a post was given, the newest first.
func (s *Digests) Writes(ctx context.Context, digestID string, part int) ([]DigestWrite, error) {
	return list(ctx, s.base, "list what a digest was given", scanDigestWrite, `SELECT digest_id, part, print, content, tried_at
		FROM teams_digest_write WHERE digest_id = $1 AND part = $2 ORDER BY seq DESC`, digestID, part)
}

// PurgeWrites forgets what posts were given before a time, but for the newest of
// each.
func (s *Digests) PurgeWrites(ctx context.Context, before time.Time) error {
	_, err := s.exec(ctx, "purge old writes of digests", `DELETE FROM teams_digest_write WHERE tried_at < $1 AND EXISTS (
		SELECT 1 FROM teams_digest_write newer WHERE newer.digest_id = teams_digest_write.digest_id AND newer.part = teams_digest_write.part
			AND newer.seq > teams_digest_write.seq)`, ms(before))
	return err
}

// OvertakenPost is a post of a digest that does not show what it was given last.
type OvertakenPost struct {
	SentPart
	// Times is how often that was seen.
	Times int64
}

// Overtake says that a post does not show what it was given last.
func (s *Digests) Overtake(ctx context.Context, digestID string, part int) error {
	_, err := s.exec(ctx, "note overtaken digest", `UPDATE teams_sent SET overtaken = overtaken + 1 WHERE event_id = $1 AND part = $2`, digestID, part)
	return err
}

// Overtaken returns a portal's posts that are to be written again.
func (s *Digests) Overtaken(ctx context.Context, portal string) ([]OvertakenPost, error) {
	return list(ctx, s.base, "list overtaken digests", func(row dbutil.Scannable) (p OvertakenPost, err error) {
		p.SentPart, err = scanSent(scanWith{row, []any{&p.Times}})
		return p, err
	}, `SELECT `+sentColumns+`, overtaken FROM teams_sent WHERE portal = $1 AND overtaken <> 0 ORDER BY event_id, part`, portal)
}

// OvertakenPortals returns the portals that have any.
func (s *Digests) OvertakenPortals(ctx context.Context) ([]string, error) {
	return list(ctx, s.base, "list portals of overtaken digests", dbutil.ScanSingleColumn[string],
		`SELECT DISTINCT portal FROM teams_sent WHERE overtaken <> 0 ORDER BY portal`)
}

// Rewritten says that a post was written again, unless somebody has seen since
// that it has to be once more.
func (s *Digests) Rewritten(ctx context.Context, p OvertakenPost) error {
	_, err := s.exec(ctx, "note rewritten digest", `UPDATE teams_sent SET overtaken = 0 WHERE event_id = $1 AND part = $2 AND overtaken = $3`,
		p.EventID, p.Part, p.Times)
	return err
}

// scanWith scans further columns behind those of another scan.
type scanWith struct {
	row  dbutil.Scannable
	more []any
}

// Scan implements dbutil.Scannable.
func (s scanWith) Scan(dest ...any) error { return s.row.Scan(append(dest, s.more...)...) }

func scanDigestWrite(row dbutil.Scannable) (w DigestWrite, err error) {
	var at int64
	err = row.Scan(&w.DigestID, &w.Part, &w.Print, &w.Content, &at)
	w.TriedAt = fromMS(at)
	return w, err
}
