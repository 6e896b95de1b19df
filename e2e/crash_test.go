package e2e

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/internal/crashtest"
)

// The short form of the crash test: everything goes wrong once while people
// talk on both sides, and the bridge is killed eight times. The long form is
// cmd/crashtest.
//
// Proves M1 to M5, S1 and T1 to T5.
func TestCrash(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes minutes")
	}
	build(t)
	dir, err := os.MkdirTemp("", "teamsbridge-crash-*")
	require.NoError(t, err)
	o := crashtest.Options{
		Seed: uint64(time.Now().UnixNano()) % 1_000_000, Messages: 300, Kills: 8, Channels: 16, People: 9, Relays: 6,
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
