// Package upgrades holds the schema of the bridge's own tables as numbered SQL
// files. A released file is never edited: a change is a new file, and
// 00-latest.sql is what a fresh database gets.
package upgrades

import (
	"embed"

	"go.mau.fi/util/dbutil"
)

//go:embed *.sql
var files embed.FS

// Table returns the upgrades in order.
func Table() dbutil.UpgradeTable {
	return dbutil.BuildUpgradeTable().WithFS(files).Finish()
}
