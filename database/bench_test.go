package database_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.mau.fi/util/dbutil"

	"teamsbridge/database"
	"teamsbridge/database/databasetest"
)

// The benchmarks time what one message costs in SQL, every commit synced, with
// a history of 20,000 finished rows in the tables.
func BenchmarkSQLite(b *testing.B) { benchmark(b, databasetest.SQLite(b)) }

func BenchmarkPostgres(b *testing.B) { benchmark(b, databasetest.Postgres(b).Open(b)) }

func benchmark(b *testing.B, parent *dbutil.Database) {
	ctx := context.Background()
	db := databasetest.New(b, parent)
	at := time.UnixMilli(1_700_000_000_000).UTC()
	fill(b, ctx, db, at)
	body := make([]byte, 1500)
	serial := 0
	next := func() int { serial++; return serial }
	must := func(b *testing.B, err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	enqueue := func(b *testing.B) *database.OutboxRow {
		row := &database.OutboxRow{EventID: fmt.Sprintf("$out%d", next()), Portal: "c:1", Kind: database.KindMessage, Payload: body}
		_, err := db.Outbox.Enqueue(ctx, row)
		must(b, err)
		return row
	}

	b.Run("JournalAppend", func(b *testing.B) {
		for b.Loop() {
			must(b, db.Journal.Append(ctx, []database.JournalEntry{{EventID: fmt.Sprintf("$j%d", next()), Raw: body}}))
		}
	})
	b.Run("JournalAppend100", func(b *testing.B) {
		for b.Loop() {
			entries := make([]database.JournalEntry, 100)
			for i := range entries {
				entries[i] = database.JournalEntry{EventID: fmt.Sprintf("$j%d", next()), Raw: body}
			}
			must(b, db.Journal.Append(ctx, entries))
		}
	})
	b.Run("OutboxEnqueue", func(b *testing.B) {
		for b.Loop() {
			enqueue(b)
		}
	})
	b.Run("OutboxWholeWay", func(b *testing.B) {
		for b.Loop() {
			row := enqueue(b)
			_, err := db.Outbox.Next(ctx, "c:1")
			must(b, err)
			must(b, db.DoTxn(ctx, nil, func(ctx context.Context) error {
				_, err := db.Outbox.MarkSending(ctx, row)
				must(b, err)
				return db.Sent.Begin(ctx, database.SentPart{EventID: row.EventID, Portal: "c:1"})
			}))
			must(b, db.DoTxn(ctx, nil, func(ctx context.Context) error {
				must(b, db.Sent.Confirm(ctx, row.EventID, 0, row.EventID, ""))
				return db.Outbox.MarkSent(ctx, row.ID)
			}))
			must(b, db.Outbox.Finish(ctx, row.ID, database.StateDone, ""))
		}
	})
	b.Run("InboxWholeWay", func(b *testing.B) {
		for b.Loop() {
			id := fmt.Sprintf("in%d", next())
			_, err := db.Inbox.Accept(ctx, []database.InboxRow{{Portal: "c:1", MessageID: id, Version: 1, CreatedAt: at, Payload: body}})
			must(b, err)
			due, err := db.Inbox.Due(ctx, "c:1", at, 50)
			must(b, err)
			for _, r := range due {
				must(b, db.Inbox.Delivered(ctx, r.Portal, r.MessageID, r.Version))
			}
		}
	})
	b.Run("InboxAcceptPage50", func(b *testing.B) {
		for b.Loop() {
			rows := make([]database.InboxRow, 50)
			for i := range rows {
				rows[i] = database.InboxRow{Portal: "c:2", MessageID: fmt.Sprintf("in%d", next()), Version: 1, CreatedAt: at, Payload: body}
			}
			_, err := db.Inbox.Accept(ctx, rows)
			must(b, err)
		}
	})
	b.Run("InboxPortalsDue", func(b *testing.B) {
		for b.Loop() {
			_, err := db.Inbox.PortalsDue(ctx, at)
			must(b, err)
		}
	})
	b.Run("OutboxActivePortals", func(b *testing.B) {
		for b.Loop() {
			_, err := db.Outbox.ActivePortals(ctx)
			must(b, err)
		}
	})
}

func fill(b *testing.B, ctx context.Context, db *database.Database, at time.Time) {
	err := db.DoTxn(ctx, nil, func(ctx context.Context) error {
		for i := range 20_000 {
			portal := fmt.Sprintf("c:%d", i%1000)
			_, err := db.Outbox.Enqueue(ctx, &database.OutboxRow{
				EventID: fmt.Sprintf("$old%d", i), Portal: portal, Kind: database.KindMessage, State: database.StateDone,
			})
			if err != nil {
				return err
			}
			if _, err = db.Inbox.Accept(ctx, []database.InboxRow{{Portal: portal, MessageID: fmt.Sprintf("old%d", i), Version: 1, CreatedAt: at}}); err != nil {
				return err
			} else if err = db.Inbox.Delivered(ctx, portal, fmt.Sprintf("old%d", i), 1); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
