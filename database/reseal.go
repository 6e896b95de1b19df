package database

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.mau.fi/util/dbutil"
)

// Sealing brings what is stored under the key in use: what was sealed with a
// previous one, and what a version that did not seal it has left in the clear.
// How far it is stands in the database, so it goes on after a crash.
type Sealing struct{ base }

// SealStatus says how far that is.
type SealStatus struct {
	// Done says that nothing that can be opened needs a previous key any more.
	Done bool
	// Unopened counts values that none of the keys opens.
	Unopened int
}

// sealMark says how far a column is.
type sealMark struct {
	column, keyID string
	// position are the key columns' values of the last row that was looked at.
	position string
	doneAt   time.Time
	unopened int
}

// Status says how far everything is, without looking at it.
func (s *Sealing) Status(ctx context.Context) (SealStatus, error) {
	marks, err := s.marks(ctx)
	if err != nil {
		return SealStatus{}, err
	}
	status := SealStatus{Done: true}
	for _, c := range sealedColumns {
		mark := marks[c.String()]
		if mark.keyID != s.keyID() || mark.doneAt.IsZero() {
			status.Done = false
		}
		status.Unopened += mark.unopened
	}
	return status, nil
}

// Again has the columns looked through once more in which there were values that
// none of the keys opened: they may be gone by now, or open with another key.
func (s *Sealing) Again(ctx context.Context) error {
	_, err := s.exec(ctx, "look at sealed values again", `DELETE FROM teams_reseal WHERE unopened > 0`)
	return err
}

// Step looks at up to limit values that are not sealed with the key in use, seals
// those that can be opened, and returns how many; done says that there is nothing
// left to look at. A value that is changed meanwhile stays as it is then.
func (s *Sealing) Step(ctx context.Context, limit int) (sealed int, done bool, err error) {
	if s.keyID() == "" {
		return 0, false, ErrNoSealer
	}
	marks, err := s.marks(ctx)
	if err != nil {
		return 0, false, err
	}
	for _, c := range sealedColumns {
		mark := marks[c.String()]
		if mark.keyID != s.keyID() {
			mark = sealMark{column: c.String(), keyID: s.keyID()}
		}
		if mark.doneAt.IsZero() {
			sealed, err = s.step(ctx, c, mark, limit)
			return sealed, false, err
		}
	}
	return 0, true, nil
}

