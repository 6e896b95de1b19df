package teams

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/stretchr/testify/require"

	"teamsbridge/teams/teamstest"
)

// files is a channel of a simulated tenant, whose files the application reads
// and a person writes.
type files struct {
	tenant        *teamstest.Tenant
	ann           *teamstest.User
	channel       *teamstest.Channel
	ref           ChannelRef
	reader        *Files
	writer        *Files
	folder        Folder
	saved         []Upload
	taken         map[string]bool
	stopAfterSave bool
}

// staticToken is a token that a test got for itself.
type staticToken string

func (s staticToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(s), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func (staticToken) Invalidate(string) bool { return false }

func newFiles(t *testing.T, opts teamstest.Options) *files {
	t.Helper()
	opts.NoSystemEvents = true
	tenant, err := teamstest.Start(opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tenant.Close()) })
	ca, err := tenant.CAFile(t.TempDir())
	require.NoError(t, err)
	endpoints, err := ResolveEndpoints("global", tenant.URL(), tenant.GraphURL(), nil)
	require.NoError(t, err)
	client, err := NewHTTPClient(HTTPOptions{Endpoints: endpoints, CAFile: ca, Limiter: NewLimiter(LimiterOptions{Disabled: true}), Timeout: 10 * time.Second})
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	w := &files{tenant: tenant, ann: tenant.AddUser(teamstest.UserSpec{DisplayName: "Ann"}), taken: map[string]bool{}}
	team := tenant.AddTeam(teamstest.TeamSpec{DisplayName: "Works", Owners: []*teamstest.User{w.ann}})
	w.channel = team.AddChannel(teamstest.ChannelSpec{DisplayName: "Plans & more"})
	w.ref = ChannelRef{TeamID: team.ID, ChannelID: w.channel.ID}
	w.reader = NewFiles(FilesOptions{Endpoints: endpoints, HTTP: client, Credential: staticToken(tenant.AppToken())})
	w.writer = NewFiles(FilesOptions{Endpoints: endpoints, HTTP: client, Credential: staticToken(tenant.UserToken(w.ann)), Account: w.ann.ID})
	w.folder, err = w.reader.ChannelFolder(t.Context(), w.ref)
	require.NoError(t, err)
	t.Cleanup(func() { require.Empty(t, tenant.Violations(teamstest.ViolationTokenLeak)) })
	return w
}

var errStop = errors.New("the bridge has stopped")

func (w *files) upload(ctx context.Context, u Upload, content io.ReaderAt) (File, error) {
	return w.writer.UploadFile(ctx, u, content, func(_ context.Context, u Upload) error {
		w.saved = append(w.saved, u)
		if w.stopAfterSave {
			return errStop
		}
		return nil
	}, func(_ context.Context, id string) (bool, error) { return w.taken[id], nil })
}

func sum(t *testing.T, r io.Reader) [32]byte {
	t.Helper()
	h := sha256.New()
	_, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{r}, make([]byte, 32<<10))
	require.NoError(t, err)
	return [32]byte(h.Sum(nil))
}

func sumOf(t *testing.T, c teamstest.Content) [32]byte {
	return sum(t, io.NewSectionReader(c, 0, c.Size()))
}

func (w *files) download(t *testing.T, f *teamstest.File) ([32]byte, error) {
	t.Helper()
	file, err := w.reader.StatFile(t.Context(), w.folder, f.Attachment().ContentURL)
	if err != nil {
		return [32]byte{}, err
	}
	require.Equal(t, f.GUID, file.AttachmentID())
	require.Equal(t, f.Name, file.Name)
	require.Equal(t, f.Content.Size(), file.Size)
	body, err := w.reader.OpenFile(t.Context(), file)
	if err != nil {
		return [32]byte{}, err
	}
	defer body.Close()
	h := sha256.New()
	_, err = io.Copy(h, body)
	return [32]byte(h.Sum(nil)), err
}

func TestFileIsDownloaded(t *testing.T) {
	t.Parallel()
	w := newFiles(t, teamstest.Options{})
	for name, content := range map[string]teamstest.Content{
		"report 50% & ü.pdf": teamstest.Random(1, 700_001), "empty.txt": teamstest.Bytes(nil), "plan.docx": teamstest.Bytes([]byte("plan")),
	} {
		f := w.channel.PutFile(w.ann, name, content)
		got, err := w.download(t, f)
		require.NoError(t, err, name)
		require.Equal(t, sumOf(t, content), got, name)
	}
}

