// Package check is the report of `teamsbridge check`: findings about one
// installation, each right, doubtful or wrong, with what is to be done about it.
//
// What lives here: the findings, how they are printed for people and for
// programs, and which exit code they make. What must not live here: the looking
// itself, which is package bridge's because it uses what the bridge uses.
package check
