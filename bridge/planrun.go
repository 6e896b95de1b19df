package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"go.mau.fi/util/dbutil"
	flag "maunium.net/go/mauflag"
	"maunium.net/go/mautrix/id"

	"teamsbridge/bridge/check"
	"teamsbridge/bridge/plan"
	"teamsbridge/database"
	"teamsbridge/portal"
)

// planTimeout bounds a plan: two requests a team, in a tenant of thousands.
const planTimeout = 2 * time.Hour

const planHelp = `teamsbridge plan [-c config.yaml] [--people] [--json]

Prints what the bridge would do to rooms and people at its next look at the
tenant: what would be made, renamed and let go, who would join and leave, who
would be mapped to a Matrix account. It changes nothing.

  -c, --config   the configuration file, config.yaml where not given
      --people   name everybody, not only the first five of each room
      --json     the steps for programs

It ends with 0 where there is nothing to do, 4 where there is, 1 where the plan
could not be made, and 2 where the command line is wrong.
`

// runPlan is the program's subcommand `plan`.
func runPlan(c *Connector, args []string, out, errOut io.Writer) int {
	flags := flag.New(args)
	config := flags.MakeFull("c", "config", "", "config.yaml").String()
	people := flags.Make().LongKey("people").Default("false").Bool()
	asJSON := flags.Make().LongKey("json").Default("false").Bool()
	if code, done := parseSubcommand(flags, planHelp, out, errOut); done {
		return code
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, planTimeout)
	defer cancel()
	p, err := c.plan(ctx, *config)
	if err != nil {
		_, _ = fmt.Fprintf(errOut, "The plan could not be made: %v\n", err)
		return plan.ExitFailed
	}
	if *asJSON {
		err = p.WriteJSON(out)
	} else {
		err = p.Write(out, *people)
	}
	if err != nil {
		_, _ = fmt.Fprintln(errOut, err)
		return plan.ExitFailed
	}
	return p.ExitCode()
}

// plan loads what there is and makes the plan.
func (c *Connector) plan(ctx context.Context, config string) (*plan.Plan, error) {
	report := &check.Report{}
	area := report.Area("config")
	if c.loadForCheck(config, area) {
		c.checkConfig(area)
	}
	if !area.OK() {
		return nil, complaint(report)
	}
	secrets, err := c.Config.loadSecrets()
	if err != nil {
		return nil, err
	}
	seal, err := secrets.sealer()
	if err != nil {
		return nil, err
	}
	area = report.Area("database")
	db, exists, closeDB := c.checkDatabase(ctx, seal, area)
	defer closeDB()
	if !area.OK() {
		return nil, complaint(report)
	} else if db == nil && exists {
		return nil, errors.New("the database's tables are of an older version: start the bridge once, which upgrades them, or plan with the version that made them")
	}
	quiet := newHealth(func(context.Context) error { return nil }, time.Now)
	graph, err := c.openGraph(ctx, secrets, nil, quiet, func() {})
	if err != nil {
		return nil, err
	}
	in := planInput{
		reader: graph.reader, cfg: &c.Config, domain: c.main.Config.Homeserver.Domain, relay: c.systemLoginID(),
		rooms: map[string]id.RoomID{}, placed: map[string][]string{},
	}
	in.active = func(context.Context, string, time.Time) ([]string, error) { return nil, nil }
	if db != nil {
		if err = in.load(ctx, db); err != nil {
			return nil, err
		}
		in.active = func(ctx context.Context, portalID string, since time.Time) ([]string, error) {
			return portal.ActiveSince(ctx, db.Database, c.br.ID, portalID, since)
		}
	}
	copied, done, err := scratch(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	p, err := newPlanner(ctx, in, copied)
	if err != nil {
		return nil, err
	}
	return p.run(ctx)
}

// complaint is what a report found wrong, as an error.
func complaint(r *check.Report) error {
	var text strings.Builder
	for _, f := range r.Findings {
		if f.Status == check.Wrong {
			text.WriteString("\n" + f.Line())
		}
	}
	return errors.New(strings.TrimRight(text.String(), "\n"))
}

// load reads what the bridge knows of rooms and people.
func (in *planInput) load(ctx context.Context, db *database.Database) (err error) {
	if in.catalog, err = db.Conversations.All(ctx); err != nil {
		return err
	}
	if in.choices, err = db.Selections.All(ctx); err != nil {
		return err
	}
	if in.staff, err = db.Staff.All(ctx); err != nil {
		return err
	}
	if in.optOuts, err = db.OptOuts.All(ctx); err != nil {
		return err
	}
	type pair struct{ portal, other string }
	scan := func(row dbutil.Scannable) (p pair, err error) { return p, row.Scan(&p.portal, &p.other) }
	rooms, err := dbutil.ConvertRowFn[pair](scan).NewRowIter(db.Query(ctx, `SELECT id, mxid FROM portal WHERE mxid IS NOT NULL`)).AsList()
	if err != nil {
		return fmt.Errorf("list rooms: %w", err)
	}
	for _, r := range rooms {
		in.rooms[r.portal] = id.RoomID(r.other)
	}
	placed, err := dbutil.ConvertRowFn[pair](scan).NewRowIter(db.Query(ctx, `SELECT portal_id, login_id FROM user_portal`)).AsList()
	if err != nil {
		return fmt.Errorf("list who was put into rooms: %w", err)
	}
	for _, p := range placed {
		if p.other != string(in.relay) {
			in.placed[p.portal] = append(in.placed[p.portal], p.other)
		}
	}
	return nil
}
