package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// backUp has the bridge's own subcommand copy the database, and returns the copy.
func (o *office) backUp() string {
	o.t.Helper()
	path := filepath.Join(o.t.TempDir(), "copy.db")
	_, stderr, code, err := o.Bridge.Subcommand(o.ctx, nil, "backup", path)
	require.NoError(o.t, err)
	require.Zero(o.t, code, stderr)
	return path
}

// restore puts a copy where the bridge's database was, which is lost with all
// that lies beside it.
func (o *office) restore(path string) {
	o.t.Helper()
	lost, err := filepath.Glob(o.Bridge.DatabasePath() + "*")
	require.NoError(o.t, err)
	for _, file := range lost {
		require.NoError(o.t, os.Remove(file))
	}
	data, err := os.ReadFile(path)
	require.NoError(o.t, err)
	require.NoError(o.t, os.WriteFile(o.Bridge.DatabasePath(), data, 0o600))
}

// A copy that was made while the bridge worked, and after which nothing was
// delivered, takes the database's place: what was said while the bridge was away
// comes, and nothing comes twice.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{})
	o.runRelayed(o.ada)
	ben := o.as(stack.Localpart(o.ben))
	room := o.room(ben, o.general)
	for i := range 5 {
		o.general.Post(o.cleo, teamstest.Msg{HTML: fmt.Sprintf("<p>from Teams %d before</p>", i)})
		_, err := ben.SendText(o.ctx, room, fmt.Sprintf("from Matrix %d before", i))
		require.NoError(t, err)
	}
	o.count("from Matrix", 5)
	o.agree(o.general)
	o.quiet()
	copied := o.backUp()
	o.Bridge.Kill()
	for i := range 5 {
		o.general.Post(o.cleo, teamstest.Msg{HTML: fmt.Sprintf("<p>from Teams %d while away</p>", i)})
		_, err := ben.SendText(o.ctx, room, fmt.Sprintf("from Matrix %d while away", i))
		require.NoError(t, err)
	}
	o.restore(copied)
	o.run()
	o.count("from Matrix", 10)
	o.agree(o.general)
	require.Empty(t, o.Tenant.Violations(teamstest.ViolationRepeatedWrite))
}

// count waits until Teams has as many messages with the text.
func (o *office) count(text string, want int) {
	o.t.Helper()
	o.within(2*time.Minute, "the messages in Teams", func(context.Context) error {
		n := 0
		for _, m := range o.general.Messages() {
			if strings.Contains(m.Content, text) {
				n++
			}
		}
		if n != want {
			return errors.New(fmt.Sprint(n, " of ", want))
		}
		return nil
	})
}
