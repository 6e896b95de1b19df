// Package portaltest is a bridge in one process for tests: bridgev2 with its
// real database and event loops, a homeserver and a tenant in memory on either
// side, each with failures on demand, and restarts that keep what survives one.
//
// The homeserver fake stands at bridgev2's MatrixConnector, so it proves
// nothing about HTTP; package matrix and the end-to-end tests do that. The
// tenant fake stands at teams.Reader and teams.Writer. What must not live here:
// assertions about the product; those are in the tests.
package portaltest