// A download that breaks off again and again is complete all the same.
func TestDownloadGoesOn(t *testing.T) {
	t.Parallel()
	w := newFiles(t, teamstest.Options{})
	content := teamstest.Random(2, 6<<20)
	f := w.channel.PutFile(w.ann, "long.bin", content)
	cut := w.tenant.Faults().Add(teamstest.Fault{Kind: teamstest.FaultCut, Match: teamstest.Match{Op: teamstest.OpFileDownload}, Times: 10})
	got, err := w.download(t, f)
	require.NoError(t, err)
	require.Equal(t, sumOf(t, content), got)
	require.Equal(t, 10, cut.Hits())
}

func TestFilesThatAreNotHandedOut(t *testing.T) {
	t.Parallel()
	w := newFiles(t, teamstest.Options{})
	put := func(name string) *teamstest.File {
		return w.channel.PutFile(w.ann, name, teamstest.Bytes([]byte("secret")))
	}
	malware, refused, gone := put("m.exe"), put("r.txt"), put("g.txt")
	malware.SetMalware()
	refused.SetRefused()
	gone.Remove()
	_, err := w.download(t, malware)
	require.ErrorIs(t, err, ErrMalware)
	_, err = w.download(t, refused)
	require.Equal(t, KindPermission, KindOf(err))
	_, err = w.download(t, gone)
	require.Equal(t, KindNotFound, KindOf(err))

	// Malware that the service finds only now.
	late := put("late.exe")
	file, err := w.reader.StatFile(t.Context(), w.folder, late.Attachment().ContentURL)
	require.NoError(t, err)
	late.SetMalware()
	_, err = w.reader.OpenFile(t.Context(), file)
	require.ErrorIs(t, err, ErrMalware)
}

// What lies outside the channel's folder is never asked for: the application
// may read it, and whoever wrote the message maybe not.
func TestFilesElsewhereAreNotRead(t *testing.T) {
	t.Parallel()
	w := newFiles(t, teamstest.Options{})
	asked := w.tenant.CountRequests(nil)
	folder := w.folder.WebURL
	for _, u := range []string{
		"", folder, folder + "/", folder + "/..", folder + "/../Board/x.txt", folder + "/%2e%2e/x.txt", folder + "/a/../../x.txt", folder + "/a%2f..%2fx",
		folder + "2/x.txt", folder + "/x.txt?web=1", folder + "/x:y.txt", folder + "/x%00.txt", strings.Replace(folder, "https", "http", 1) + "/x.txt",
		"https://evil.example/sites/x.txt", "https://user@" + strings.TrimPrefix(folder, "https://") + "/x.txt", strings.Replace(folder, "contoso", "contoso-my", 1) + "/x.txt",
	} {
		_, err := w.reader.StatFile(t.Context(), w.folder, u)
		require.ErrorIs(t, err, ErrElsewhere, u)
	}
	require.Equal(t, asked, w.tenant.CountRequests(nil))
}

