package portal_test

import (
	"os"

	"github.com/rs/zerolog"

	"teamsbridge/portal/portaltest"
)

// debugLog shows what the bridge logs, where the environment asks for it.
func debugLog(r *portaltest.Rig) {
	if os.Getenv("TEAMSBRIDGE_TEST_LOG") != "" {
		r.Log = zerolog.New(zerolog.ConsoleWriter{Out: os.Stderr, NoColor: true})
	}
}