// Tidy takes what was overwritten out of SQLite's log, as far as nobody reads it.
func (s *Sealing) Tidy(ctx context.Context) error {
	if s.db.Dialect != dbutil.SQLite {
		return nil
	}
	rows, err := s.db.Query(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	if err != nil {
		return fmt.Errorf("empty the log: %w", err)
	}
	return rows.Close()
}

// keyID names the key in use; it tells nothing of the key.
func (s *Sealing) keyID() string { return hex.EncodeToString(s.seal.Prefix()) }

func (s *Sealing) marks(ctx context.Context) (map[string]sealMark, error) {
	all, err := list(ctx, s.base, "load marks of sealing", func(row dbutil.Scannable) (m sealMark, err error) {
		var done int64
		err = row.Scan(&m.column, &m.keyID, &m.position, &done, &m.unopened)
		m.doneAt = fromMS(done)
		return m, err
	}, `SELECT column_name, key_id, position, done_at, unopened FROM teams_reseal`)
	out := make(map[string]sealMark, len(all))
	for _, m := range all {
		out[m.column] = m
	}
	return out, err
}

func (s *Sealing) save(ctx context.Context, m sealMark) error {
	_, err := s.exec(ctx, "store mark of sealing", `INSERT INTO teams_reseal (column_name, key_id, position, done_at, unopened) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (column_name) DO UPDATE SET key_id = excluded.key_id, position = excluded.position, done_at = excluded.done_at, unopened = excluded.unopened`,
		m.column, m.keyID, m.position, ms(m.doneAt), m.unopened)
	return err
}

// sealedValue is a value of a column, with where it stands.
type sealedValue struct {
	key   []any
	bound []string
	bytes []byte
	text  string
}

// renewal is a value that is to be stored under the key in use.
type renewal struct {
	before, after any
	key           []any
}

// step looks at one batch of a column. The mark moves when all of it is stored: after
// a crash before that, the batch is looked at again, less what is sealed already.
func (s *Sealing) step(ctx context.Context, c *column, mark sealMark, limit int) (sealed int, err error) {
	position, err := c.position(mark.position)
	if err != nil {
		return 0, err
	}
	op := "seal " + c.String() + " anew"
	values, err := list(ctx, s.base, op, c.scan, c.selectStale(len(position) > 0), append([]any{s.current(c), limit}, position...)...)
	if err != nil {
		return 0, err
	}
	var all []renewal
	for _, v := range values {
		before, after, err := s.renew(c, v)
		if err != nil {
			mark.unopened++
			continue
		}
		all = append(all, renewal{before, after, v.key})
	}
	for together := range slices.Chunk(all, s.together(limit)) {
		n, err := s.replace(ctx, op, c, together)
		sealed += n
		if err != nil {
			return sealed, err
		}
	}
	if len(values) > 0 {
		last, err := json.Marshal(values[len(values)-1].key)
		if err != nil {
			return sealed, fmt.Errorf("%s: %w", op, err)
		}
		mark.position = string(last)
	}
	if len(values) < limit {
		mark.doneAt = s.now()
	}
	return sealed, s.save(ctx, mark)
}

// together is how many values are stored in one transaction. PostgreSQL locks rows:
// whoever holds the lock of one alone is in no deadlock with those who change the same
// rows in another order, and keeps nobody waiting for long. SQLite has one writer.
func (s *Sealing) together(limit int) int {
	if s.db.Dialect == dbutil.Postgres {
		return 1
	}
	return max(limit, 1)
}

// replace stores values that are sealed anew, in one transaction, where they still are
// what they were. One that PostgreSQL gives up for another's sake is repeated.
func (s *Sealing) replace(ctx context.Context, op string, c *column, values []renewal) (sealed int, err error) {
	for try := 0; ; try++ {
		err = s.inTxn(ctx, func(ctx context.Context) error {
			sealed = 0
			if s.db.Dialect == dbutil.SQLite {
				// What stood there is not to be found in the file any more.
				if _, err := s.exec(ctx, op, "PRAGMA secure_delete = ON"); err != nil {
					return err
				}
			}
			for _, v := range values {
				n, err := s.exec(ctx, op, c.update(), append([]any{v.before, v.after}, v.key...)...)
				if err != nil {
					return err
				}
				sealed += int(n)
			}
			return nil
		})
		if err == nil {
			return sealed, nil
		} else if !givenUp(err) || try == resealTries {
			return 0, err
		}
		if err = pause(ctx, resealWait<<try); err != nil {
			return 0, err
		}
	}
}

const (
	// resealTries is how often a transaction is repeated, after a wait that doubles.
	resealTries = 5
	resealWait  = 50 * time.Millisecond
)

// givenUp reports whether PostgreSQL ended a transaction for the sake of another one
// (a deadlock, or isolation that could not be kept): it may be repeated.
func givenUp(err error) bool {
	var state interface{ SQLState() string }
	return errors.As(err, &state) && (state.SQLState() == "40001" || state.SQLState() == "40P01")
}

// current is what values begin with that are sealed with the key in use.
func (s *Sealing) current(c *column) any {
	if c.text {
		return encodePrefix(s.seal.Prefix())
	}
	return s.seal.Prefix()
}

// renew opens a value and seals it with the key in use.
func (s *Sealing) renew(c *column, v sealedValue) (before, after any, err error) {
	if c.text {
		plain, err := s.openText(c, v.text, v.bound...)
		if err != nil {
			return nil, nil, err
		}
		sealed, err := s.sealText(c, plain, v.bound...)
		return v.text, sealed, err
	}
	open := s.openValue
	if c.secret {
		open = s.openSecret
	}
	plain, err := open(c, v.bytes, v.bound...)
	if err != nil {
		return nil, nil, err
	}
	sealed, err := s.sealSecret(c, plain, v.bound...)
	return v.bytes, sealed, err
}

// selectStale returns the query for values that do not begin as those do that are
// sealed with the key in use. It is the only SQL that looks at sealed values.
func (c *column) selectStale(from bool) string {
	names := c.keyNames()
	behind := ""
	if from {
		behind = ` AND (` + strings.Join(names, ", ") + `) > (` + placeholders(3, len(names)) + `)`
	}
	return `SELECT ` + strings.Join(append(append(names, c.bound...), c.name), ", ") + ` FROM ` + c.table +
		` WHERE length(` + c.name + `) > 0 AND substr(` + c.name + `, 1, ` + strconv.Itoa(c.prefixLength()) + `) <> $1` + behind +
		` ORDER BY ` + strings.Join(c.keyNames(), ", ") + ` LIMIT $2`
}

func (c *column) update() string {
	query := `UPDATE ` + c.table + ` SET ` + c.name + ` = $2 WHERE ` + c.name + ` = $1`
	for i, name := range c.keyNames() {
		query += ` AND ` + name + ` = $` + strconv.Itoa(3+i)
	}
	return query
}

func (c *column) keyNames() []string {
	names := make([]string, len(c.key))
	for i, k := range c.key {
		names[i] = k.name
	}
	return names
}

func (c *column) scan(row dbutil.Scannable) (v sealedValue, err error) {
	numbers, words := make([]int64, len(c.key)), make([]string, len(c.key))
	v.key, v.bound = make([]any, len(c.key)), make([]string, len(c.bound))
	var into []any
	for i, k := range c.key {
		if k.number {
			into = append(into, &numbers[i])
		} else {
			into = append(into, &words[i])
		}
	}
	for i := range c.bound {
		into = append(into, &v.bound[i])
	}
	if c.text {
		into = append(into, &v.text)
	} else {
		into = append(into, &v.bytes)
	}
	err = row.Scan(into...)
	for i, k := range c.key {
		if v.key[i] = words[i]; k.number {
			v.key[i] = numbers[i]
		}
	}
	return v, err
}

// position reads where a walk has come to, nothing at its beginning.
func (c *column) position(stored string) ([]any, error) {
	if stored == "" {
		return nil, nil
	}
	var raw []json.RawMessage
	if err := json.Unmarshal([]byte(stored), &raw); err != nil || len(raw) != len(c.key) {
		return nil, fmt.Errorf("position %q in %s is none", stored, c)
	}
	out := make([]any, len(c.key))
	for i, k := range c.key {
		var err error
		if k.number {
			var n int64
			err = json.Unmarshal(raw[i], &n)
			out[i] = n
		} else {
			var text string
			err = json.Unmarshal(raw[i], &text)
			out[i] = text
		}
		if err != nil {
			return nil, fmt.Errorf("position in %s: %w", c, err)
		}
	}
	return out, nil
}
