package crashtest

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"
)

// Options say what a run does. Zero values mean the default.
type Options struct {
	// Seed decides everything that is drawn by lot.
	Seed uint64
	// Messages is how many are said at least, each way. It goes on as long as
	// not all has gone wrong that is to go wrong.
	Messages int
	// Kills is how often the bridge is killed, beside its planned restarts.
	Kills int
	// Channels, People and Relays are the size of the organisation.
	Channels, People, Relays int
	// Homeserver is dendrite or synapse, Database sqlite or postgres.
	Homeserver, Database string
	// Limits enforces Microsoft's documented limits; the bridge keeps to them in
	// any case.
	Limits bool
	// Duration bounds the run, building not included.
	Duration time.Duration
	// Verbose shows each thing that goes wrong.
	Verbose bool

	// Dir is the folder for logs and databases; it must exist.
	Dir string
	// BridgeBinary and DendriteBinary are built where they are empty.
	BridgeBinary, DendriteBinary string
}

// Flags defines a flag for every option that people set.
func (o *Options) Flags(set *flag.FlagSet) {
	set.Uint64Var(&o.Seed, "seed", o.Seed, "seed of the run; 0 takes one from the clock")
	set.IntVar(&o.Messages, "messages", 2000, "messages each way, at least")
	set.IntVar(&o.Kills, "kills", 30, "how often the bridge is killed")
	set.IntVar(&o.Channels, "channels", 24, "channels")
	set.IntVar(&o.People, "people", 12, "people: a third with a sign-in, a third without, a third in Teams only")
	set.IntVar(&o.Relays, "relays", 8, "relay accounts")
	set.StringVar(&o.Homeserver, "homeserver", "dendrite", "dendrite, or synapse where the environment names a program that starts one")
	set.StringVar(&o.Database, "database", "sqlite", "the bridge's database: sqlite or postgres")
	set.BoolVar(&o.Limits, "limits", false, "enforce Microsoft's documented limits")
	set.DurationVar(&o.Duration, "duration", 2*time.Hour, "the longest that the run may take")
	set.BoolVar(&o.Verbose, "v", false, "show each thing that goes wrong")
}

// String is the command line that repeats the run.
func (o *Options) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "-seed %d -messages %d -kills %d -channels %d -people %d -relays %d -homeserver %s -database %s",
		o.Seed, o.Messages, o.Kills, o.Channels, o.People, o.Relays, o.Homeserver, o.Database)
	if o.Limits {
		b.WriteString(" -limits")
	}
	fmt.Fprintf(&b, " -duration %s", o.Duration)
	return b.String()
}

func (o *Options) check() error {
	if o.Messages < 1 || o.Kills < 0 || o.Channels < 1 || o.People < 3 || o.Relays < 2 {
		return errors.New("there must be a message, a channel, three people and two relay accounts at least")
	}
	return nil
}