// Addresses that lead elsewhere than to the cloud's hosts get nothing, and a
// token never goes to one.
func TestFileHosts(t *testing.T) {
	t.Parallel()
	w := newFiles(t, teamstest.Options{})
	foreign, err := w.tenant.ForeignURL()
	require.NoError(t, err)
	_, err = w.reader.OpenFile(t.Context(), File{Size: 3, download: foreign + "/x"})
	require.Equal(t, KindForeignHost, KindOf(err))
	_, err = w.upload(t.Context(), Upload{Folder: w.folder, Name: "x", Size: 3, Session: foreign + "/y"}, strings.NewReader("abc"))
	require.Equal(t, KindForeignHost, KindOf(err))
	require.Zero(t, w.tenant.CountRequests(func(r teamstest.Request) bool { return r.Op == teamstest.OpForeign }))

	f := w.channel.PutFile(w.ann, "x.txt", teamstest.Bytes([]byte("abc")))
	file, err := w.reader.StatFile(t.Context(), w.folder, f.Attachment().ContentURL)
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(withFile(t.Context()), http.MethodGet, file.download, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer x")
	_, err = w.reader.o.HTTP.Do(req)
	require.Equal(t, KindForeignHost, KindOf(err))
}

func TestFileHostsOfClouds(t *testing.T) {
	t.Parallel()
	allowed := func(cloud, raw string) bool {
		e, err := Cloud(cloud)
		require.NoError(t, err)
		e, err = e.WithFiles([]string{"*.files.example", "one.example:8443"})
		require.NoError(t, err)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, raw, nil)
		require.NoError(t, err)
		return e.AllowsFile(req.URL)
	}
	for cloud, url := range map[string]string{
		"global": "https://contoso.sharepoint.com/x", "gcch": "https://contoso.sharepoint.us/x", "dod": "https://contoso.sharepoint-mil.us/x",
		"china": "https://contoso.sharepoint.cn/x", "bleu": "https://contoso.sovcloud-sharepoint.fr/x", "delos": "https://contoso.sovcloud-sharepoint.de/x",
	} {
		require.True(t, allowed(cloud, url), cloud)
		require.True(t, allowed(cloud, "https://a.files.example/x"), cloud)
		require.True(t, allowed(cloud, "https://one.example:8443/x"), cloud)
	}
	for _, url := range []string{"http://contoso.sharepoint.com/x", "https://sharepoint.com/x", "https://evilsharepoint.com/x", "https://contoso.sharepoint.com.evil.example/x",
		"https://contoso.sharepoint.com:8443/x", "https://contoso.sharepoint.us/x", "https://contoso.sovcloud-sharepoint.fr/x", "https://a@contoso.sharepoint.com/x", "https://one.example/x"} {
		require.False(t, allowed("global", url), url)
	}
	for _, host := range []string{"", "*", "*.", "a/b", "https://x.example", "a.*.example"} {
		_, err := Endpoints{}.WithFiles([]string{host})
		require.Error(t, err, host)
	}
}

func TestFileIsUploaded(t *testing.T) {
	t.Parallel()
	w := newFiles(t, teamstest.Options{})
	for i, size := range []int64{1, uploadStep, chunkSize, chunkSize + 1, 2*chunkSize + 5} {
		content := teamstest.Random(uint64(i), size)
		file, err := w.upload(t.Context(), Upload{Folder: w.folder, Name: "plan ü.docx", Size: size}, content)
		require.NoError(t, err)
		all := w.channel.Files()
		require.Len(t, all, i+1)
		require.Equal(t, sumOf(t, content), sumOf(t, all[i].Content))
		require.Equal(t, all[i].Name, file.Name)
		// The tenant takes no reference that is not the file's own.
		ref := file.Reference(w.folder)
		require.Equal(t, Attachment{ID: all[i].GUID, ContentType: "reference", ContentURL: all[i].Attachment().ContentURL, Name: all[i].Name}, ref)
	}
	require.Zero(t, w.tenant.Uploads())
}

// An upload that is interrupted ten times, in every way there is, is complete
// byte for byte, and there once.
func TestUploadInterruptedTenTimes(t *testing.T) {
	t.Parallel()
	w := newFiles(t, teamstest.Options{})
	content := teamstest.Random(3, 12*chunkSize+77)
	chunk := teamstest.Match{Op: teamstest.OpUploadChunk}
	var faults []*teamstest.Injected
	for i, kind := range []teamstest.FaultKind{
		teamstest.FaultRefuse, teamstest.FaultAcceptLose, teamstest.FaultUnavailable, teamstest.FaultCut, teamstest.FaultAcceptBadGateway,
		teamstest.FaultInternalError, teamstest.FaultAcceptLose, teamstest.FaultHTML, teamstest.FaultAcceptTimeout, teamstest.FaultRefuse,
	} {
		faults = append(faults, w.tenant.Faults().Add(teamstest.Fault{Kind: kind, Match: chunk, Skip: i, Times: 1}))
	}
	_, err := w.upload(t.Context(), Upload{Folder: w.folder, Name: "big.bin", Size: content.Size()}, content)
	require.NoError(t, err)
	for i, f := range faults {
		require.Equal(t, 1, f.Hits(), i)
	}
	all := w.channel.Files()
	require.Len(t, all, 1)
	require.Equal(t, sumOf(t, content), sumOf(t, all[0].Content))
}

