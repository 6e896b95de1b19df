package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
)

const (
	stormNotifications = 10_000
	// stormSenders is how many connections Graph delivers through at once.
	stormSenders = 200
	// stormAnswer is within the 3 seconds that Graph waits.
	stormAnswer = 2500 * time.Millisecond
	stormHeap   = 96 << 20
	stormState  = "client state"
	stormTenant = "tenant"
)

// ledgerSink keeps what comes in the ledger.
type ledgerSink struct{ inbox *database.Inbox }

func (s ledgerSink) Accept(ctx context.Context, source string, msgs []teams.Message) error {
	rows := make([]database.InboxRow, 0, len(msgs))
	for _, m := range msgs {
		payload, err := json.Marshal(m)
		if err != nil {
			return err
		}
		rows = append(rows, database.InboxRow{Portal: string(portal.ChannelPortal(m.Channel).ID), MessageID: m.ID, Version: m.ETag,
			CreatedAt: m.Created, ReceivedAt: m.Created, Source: source, Payload: payload})
	}
	_, err := s.inbox.Accept(ctx, rows)
	return err
}

// anyMessage is a Graph that has every message.
type anyMessage struct{}

func (anyMessage) Message(_ context.Context, ref teams.MessageRef) (teams.Message, error) {
	return teams.Message{Channel: ref.ChannelRef, ID: ref.ID, ETag: 1, Type: teams.TypeMessage, Created: time.Unix(1, 0)}, nil
}

// In a storm of notifications every answer comes in time, though the database is
// busy: each notification is stored, or refused so that Graph repeats it. What
// was said comes through once, and the memory does not grow with the storm.
func TestStormOfNotifications(t *testing.T) {
	path := filepath.Join(t.TempDir(), "storm.db")
	db := openDB(t, path, "0123456789abcdef0123456789abcdef")
	busy := openDB(t, path, "0123456789abcdef0123456789abcdef")
	var process *teams.Processor
	log := notificationLog{Notifications: db.Notifications}
	process = teams.NewProcessor(teams.ProcessorOptions{Log: log, Sink: ledgerSink{db.Inbox}, Messages: anyMessage{}, TenantID: stormTenant})
	listener, err := teams.Listen(t.Context(), teams.ListenerOptions{
		Address: "127.0.0.1:0", Paths: []string{notificationPath}, Logger: zerolog.Nop(),
		Handler: teams.NewReceiver(teams.ReceiverOptions{ClientState: stormState, Log: log, Wake: process.Wake, Logger: zerolog.Nop()}),
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var loops sync.WaitGroup
	defer loops.Wait()
	defer cancel()
	loops.Go(func() { _ = listener.Serve(ctx) })
	loops.Go(func() { _ = process.Run(ctx) })
	// Somebody else writes for 3 seconds, which is longer than Graph waits, and
	// then for 50 of every 250 milliseconds.
	calm := make(chan struct{})
	locked := make(chan struct{})
	loops.Go(func() {
		for hold := 3 * time.Second; ; hold = 50 * time.Millisecond {
			_ = busy.DoTxn(ctx, nil, func(context.Context) error {
				if hold > time.Second {
					close(locked)
				}
				return pause(ctx, hold)
			})
			select {
			case <-calm:
				return
			default:
			}
			if pause(ctx, 200*time.Millisecond) != nil {
				return
			}
		}
	})
	<-locked
	var heap uint64
	loops.Go(func() {
		for pause(ctx, 20*time.Millisecond) == nil {
			var m goruntime.MemStats
			goruntime.ReadMemStats(&m)
			heap = max(heap, m.HeapAlloc)
		}
	})

	url := "http://" + listener.Addr().String() + notificationPath
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: stormSenders}}
	var next, refused, slowest atomic.Int64
	var senders sync.WaitGroup
	for range stormSenders {
		senders.Go(func() {
			for n := next.Add(1); n <= stormNotifications; n = next.Add(1) {
				body := fmt.Sprintf(`{"value":[{"subscriptionId":"s","changeType":"created","clientState":%q,"tenantId":%q,"resource":"teams('t')/channels('c%d')/messages('%d')"}]}`,
					stormState, stormTenant, n%50, n)
				for {
					status, took := deliverOnce(t, client, url, body)
					if took := int64(took); took > slowest.Load() {
						slowest.Store(took)
					}
					if status == http.StatusAccepted {
						break
					}
					if status != http.StatusServiceUnavailable {
						t.Errorf("answered %d", status)
						return
					}
					refused.Add(1)
				}
			}
		})
	}
	senders.Wait()
	close(calm)
	require.NotZero(t, refused.Load(), "the storm was none")
	require.Less(t, time.Duration(slowest.Load()), stormAnswer)
	require.Eventually(t, func() bool {
		pending, aside, err := db.Notifications.Count(t.Context())
		require.NoError(t, err)
		require.Zero(t, aside)
		return pending == 0
	}, 2*time.Minute, 100*time.Millisecond)
	stats, err := db.Inbox.Stats(t.Context())
	require.NoError(t, err)
	require.Equal(t, stormNotifications, stats.ByState[database.StatePending])
	require.Zero(t, stats.ByState[database.StateParked])
	cancel()
	loops.Wait()
	require.Less(t, heap, uint64(stormHeap))
	t.Logf("%d refused, slowest answer %v, %d MiB of heap at most", refused.Load(), time.Duration(slowest.Load()), heap>>20)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func deliverOnce(t *testing.T, client *http.Client, url, body string) (status int, took time.Duration) {
	began := time.Now()
	resp, err := client.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, 0
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode, time.Since(began)
}
