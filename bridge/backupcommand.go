package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	flag "maunium.net/go/mauflag"

	"teamsbridge/bridge/check"
	"teamsbridge/database"
)

const backupHelp = `teamsbridge backup [-c config.yaml] FILE

Writes a copy of the bridge's SQLite database to FILE, which must not be there
yet, while the bridge works or not. PostgreSQL has pg_dump for that. The config
and the registrations are files of their own, to be copied beside it.

  -c, --config   the configuration file, config.yaml where not given

It ends with 0 where FILE is whole and on the disk, 1 where there is none, and 2
where the command line is wrong.
`

// runBackup is the program's subcommand `backup`.
func runBackup(c *Connector, args []string, out, errOut io.Writer) int {
	flags := flag.New(args)
	config := flags.MakeFull("c", "config", "", "config.yaml").String()
	wanted := flags.MakeFull("h", "help", "", "false").Bool()
	err := flags.Parse()
	switch {
	case err == nil && *wanted:
		_, _ = io.WriteString(out, backupHelp)
		return 0
	case err == nil && len(flags.Args()) != 1:
		err = errors.New("name one file")
	}
	if err != nil {
		_, _ = fmt.Fprintf(errOut, "%v\n\n%s", err, backupHelp)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := c.backup(ctx, *config, flags.Arg(0)); err != nil {
		_, _ = fmt.Fprintf(errOut, "There is no backup: %v\n", err)
		return 1
	}
	_, _ = fmt.Fprintln(out, "The database is in", flags.Arg(0))
	return 0
}

func (c *Connector) backup(ctx context.Context, config, path string) error {
	report := &check.Report{}
	if !c.loadForCheck(config, report.Area("config")) {
		return complaint(report)
	}
	err := database.Backup(ctx, c.main.Config.Database.PoolConfig, path)
	if errors.Is(err, database.ErrNotSQLite) {
		return fmt.Errorf("%w: back up PostgreSQL with pg_dump --format=custom", err)
	}
	return err
}
