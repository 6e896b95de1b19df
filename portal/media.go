package portal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal/msgconv"
	"teamsbridge/teams"
)

// errTooLarge says that an image is larger than what is copied.
var errTooLarge = errors.New(problemTooLarge)

// fetchImages copies the message's images. While Graph does not answer the
// message waits, but not for ever: then it says what is missing.
func (d *delivery) fetchImages(ctx context.Context, roomID id.RoomID, images []msgconv.ImageRef, known map[string]msgconv.Media) error {
	if len(images) == 0 {
		return nil
	}
	d.media = make(map[string]msgconv.Media, len(images))
	for _, img := range images {
		if _, done := d.media[img.URL]; done {
			continue
		} else if media, ok := known[img.URL]; ok {
			d.media[img.URL] = media
			continue
		}
		media, err := d.in.copyImage(ctx, roomID, img)
		if err != nil {
			if !d.in.givesUpImage(d, err) {
				return err
			}
			zerolog.Ctx(ctx).Warn().Err(err).Msg("Delivering a message without one of its images")
			media = msgconv.Media{Problem: problemOf(err)}
		}
		d.outcome(MetricMedia, media)
		d.media[img.URL] = media
	}
	return nil
}

// givesUpImage reports whether an image or file is not waited for any longer.
func (in *Ingest) givesUpImage(d *delivery, err error) bool {
	var hs mautrix.HTTPError
	switch teams.KindOf(err) {
	case teams.KindNotFound:
		return d.goesWithout()
	case teams.KindForeignHost, teams.KindGone, teams.KindPermission, teams.KindBadRequest, teams.KindTooLarge:
		return true
	case teams.KindUnknown:
		if errors.Is(err, errTooLarge) || errors.Is(err, bridgev2.ErrMediaTooLarge) {
			return true
		} else if errors.As(err, &hs) {
			_, own := homeserverReason(hs)
			return own
		}
	}
	return in.imagelessFor(refusalKey(d.row)) > in.o.MediaPatience
}

// imagelessFor returns how long a row's images have not been there to fetch. It
// counts from the first try: a message that has waited for something else, or
// for the bridge to run, has not waited for its images.
func (in *Ingest) imagelessFor(key string) time.Duration {
	in.mu.Lock()
	defer in.mu.Unlock()
	now := in.o.Now()
	since, ok := in.imageless[key]
	if !ok {
		since, in.imageless[key] = now, now
	}
	return now.Sub(since)
}

// problemOf says in a few words why there is no picture.
func problemOf(err error) string {
	switch teams.KindOf(err) {
	case teams.KindForeignHost:
		return problemForeign
	case teams.KindNotFound, teams.KindGone:
		return problemGone
	case teams.KindTooLarge:
		return problemTooLarge
	}
	if errors.Is(err, errTooLarge) || errors.Is(err, bridgev2.ErrMediaTooLarge) || errors.Is(err, mautrix.MTooLarge) {
		return problemTooLarge
	}
	return problemNoAnswer
}

// copyImage streams an image from Graph to the homeserver.
func (in *Ingest) copyImage(ctx context.Context, roomID id.RoomID, img msgconv.ImageRef) (msgconv.Media, error) {
	if img.Foreign {
		return msgconv.Media{Problem: problemForeign}, nil
	}
	body, contentType, err := in.o.Reader.HostedContent(ctx, img.URL)
	if err != nil {
		return msgconv.Media{}, fmt.Errorf("open image: %w", err)
	}
	defer body.Close()
	media := msgconv.Media{MimeType: imageType(contentType), Width: img.Width, Height: img.Height}
	media.Name = imageName(img.Alt, media.MimeType)
	media.URI, media.File, err = in.o.Bridge.Bot.UploadMediaStream(ctx, roomID, -1, false, func(w io.Writer) (*bridgev2.FileStreamResult, error) {
		n, err := io.Copy(w, io.LimitReader(body, in.o.MaxImage+1))
		if err != nil {
			return nil, fmt.Errorf("read image: %w", err)
		} else if n > in.o.MaxImage {
			return nil, errTooLarge
		}
		media.Size = int(n)
		return &bridgev2.FileStreamResult{FileName: media.Name, MimeType: media.MimeType}, nil
	})
	if err != nil {
		return msgconv.Media{}, fmt.Errorf("copy image: %w", err)
	}
	return media, nil
}

// imageType keeps to what clients show as a picture; nothing else that content
// claims to be is passed on.
func imageType(contentType string) string {
	t, _, err := mime.ParseMediaType(contentType)
	switch t = strings.ToLower(t); {
	case err != nil:
		return "application/octet-stream"
	case t == "image/jpg":
		return "image/jpeg"
	case t == "image/png", t == "image/jpeg", t == "image/gif", t == "image/webp", t == "image/bmp", t == "image/tiff", t == "image/heic", t == "image/avif":
		return t
	}
	return "application/octet-stream"
}

func imageName(alt, mimeType string) string {
	ext := strings.TrimPrefix(mimeType, "image/")
	if ext == mimeType {
		ext = "bin"
	} else if ext == "jpeg" {
		ext = "jpg"
	}
	name := strings.Map(func(r rune) rune {
		if r < 0x20 || strings.ContainsRune(`/\:*?"<>|`, r) {
			return -1
		}
		return r
	}, alt)
	if name == "" || name == "image" || len(name) > 100 {
		return "image." + ext
	} else if strings.Contains(name, ".") {
		return name
	}
	return name + "." + ext
}
