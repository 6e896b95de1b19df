// Package pgserver starts throw-away PostgreSQL servers for tests: a cluster in
// a temporary directory on a free port of the loopback interface, run by an
// unprivileged user where we are root. The conformance suite of the stores and
// the end-to-end stack both use it.
//
// What must not live here: anything that the bridge itself imports, and any
// knowledge of its tables.
package pgserver
