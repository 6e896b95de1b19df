package teams

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/tidwall/gjson"
)

// Folder is the folder in SharePoint in which a channel keeps its files.
type Folder struct {
	DriveID string `json:"drive"`
	ItemID  string `json:"item"`
	WebURL  string `json:"web_url"`
}

// File is a file in a channel's folder.
type File struct {
	DriveID, ItemID, ETag, CTag, Name, MimeType string
	Size                                        int64
	Created                                     time.Time
	// CreatedBy is the directory id of who made it, where that is told.
	CreatedBy string
	// Malware says that the service has found some in it.
	Malware bool

	download string
}

// AttachmentID is how a message names the file that it has attached: the GUID
// in its eTag. It is empty where the eTag has none.
func (f File) AttachmentID() string {
	_, rest, ok := strings.Cut(f.ETag, "{")
	id, _, closed := strings.Cut(rest, "}")
	if !ok || !closed || len(id) != 36 || !validID(id) {
		return ""
	}
	return strings.ToLower(id)
}

// Reference is the attachment by which a message shows the file, which is in
// the folder itself. The address that Graph tells of a document opens a page, and
// is refused in a message; so the address is made of the folder's.
func (f File) Reference(folder Folder) Attachment {
	return Attachment{
		ID: f.AttachmentID(), ContentType: "reference", Name: f.Name,
		ContentURL: strings.TrimSuffix(folder.WebURL, "/") + "/" + url.PathEscape(f.Name),
	}
}

// IsFileHost reports whether an error is of a host that has files' bytes, and not
// of Graph.
func IsFileHost(err error) bool {
	var e *Error
	return errors.As(err, &e) && strings.HasSuffix(e.Op, " file content")
}

// Errors of files, as causes of an *Error.
var (
	// ErrElsewhere says that a file is not in the folder of the channel whose
	// message refers to it. It is never fetched: the application may read what
	// the message's author may not.
	ErrElsewhere = errors.New("the file is not in the channel's folder")
	// ErrMalware says that the service has found malware in a file.
	ErrMalware = errors.New("the file has malware in it")
	// ErrChanged says that a file became another one while it was read.
	ErrChanged = errors.New("the file was changed while it was read")
)

// FileCredential is whose right a Files uses.
type FileCredential interface {
	azcore.TokenCredential
	// Invalidate forgets an access token that was refused.
	Invalidate(token string) bool
}

// FilesOptions configures NewFiles.
type FilesOptions struct {
	Endpoints  Endpoints
	Credential FileCredential
	// HTTP is a client of NewHTTPClient.
	HTTP *http.Client
	// Account is the account that the credential is of, empty for the application.
	Account string
}

// Files reads and writes channels' folders. Bytes go to and come from addresses
// that Graph gives out, without a token.
type Files struct{ o FilesOptions }

// NewFiles returns a Files; nothing is sent yet.
func NewFiles(o FilesOptions) *Files { return &Files{o} }

// ChannelFolder returns the folder of a channel.
func (f *Files) ChannelFolder(ctx context.Context, ch ChannelRef) (Folder, error) {
	raw, err := f.graph(ctx, http.MethodGet, "/teams/"+url.PathEscape(ch.TeamID)+"/channels/"+url.PathEscape(ch.ChannelID)+"/filesFolder", nil)
	if err != nil {
		return Folder{}, err
	}
	v := gjson.ParseBytes(raw)
	folder := Folder{DriveID: v.Get("parentReference.driveId").String(), ItemID: v.Get("id").String(), WebURL: v.Get("webUrl").String()}
	if folder.DriveID == "" || folder.ItemID == "" || folder.WebURL == "" {
		return Folder{}, &Error{Op: "GET channel filesFolder", Kind: KindUnavailable, Hint: "the answer is not from Graph or is damaged"}
	}
	return folder, nil
}

// StatFile finds the file that a message of the channel refers to by address.
// Only the channel's own folder is looked in, by the path in it.
func (f *Files) StatFile(ctx context.Context, folder Folder, contentURL string) (File, error) {
	path, ok := pathInFolder(folder.WebURL, contentURL)
	if !ok {
		return File{}, &Error{Op: "GET file", Kind: KindForeignHost, Err: ErrElsewhere}
	}
	return f.item(ctx, itemPath(folder.DriveID, folder.ItemID)+":/"+path)
}

func itemPath(driveID, itemID string) string {
	return "/drives/" + url.PathEscape(driveID) + "/items/" + url.PathEscape(itemID)
}

