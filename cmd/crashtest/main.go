package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"teamsbridge/internal/crashtest"
)

func main() {
	var o crashtest.Options
	o.Flags(flag.CommandLine)
	keep := flag.Bool("keep", false, "keep the folder with logs and databases in any case")
	flag.StringVar(&o.BridgeBinary, "bridge", "", "the bridge's binary; it is built where none is named")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "crashtest:", err)
		os.Exit(1)
	}
}

var errDifferent = errors.New("both sides do not agree")

func run(ctx context.Context, o crashtest.Options, keep bool) (err error) {
	if o.BridgeBinary != "" {
		if o.BridgeBinary, err = filepath.Abs(o.BridgeBinary); err != nil {
			return fmt.Errorf("find the bridge's binary: %w", err)
		}
	}
	if o.Dir, err = os.MkdirTemp("", "teamsbridge-crashtest-*"); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer func() {
		if keep || err != nil {
			fmt.Println("Logs and databases are kept in", o.Dir)
			return
		}
		err = os.RemoveAll(o.Dir)
	}()
	report, err := crashtest.Run(ctx, o, os.Stdout)
	if report != nil {
		report.Print(os.Stdout)
	}
	if err == nil && report.Failed() {
		err = errDifferent
	}
	return err
}
