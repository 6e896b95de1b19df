package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	flag "maunium.net/go/mauflag"

	"teamsbridge/bridge/check"
)

// healthTimeout bounds the subcommand health.
const healthTimeout = 5 * time.Second

const healthHelp = `teamsbridge health [-c config.yaml] [--ready] [--json]

Asks the bridge that runs with this configuration how it is, through
network.metrics.listen. It is what a container's health check runs.

  -c, --config   the configuration file, config.yaml where not given
      --ready    whether this instance works, too: one that waits for another's
                 end is well, and not ready
      --json     the answer for programs

It ends with 0 where the bridge is well or degraded, 1 where it is down or does
not answer, and 2 where the command line or the configuration is wrong.
`

// runHealth is the program's subcommand `health`.
func runHealth(c *Connector, args []string, out, errOut io.Writer) int {
	flags := flag.New(args)
	config := flags.MakeFull("c", "config", "", "config.yaml").String()
	ready := flags.Make().LongKey("ready").Default("false").Bool()
	asJSON := flags.Make().LongKey("json").Default("false").Bool()
	if code, done := parseSubcommand(flags, healthHelp, out, errOut); done {
		return code
	}
	address, err := c.metricsAddress(*config)
	if err != nil {
		_, _ = fmt.Fprintln(errOut, err)
		return exitUsage
	}
	path := "/healthz"
	if *ready {
		path = "/readyz"
	}
	v, raw, good, err := askHealth("http://" + address + path)
	if err != nil {
		_, _ = fmt.Fprintln(errOut, err)
		return 1
	}
	if *asJSON {
		_, _ = out.Write(raw)
	} else {
		_, _ = fmt.Fprintf(out, "%s (%s)\n", v.Status, v.Role)
		for _, reason := range v.Reasons {
			_, _ = fmt.Fprintf(out, "  %s: %s: %s\n", reason.What, reason.State, reason.Text)
		}
	}
	if !good {
		return 1
	}
	return 0
}

// metricsAddress is where the bridge with this config can be asked from here.
func (c *Connector) metricsAddress(path string) (string, error) {
	report := &check.Report{}
	if !c.loadForCheck(path, report.Area("config")) {
		return "", complaint(report)
	}
	listen := c.Config.Metrics.Listen
	if listen == "" {
		return "", errors.New("network.metrics.listen is empty: set it, such as 127.0.0.1:9090, so that the bridge can be asked")
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("network.metrics.listen: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port), nil
}

// askHealth asks a bridge how it is; good is what the status code says.
func askHealth(url string) (v condition, raw []byte, good bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return v, nil, false, err
	}
	// Never through the environment's proxy: it is this machine that is asked.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return v, nil, false, fmt.Errorf("the bridge does not answer: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if raw, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20)); err != nil {
		return v, nil, false, fmt.Errorf("the bridge does not answer: %w", err)
	}
	if err = json.Unmarshal(raw, &v); err != nil || v.Status == "" {
		return v, nil, false, fmt.Errorf("%s answers %s, but not as the bridge does", url, resp.Status)
	}
	return v, raw, resp.StatusCode == http.StatusOK, nil
}
