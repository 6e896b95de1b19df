package portaltest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"teamsbridge/teams"
)

// FolderURL is the address of every channel's folder.
const FolderURL = "https://example.sharepoint.com/sites/T/Shared%20Documents/General"

// File is a file in SharePoint.
type File struct {
	Name string
	Data []byte
	// By is who put it there.
	By string
	// Err is what whoever opens it gets.
	Err error

	file teams.File
}

// AddFile puts a file into the folder, and returns how a message refers to it.
func (t *Tenant) AddFile(name string, data []byte) teams.Attachment {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.addFile(name, Dave, data).Reference(teams.Folder{WebURL: FolderURL})
}

func (t *Tenant) addFile(name, by string, data []byte) teams.File {
	free := name
	for n := 1; t.files[free] != nil; n++ {
		free = fmt.Sprintf("%d %s", n, name)
	}
	t.fileCount++
	f := teams.File{
		DriveID: "drive", ItemID: fmt.Sprintf("item%d", t.fileCount), ETag: fmt.Sprintf(`"{00000000-0000-0000-0000-%012d},1"`, t.fileCount),
		Name: free, MimeType: "application/pdf", Size: int64(len(data)), Created: t.tick(), CreatedBy: by,
	}
	t.files[free] = &File{Name: free, Data: bytes.Clone(data), By: by, file: f}
	return f
}

// ChangeFile changes a file.
func (t *Tenant) ChangeFile(name string, f func(f *File)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(t.files[name])
}

// Files returns the files, by name.
func (t *Tenant) Files() []File {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []File
	for _, name := range slices.Sorted(maps.Keys(t.files)) {
		out = append(out, *t.files[name])
	}
	return out
}

// PostFiles writes a message with files.
func (t *Tenant) PostFiles(ch teams.ChannelRef, userID, html string, files ...teams.Attachment) teams.Message {
	t.mu.Lock()
	m := t.post(ch, "", userID, html)
	for _, a := range files {
		m.Body += `<attachment id="` + a.ID + `"></attachment>`
		m.Attachments = append(m.Attachments, a)
	}
	stored := t.find(ch, m.ID)
	stored.Body, stored.Attachments = m.Body, m.Attachments
	t.mu.Unlock()
	t.tell(m)
	return m
}

// ChannelFolder implements teams.FileReader.
func (r *reader) ChannelFolder(_ context.Context, ch teams.ChannelRef) (teams.Folder, error) {
	if err := r.begin("folder", ch, ""); err != nil {
		return teams.Folder{}, err
	}
	return teams.Folder{DriveID: "drive", ItemID: "folder", WebURL: FolderURL}, nil
}

// StatFile implements teams.FileReader.
func (r *reader) StatFile(_ context.Context, _ teams.Folder, contentURL string) (teams.File, error) {
	name, ok := strings.CutPrefix(contentURL, FolderURL+"/")
	if !ok {
		return teams.File{}, &teams.Error{Op: "test", Kind: teams.KindForeignHost, Err: teams.ErrElsewhere}
	}
	if err := r.begin("stat", teams.ChannelRef{}, name); err != nil {
		return teams.File{}, err
	}
	r.t.mu.Lock()
	defer r.t.mu.Unlock()
	if f := r.t.files[name]; f != nil {
		return f.file, nil
	}
	return teams.File{}, ErrNotFound
}

// OpenFile implements teams.FileReader.
func (r *reader) OpenFile(_ context.Context, file teams.File) (io.ReadCloser, error) {
	if err := r.begin("file", teams.ChannelRef{}, file.Name); err != nil {
		return nil, err
	}
	r.t.mu.Lock()
	defer r.t.mu.Unlock()
	f := r.t.files[file.Name]
	if f == nil {
		return nil, ErrNotFound
	} else if f.Err != nil {
		return nil, f.Err
	}
	return io.NopCloser(bytes.NewReader(f.Data)), nil
}

// CancelUpload implements teams.Reader.
func (r *reader) CancelUpload(_ context.Context, u teams.Upload) error {
	if err := r.begin("cancel", teams.ChannelRef{}, u.Session); err != nil {
		return err
	}
	r.t.mu.Lock()
	defer r.t.mu.Unlock()
	delete(r.t.sessions, u.Session)
	return nil
}

// Sessions is how many uploads are not complete.
func (t *Tenant) Sessions() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.sessions)
}

// ChannelFolder implements teams.Writer.
func (w *writer) ChannelFolder(ctx context.Context, ch teams.ChannelRef) (teams.Folder, error) {
	_, err := w.do(ctx, Write{Op: "folder", Channel: ch}, func() (teams.Message, error) { return teams.Message{}, nil })
	return teams.Folder{DriveID: "drive", ItemID: "folder", WebURL: FolderURL}, err
}

// UploadFile implements teams.Writer. A session is begun, takes half of the
// bytes, then the others; each is a write of its own, so that each can fail or
// lose its answer. When the last one is there, the session is over.
func (w *writer) UploadFile(ctx context.Context, u teams.Upload, content io.ReaderAt, save func(context.Context, teams.Upload) error,
	taken func(ctx context.Context, itemID string) (bool, error)) (teams.File, error) {
	if u.Session != "" {
		if f, found, err := w.finished(ctx, u, taken); err != nil || found {
			return f, err
		}
	}
	if !w.t.hasSession(u.Session) {
		u.Account, u.Started = w.user, time.Now()
		err := w.step(ctx, "session", func() {
			w.t.fileCount++
			u.Session = fmt.Sprintf("session%d", w.t.fileCount)
			w.t.sessions[u.Session] = nil
		})
		if err != nil {
			return teams.File{}, err
		} else if err = save(ctx, u); err != nil {
			return teams.File{}, err
		}
	}
	data := make([]byte, u.Size)
	if _, err := content.ReadAt(data, 0); err != nil && err != io.EOF {
		return teams.File{}, err
	}
	half := len(data) / 2
	if w.t.sessionBytes(u.Session) < half {
		if err := w.step(ctx, "chunk", func() { w.t.sessions[u.Session] = bytes.Clone(data[:half]) }); err != nil {
			return teams.File{}, err
		}
	}
	var file teams.File
	err := w.step(ctx, "chunk", func() {
		delete(w.t.sessions, u.Session)
		file = w.t.addFile(u.Name, w.user, data)
	})
	return file, err
}

// finished finds what became of a session whose last answer got lost.
func (w *writer) finished(ctx context.Context, u teams.Upload, taken func(ctx context.Context, itemID string) (bool, error)) (teams.File, bool, error) {
	if w.t.hasSession(u.Session) {
		return teams.File{}, false, nil
	}
	w.t.mu.Lock()
	f := w.t.files[u.Name]
	w.t.mu.Unlock()
	if f == nil || f.By != u.Account || f.file.Size != u.Size {
		return teams.File{}, false, nil
	}
	other, err := taken(ctx, f.file.ItemID)
	return f.file, !other, err
}

// step is one request of an upload.
func (w *writer) step(ctx context.Context, op string, f func()) error {
	_, err := w.do(ctx, Write{Op: op}, func() (teams.Message, error) { f(); return teams.Message{}, nil })
	return err
}

func (t *Tenant) hasSession(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.sessions[id]
	return ok
}

func (t *Tenant) sessionBytes(id string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.sessions[id])
}
