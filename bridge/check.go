package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	flag "maunium.net/go/mauflag"

	"teamsbridge/bridge/check"
)

// checkTimeout bounds a whole check: a directory of 50,000 people is read in it.
const checkTimeout = 15 * time.Minute

// exitUsage is for a command line that can't be understood.
const exitUsage = 2

// checkOptions are the flags of `check`.
type checkOptions struct {
	config, registration string
	json                 bool
}

const checkHelp = `teamsbridge check [-c config.yaml] [-r registration.yaml] [--json]

Tests everything that the bridge needs, from the configuration to Microsoft's
consent, and says for each thing whether it is right, and how to mend it. It
changes nothing but this: where the webhook is on, it makes a subscription at
Microsoft Graph and deletes it again.

  -c, --config         the configuration file, config.yaml where not given
  -r, --registration   the registration file that the homeserver loads
      --json           the findings for programs

It ends with 0 where everything is right, 1 where something is wrong, 3 where
there are warnings alone, and 2 where the command line is wrong.
`

// parseSubcommand reads the flags of a subcommand; done says that there is no more
// to do than to end with the code.
func parseSubcommand(flags *flag.Set, help string, out, errOut io.Writer) (code int, done bool) {
	wanted := flags.MakeFull("h", "help", "", "false").Bool()
	err := flags.Parse()
	if err == nil && len(flags.Args()) > 0 {
		err = fmt.Errorf("%q is not understood", flags.Args()[0])
	}
	switch {
	case err != nil:
		_, _ = fmt.Fprintf(errOut, "%v\n\n%s", err, help)
		return exitUsage, true
	case *wanted:
		_, _ = io.WriteString(out, help)
		return 0, true
	}
	return 0, false
}

// runCheck is the program's subcommand `check`.
func runCheck(c *Connector, args []string, out, errOut io.Writer) int {
	flags := flag.New(args)
	config := flags.MakeFull("c", "config", "", "config.yaml").String()
	registration := flags.MakeFull("r", "registration", "", "").String()
	asJSON := flags.Make().LongKey("json").Default("false").Bool()
	if code, done := parseSubcommand(flags, checkHelp, out, errOut); done {
		return code
	}
	o := checkOptions{config: *config, registration: *registration, json: *asJSON}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	report := &check.Report{}
	if !o.json {
		report.Each = func(f check.Finding) { _, _ = io.WriteString(out, f.Line()) }
	}
	c.check(ctx, o, report)
	if errors.Is(ctx.Err(), context.Canceled) {
		_, _ = fmt.Fprintln(errOut, "interrupted")
		return check.ExitWrong
	}
	if o.json {
		if err := report.WriteJSON(out); err != nil {
			_, _ = fmt.Fprintln(errOut, err)
			return check.ExitWrong
		}
	} else {
		_, _ = io.WriteString(out, "\n"+report.Summary())
	}
	return report.ExitCode()
}

// check looks at one thing after the other. What needs something that is wrong
// is left out, so that one mistake is one finding.
func (c *Connector) check(ctx context.Context, o checkOptions, report *check.Report) {
	config := report.Area("config")
	if !c.loadForCheck(o.config, config) {
		return
	}
	c.checkConfig(config)
	secrets, err := c.Config.loadSecrets()
	if err != nil {
		return // Validate has said so
	}
	seal, err := secrets.sealer()
	if err != nil {
		seal = nil // Validate has said so
	}
	stored := report.Area("database")
	db, exists, closeDB := c.checkDatabase(ctx, seal, stored)
	defer closeDB()
	if db != nil {
		c.checkSealing(ctx, db, secrets, stored)
	}
	running := exists && c.checkInstance(ctx, stored)
	area := report.Area("homeserver")
	if address := c.main.Config.Homeserver.Address; address == "" || address == exampleHomeserver {
		area.Skipped("not-set", "homeserver.address is not set")
	} else {
		c.checkHomeserver(ctx, o.registration, running, area)
	}
	if c.Config.TenantID == "" || c.Config.ClientID == "" {
		return
	}
	area = report.Area("sign-in")
	graph, roles := c.checkSignIn(ctx, secrets, area)
	if graph == nil {
		return
	}
	area = report.Area("permissions")
	v := c.checkPermissions(ctx, graph, roles, area)
	if v.teams != nil {
		c.checkSelection(v, report.Area("selection"))
	}
	c.checkWebhook(ctx, v, running, report.Area("webhook"))
	c.checkWebLogin(ctx, running, report.Area("web-sign-in"))
	c.checkMapping(v, report.Area("mapping"))
	if stored.OK() {
		c.checkRelay(ctx, db, v, report.Area("relay"))
	} else {
		report.Area("relay").Skipped("accounts", "which relay accounts there are stands in the database")
	}
}
