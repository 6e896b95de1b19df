package portal_test

import (
	"os"

	"github.com/rs/zerolog"
	"teamsbridge/portal/portaltest"
)

func debugLog(r *portaltest.Rig) {
	if os.Getenv("RIGLOG") != "" {
		r.Log = zerolog.New(zerolog.ConsoleWriter{Out: os.Stderr, NoColor: true})
	}
}
