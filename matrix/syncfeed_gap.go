package matrix

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

// gapKey names a gap by its room and the token behind which it begins.
func gapKey(roomID, since string) string { return gapScope + roomID + " " + since }

func gapRoom(scope string) string {
	roomID, _, _ := strings.Cut(strings.TrimPrefix(scope, gapScope), " ")
	return roomID
}

// gapFrom is a gap that is read backwards from a token ("" is the room's end)
// until the time of the last token that was stored, and somewhat further.
func (f *feed) gapFrom(from string) database.Cursor {
	return database.Cursor{Link: from, Reader: gapReader, Watermark: f.cursor.Watermark.Add(-gapMargin)}
}

// Dendrite loses events where two pages meet, or where a page meets what came with
// the feed (untold_seams.go). So a gap is read twice, the second time from the room's
// end and in other pages: its name ends like this, and until its first page is read
// its reader is called so.
const (
	gapAgain  = " again"
	gapReader = "messages"
	gapSeams  = "seams"
)

// addGap adds a gap, in both of its readings.
func (f *feed) addGap(gaps map[string]database.Cursor, roomID, from string) {
	key := gapKey(roomID, f.cursor.Link)
	gaps[key] = f.gapFrom(from)
	again := f.gapFrom("")
	again.Reader = gapSeams
	gaps[key+gapAgain] = again
}

// isAgain reports whether a gap's name is that of its second reading.
func isAgain(scope string) bool { return strings.HasSuffix(scope, gapAgain) }

// openGaps counts the gaps that are being read.
func (f *feed) openGaps() int {
	open := map[string]bool{}
	for scope := range f.gaps {
		open[strings.TrimSuffix(scope, gapAgain)] = true
	}
	return len(open)
}

// readGap reads one page of a gap. How far it came is stored with what it
// found, so reading goes on there after a restart, and the feed itself never
// waits for a long gap.
func (f *feed) readGap(ctx context.Context) error {
	scopes := slices.Sorted(maps.Keys(f.gaps))
	if len(scopes) == 0 {
		return nil
	}
	scope := scopes[0]
	gap, roomID := f.gaps[scope], gapRoom(scope)
	size := gapPage
	if gap.Reader == gapSeams {
		size = seamShift
	}
	found, err := f.client.messages(ctx, roomID, gap.Link, size)
	switch status := statusOf(err); {
	case err == nil:
	case refused(err) && gap.Link != "":
		f.log.Error().Err(err).Str("room_id", roomID).Msg("The homeserver refused the position in a gap, reading it from the room's end")
		return f.saveGap(ctx, scope, restarted(scope, gap), nil)
	case (refused(err) || status == http.StatusForbidden) && isAgain(scope):
		return f.saveGap(ctx, scope, nil, nil) // the first reading has told, or has read it
	case refused(err) || status == http.StatusForbidden:
		f.j.count(RedactionGapLost)
		f.log.Error().Err(err).Str("room_id", roomID).Msg("The bot may not read a room, redactions in a gap of the feed are lost")
		return f.saveGap(ctx, scope, nil, nil)
	default:
		return fmt.Errorf("read a gap: %w", err)
	}
	entries, err := f.entries(ctx, f.redactionsIn(found.Chunk, roomID))
	if err != nil {
		return err
	}
	if found.End == "" || found.End == gap.Link || f.isBefore(found.Chunk, gap) {
		f.log.Info().Str("room_id", roomID).Msg("Read a gap of the redaction feed")
		return f.saveGap(ctx, scope, nil, entries)
	}
	gap.Link, gap.Reader = found.End, gapReader
	return f.saveGap(ctx, scope, &gap, entries)
}

func restarted(scope string, gap database.Cursor) *database.Cursor {
	if gap.Link = ""; isAgain(scope) {
		gap.Reader = gapSeams
	}
	return &gap
}

func (f *feed) redactionsIn(chunk []json.RawMessage, roomID string) (out []json.RawMessage) {
	for _, raw := range chunk {
		if gjson.GetBytes(raw, "type").Str != redactionType {
			continue
		}
		if raw, err := withRoom(raw, roomID); err == nil {
			out = append(out, raw)
		}
	}
	return out
}

// isBefore reports whether a page is from before the gap. Only what people sent
// tells: the bridge's own events carry the time that they had in Teams.
func (f *feed) isBefore(chunk []json.RawMessage, gap database.Cursor) bool {
	newest := int64(0)
	for _, raw := range chunk {
		evt := gjson.ParseBytes(raw)
		if f.j.isOwn(id.UserID(evt.Get("sender").Str)) || f.j.isPuppeted(evt) {
			continue
		}
		newest = max(newest, evt.Get("origin_server_ts").Int())
	}
	return newest > 0 && newest < gap.Watermark.UnixMilli()
}

// saveGap stores what a page had and where the gap goes on; nil ends it.
func (f *feed) saveGap(ctx context.Context, scope string, gap *database.Cursor, entries []database.JournalEntry) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := f.db.DoTxn(ctx, nil, func(ctx context.Context) error {
		if err := f.db.Journal.Append(ctx, entries); err != nil {
			return err
		} else if gap == nil {
			return f.db.Cursors.DeleteCursor(ctx, scope)
		}
		return f.db.Cursors.SaveCursor(ctx, scope, *gap)
	})
	if err != nil {
		return fmt.Errorf("store redactions of a gap: %w", err)
	}
	if delete(f.gaps, scope); gap != nil {
		f.gaps[scope] = *gap
	}
	f.admit(ctx, entries)
	return nil
}
