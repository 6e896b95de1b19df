package teams

import (
	"context"
	"time"

	"golang.org/x/time/rate"
)

// budgetSource holds the routine to its request budget.
type budgetSource struct {
	src     MessageSource
	limiter *rate.Limiter
}

func (b budgetSource) ExportTeam(ctx context.Context, teamID string, since time.Time, link string) (Page, error) {
	if err := b.limiter.Wait(ctx); err != nil {
		return Page{}, err
	}
	return b.src.ExportTeam(ctx, teamID, since, link)
}

func (b budgetSource) Delta(ctx context.Context, ch ChannelRef, since time.Time, link string) (Page, error) {
	if err := b.limiter.Wait(ctx); err != nil {
		return Page{}, err
	}
	return b.src.Delta(ctx, ch, since, link)
}

func (b budgetSource) List(ctx context.Context, ch ChannelRef, link string) (Page, error) {
	if err := b.limiter.Wait(ctx); err != nil {
		return Page{}, err
	}
	return b.src.List(ctx, ch, link)
}

func (b budgetSource) Replies(ctx context.Context, root MessageRef, link string) (Page, error) {
	if err := b.limiter.Wait(ctx); err != nil {
		return Page{}, err
	}
	return b.src.Replies(ctx, root, link)
}