// Another process goes on with what it was left.
func TestUploadGoesOnElsewhere(t *testing.T) {
	t.Parallel()
	w := newFiles(t, teamstest.Options{})
	content := teamstest.Random(4, 3*chunkSize)
	u := Upload{Folder: w.folder, Name: "big.bin", Size: content.Size()}
	down := w.tenant.Faults().Add(teamstest.Fault{Kind: teamstest.FaultForbidden, Match: teamstest.Match{Op: teamstest.OpUploadChunk}, Skip: 2})
	_, err := w.upload(t.Context(), u, content)
	require.Error(t, err)
	down.Clear()
	require.Len(t, w.saved, 1)
	sent := w.tenant.CountRequests(func(r teamstest.Request) bool { return r.Op == teamstest.OpUploadChunk && r.Status < 300 })
	require.Equal(t, 2, sent)
	_, err = w.upload(t.Context(), w.saved[0], content)
	require.NoError(t, err)
	require.Len(t, w.saved, 1, "no second session")
	require.Equal(t, 3, w.tenant.CountRequests(func(r teamstest.Request) bool { return r.Op == teamstest.OpUploadChunk && r.Status < 300 }))
	require.Equal(t, sumOf(t, content), sumOf(t, w.channel.Files()[0].Content))
}

// A session that is over begins anew; one whose last answer got lost has left
// the file, which is found by what is known of it.
func TestUploadWhoseSessionIsGone(t *testing.T) {
	t.Parallel()
	w := newFiles(t, teamstest.Options{})
	content := teamstest.Random(5, 2*chunkSize)
	u := Upload{Folder: w.folder, Name: "big.bin", Size: content.Size()}
	w.stopAfterSave = true
	_, err := w.upload(t.Context(), u, content)
	require.ErrorIs(t, err, errStop)
	w.stopAfterSave = false
	w.tenant.ExpireUploads()
	_, err = w.upload(t.Context(), w.saved[0], content)
	require.NoError(t, err)
	require.Len(t, w.channel.Files(), 1)

	// The process died between the last range and its answer.
	file, err := w.upload(t.Context(), w.saved[1], content)
	require.NoError(t, err)
	require.Len(t, w.channel.Files(), 1, "the one that is there is it")
	require.Equal(t, w.channel.Files()[0].GUID, file.AttachmentID())

	// Another message's file of the same name and size is not it.
	w.taken[file.ItemID] = true
	other := teamstest.Random(6, content.Size())
	file, err = w.upload(t.Context(), w.saved[1], other)
	require.NoError(t, err)
	require.Equal(t, "big 1.bin", file.Name)
	require.Equal(t, sumOf(t, other), sumOf(t, w.channel.Files()[1].Content))

	// Nor is somebody else's.
	bob := w.tenant.AddUser(teamstest.UserSpec{DisplayName: "Bob"})
	w.channel.PutFile(bob, "shared.bin", other)
	u.Name, u.Session, u.Started, u.Account = "shared.bin", w.saved[1].Session, time.Now(), w.ann.ID
	file, err = w.upload(t.Context(), u, other)
	require.NoError(t, err)
	require.Equal(t, "shared 1.bin", file.Name)
}

// What is given up does not stay at the service: without a token, at the cloud's
// hosts only.
func TestUploadIsCancelled(t *testing.T) {
	t.Parallel()
	w := newFiles(t, teamstest.Options{})
	content := teamstest.Random(7, 3*chunkSize)
	down := w.tenant.Faults().Add(teamstest.Fault{Kind: teamstest.FaultForbidden, Match: teamstest.Match{Op: teamstest.OpUploadChunk}, Skip: 1})
	_, err := w.upload(t.Context(), Upload{Folder: w.folder, Name: "big.bin", Size: content.Size()}, content)
	require.Error(t, err)
	down.Clear()
	require.Equal(t, 1, w.tenant.Uploads())

	away := w.tenant.Faults().Add(teamstest.Fault{Kind: teamstest.FaultUnavailable, Match: teamstest.Match{Op: teamstest.OpUploadCancel}, Times: 1})
	require.Equal(t, KindUnavailable, KindOf(w.reader.CancelUpload(t.Context(), w.saved[0])))
	require.Equal(t, 1, away.Hits(), "nothing is repeated inside")
	require.Equal(t, 1, w.tenant.Uploads())
	require.NoError(t, w.reader.CancelUpload(t.Context(), w.saved[0]))
	require.Zero(t, w.tenant.Uploads())
	require.NoError(t, w.reader.CancelUpload(t.Context(), w.saved[0]), "it is over")
	require.NoError(t, w.reader.CancelUpload(t.Context(), Upload{}), "nothing was begun")
	require.Empty(t, w.channel.Files())

	host, err := w.tenant.ForeignURL()
	require.NoError(t, err)
	foreign := w.saved[0]
	foreign.Session = host + "/upload/x"
	require.Equal(t, KindForeignHost, KindOf(w.reader.CancelUpload(t.Context(), foreign)))
	require.Zero(t, w.tenant.CountRequests(func(r teamstest.Request) bool { return r.Op == teamstest.OpForeign }))

	// Whoever goes on with it all the same begins anew.
	_, err = w.upload(t.Context(), w.saved[0], content)
	require.NoError(t, err)
	require.Len(t, w.channel.Files(), 1)
	require.Equal(t, sumOf(t, content), sumOf(t, w.channel.Files()[0].Content))
}

