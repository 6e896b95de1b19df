package teams

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// uploadStep is what every range of an upload but the last must be a multiple of.
	uploadStep = 320 << 10
	// chunkSize is how much goes in one request; it is held in memory.
	chunkSize = 16 * uploadStep
	// maxStalls is how often in a row an upload fails without getting further
	// before its caller has to wait and try again.
	maxStalls = 6
)

// Upload is a file on its way into a channel's folder. What it holds is all that
// is needed to go on with it in another process.
type Upload struct {
	Folder  Folder    `json:"folder"`
	Name    string    `json:"name"`
	Size    int64     `json:"size"`
	Session string    `json:"session,omitempty"` // the address that takes the bytes, a secret
	Started time.Time `json:"started,omitzero"`
	// Account is who began it.
	Account string `json:"account,omitempty"`
}

// UploadFile brings content into the folder, under another name where there is
// one of that name, and goes on with an upload that was begun. Before anything is
// sent, save is called with a session that has just begun and has to keep it;
// taken reports whether an item is another upload's.
//
// The answer to the last range may get lost, and the session is gone then. What
// was uploaded is recognised by its name, size, maker and time; where it got
// another name, it is uploaded once more.
func (f *Files) UploadFile(ctx context.Context, u Upload, content io.ReaderAt, save func(context.Context, Upload) error,
	taken func(ctx context.Context, itemID string) (bool, error)) (File, error) {
	if u.Size <= 0 {
		return File{}, &Error{Op: "PUT file content", Kind: KindBadRequest, Hint: "an empty file can't be uploaded by ranges"}
	}
	if u.Session != "" {
		file, err := f.continueUpload(ctx, u, content)
		if !errors.Is(err, errSessionGone) {
			return file, err
		}
		if file, found, err := f.findUpload(ctx, u, taken); err != nil || found {
			return file, err
		}
	}
	u.Started, u.Account = time.Now(), f.o.Account
	session, err := f.startUpload(ctx, u)
	if err != nil {
		return File{}, err
	}
	u.Session = session
	if err = save(ctx, u); err != nil {
		f.cancelUnsaved(ctx, u)
		return File{}, err
	}
	file, err := f.continueUpload(ctx, u, content)
	if errors.Is(err, errSessionGone) {
		file, found, findErr := f.findUpload(ctx, u, taken)
		if findErr != nil || found {
			return file, findErr
		}
		return File{}, &Error{Op: "PUT file content", Kind: KindUnavailable, Err: err}
	}
	return file, err
}

// errSessionGone says that an upload is complete, expired or was ended.
var errSessionGone = errors.New("the upload's session is gone")

func (f *Files) startUpload(ctx context.Context, u Upload) (string, error) {
	raw, err := f.graph(ctx, http.MethodPost, itemPath(u.Folder.DriveID, u.Folder.ItemID)+":/"+url.PathEscape(u.Name)+":/createUploadSession",
		map[string]any{"item": map[string]any{"@microsoft.graph.conflictBehavior": "rename"}})
	if err != nil {
		return "", err
	}
	var answer struct {
		UploadURL string `json:"uploadUrl"`
	}
	if err = json.Unmarshal(raw, &answer); err != nil || answer.UploadURL == "" {
		return "", &Error{Op: "POST upload session", Kind: KindUnavailable, Hint: "the answer is not from Graph or is damaged", Err: err}
	}
	return answer.UploadURL, nil
}

// findUpload looks for what became of an upload whose session is gone.
func (f *Files) findUpload(ctx context.Context, u Upload, taken func(context.Context, string) (bool, error)) (File, bool, error) {
	const skew = 5 * time.Minute
	file, err := f.item(ctx, itemPath(u.Folder.DriveID, u.Folder.ItemID)+":/"+url.PathEscape(u.Name))
	switch {
	case KindOf(err) == KindNotFound:
		return File{}, false, nil
	case err != nil:
		return File{}, false, err
	case file.Size != u.Size || file.CreatedBy != u.Account || file.Created.Before(u.Started.Add(-skew)):
		return File{}, false, nil
	}
	other, err := taken(ctx, file.ItemID)
	if err != nil {
		return File{}, false, err
	}
	return file, !other, nil
}

