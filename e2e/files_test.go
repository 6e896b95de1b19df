package e2e

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// hugeEnv makes TestHugeFiles run, with a file of so many MiB each way.
const hugeEnv = "TEAMSBRIDGE_E2E_HUGE_MIB"

// sumOf hashes a content without holding it.
func sumOf(r io.Reader) (string, error) {
	h := sha256.New()
	_, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{r}, make([]byte, 256<<10))
	return fmt.Sprintf("%x", h.Sum(nil)), err
}

func sumOfContent(c teamstest.Content) string {
	sum, err := sumOf(io.NewSectionReader(c, 0, c.Size()))
	if err != nil {
		panic(err)
	}
	return sum
}

// sendFile uploads a file as its owner and says it in a room.
func (o *office) sendFile(cli *mautrix.Client, room id.RoomID, name, caption string, content teamstest.Content) {
	o.t.Helper()
	cli.Client.Timeout = 10 * time.Minute
	up, err := cli.UploadMedia(o.ctx, mautrix.ReqUploadMedia{
		Content: io.NewSectionReader(content, 0, content.Size()), ContentLength: content.Size(), ContentType: "application/octet-stream", FileName: name,
	})
	require.NoError(o.t, err)
	_, err = cli.SendMessageEvent(o.ctx, room, event.EventMessage, &event.MessageEventContent{
		MsgType: event.MsgFile, Body: caption, FileName: name, URL: up.ContentURI.CUString(),
		Info: &event.FileInfo{Size: int(content.Size()), MimeType: "application/octet-stream"},
	})
	require.NoError(o.t, err)
}

// attached waits until a message of the channel has a file of the name attached,
// and returns its content.
func (o *office) attached(within time.Duration, ch *teamstest.Channel, caption, name string) (author string, content teamstest.Content) {
	o.t.Helper()
	o.within(within, "the file in Teams", func(context.Context) error {
		for _, m := range ch.Messages() {
			if !strings.Contains(m.Content, caption) || len(m.Attachments) != 1 || m.Attachments[0].Name != name {
				continue
			}
			for _, f := range ch.Files() {
				if f.GUID == m.Attachments[0].ID {
					author, content = m.From.ID, f.Content
					return nil
				}
			}
		}
		return errors.New("it is not there")
	})
	return author, content
}

// fileIn waits until a room shows a file of the name, and returns what kind it is
// and the hash of its bytes.
func (o *office) fileIn(within time.Duration, cli *mautrix.Client, room id.RoomID, name string) (kind event.MessageType, sum string) {
	o.t.Helper()
	var uri id.ContentURIString
	o.within(within, "the file in Matrix", func(ctx context.Context) error {
		list, err := o.entries(ctx, cli, room, func(e stack.Entry) bool { return e.Body == name && e.URL != "" })
		if err != nil {
			return err
		} else if len(list) != 1 {
			return fmt.Errorf("it is there %d times", len(list))
		}
		kind, uri = list[0].MsgType, list[0].URL
		return nil
	})
	parsed, err := uri.Parse()
	require.NoError(o.t, err)
	resp, err := cli.Download(o.ctx, parsed)
	require.NoError(o.t, err)
	defer resp.Body.Close()
	sum, err = sumOf(resp.Body)
	require.NoError(o.t, err)
	return kind, sum
}

