package teamstest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	// uploadStep is what every range of an upload but the last is a multiple of.
	uploadStep = 320 << 10
	// maxRange is more than a range may have.
	maxRange = 60 << 20
	// inMemory is the largest upload that is not put into a file.
	inMemory = 4 << 20
)

// uploadSession is a file that is being uploaded. The tenant's lock guards it.
type uploadSession struct {
	ch    *Channel
	name  string
	owner *User
	until time.Time
	// size is what the first range said, -1 before; got is how much is there.
	size, got int64
	busy      bool
	memory    bytes.Buffer
	disk      *os.File
}

func (o *Options) uploadLife() time.Duration {
	if o.UploadLife > 0 {
		return o.UploadLife
	}
	return 7 * 24 * time.Hour
}

// ExpireUploads ends every upload that is not complete.
func (t *Tenant) ExpireUploads() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range t.drive.sessions {
		t.endSession(id)
	}
}

// Uploads is how many uploads are not complete.
func (t *Tenant) Uploads() int { return locked(t, func() int { return len(t.drive.sessions) }) }

func (t *Tenant) endSession(id string) {
	if s := t.drive.sessions[id]; s != nil && s.disk != nil && s.got < s.size {
		_ = s.disk.Close()
	}
	delete(t.drive.sessions, id)
}

// session finds an upload that goes on.
func (t *Tenant) session(id string) *uploadSession {
	s := t.drive.sessions[id]
	if s != nil && !t.clock.Now().Before(s.until) {
		t.endSession(id)
		return nil
	}
	return s
}

func errNoSession() *apiError {
	return &apiError{Status: http.StatusNotFound, Code: "itemNotFound", Message: "The upload session was not found"}
}

func errRange(message string) *apiError {
	return &apiError{Status: http.StatusRequestedRangeNotSatisfiable, Code: "invalidRange", Message: message}
}

// uploadStatus says what an upload lacks.
func uploadStatus(x *exchange) (*response, *apiError) {
	s := x.t.session(x.vars["session"])
	if s == nil {
		return nil, errNoSession()
	}
	return s.progress(http.StatusOK), nil
}

func (s *uploadSession) progress(status int) *response {
	return jsonResponse(status, orderedObject{
		{"expirationDateTime", graphTime(s.until)}, {"nextExpectedRanges", []string{strconv.FormatInt(s.got, 10) + "-"}},
	})
}

func uploadCancel(x *exchange) (*response, *apiError) {
	if x.t.session(x.vars["session"]) == nil {
		return nil, errNoSession()
	}
	x.t.endSession(x.vars["session"])
	return noContent(), nil
}

// uploadChunk takes one range. What of it arrives before a connection breaks
// counts for nothing, which is the harder reading.
func (x *exchange) uploadChunk() (*response, *apiError) {
	from, to, total, ok := contentRange(x.r.Header.Get("Content-Range"))
	if !ok || x.r.ContentLength >= 0 && x.r.ContentLength != to-from+1 {
		return nil, &apiError{Status: http.StatusBadRequest, Code: "invalidRequest", Message: "The Content-Range header is missing or malformed."}
	}
	length := to - from + 1
	if length >= maxRange {
		return nil, &apiError{Status: http.StatusRequestEntityTooLarge, Code: "fragmentTooLarge", Message: "The fragment is too large."}
	}
	s, refused := x.beginChunk(from, to, total)
	if refused != nil {
		return nil, refused
	}
	// Nobody else works on the session now; the lock is not held while it is read.
	data, err := io.ReadAll(io.LimitReader(x.r.Body, length))
	x.t.mu.Lock()
	defer x.t.mu.Unlock()
	s.busy = false
	if err != nil || int64(len(data)) != length {
		return nil, errBadRequest("Unable to read the request body.")
	}
	if s.disk == nil {
		s.memory.Write(data)
	} else if _, err := s.disk.WriteAt(data, from); err != nil {
		return nil, &apiError{Status: http.StatusInsufficientStorage, Code: "quotaLimitReached", Message: err.Error()}
	}
	if s.got = to + 1; s.got < s.size {
		return s.progress(http.StatusAccepted), nil
	}
	f := s.ch.putFile(s.owner, s.name, s.content())
	x.t.endSession(x.vars["session"])
	return jsonResponse(http.StatusCreated, x.driveItem(f)), nil
}

// beginChunk checks a range against what is there.
func (x *exchange) beginChunk(from, to, total int64) (*uploadSession, *apiError) {
	x.t.mu.Lock()
	defer x.t.mu.Unlock()
	s := x.t.session(x.vars["session"])
	switch {
	case s == nil:
		return nil, errNoSession()
	case s.size >= 0 && total != s.size:
		return nil, errRange("The size of the file has changed.")
	case s.busy || from != s.got:
		return nil, errRange("The uploaded fragment overlaps with data that has already been received, or leaves a gap.")
	case to+1 < total && (to-from+1)%uploadStep != 0:
		return nil, &apiError{Status: http.StatusBadRequest, Code: "invalidRequest", Message: "The fragment's size is no multiple of 320 KiB."}
	}
	if s.size = total; total > inMemory && s.disk == nil {
		disk, err := x.t.scratch()
		if err != nil {
			return nil, &apiError{Status: http.StatusInsufficientStorage, Code: "quotaLimitReached", Message: err.Error()}
		}
		s.disk = disk
	}
	s.busy = true
	return s, nil
}

func (s *uploadSession) content() Content {
	if s.disk != nil {
		return io.NewSectionReader(s.disk, 0, s.size)
	}
	return bytes.NewReader(s.memory.Bytes())
}

// scratch makes a file that is gone when the tenant is.
func (t *Tenant) scratch() (*os.File, error) {
	f, err := os.CreateTemp("", "teamstest-*")
	if err != nil {
		return nil, fmt.Errorf("make a file: %w", err)
	}
	_ = os.Remove(filepath.Clean(f.Name())) // it lives as long as it is open
	return f, nil
}

// contentRange reads "bytes 0-25/128".
func contentRange(h string) (from, to, total int64, ok bool) {
	rest, ok := strings.CutPrefix(h, "bytes ")
	span, size, sized := strings.Cut(rest, "/")
	first, last, ranged := strings.Cut(span, "-")
	if !ok || !sized || !ranged {
		return 0, 0, 0, false
	}
	var errs [3]error
	from, errs[0] = strconv.ParseInt(first, 10, 64)
	to, errs[1] = strconv.ParseInt(last, 10, 64)
	total, errs[2] = strconv.ParseInt(size, 10, 64)
	ok = errs == [3]error{} && from >= 0 && from <= to && to < total
	return from, to, total, ok
}
