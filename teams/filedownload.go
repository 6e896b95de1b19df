package teams

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxResumes is how often in a row a download is taken up again that brings
// nothing.
const maxResumes = 5

// OpenFile opens a file to be read once, from its beginning to its end. Where
// the connection breaks it goes on where it was; when the reader has returned
// io.EOF, all the file's bytes were read.
func (f *Files) OpenFile(ctx context.Context, file File) (io.ReadCloser, error) {
	if file.Malware {
		return nil, &Error{Op: "GET file content", Kind: KindPermission, Err: ErrMalware}
	}
	d := &fileReader{f: f, ctx: ctx, file: file}
	if err := d.open(); err != nil {
		return nil, err
	}
	return d, nil
}

// fileReader is a download.
type fileReader struct {
	f    *Files
	ctx  context.Context
	file File
	body io.ReadCloser
	// at is how much was read, fails how often in a row nothing came.
	at    int64
	fails int
}

// Read implements io.Reader.
func (d *fileReader) Read(p []byte) (int, error) {
	for {
		if d.at >= d.file.Size {
			return 0, d.atEnd()
		}
		if d.body == nil {
			if err := d.resume(); err != nil {
				return 0, err
			}
		}
		n, err := d.body.Read(p[:min(int64(len(p)), d.file.Size-d.at)])
		d.at += int64(n)
		if err != nil {
			_ = d.Close()
		}
		if n > 0 {
			d.fails = 0
			return n, nil
		}
		if err != nil {
			if d.fails++; d.fails > maxResumes {
				return 0, &Error{Op: "GET file content", Kind: KindUnavailable, Err: err}
			}
		}
	}
}

// atEnd makes sure that nothing follows what the file was said to have.
func (d *fileReader) atEnd() error {
	if d.body == nil {
		return io.EOF
	}
	n, _ := d.body.Read(make([]byte, 1))
	_ = d.Close()
	if n > 0 {
		return &Error{Op: "GET file content", Kind: KindConflict, Err: ErrChanged}
	}
	return io.EOF
}

// Close implements io.Closer.
func (d *fileReader) Close() error {
	if d.body == nil {
		return nil
	}
	err := d.body.Close()
	d.body = nil
	return err
}

// resume goes on with a download that broke off. The address may have run out,
// so a new one is asked for; the file must still be the same.
func (d *fileReader) resume() error {
	for {
		err := sleep(d.ctx, backoff(d.fails+1, 500*time.Millisecond, 10*time.Second))
		if err != nil {
			return canceled(call{op: "GET file content"}, err, false)
		}
		now, err := d.f.item(d.ctx, itemPath(d.file.DriveID, d.file.ItemID))
		switch {
		case err == nil && (now.CTag != d.file.CTag || now.Size != d.file.Size):
			return &Error{Op: "GET file content", Kind: KindConflict, Err: ErrChanged}
		case err == nil && now.Malware:
			return &Error{Op: "GET file content", Kind: KindPermission, Err: ErrMalware}
		case err == nil:
			d.file.download = now.download
			if err = d.open(); err == nil {
				return nil
			}
		}
		if d.fails++; d.fails > maxResumes || !passes(err) {
			return err
		}
	}
}

// passes reports whether a failure is worth another attempt.
func passes(err error) bool {
	kind := KindOf(err)
	return kind == KindUnavailable || kind == KindThrottled
}

// open asks for the bytes from where the download is on.
func (d *fileReader) open() error {
	const op = "GET file content"
	u, err := url.Parse(d.file.download)
	if err != nil || !d.f.o.Endpoints.AllowsFile(u) {
		return &Error{Op: op, Kind: KindForeignHost, Hint: foreignFileHint}
	}
	ctx := WithBodyLimit(WithStream(withFile(d.ctx)), d.file.Size+1)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return &Error{Op: op, Kind: KindBadRequest}
	}
	req.Header.Set("Accept-Encoding", "identity")
	if d.at > 0 {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(d.at, 10)+"-")
	}
	resp, err := d.f.o.HTTP.Do(req)
	if err != nil {
		err = asError(op, err)
		var e *Error
		if errors.As(err, &e) && strings.EqualFold(e.Code, "malwareDetected") {
			return &Error{Op: op, Kind: KindPermission, Status: e.Status, Code: e.Code, Err: ErrMalware}
		}
		return err
	}
	if d.at > 0 && (resp.StatusCode != http.StatusPartialContent || !startsAt(resp.Header.Get("Content-Range"), d.at, d.file.Size)) {
		_ = resp.Body.Close()
		return &Error{Op: op, Kind: KindUnavailable, Status: resp.StatusCode, Hint: "the file's host does not go on where a download broke off"}
	}
	d.body = resp.Body
	return nil
}

// startsAt reads "bytes 26-127/128" and reports whether it says so.
func startsAt(h string, at, size int64) bool {
	rest, ok := strings.CutPrefix(strings.TrimSpace(h), "bytes ")
	span, total, sized := strings.Cut(rest, "/")
	first, last, ranged := strings.Cut(span, "-")
	return ok && sized && ranged && first == strconv.FormatInt(at, 10) && last == strconv.FormatInt(size-1, 10) &&
		(total == "*" || total == strconv.FormatInt(size, 10))
}