func (f *Files) item(ctx context.Context, path string) (File, error) {
	raw, err := f.graph(ctx, http.MethodGet, path, nil)
	if err != nil {
		return File{}, err
	}
	file, ok := decodeFile(raw)
	if !ok {
		return File{}, &Error{Op: "GET file", Kind: KindNotFound, Hint: "the address is not a file's"}
	}
	return file, nil
}

func decodeFile(raw []byte) (File, bool) {
	v := gjson.ParseBytes(raw)
	created, _ := time.Parse(time.RFC3339, v.Get("createdDateTime").String())
	file := File{
		DriveID: v.Get("parentReference.driveId").String(), ItemID: v.Get("id").String(), ETag: v.Get("eTag").String(), CTag: v.Get("cTag").String(),
		Name: v.Get("name").String(), Size: v.Get("size").Int(), MimeType: v.Get("file.mimeType").String(), Created: created,
		CreatedBy: v.Get("createdBy.user.id").String(), Malware: v.Get("malware").IsObject(),
		download: v.Get(`@microsoft\.graph\.downloadUrl`).String(),
	}
	return file, v.Get("file").IsObject() && file.ItemID != "" && file.Name != "" && file.Size >= 0
}

// pathInFolder returns the escaped path of a file below a folder, both given by
// their addresses in a browser. SharePoint's paths do not tell upper from lower
// case. A path that could lead out of the folder is none.
func pathInFolder(folder, file string) (string, bool) {
	dir, err := url.Parse(folder)
	if err != nil {
		return "", false
	}
	u, err := url.Parse(file)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != dir.Scheme || !strings.EqualFold(u.Host, dir.Host) {
		return "", false
	}
	prefix := strings.TrimSuffix(dir.Path, "/") + "/"
	if dir.Path == "" || len(u.Path) <= len(prefix) || !strings.EqualFold(u.Path[:len(prefix)], prefix) || len(u.Path) > 2000 {
		return "", false
	}
	segs := strings.Split(u.Path[len(prefix):], "/")
	for i, s := range segs {
		if s == "" || strings.Trim(s, ". ") == "" || !utf8.ValidString(s) || strings.ContainsFunc(s, badInPath) {
			return "", false
		}
		segs[i] = url.PathEscape(s)
	}
	return strings.Join(segs, "/"), true
}

// badInPath are the characters that no name in SharePoint has.
func badInPath(r rune) bool { return r < 0x20 || r == 0x7f || strings.ContainsRune(`"*:<>?/\|`, r) }

// graph sends a request to Graph and returns the answer's body.
func (f *Files) graph(ctx context.Context, method, path string, body any) ([]byte, error) {
	u := f.o.Endpoints.Root() + path
	var payload []byte
	if body != nil {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			return nil, &Error{Op: "file", Kind: KindBadRequest, Err: err}
		}
	}
	if f.o.Account != "" {
		ctx = WithAccount(ctx, f.o.Account)
	}
	for first := true; ; first = false {
		token, err := f.o.Credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{f.o.Endpoints.Scope}})
		if err != nil {
			return nil, asError("file", err)
		}
		req, err := http.NewRequestWithContext(ctx, method, u, bytes.NewReader(payload))
		if err != nil {
			return nil, &Error{Op: "file", Kind: KindBadRequest, Err: err}
		}
		req.Header.Set("Authorization", "Bearer "+token.Token)
		req.Header.Set("Accept", "application/json")
		if payload != nil {
			req.Header.Set("Content-Type", "application/json")
		}
		raw, err := f.do(req)
		var e *Error
		// A request that is refused for its token was not carried out.
		if first && errors.As(err, &e) && e.Status == http.StatusUnauthorized && f.o.Credential.Invalidate(token.Token) {
			continue
		}
		return raw, err
	}
}

// do sends a request and reads the answer.
func (f *Files) do(req *http.Request) ([]byte, error) {
	resp, err := f.o.HTTP.Do(req)
	if err != nil {
		return nil, asError("file", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= 300 {
		return nil, &Error{Op: "file", Kind: kindOf(resp.StatusCode, ""), Status: resp.StatusCode}
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, MaxPageBytes))
	if err != nil {
		return nil, asError("file", err)
	}
	return raw, nil
}

// asError makes every error an *Error; net/http puts the address around them,
// which for a file is a secret.
func asError(op string, err error) error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	return &Error{Op: op, Kind: KindUnknown, Err: err}
}
