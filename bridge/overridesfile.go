package bridge

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

const (
	// maxOverridesFile bounds the file's size: some 100,000 lines.
	maxOverridesFile = 16 << 20
	// overridesLook is how often the file is looked at.
	overridesLook = time.Minute
)

// overridesHeader is the first line of the file.
func overridesHeader() []string { return []string{"person", "matrix_id"} }

// exceptions are what a file of exceptions says: an account by UPN, mail or id in
// lower case, empty for nobody.
type exceptions struct {
	byPerson map[string]string
	// sum tells one content of the file from another.
	sum string
}

// readOverrides reads a file of exceptions: CSV with two columns and a header. It
// is strict, because what it gets wrong takes somebody's rooms away.
func readOverrides(path string) (*exceptions, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, maxOverridesFile+1))
	if err != nil {
		return nil, err
	} else if len(data) > maxOverridesFile {
		return nil, fmt.Errorf("it is larger than %d MiB", maxOverridesFile>>20)
	}
	sum := sha256.Sum256(data)
	out := &exceptions{byPerson: map[string]string{}, sum: hex.EncodeToString(sum[:])}
	rows := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
	rows.Comment, rows.FieldsPerRecord, rows.TrimLeadingSpace = '#', 2, true
	header, err := rows.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("it is empty: its first line is person,matrix_id")
	} else if err != nil {
		return nil, err
	}
	for i, name := range overridesHeader() {
		if !strings.EqualFold(strings.TrimSpace(header[i]), name) {
			return nil, fmt.Errorf("line 1: column %d is %q and not %q", i+1, header[i], name)
		}
	}
	people, accounts := map[string]int{}, map[string]int{}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, err // it names the line
		}
		line, _ := rows.FieldPos(0)
		person, account := strings.ToLower(strings.TrimSpace(row[0])), strings.TrimSpace(row[1])
		if person == "" {
			return nil, fmt.Errorf("line %d names nobody", line)
		} else if before := people[person]; before > 0 {
			return nil, fmt.Errorf("line %d names %s, as line %d does", line, row[0], before)
		}
		people[person] = line
		out.byPerson[person] = account
		if account == "" {
			continue
		}
		if _, _, err := id.UserID(account).Parse(); err != nil {
			return nil, fmt.Errorf("line %d: %q is not a Matrix id: %w", line, account, err)
		} else if before := accounts[account]; before > 0 {
			return nil, fmt.Errorf("line %d gives %s, as line %d does to somebody else", line, account, before)
		}
		accounts[account] = line
	}
}

// loadOverrides reads the file, if there is one.
func (m *mapper) loadOverrides() error {
	if m.cfg.OverridesFile == "" {
		return nil
	}
	read, err := readOverrides(m.cfg.OverridesFile)
	if err != nil {
		return &ConfigError{"mapping.overrides_file", "can't be used", overridesFix, err}
	}
	return m.take(read)
}

// take puts what a file says into use.
func (m *mapper) take(read *exceptions) error {
	for person := range read.byPerson {
		if _, twice := m.overrides[person]; twice {
			return &ConfigError{"mapping.overrides_file", "names " + person + ", as mapping.overrides does", "keep one of them", nil}
		}
	}
	m.file.Store(read)
	return nil
}

const overridesFix = "write it as CSV: the line person,matrix_id, then a line for each person with their UPN, mail or id and a full Matrix id, or nothing for nobody"

// overridesWatch reads the file again when it has changed.
type overridesWatch struct {
	mapper *mapper
	// changed is told that people are mapped otherwise now.
	changed func()
	// seen is another content than the one in use, which the last look found.
	seen string
}

// look takes over what two looks in a row find: what is half written says of those
// who are not in it yet that they have no exception. A file that can't be used
// changes nothing.
func (w *overridesWatch) look(ctx context.Context) error {
	before := w.seen
	w.seen = ""
	read, err := readOverrides(w.mapper.cfg.OverridesFile)
	if err != nil {
		return fmt.Errorf("mapping.overrides_file can't be used, what was read before stays: %w", err)
	} else if read.sum == w.mapper.file.Load().sum {
		return nil
	} else if read.sum != before {
		w.seen = read.sum
		return nil
	}
	if err := w.mapper.take(read); err != nil {
		return fmt.Errorf("what was read before stays: %w", err)
	}
	zerolog.Ctx(ctx).Info().Int("people", len(read.byPerson)).Msg("mapping.overrides_file has changed")
	w.changed()
	return nil
}
