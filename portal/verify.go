package portal

import (
	"context"
	"fmt"
	"slices"
	"time"

	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"

	"teamsbridge/teams"
)

// ErrNoRoom says that a channel has no room that could be compared with it.
var ErrNoRoom = errNoRoom

// VerifyOptions configures a Verifier. Zero durations and sizes mean the default.
type VerifyOptions struct {
	Common
	Reader teams.Reader
	Room   RoomReader
	Ingest *Ingest
	// Writers are the accounts through which Teams is mended.
	Writers Writers
	// Requeue has an event of the homeserver journalled and handled as if it had
	// just come (matrix.Connector.Requeue).
	Requeue func(ctx context.Context, roomID id.RoomID, eventID id.EventID) error
	// Grace is how young a message or a change is that may be on its way.
	// Default 1 minute; negative allows for clocks that run ahead of ours.
	Grace time.Duration
	// Recheck is how long after a finding both sides are read once more: only
	// what is found twice counts. Default 5 s; negative means at once.
	Recheck time.Duration
	// RepairWait is how long a repair waits for what it has set going. Default 1
	// minute, RepairLook the time between looks, default 250 ms.
	RepairWait, RepairLook time.Duration
	// Memory is for how long the outbox remembers finished events. Default 30 days.
	Memory time.Duration
	// Ledger is for how long the ledger remembers what was delivered. Default 90 days.
	Ledger time.Duration
	// MaxMessages bounds the messages of one side that are compared at once.
	// Default 200,000.
	MaxMessages int
	// MaxLookups bounds the messages that are asked for one by one, because only
	// the bridge's tables name them. Default 500 on each side.
	MaxLookups int
}

func (o *VerifyOptions) setDefaults() {
	o.Common.setDefaults()
	def(&o.Grace, time.Minute)
	def(&o.Recheck, 5*time.Second)
	def(&o.RepairWait, time.Minute)
	def(&o.RepairLook, 250*time.Millisecond)
	def(&o.Memory, 30*24*time.Hour)
	def(&o.Ledger, 90*24*time.Hour)
	def(&o.MaxMessages, 200_000)
	def(&o.MaxLookups, 500)
	o.Recheck = max(o.Recheck, 0)
}

// Verifier compares a channel with its room, message by message, and mends
// what it finds. It may be asked at any time and while both sides are in use:
// it changes nothing unless it is told to repair.
type Verifier struct {
	o    VerifyOptions
	loop loop
}

// NewVerifier makes a Verifier.
func NewVerifier(o VerifyOptions) *Verifier {
	o.setDefaults()
	return &Verifier{o: o, loop: loop{bridge: o.Bridge, source: o.Source, timeout: time.Minute}}
}

// Verify compares what was written or changed in a channel since a time. Both
// sides go on while they are read, so what differs is looked at a second time,
// and only what differs then too is reported.
func (v *Verifier) Verify(ctx context.Context, ch teams.ChannelRef, since time.Time) (Report, error) {
	first, err := v.look(ctx, ch, since)
	if err != nil || len(first.Findings) == 0 {
		return first, err
	}
	timer := time.NewTimer(v.o.Recheck)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return first, ctx.Err()
	}
	second, err := v.look(ctx, ch, since)
	if err != nil {
		return first, err
	}
	found := map[string]bool{}
	for _, f := range first.Findings {
		found[f.key()] = true
	}
	second.Findings = slices.DeleteFunc(second.Findings, func(f Finding) bool { return !found[f.key()] })
	return second, nil
}

// look compares once.
func (v *Verifier) look(ctx context.Context, ch teams.ChannelRef, since time.Time) (Report, error) {
	report := Report{Channel: ch, Portal: string(ChannelPortal(ch).ID), Since: since, Failed: map[string]int{}, Left: map[string]int{}, Unseen: map[string]int{}}
	p, err := v.o.Bridge.GetExistingPortalByKey(ctx, networkid.PortalKey{ID: networkid.PortalID(report.Portal)})
	if err != nil {
		return report, fmt.Errorf("get portal: %w", err)
	} else if p == nil || p.MXID == "" {
		return report, errNoRoom
	}
	report.Room = p.MXID
	g := &gathering{v: v, ch: ch, portal: report.Portal, room: p.MXID}
	if err = g.gather(ctx, since); err != nil {
		return report, err
	}
	report.Reader, report.Until = g.source, g.s.until
	compare(&g.s, &report)
	report.sort()
	return report, nil
}
