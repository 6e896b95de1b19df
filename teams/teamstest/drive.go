package teamstest

import (
	"encoding/binary"
	"io"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Content is what a file holds. It is read in pieces, so that a file may be
// larger than memory.
type Content interface {
	io.ReaderAt
	Size() int64
}

// Bytes is a content that is held in memory.
func Bytes(data []byte) Content { return strings.NewReader(string(data)) }

// Random is a content of any size that is made while it is read: the same bytes
// for the same seed, and held nowhere.
func Random(seed uint64, size int64) Content { return randomContent{seed, size} }

type randomContent struct {
	seed uint64
	size int64
}

// Size implements Content.
func (c randomContent) Size() int64 { return c.size }

// ReadAt implements io.ReaderAt.
func (c randomContent) ReadAt(p []byte, off int64) (n int, err error) {
	var word [8]byte
	for n < len(p) && off < c.size {
		binary.LittleEndian.PutUint64(word[:], mix(c.seed+uint64(off/8)))
		k := copy(p[n:min(int64(len(p)), int64(n)+c.size-off)], word[off%8:])
		n, off = n+k, off+int64(k)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// mix spreads the bits of a number (SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// File is a file in a channel's folder. Its fields never change.
type File struct {
	// ID is the item's id in its drive; GUID is what its eTag and attachments
	// that refer to it name it by.
	ID, GUID, Name string
	Content        Content

	ch               *Channel
	creator          *User
	created          time.Time
	malware, refused bool
}

// drive holds the files of a tenant, under its lock.
type drive struct {
	downloads map[string]download
	sessions  map[string]*uploadSession
}

// download is an address that was given out, and until when it works.
type download struct {
	file  *File
	until time.Time
}

// PutFile puts a file into the channel's folder as a person, under another
// name where there is one of that name.
func (c *Channel) PutFile(u *User, name string, content Content) *File {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	return c.putFile(u, name, content)
}

func (c *Channel) putFile(u *User, name string, content Content) *File {
	f := &File{
		ID: "01" + strings.ToUpper(c.t.ids.hex(16)), GUID: c.t.ids.guid(), Name: c.freeName(name), Content: content,
		ch: c, creator: u, created: c.t.clock.Now(),
	}
	c.files = append(c.files, f)
	return f
}

// freeName is the name that "rename" gives: "a.txt", "a 1.txt", "a 2.txt".
func (c *Channel) freeName(name string) string {
	ext := path.Ext(name)
	free := name
	for n := 1; c.file(free) != nil; n++ {
		free = strings.TrimSuffix(name, ext) + " " + strconv.Itoa(n) + ext
	}
	return free
}

// file finds a file by name, which SharePoint compares without case.
func (c *Channel) file(name string) *File {
	for _, f := range c.files {
		if strings.EqualFold(f.Name, name) {
			return f
		}
	}
	return nil
}

// Files returns the files in the channel's folder, oldest first.
func (c *Channel) Files() []*File {
	return locked(c.t, func() []*File { return slices.Clone(c.files) })
}

// Attachment is how Teams' own clients refer to the file in a message.
func (f *File) Attachment() Attachment {
	return Attachment{ID: f.GUID, ContentType: "reference", ContentURL: f.url(), Name: f.Name}
}

// SetMalware lets the service find malware in the file.
func (f *File) SetMalware() { f.change(func() { f.malware = true }) }

// SetRefused takes everybody's right to the file away.
func (f *File) SetRefused() { f.change(func() { f.refused = true }) }

// Remove deletes the file.
func (f *File) Remove() {
	f.change(func() {
		f.ch.files = slices.DeleteFunc(f.ch.files, func(other *File) bool { return other == f })
	})
}

func (f *File) change(do func()) {
	f.ch.t.mu.Lock()
	defer f.ch.t.mu.Unlock()
	do()
}

// url is the address of the file in a browser, by its path.
func (f *File) url() string { return f.ch.folderURL() + "/" + url.PathEscape(f.Name) }

// webURL is what Graph calls the address: of a document, a page that opens it.
func (f *File) webURL() string {
	if !slices.Contains([]string{".docx", ".xlsx", ".pptx"}, strings.ToLower(path.Ext(f.Name))) {
		return f.url()
	}
	return f.ch.siteURL() + "/_layouts/15/Doc.aspx?sourcedoc=%7B" + strings.ToUpper(f.GUID) + "%7D&file=" + url.QueryEscape(f.Name) + "&action=default&mobileredirect=true"
}

// siteURL is the site whose library the channel's folder is in: the team's, or
// one of its own for private and shared channels.
func (c *Channel) siteURL() string {
	site := c.team.ID
	if c.kind != Standard {
		site += "-" + c.folder
	}
	return "https://" + strings.Split(c.t.opts.Domain, ".")[0] + ".sharepoint.com/sites/" + url.PathEscape(site)
}

func (c *Channel) folderURL() string {
	return c.siteURL() + "/Shared%20Documents/" + url.PathEscape(c.folder)
}

func (c *Channel) driveID() string {
	if c.kind != Standard {
		return "b!" + c.team.ID + "-" + c.folder
	}
	return "b!" + c.team.ID
}

func (c *Channel) folderID() string { return "01" + strings.ToUpper(c.ID[3:min(len(c.ID), 35)]) }

// checkReference checks an attachment that refers to a file. Where the address is
// in the channel's folder the file has to be there, and the id to be its own.
// Microsoft documents the id, and not what becomes of a wrong one.
func (c *Channel) checkReference(id, contentURL, name string) *apiError {
	if !strings.EqualFold(path.Ext(contentURL), path.Ext(name)) {
		return errBadRequest("contentUrl extension and name extension do not match")
	}
	inFolder, ok := strings.CutPrefix(contentURL, c.folderURL()+"/")
	if !ok {
		return nil
	}
	if plain, err := url.PathUnescape(inFolder); err == nil {
		inFolder = plain
	}
	if f := c.file(inFolder); f == nil || !strings.EqualFold(f.GUID, id) {
		return errBadRequest("The attachment's id is not that of the file.")
	}
	return nil
}
