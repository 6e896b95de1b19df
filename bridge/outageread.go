package bridge

import (
	"context"
	"strings"
	"time"

	"teamsbridge/database"
	"teamsbridge/texts"
)

const (
	// readNoticeAfter is how long Teams must not be readable before rooms are told.
	readNoticeAfter = 2 * time.Minute
	// writeDoubtFor is for how much longer nothing is said while writing may be down
	// as well: the notice promises that what people write goes to Teams.
	writeDoubtFor = 10 * time.Minute
	// readNoticeLately is how long before that something written makes a room one
	// in use: people there wait for answers.
	readNoticeLately = time.Hour
	// readLook is how often it is looked which rooms are in use.
	readLook = 15 * time.Second
	// readRow is before the portal in the row of a room that was told that Teams
	// can't be read, which is another notice than that what waits is kept.
	readRow = "read:"
)

// recipient is whom a row's notices go to.
func recipient(row string) string { return strings.TrimPrefix(row, readRow) }

// tellUnreadable tells the rooms in use that what is said in Teams comes later: what
// people write goes there, and nothing else shows them why nobody answers.
func (o *outages) tellUnreadable(ctx context.Context, rec *database.Outage, seen *outage, told map[string]database.OutageRoom) error {
	now := o.now()
	if now.Sub(seen.Unreadable) < readNoticeAfter || now.Sub(o.unreadableAt) < readLook {
		return nil
	}
	if o.writeDoubt != nil && o.writeDoubt() && now.Sub(seen.Unreadable) < writeDoubtFor {
		return nil
	}
	used, err := o.db.Outbox.PortalsSince(ctx, seen.Unreadable.Add(-readNoticeLately))
	if err != nil {
		return err
	}
	var rows []database.OutageRoom
	for _, portal := range used {
		if told[portal].BeganTold.IsZero() && told[readRow+portal].BeganTold.IsZero() {
			rows = append(rows, database.OutageRoom{OutageID: rec.ID, Portal: readRow + portal})
		}
	}
	text := unreadableText(o.texts, rec, seen.Unreadable, now)
	left, err := o.tellRooms(ctx, rec, rows, func(string) string { return text })
	if err == nil && left == 0 {
		o.unreadableAt = now
	}
	return err
}

func unreadableText(x texts.Texts, rec *database.Outage, since, now time.Time) string {
	from := x.Hour(since)
	if now.Sub(since) > 12*time.Hour {
		from = x.Time(since)
	}
	return x.Say(texts.UnreadableBegan, "time", from, "why", causeWords(x, rec.Cause)) + " " + x.Say(texts.UnreadableMeans)
}

// unreadableRooms are the rooms that know that Teams can't be read and have to hear
// that nothing is missing any more. Those that know of more hear of all of it.
func unreadableRooms(told map[string]database.OutageRoom) (rows []database.OutageRoom) {
	for _, row := range told {
		portal, ok := strings.CutPrefix(row.Portal, readRow)
		if ok && !row.BeganTold.IsZero() && row.EndedTold.IsZero() && told[portal].BeganTold.IsZero() && told[portal].EndedTold.IsZero() {
			rows = append(rows, row)
		}
	}
	return rows
}