// Files go both ways byte for byte, through interruptions, Teams being away and
// kill -9, and each is there once.
func TestFiles(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{})
	o.runRelayed(o.ben)
	ben := o.as(stack.Localpart(o.ben))
	room := o.room(ben, o.general)

	o.Tenant.Faults().Add(teamstest.Fault{Kind: teamstest.FaultCut, Match: teamstest.Match{Op: teamstest.OpFileDownload}, Times: 3})
	plan, film := teamstest.Random(1, 7<<20), teamstest.Random(2, 3<<20)
	infected := o.general.PutFile(o.ada, "bad.exe", teamstest.Bytes([]byte("x")))
	infected.SetMalware()
	o.general.Post(o.ada, teamstest.Msg{HTML: "<p>the plan</p>", Attachments: []teamstest.Attachment{
		o.general.PutFile(o.ada, "plan & more.bin", plan).Attachment(), o.general.PutFile(o.ada, "film.mp4", film).Attachment(), infected.Attachment(),
		{ID: "153fa47d-18c9-4179-be08-9879815a9f90", ContentType: "reference", ContentURL: "https://contoso-my.sharepoint.com/personal/ada/Documents/mine.xlsx", Name: "mine.xlsx"},
	}})
	kind, sum := o.fileIn(testLimit, ben, room, "plan & more.bin")
	require.Equal(t, event.MsgFile, kind)
	require.Equal(t, sumOfContent(plan), sum)
	kind, sum = o.fileIn(testLimit, ben, room, "film.mp4")
	require.Equal(t, event.MsgVideo, kind)
	require.Equal(t, sumOfContent(film), sum)
	o.find(ben, room, "malware", nil)
	// What is in somebody's OneDrive is not read: the application may what the author may not.
	o.find(ben, room, "mine.xlsx", func(e stack.Entry) error {
		return inOrder(e.HTML, []string{`<a href="https://contoso-my.sharepoint.com/personal/ada/Documents/mine.xlsx">`, "mine.xlsx"})
	})

	// Uploaded with every third range or answer lost, as the sender.
	faults := o.Tenant.Faults()
	for i, kind := range []teamstest.FaultKind{teamstest.FaultAcceptLose, teamstest.FaultRefuse, teamstest.FaultUnavailable} {
		faults.Add(teamstest.Fault{Kind: kind, Match: teamstest.Match{Op: teamstest.OpUploadChunk}, Skip: i, Times: 1})
	}
	report := teamstest.Random(3, 17<<20)
	o.sendFile(ben, room, "report.bin", "my report", report)
	author, content := o.attached(testLimit, o.general, "my report", "report.bin")
	require.Equal(t, o.ben.ID, author)
	require.Equal(t, sumOfContent(report), sumOfContent(content))

	// The bridge is killed while it uploads, and goes on where it was.
	cleo := o.as(stack.Localpart(o.cleo))
	o.room(cleo, o.general)
	hang := faults.Add(teamstest.Fault{Kind: teamstest.FaultHang, Match: teamstest.Match{Op: teamstest.OpUploadChunk}, Skip: 2})
	minutes := teamstest.Random(4, 21<<20)
	o.sendFile(cleo, room, "minutes.bin", "the minutes", minutes)
	o.until("the upload is on its way", func(context.Context) error {
		if hang.Hits() == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	o.Bridge.Kill()
	hang.Clear()
	sessions := o.Tenant.CountRequests(func(r teamstest.Request) bool { return r.Op == teamstest.OpUploadStart })
	o.run()
	_, content = o.attached(testLimit, o.general, "the minutes", "minutes.bin")
	require.Equal(t, sumOfContent(minutes), sumOfContent(content))
	require.Equal(t, sessions, o.Tenant.CountRequests(func(r teamstest.Request) bool { return r.Op == teamstest.OpUploadStart }), "no second session")
	require.Len(t, o.general.Files(), 5, "nothing twice")
	require.Zero(t, o.Tenant.CountViolations(teamstest.ViolationTokenLeak))
}

// A file that is larger than the bridge's memory goes each way, and the memory
// stays as it is. It takes minutes and disk, so it runs only when asked for.
func TestHugeFiles(t *testing.T) {
	mib, err := strconv.ParseInt(os.Getenv(hugeEnv), 10, 64)
	if err != nil || runtime.GOOS != "linux" {
		t.Skipf("set %s to a size, such as 2048", hugeEnv)
	}
	o := newOffice(t, stack.Options{Settings: map[string]any{"network": map[string]any{"limits": map[string]any{"file_size": int64(3) << 30}}}})
	o.runRelayed(o.ben)
	ben := o.as(stack.Localpart(o.ben))
	room := o.room(ben, o.general)
	before := residentMiB(t, o.Bridge.PID())

	peak := watchMemory(o)
	began := time.Now()
	in := teamstest.Random(1, mib<<20)
	o.general.Post(o.ada, teamstest.Msg{HTML: "<p>huge</p>", Attachments: []teamstest.Attachment{o.general.PutFile(o.ada, "in.bin", in).Attachment()}})
	_, sum := o.fileIn(12*time.Minute, ben, room, "in.bin")
	t.Logf("%d MiB from Teams in %s; resident before %d MiB, at most %d MiB", mib, time.Since(began).Round(time.Second), before, peak())
	require.Equal(t, sumOfContent(in), sum)
	require.Less(t, peak(), before+64, "the memory grows with the file")

	began = time.Now()
	out := teamstest.Random(2, mib<<20)
	o.sendFile(ben, room, "out.bin", "huge too", out)
	_, content := o.attached(12*time.Minute, o.general, "huge too", "out.bin")
	t.Logf("%d MiB to Teams in %s; at most %d MiB", mib, time.Since(began).Round(time.Second), peak())
	require.Equal(t, sumOfContent(out), sumOfContent(content))
	require.Less(t, peak(), before+64, "the memory grows with the file")
}

// watchMemory measures the bridge's resident memory until the test ends.
func watchMemory(o *office) (peak func() int) {
	var mu sync.Mutex
	most := 0
	ctx, cancel := context.WithCancel(o.ctx)
	var done sync.WaitGroup
	done.Go(func() {
		for tick := time.NewTicker(100 * time.Millisecond); ; {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			mu.Lock()
			most = max(most, residentMiB(o.t, o.Bridge.PID()))
			mu.Unlock()
		}
	})
	o.t.Cleanup(func() { cancel(); done.Wait() })
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return most
	}
}

// residentMiB reads how much memory a process has resident.
func residentMiB(t *testing.T, pid int) int {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Logf("read the memory of the bridge: %v", err)
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest + " 0")[0])
	if err != nil {
		return 0
	}
	return kib >> 10
}
