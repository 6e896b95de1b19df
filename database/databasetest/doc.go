// Package databasetest has the conformance suite of the stores, and throw-away
// databases to run it (and other packages' tests) on: SQLite in a temporary
// directory, with the settings the bridge uses, and a PostgreSQL cluster that
// lives as long as a test.
//
// A test that needs PostgreSQL skips where there is none, and says what to
// install; TEAMSBRIDGE_TEST_POSTGRES names a server to use instead, and
// TEAMSBRIDGE_REQUIRE_POSTGRES=1 turns the absence into a failure.
package databasetest
