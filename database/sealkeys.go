package database

import (
	"context"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"go.mau.fi/util/dbutil"
)

// KeyID names an encryption key. The name tells nothing of the key; each value that
// is sealed with it has it in front.
func KeyID(secret string) (string, error) {
	key, err := deriveSealKey(secret)
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(key.id[:]), nil
}

// MissingKey is an encryption key that stored values are sealed with, and that is
// none of those in use.
type MissingKey struct {
	// ID is what KeyID says of the key.
	ID     string
	Values int
}

// Missing looks at everything that is sealed, and returns the keys that would open
// values which none of those in use opens. The key with the most values is first.
func (s *Sealing) Missing(ctx context.Context) ([]MissingKey, error) {
	values := map[string]int{}
	for _, c := range sealedColumns {
		prefixes, err := list(ctx, s.base, "look for missing keys", func(row dbutil.Scannable) (found prefixCount, err error) {
			err = row.Scan(&found.prefix, &found.values)
			return found, err
		}, c.countPrefixes(), s.mark(c))
		if err != nil {
			return nil, err
		}
		for _, found := range prefixes {
			if id, ok := c.prefixKey(found.prefix); ok && !s.seal.Has(id) {
				values[hex.EncodeToString(id)] += found.values
			}
		}
	}
	missing := make([]MissingKey, 0, len(values))
	for id, n := range values {
		missing = append(missing, MissingKey{id, n})
	}
	slices.SortFunc(missing, func(a, b MissingKey) int {
		if a.Values != b.Values {
			return b.Values - a.Values
		}
		return strings.Compare(a.ID, b.ID)
	})
	return missing, nil
}

type prefixCount struct {
	prefix []byte
	values int
}

// mark is what all sealed values of a column begin with, and no others do.
func (s *Sealing) mark(c *column) any {
	if c.text {
		return textMark
	}
	return []byte{sealVersion}
}

// countPrefixes returns the query for how many sealed values there are of each key.
func (c *column) countPrefixes() string {
	prefix := `substr(` + c.name + `, 1, ` + strconv.Itoa(c.prefixLength()) + `)`
	return `SELECT ` + prefix + `, COUNT(*) FROM ` + c.table + ` WHERE length(` + c.name + `) > 0 AND substr(` + c.name + `, 1, 1) = $1 GROUP BY ` + prefix
}

// prefixLength is how long what stands in front of a sealed value is, in the column.
func (c *column) prefixLength() int {
	if c.text {
		return len(textMark) + 2*sealedPrefix
	}
	return sealedPrefix
}

// prefixKey returns the id of the key of a sealed value, given what stands in front.
func (c *column) prefixKey(prefix []byte) (id []byte, ok bool) {
	if c.text {
		var err error
		if prefix, err = hex.DecodeString(strings.TrimPrefix(string(prefix), textMark)); err != nil {
			return nil, false
		}
	}
	if len(prefix) != sealedPrefix || prefix[0] != sealVersion {
		return nil, false
	}
	return prefix[1:], true
}