// continueUpload sends what the session lacks.
func (f *Files) continueUpload(ctx context.Context, u Upload, content io.ReaderAt) (File, error) {
	chunk := make([]byte, min(u.Size, chunkSize))
	at, err := f.uploadStatus(ctx, u)
	for stalls := 0; ; {
		if err == nil {
			var file File
			var next int64
			if file, next, err = f.sendChunk(ctx, u, content, chunk, at); err == nil && file.ItemID != "" {
				return file, nil
			} else if err == nil {
				if next > at {
					stalls = 0
				} else {
					stalls++
				}
				at = next
				if stalls <= maxStalls {
					continue
				}
				err = &Error{Op: "PUT file content", Kind: KindUnavailable, Hint: "the upload does not get on"}
			}
		}
		var e *Error
		gone := errors.As(err, &e) && (e.Status == http.StatusNotFound || e.Status == http.StatusGone)
		overlap := e != nil && (e.Status == http.StatusRequestedRangeNotSatisfiable || e.Status == http.StatusConflict)
		switch {
		case gone:
			return File{}, fmt.Errorf("%w: %w", errSessionGone, err)
		case e == nil, !passes(err) && !overlap, ctx.Err() != nil:
			return File{}, err
		}
		if stalls++; stalls > maxStalls {
			return File{}, err
		}
		if sleepErr := sleep(ctx, backoff(stalls, 500*time.Millisecond, 10*time.Second)); sleepErr != nil {
			return File{}, err
		}
		// What of it has arrived, only the session knows.
		before := at
		if at, err = f.uploadStatus(ctx, u); err == nil && at > before {
			stalls = 0
		}
	}
}

// sendChunk sends the next range; the last one brings the file.
func (f *Files) sendChunk(ctx context.Context, u Upload, content io.ReaderAt, chunk []byte, at int64) (File, int64, error) {
	const op = "PUT file content"
	if at >= u.Size {
		return File{}, 0, &Error{Op: op, Kind: KindUnavailable, Hint: "the session has all bytes, and no file"}
	}
	n := min(int64(len(chunk)), u.Size-at)
	if got, err := content.ReadAt(chunk[:n], at); int64(got) < n {
		return File{}, 0, fmt.Errorf("read what is to be uploaded: %w", err)
	}
	req, err := f.sessionRequest(ctx, http.MethodPut, u, bytes.NewReader(chunk[:n]))
	if err != nil {
		return File{}, 0, err
	}
	req.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", at, at+n-1, u.Size))
	req.Header.Set("Content-Type", "application/octet-stream")
	raw, err := f.do(req)
	if err != nil {
		return File{}, 0, err
	}
	if at+n == u.Size {
		if file, ok := decodeFile(raw); ok {
			return file, u.Size, nil
		}
	}
	next, ok := nextRange(raw)
	if !ok || next > u.Size {
		return File{}, 0, &Error{Op: op, Kind: KindUnavailable, Hint: "the answer to a range can't be read"}
	}
	return File{}, next, nil
}

// uploadStatus asks which byte a session wants next.
func (f *Files) uploadStatus(ctx context.Context, u Upload) (int64, error) {
	req, err := f.sessionRequest(ctx, http.MethodGet, u, nil)
	if err != nil {
		return 0, err
	}
	raw, err := f.do(req)
	if err != nil {
		return 0, err
	}
	next, ok := nextRange(raw)
	if !ok || next > u.Size {
		return 0, &Error{Op: "GET file content", Kind: KindUnavailable, Hint: "the state of an upload can't be read"}
	}
	return next, nil
}

// cancelPatience is how long somebody waits for the end of a session that was
// not kept.
const cancelPatience = 5 * time.Second

// cancelUnsaved ends a session that nobody will remember. Where that fails, it
// ends by itself in a few days.
func (f *Files) cancelUnsaved(ctx context.Context, u Upload) {
	ctx, cancel := context.WithTimeout(ctx, cancelPatience)
	defer cancel()
	_ = f.CancelUpload(ctx, u)
}

// CancelUpload ends a session that is given up, so that what it has taken does
// not stay at the service. One that is over already is none to end. It needs no
// right but the session's address.
func (f *Files) CancelUpload(ctx context.Context, u Upload) error {
	if u.Session == "" {
		return nil
	}
	req, err := f.sessionRequest(ctx, http.MethodDelete, u, nil)
	if err != nil {
		return err
	}
	_, err = f.do(req)
	var e *Error
	if errors.As(err, &e) && (e.Status == http.StatusNotFound || e.Status == http.StatusGone) {
		return nil
	}
	return err
}

func (f *Files) sessionRequest(ctx context.Context, method string, u Upload, body io.Reader) (*http.Request, error) {
	to, err := url.Parse(u.Session)
	if err != nil || !f.o.Endpoints.AllowsFile(to) {
		return nil, &Error{Op: method + " file content", Kind: KindForeignHost, Hint: foreignFileHint}
	}
	req, err := http.NewRequestWithContext(withFile(ctx), method, to.String(), body)
	if err != nil {
		return nil, &Error{Op: method + " file content", Kind: KindBadRequest}
	}
	return req, nil
}

// nextRange reads where the first range of nextExpectedRanges begins: "26-" or
// "26-127".
func nextRange(raw []byte) (int64, bool) {
	var answer struct {
		Next []string `json:"nextExpectedRanges"`
	}
	if json.Unmarshal(raw, &answer) != nil || len(answer.Next) == 0 {
		return 0, false
	}
	first, _, ok := strings.Cut(answer.Next[0], "-")
	n, err := strconv.ParseInt(first, 10, 64)
	return n, ok && err == nil && n >= 0
}
