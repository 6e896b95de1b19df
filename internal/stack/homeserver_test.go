package stack

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
)

// A Dendrite must keep accounts and rooms over a restart, because the tests
// that take the homeserver away rely on it.
func TestDendriteKeepsItsDataOverARestart(t *testing.T) {
	// On a new machine Dendrite is compiled here, beside everything else.
	build, built := context.WithTimeout(t.Context(), 25*time.Minute)
	defer built()
	binary, err := BuildDendrite(build, func(line string) { t.Log(line) })
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	hs, err := NewDendrite(binary, filepath.Join(t.TempDir(), "hs"), nil)
	require.NoError(t, err)
	require.NoError(t, hs.Start(ctx))
	defer hs.Stop()

	cli, err := RegisterUser(ctx, hs, "ada", "secret-for-a-test")
	require.NoError(t, err)
	room, err := cli.CreateRoom(ctx, &mautrix.ReqCreateRoom{Name: "before"})
	require.NoError(t, err)
	sent, err := cli.SendText(ctx, room.RoomID, "hello")
	require.NoError(t, err)

	hs.Stop()
	require.NoError(t, hs.Start(ctx))
	evt, err := cli.GetEvent(ctx, room.RoomID, sent.EventID)
	require.NoError(t, err)
	require.NoError(t, evt.Content.ParseRaw(event.EventMessage))
	require.Equal(t, "hello", evt.Content.AsMessage().Body)
}

// Synapse takes by itself files of 50 MB and no more. What the environment asks
// for besides is kept.
func TestSynapseTakesLargeFiles(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("/proc is Linux's")
	}
	dir := t.TempDir()
	script, got, asked := filepath.Join(dir, "up"), filepath.Join(dir, "got"), filepath.Join(dir, "asked")
	require.NoError(t, os.WriteFile(asked, []byte("experimental_features: {}"), 0o600))
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\ncp \"$SYNAPSE_EXTRA\" '"+got+"'\nsleep 60 >/dev/null 2>&1 &\necho $!\n"), 0o700))
	t.Setenv("SYNAPSE_EXTRA", asked)
	hs, err := NewSynapse(script, nil)
	require.NoError(t, err)
	require.NoError(t, hs.Start(t.Context()))
	hs.Stop()
	config, err := os.ReadFile(got)
	require.NoError(t, err)
	require.Equal(t, "experimental_features: {}\nmax_upload_size: 4096M\n", string(config))
}
