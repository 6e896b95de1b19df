package e2e

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/internal/crashtest"
)

// crashSeed is the seed of the short form, the same each time: what it says has
// to be about the change, and the long form looks for more.
func crashSeed(t *testing.T) uint64 {
	s := os.Getenv("TEAMSBRIDGE_TEST_SEED")
	if s == "" {
		return 20261126
	}
	seed, err := strconv.ParseUint(s, 10, 64)
	require.NoError(t, err)
	return seed
}

// The short form of the crash test: everything goes wrong once while people
// talk on both sides, and the bridge is killed eight times. The long form is
// cmd/crashtest.
//
// Proves M1 to M5, S1 and T1 to T5.
func TestCrash(t *testing.T) {
	if os.Getenv("TEAMSBRIDGE_E2E_CRASH") == "" {
		t.Skip("it takes five minutes and a quiet machine: a step of its own in .ci/run, TEAMSBRIDGE_E2E_CRASH=1 runs it")
	}
	build(t)
	dir, err := os.MkdirTemp("", "teamsbridge-crash-*")
	require.NoError(t, err)
	o := crashtest.Options{
		Seed: crashSeed(t), Messages: 300, Kills: 8, Channels: 16, People: 9, Relays: 6,
		Homeserver: "dendrite", Database: "sqlite", Duration: 12 * time.Minute,
		Dir: dir, BridgeBinary: binaries.bridge, DendriteBinary: binaries.dendrite,
	}
	if stackIsSynapse() {
		o.Homeserver = "synapse"
	}
	var out strings.Builder
	defer func() {
		t.Log(out.String())
		if t.Failed() {
			t.Logf("the bridge's log is %s", crashtest.LogPath(dir))
		} else {
			_ = os.RemoveAll(dir)
		}
	}()
	report, err := crashtest.Run(context.Background(), o, &out)
	require.NoError(t, err)
	report.Print(&out)
	require.False(t, report.Failed(), "%d lost, %d doubled, %d reordered, %d different", report.Lost, report.Doubled, report.Reordered, report.Different)
}
