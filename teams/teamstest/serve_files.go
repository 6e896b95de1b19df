package teamstest

import (
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// filesPath is in front of the addresses that Graph gives out for a download or
// an upload. They are their own proof: a request that brings a token with it is
// a violation, and is refused.
const filesPath = "/_files/"

// serveFiles answers what goes to addresses that Graph has given out.
func (e *edgeState) serveFiles(w http.ResponseWriter, r *http.Request) {
	x := &exchange{
		t: e.t, r: r, w: w, op: OpUnknown, path: r.URL.Path, vars: map[string]string{},
		requestID: e.t.ids.guid(), received: e.t.clock.Now(),
	}
	x.query, _ = url.ParseQuery(r.URL.RawQuery)
	kind, id, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, filesPath), "/")
	x.vars["session"] = id
	var handle func(x *exchange) (*response, *apiError)
	switch kind + " " + r.Method {
	case "download GET":
		x.op = OpFileDownload
	case "upload PUT":
		x.op, handle = OpUploadChunk, (*exchange).uploadChunk
	case "upload GET":
		x.op, handle = OpUploadStatus, guarded(uploadStatus)
	case "upload DELETE":
		x.op, handle = OpUploadCancel, guarded(uploadCancel)
	}
	leaked := r.Header.Get("Authorization") != ""
	resp, handled := e.before(x)
	if leaked {
		e.violate(x, ViolationTokenLeak, r.Host)
	}
	switch {
	case handled:
		return
	case resp != nil:
	case leaked:
		resp = errUnauthenticated().response(x)
	case x.op == OpFileDownload:
		if resp = e.download(x, id); resp == nil {
			return
		}
	case handle == nil:
		resp = errItemNotFound().response(x)
	default:
		answer, refused := handle(x)
		if resp = answer; refused != nil {
			resp = refused.response(x)
		}
	}
	if !e.after(x, resp) {
		resp.writeTo(w)
	}
}

// download sends a file, from where the client wants it on; nil says that it
// did. Its faults strike here: the file is not held in memory.
func (e *edgeState) download(x *exchange, token string) *response {
	e.t.mu.Lock()
	d, ok := e.t.drive.downloads[token]
	f := d.file
	ok = ok && x.received.Before(d.until) && f.ch.file(f.Name) == f
	malware, refused := ok && f.malware, ok && f.refused
	e.t.mu.Unlock()
	switch {
	case !ok:
		return errItemNotFound().response(x)
	case refused:
		return errAccessDenied().response(x)
	case malware:
		return (&apiError{Status: http.StatusForbidden, Code: "malwareDetected", Message: "Malware was detected in the requested resource."}).response(x)
	}
	size, from := f.Content.Size(), int64(0)
	h := x.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	status := http.StatusOK
	if first, ok := strings.CutPrefix(x.r.Header.Get("Range"), "bytes="); ok {
		n, err := strconv.ParseInt(strings.TrimSuffix(first, "-"), 10, 64)
		if err != nil || n < 0 || n >= size {
			return errRange("The range can't be satisfied.").response(x)
		}
		from, status = n, http.StatusPartialContent
		h.Set("Content-Range", "bytes "+strconv.FormatInt(from, 10)+"-"+strconv.FormatInt(size-1, 10)+"/"+strconv.FormatInt(size, 10))
	}
	h.Set("Content-Length", strconv.FormatInt(size-from, 10))
	tr := traceOf(x)
	length := size - from
	in := e.faults.strike(phaseAfter, e.targetOf(x, tr))
	if in != nil {
		tr.fault, length = in.fault.Kind, length/2
	}
	x.w.WriteHeader(status)
	_, err := io.CopyBuffer(struct{ io.Writer }{x.w}, io.NewSectionReader(f.Content, from, length), make([]byte, 64<<10))
	e.record(x, tr, &response{status: status, header: http.Header{}}, false)
	if in != nil || err != nil {
		panic(http.ErrAbortHandler) // which cuts the connection
	}
	return nil
}
