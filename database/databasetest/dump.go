package databasetest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mau.fi/util/dbutil"
)

// Dump returns all values of all columns of all tables, as a dump of the database
// would have them: a line says table and column.
func Dump(t testing.TB, ctx context.Context, db *dbutil.Database) string {
	t.Helper()
	query := `SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name`
	if db.Dialect == dbutil.Postgres {
		query = `SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() ORDER BY table_name`
	}
	rows, err := db.Query(ctx, query)
	tables, err := dbutil.ConvertRowFn[string](dbutil.ScanSingleColumn[string]).NewRowIter(rows, err).AsList()
	require.NoError(t, err)
	require.Contains(t, tables, "teams_outbox")
	var out strings.Builder
	for _, table := range tables {
		dumpTable(t, ctx, db, table, &out)
	}
	return out.String()
}

func dumpTable(t testing.TB, ctx context.Context, db *dbutil.Database, table string, out *strings.Builder) {
	t.Helper()
	rows, err := db.Query(ctx, `SELECT * FROM "`+table+`"`)
	require.NoError(t, err)
	defer func() { _ = rows.Close() }()
	names, err := rows.Columns()
	require.NoError(t, err)
	for rows.Next() {
		values, into := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		require.NoError(t, rows.Scan(into...))
		for i, v := range values {
			if raw, ok := v.([]byte); ok {
				v = string(raw)
			}
			_, _ = fmt.Fprintf(out, "%s.%s %v\n", table, names[i], v)
		}
	}
	require.NoError(t, rows.Err())
}

// RequireSealed fails where a dump holds one of the words, and says where.
func RequireSealed(t testing.TB, ctx context.Context, db *dbutil.Database, words ...string) {
	t.Helper()
	for line := range strings.Lines(Dump(t, ctx, db)) {
		for _, word := range words {
			if strings.Contains(line, word) {
				require.Fail(t, "a dump holds "+word, line)
			}
		}
	}
}
