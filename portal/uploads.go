package portal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
	"teamsbridge/teams"
)

// A file from Matrix goes to Teams before the message that has it attached, in
// that message's turn. What is there stands in the database together with what
// is needed to go on, so that a crash costs at most what was on its way; the
// message's post is marked, looked for and recognised like any other.

// file uploads a message's file into the channel's folder, or finds what was
// uploaded. Without an attachment and error a link has to do, and problem says
// why in a few words.
func (s *Sender) file(ctx context.Context, row *database.OutboxRow, w wording, c *event.MessageEventContent) (file *teams.Attachment, problem string, err error) {
	ch, ok := ParsePortal(networkid.PortalID(row.Portal))
	if w.message == nil || !ok || !msgconv.HasFile(c) {
		return nil, "", nil
	}
	uri := c.URL
	if c.File != nil {
		uri = c.File.URL
	}
	up, err := s.o.DB.Uploads.Get(ctx, w.message.EventID, string(uri))
	if err != nil {
		return nil, "", err
	}
	if up != nil && up.Unreadable != nil {
		zerolog.Ctx(ctx).Warn().Err(up.Unreadable).Msg("The encryption key does not open what is known of a file, uploading it again")
		s.o.Metrics.Count(MetricReopened, reopenedUpload)
		up = nil
	}
	if up != nil && !up.DoneAt.IsZero() {
		if err = json.Unmarshal(up.Attachment, &file); err != nil {
			return nil, "", fmt.Errorf("decode uploaded file: %w", err)
		}
		return file, "", nil
	}
	switch {
	case s.o.MaxFile < 0:
		return nil, "", nil
	case c.Info != nil && int64(c.Info.Size) > s.o.MaxFile:
		s.o.Metrics.Count(MetricUploads, problemTooLarge)
		return nil, problemTooLarge, nil
	}
	if w.writer == nil {
		if w.writer, err = s.o.Writers.Exactly(ctx, row, w.account); err != nil {
			return nil, "", err
		}
	}
	file, err = s.upload(ctx, row, w, ch, uri, up, c)
	if err == nil {
		s.forgetFileless(row.EventID)
		s.o.Metrics.Count(MetricUploads, "uploaded")
		return file, "", nil
	}
	if problem, ok = s.givesUpFile(row, err); !ok || ctx.Err() != nil {
		return nil, "", err
	}
	zerolog.Ctx(ctx).Warn().Err(err).Msg("Sending a link instead of a file")
	s.forgetFileless(row.EventID)
	s.o.Metrics.Count(MetricUploads, problem)
	return nil, problem, nil
}

