package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"teamsbridge/internal/demopage"
	"teamsbridge/internal/stack"
)

func main() {
	once := flag.Bool("once", false, "play the tour, check that both sides agree, and exit")
	homeserver := flag.String("homeserver", "dendrite", "dendrite, or synapse where "+stack.SynapseScriptEnv+" names a program that starts one")
	keep := flag.Bool("keep", false, "keep the folder with logs and databases")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *once, *homeserver, *keep)
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case interrupted:
		fmt.Println("\nInterrupted. Everything that was started has been stopped.")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "\nThe demo failed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, once bool, homeserver string, keep bool) (err error) {
	dir, err := os.MkdirTemp("", "teamsbridge-demo-*")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	var s *stack.Stack
	defer func() {
		if s != nil {
			s.Close()
		}
		if keep || (err != nil && ctx.Err() == nil) {
			fmt.Println("Logs and databases are kept in", dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	out := newTranscript(os.Stdout)
	out.title("teamsbridge: Teams and Matrix side by side on this machine")
	out.say("Real: the homeserver (%s), the bridge, every HTTP request between them.", homeserver)
	out.say("Simulated: the Microsoft 365 tenant. Nothing leaves this machine.")
	out.heading("Starting")
	began := time.Now()
	opts := stack.Options{Dir: dir, Homeserver: homeserver, Progress: out.progress}
	metrics := ""
	if !once {
		if opts.Settings, metrics, err = demopage.BridgeSettings(); err != nil {
			return err
		}
	}
	s, err = stack.Up(ctx, opts)
	out.progressDone()
	if err != nil {
		return err
	}
	out.done(time.Since(began), "built the bridge and started %s and the tenant", homeserver)
	t := &tour{out: out, stack: s, ctx: ctx}
	if err = t.prepare(!once); err != nil {
		return err
	}
	if once {
		return t.play()
	}
	return t.stay(metrics)
}
