package crashtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// trouble is something that goes wrong for a while.
type trouble struct {
	name string
	// begin starts it; it returns what ends it and how often it has struck.
	begin func(ctx context.Context) (struck func() int, end func(ctx context.Context) error, err error)
	// want is how often it ought to strike before it ends.
	want int
	// least and most bound how long it lasts.
	least, most time.Duration
}

// Trouble is what a run reports of one kind of trouble.
type Trouble struct {
	Name        string
	Times, Hits int
}

// troubling lets every kind of trouble happen in turn, in an order drawn by lot.
func (r *run) troubling(ctx context.Context, rng *rand.Rand) error {
	for round := range r.o.rounds() {
		list := r.troubles(rng)
		rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		share := 2 * r.o.Messages * 9 / 10 / r.o.rounds() / len(list)
		for i, t := range list {
			r.out.progress("round %d, trouble %d of %d: %s", round+1, i+1, len(list), t.name)
			if err := r.trouble(ctx, rng, t, share); err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
		}
	}
	return nil
}

// rounds is how often every kind of trouble comes.
func (o *Options) rounds() int { return 1 + o.Messages/4000 }

// trouble lets one trouble happen, and then a time of peace.
func (r *run) trouble(ctx context.Context, rng *rand.Rand, t trouble, share int) error {
	r.out.detail("%s begins", t.name)
	struck, end, err := t.begin(ctx)
	if err != nil {
		return err
	}
	began, from := time.Now(), r.book.progress()
	arrivals := 1 + rng.IntN(max(1, share))
	for time.Since(began) < t.most {
		over := struck() >= t.want && time.Since(began) >= t.least
		if over && r.book.progress()-from >= arrivals/2 {
			break
		}
		if err = r.pause(ctx, 20*time.Millisecond); err != nil {
			break
		}
	}
	hits := struck()
	if endErr := end(ctx); err == nil {
		err = endErr
	}
	r.report.trouble(t.name, hits)
	r.out.detail("%s ends after %s and %d hits", t.name, time.Since(began).Round(time.Millisecond), hits)
	if err != nil {
		return err
	}
	return r.await(ctx, arrivals)
}

// always is the count of a trouble that strikes by being there.
func always() int { return 1 }

// never is the count of one that could not be begun.
func never() int { return 0 }

// troubles lists one of every kind.
func (r *run) troubles(rng *rand.Rand) []trouble {
	list := r.graphFaults(rng)
	list = append(list, r.outages(rng)...)
	list = append(list, r.homeserverTroubles(rng)...)
	return append(list, r.databaseBusy(rng), r.databaseBusy(rng))
}
