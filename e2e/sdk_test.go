//go:build !lint

package e2e

// The bridge that these tests build needs the Graph SDK, which compiles for
// minutes. As a dependency of this package it is compiled before the tests' own
// time begins to run. Who only reads the code (the tag lint) is spared it.
import _ "teamsbridge/teams/graph"
