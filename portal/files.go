package portal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal/msgconv"
	"teamsbridge/teams"
)

// copies is how many files are copied at once in each direction. Each takes as
// much of the disk as it is large, as long as it lasts.
const copies = 4

// fetchMedia copies the message's images and files to the homeserver, before
// the portal's loop is entered, because that may take its time. What is there
// already is not fetched again.
func (d *delivery) fetchMedia(ctx context.Context) error {
	if d.own != nil && d.m.Edited.IsZero() {
		return nil
	}
	images, files := msgconv.Images(d.m), msgconv.Files(d.m)
	if d.own != nil {
		files = nil // they came from Matrix
	}
	if len(images)+len(files) == 0 {
		return nil
	}
	known, shown, err := d.knownMedia(ctx)
	if err != nil || shown {
		return err
	}
	p, err := d.in.o.Bridge.GetExistingPortalByKey(ctx, ChannelPortal(d.m.Channel))
	if err != nil {
		return fmt.Errorf("get portal: %w", err)
	} else if p == nil || !p.RoomCreated.IsSet() {
		return errNoRoom
	}
	if err = d.fetchImages(ctx, p.MXID, images, known); err != nil {
		return err
	}
	return d.fetchFiles(ctx, p.MXID, files, known)
}

// knownMedia returns what the message's rows show already; shown says that they
// show this version, and nothing is needed.
func (d *delivery) knownMedia(ctx context.Context) (known map[string]msgconv.Media, shown bool, err error) {
	rows, err := d.rows(ctx)
	if err != nil {
		return nil, false, err
	}
	known = map[string]msgconv.Media{}
	hash := contentHash(d.m)
	for _, row := range rows {
		meta := metaOf(row)
		if d.isShownBy(meta, hash) && !meta.Lacks {
			return nil, true, nil
		}
		// Of an encrypted file the keys are not kept, so it is copied anew.
		if meta.Media != nil && meta.Media.Media.URI != "" {
			known[meta.Media.Source] = meta.Media.Media
		}
	}
	return known, false, nil
}

// fetchFiles copies the files that the message has attached. A file that is not
// to be had is named in the room with the reason, and a link.
func (d *delivery) fetchFiles(ctx context.Context, roomID id.RoomID, files []msgconv.FileRef, known map[string]msgconv.Media) error {
	if len(files) == 0 {
		return nil
	}
	d.files = make(map[string]msgconv.Media, len(files))
	var folder teams.Folder
	for _, ref := range files {
		if _, done := d.files[ref.URL]; done {
			continue
		} else if media, ok := known[ref.URL]; ok {
			d.files[ref.URL] = media
			continue
		} else if media, ok = d.in.copiedBefore(refusalKey(d.row), ref.URL); ok {
			d.files[ref.URL] = media
			continue
		}
		var media msgconv.Media
		err := d.in.lanes.beside(func() (err error) {
			media, err = d.in.copyFile(ctx, d.m.Channel, &folder, roomID, ref)
			return err
		})
		if err != nil {
			if !d.in.givesUpImage(d, err) {
				return err
			}
			zerolog.Ctx(ctx).Warn().Err(err).Msg("Delivering a message without one of its files")
			media.Problem = fileProblem(err)
		} else if media.Problem == "" {
			d.in.noteCopied(refusalKey(d.row), ref.URL, media)
		}
		d.outcome(MetricFiles, media)
		d.files[ref.URL] = media
	}
	return nil
}

// copiedBefore returns a file that an attempt before has copied. It spares
// copying it anew while the message waits for something else.
func (in *Ingest) copiedBefore(key, url string) (msgconv.Media, bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	media, ok := in.copied[key][url]
	return media, ok
}

func (in *Ingest) noteCopied(key, url string, media msgconv.Media) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.copied[key] == nil {
		in.copied[key] = map[string]msgconv.Media{}
	}
	in.copied[key][url] = media
}

// copyFile streams a file from SharePoint to the homeserver. What it returns
// says name and size where they are known, with an error too.
func (in *Ingest) copyFile(ctx context.Context, ch teams.ChannelRef, folder *teams.Folder, roomID id.RoomID, ref msgconv.FileRef) (media msgconv.Media, err error) {
	if in.o.MaxFile < 0 {
		return msgconv.Media{Problem: problemNotCopied}, nil
	}
	select {
	case in.copies <- struct{}{}:
		defer func() { <-in.copies }()
	case <-ctx.Done():
		return media, ctx.Err()
	}
	if *folder == (teams.Folder{}) {
		if *folder, err = in.o.Reader.ChannelFolder(ctx, ch); err != nil {
			return media, fmt.Errorf("find the channel's folder: %w", err)
		}
	}
	file, err := in.o.Reader.StatFile(ctx, *folder, ref.URL)
	if err != nil {
		return media, fmt.Errorf("find file: %w", err)
	}
	media = msgconv.Media{Name: file.Name, Size: int(file.Size), MimeType: fileMimeType(file.MimeType)}
	if file.Size > in.o.MaxFile {
		return media, errTooLarge
	}
	body, err := in.o.Reader.OpenFile(ctx, file)
	if err != nil {
		return media, fmt.Errorf("open file: %w", err)
	}
	defer body.Close()
	media.URI, media.File, err = in.o.Bridge.Bot.UploadMediaStream(ctx, roomID, file.Size, false, func(w io.Writer) (*bridgev2.FileStreamResult, error) {
		// Without a buffer of the writer's own: it may take the whole file.
		if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{body}, make([]byte, 64<<10)); err != nil {
			return nil, fmt.Errorf("read file: %w", err)
		}
		return &bridgev2.FileStreamResult{FileName: media.Name, MimeType: media.MimeType}, nil
	})
	if err != nil {
		return media, fmt.Errorf("copy file: %w", err)
	}
	return media, nil
}

// fileMimeType passes on what a file is said to be, where that is a type at all.
func fileMimeType(mimeType string) string {
	t, _, err := mime.ParseMediaType(mimeType)
	if err != nil || !strings.Contains(t, "/") {
		return "application/octet-stream"
	}
	return strings.ToLower(t)
}

// fileProblem says in a few words why a file was not copied.
func fileProblem(err error) string {
	var hs mautrix.HTTPError
	switch {
	case errors.Is(err, errEmptyFile):
		return problemEmpty
	case errors.Is(err, teams.ErrElsewhere):
		return problemElsewhere
	case errors.Is(err, teams.ErrMalware):
		return problemMalware
	case teams.KindOf(err) == teams.KindPermission:
		return problemRefused
	case errors.Is(err, bridgev2.ErrMediaTooLarge), errors.Is(err, mautrix.MTooLarge):
		return problemTooLargeHere
	case errors.As(err, &hs):
		return problemHomeserver
	}
	return problemOf(err)
}
