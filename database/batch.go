package database

import (
	"strconv"
	"strings"
)

// batchRows is how many rows go into one statement: a round trip costs more
// than a row.
const batchRows = 100

// rowList builds the VALUES of an insert of several rows.
type rowList struct {
	rows []string
	args []any
}

func (l *rowList) add(values ...any) {
	l.rows = append(l.rows, "("+placeholders(len(l.args)+1, len(values))+")")
	l.args = append(l.args, values...)
}

func (l *rowList) sql() string { return strings.Join(l.rows, ", ") }

// placeholders returns n placeholders from a number on.
func placeholders(from, n int) string {
	marks := make([]string, n)
	for i := range marks {
		marks[i] = "$" + strconv.Itoa(from+i)
	}
	return strings.Join(marks, ", ")
}