// A session that could not be kept is ended at once: nobody would know of it.
func TestUploadThatIsNotKeptIsCancelled(t *testing.T) {
	t.Parallel()
	w := newFiles(t, teamstest.Options{})
	w.stopAfterSave = true
	_, err := w.upload(t.Context(), Upload{Folder: w.folder, Name: "a.txt", Size: 1}, strings.NewReader("a"))
	require.ErrorIs(t, err, errStop)
	require.Zero(t, w.tenant.Uploads())
}

func TestUploadIsRefused(t *testing.T) {
	t.Parallel()
	w := newFiles(t, teamstest.Options{})
	eve := w.tenant.AddUser(teamstest.UserSpec{DisplayName: "Eve"})
	w.writer.o.Credential = staticToken(w.tenant.UserToken(eve))
	_, err := w.upload(t.Context(), Upload{Folder: w.folder, Name: "a.txt", Size: 1}, strings.NewReader("a"))
	require.Equal(t, KindPermission, KindOf(err))
	require.Empty(t, w.saved)
}

func FuzzFileAnswers(f *testing.F) {
	f.Add("https://contoso.sharepoint.com/sites/a/Shared%20Documents/General/../x.txt", []byte(`{"nextExpectedRanges":["26-"]}`), "bytes 1-2/3", `"{153fa47d-18c9-4179-be08-9879815a9f90},1"`)
	f.Fuzz(func(t *testing.T, contentURL string, answer []byte, header, etag string) {
		const folder = "https://contoso.sharepoint.com/sites/a/Shared%20Documents/General"
		if path, ok := pathInFolder(folder, contentURL); ok {
			require.NotContains(t, path, "//")
			for s := range strings.SplitSeq(path, "/") {
				require.NotContains(t, []string{"", ".", "..", "%2E%2E"}, s)
				require.NotContains(t, s, ":")
			}
		}
		if n, ok := nextRange(answer); ok {
			require.GreaterOrEqual(t, n, int64(0))
		}
		_ = startsAt(header, 1, 3)
		if id := (File{ETag: etag}).AttachmentID(); id != "" {
			require.Len(t, id, 36)
		}
		if file, ok := decodeFile(answer); ok {
			require.NotEmpty(t, file.Name)
			require.GreaterOrEqual(t, file.Size, int64(0))
		}

	})
}

func TestFileName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"plan.docx": "plan.docx", "a/b\\c:d*e?f\"g<h>i|j.txt": "a_b_c_d_e_f_g_h_i_j.txt", " .hidden. ": "hidden", "": "file", "...": "file",
		"~$plan.docx": "plan.docx", "CON": "file CON", "com1.txt": "file com1.txt", "a_vti_b": "avtib", "x\x00\n.txt": "x.txt", "100%#1.txt": "100__1.txt",
		"desktop.ini": "file desktop.ini", "été 日本.pdf": "été 日本.pdf",
		strings.Repeat("é", 300) + ".pdf": strings.Repeat("é", 88) + ".pdf", ".lock": "file lock",
		"~$ 0": "0", "~$~$.x": "x", "__vti__x": "vtix", ".\u2003a": "a",
	} {
		require.Equal(t, want, FileName(name), name)
	}
}

func FuzzFileName(f *testing.F) {
	for _, name := range []string{"a/b. .", "~$ 0", "__vti__", ".\u2003a"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got := FileName(name)
		require.NotEmpty(t, got)
		require.LessOrEqual(t, len(got), maxFileName+10)
		require.Equal(t, got, strings.TrimSpace(got))
		require.False(t, strings.HasSuffix(got, "."), got)
		require.False(t, strings.ContainsAny(got, "\"*:<>?/\\|\x00"), got)
		require.False(t, strings.HasPrefix(got, "~$"), got)
		require.NotContains(t, got, "_vti_")
	})
}