// upload brings a file to Teams. It waits at the homeserver until then, and is
// never in memory as a whole.
func (s *Sender) upload(ctx context.Context, row *database.OutboxRow, w wording, ch teams.ChannelRef, uri id.ContentURIString, up *database.Upload,
	c *event.MessageEventContent) (file *teams.Attachment, err error) {
	select {
	case s.copies <- struct{}{}:
		defer func() { <-s.copies }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	state := teams.Upload{Name: uploadName(c)}
	if up != nil {
		if err = json.Unmarshal(up.Session, &state); err != nil {
			return nil, fmt.Errorf("decode upload: %w", err)
		}
	} else if state.Folder, err = w.writer.ChannelFolder(ctx, ch); err != nil {
		return nil, fmt.Errorf("find the channel's folder: %w", err)
	}
	key := database.Upload{EventID: w.message.EventID, URI: string(uri), Portal: row.Portal}
	err = s.o.Bridge.Bot.DownloadMediaToFile(ctx, uri, c.File, false, func(f *os.File) error {
		size, err := f.Seek(0, io.SeekEnd)
		if err != nil {
			return fmt.Errorf("measure file: %w", err)
		}
		switch {
		case size > s.o.MaxFile:
			return errTooLarge
		case size == 0:
			return errEmptyFile
		case state.Size != size:
			state = teams.Upload{Folder: state.Folder, Name: state.Name, Size: size}
		}
		item, err := w.writer.UploadFile(ctx, state, f, func(ctx context.Context, u teams.Upload) error {
			return s.keepUpload(ctx, key, u)
		}, s.o.DB.Uploads.IsTaken)
		if err != nil {
			return fmt.Errorf("upload file: %w", err)
		}
		ref := item.Reference(state.Folder)
		if ref.ID == "" {
			return fmt.Errorf("upload file: %w", &teams.Error{Op: "PUT file content", Kind: teams.KindUnavailable, Hint: "the file has no id"})
		}
		file = &ref
		return s.finishUpload(ctx, key, item, ref)
	})
	return file, err
}

// homeserverPatience is how long a file is waited for that the homeserver can't
// hand out: it may have to fetch it from another one.
const homeserverPatience = 2 * time.Minute

// errEmptyFile says that a file has no bytes; a session takes none such.
var errEmptyFile = errors.New(problemEmpty)

func (s *Sender) keepUpload(ctx context.Context, key database.Upload, u teams.Upload) (err error) {
	if key.Session, err = json.Marshal(u); err != nil {
		return fmt.Errorf("encode upload: %w", err)
	}
	ctx, cancel := durable(ctx)
	defer cancel()
	return s.o.DB.Uploads.Begin(ctx, key)
}

func (s *Sender) finishUpload(ctx context.Context, key database.Upload, item teams.File, ref teams.Attachment) (err error) {
	key.ItemID = item.ItemID
	if key.Attachment, err = json.Marshal(ref); err != nil {
		return fmt.Errorf("encode uploaded file: %w", err)
	}
	ctx, cancel := durable(ctx)
	defer cancel()
	return s.o.DB.Uploads.Finish(ctx, key)
}

// uploadName is what a file is called in Teams.
func uploadName(c *event.MessageEventContent) string {
	name := msgconv.FileName(c)
	if c.Info != nil {
		name = withExtension(name, c.Info.MimeType)
	}
	return teams.FileName(name)
}

// withExtension gives a name without an extension that of its type: Teams shows
// a file by its extension only.
func withExtension(name, mimeType string) string {
	for i := len(name) - 1; i >= 0 && len(name)-i <= 10; i-- {
		if name[i] == '.' && i > 0 && i < len(name)-1 {
			return name
		}
	}
	ext := map[string]string{
		"image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif", "image/webp": ".webp", "image/svg+xml": ".svg",
		"audio/ogg": ".ogg", "audio/mpeg": ".mp3", "audio/mp4": ".m4a", "audio/wav": ".wav", "audio/webm": ".weba",
		"video/mp4": ".mp4", "video/webm": ".webm", "video/quicktime": ".mov", "application/pdf": ".pdf", "text/plain": ".txt",
	}[fileMimeType(mimeType)]
	if name == "" {
		name = "file"
	}
	return name + ext
}

// givesUpFile reports whether a file is not waited for any longer, and why. An
// outage of Teams is waited for however long it takes; a host of files that
// fails while Graph works, only for a while.
func (s *Sender) givesUpFile(row *database.OutboxRow, err error) (problem string, ok bool) {
	var e *teams.Error
	errors.As(err, &e)
	switch {
	case errors.Is(err, errTooLarge), errors.Is(err, errEmptyFile):
		return fileProblem(err), true
	case e == nil:
		var hs mautrix.HTTPError
		if errors.As(err, &hs) {
			_, ok = homeserverReason(hs)
		}
		return problemHomeserver, ok || s.filelessFor(row.EventID, true) > min(s.o.MediaPatience, homeserverPatience)
	case e.Code == "quotaLimitReached" || e.Status == 507:
		return problemNoSpace, true
	}
	switch e.Kind {
	case teams.KindPermission:
		return problemNoUpload, true
	case teams.KindForeignHost, teams.KindNotFound, teams.KindGone, teams.KindBadRequest, teams.KindPrecondition, teams.KindTooLarge, teams.KindConflict:
		return problemNotTaken, true
	case teams.KindUnavailable, teams.KindThrottled:
		return problemNotTaken, s.filelessFor(row.EventID, teams.IsFileHost(err)) > s.o.MediaPatience
	}
	return "", false
}

// filelessFor returns how long a row's file host has failed while Graph worked;
// it begins anew when Graph fails.
func (s *Sender) filelessFor(event string, host bool) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !host {
		delete(s.fileless, event)
		return 0
	}
	now := s.o.Now()
	since, known := s.fileless[event]
	if !known {
		since, s.fileless[event] = now, now
	}
	return now.Sub(since)
}

func (s *Sender) forgetFileless(event string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.fileless, event)
}

// fileOf returns the id of the file that a draft attaches.
func fileOf(d teams.Draft) string {
	if len(d.Attachments) == 0 {
		return ""
	}
	return d.Attachments[0].ID
}

// sameFiles reports whether a message's parts have these files of its own attached.
func sameFiles(parts []database.SentPart, files []string) bool {
	for _, p := range parts {
		if p.State == database.StateSent && p.Part < len(files) && p.Attachment != files[p.Part] {
			return false
		}
	}
	return true
}

// dropFile makes a draft that has no file take away the one that the part has:
// what an edit leaves unsaid stays.
func dropFile(d teams.Draft, part *database.SentPart) teams.Draft {
	if part.Attachment != "" && d.Attachments == nil {
		d.Attachments = []teams.Attachment{}
	}
	return d
}

// goesAsFile reports whether a message is a file that is to be uploaded: it has
// no place in a digest.
func (s *Sender) goesAsFile(row *database.OutboxRow) bool {
	var c event.MessageEventContent
	if s.o.MaxFile < 0 || json.Unmarshal(row.Payload, &c) != nil || !msgconv.HasFile(&c) {
		return false
	}
	size := int64(0)
	if c.Info != nil {
		size = int64(c.Info.Size)
	}
	return size <= s.o.MaxFile && (c.MsgType != event.MsgImage || size > s.o.MaxImage)
}
