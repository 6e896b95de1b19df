package bridge

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/portal"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

func TestVerifyArguments(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for _, tc := range []struct {
		text string
		want verifyOrder
	}{
		{"", verifyOrder{since: ago(verifyDefault)}},
		{"--repair", verifyOrder{since: ago(verifyDefault), repair: true}},
		{"3d", verifyOrder{since: ago(72 * time.Hour)}},
		{"Sales EMEA/On call 12h --repair", verifyOrder{name: "Sales EMEA/On call", since: ago(12 * time.Hour), repair: true}},
		{"--repair Sales 2026-11-20", verifyOrder{name: "Sales", since: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), repair: true}},
		{"Sales 2W", verifyOrder{name: "Sales", since: ago(14 * 24 * time.Hour)}},
		{"12h 3d", verifyOrder{name: "12h", since: ago(72 * time.Hour)}},
		{"Team 2026", verifyOrder{name: "Team 2026", since: ago(verifyDefault)}},
		{"stop", verifyOrder{stop: true}},
	} {
		got, problem := parseVerify(texts.Texts{}, tc.text, now)
		require.Empty(t, problem, tc.text)
		require.Equal(t, tc.want, got, tc.text)
	}
	x, err := texts.For("", time.FixedZone("", 5*3600))
	require.NoError(t, err)
	got, _ := parseVerify(x, "2026-11-20", now)
	require.Equal(t, "2026-11-20 00:00 +05:00", x.Time(got.since), "a day begins in the zone of the configuration")
	for text, want := range map[string]string{
		"Sales --fix":      "no option `--fix`",
		"0d":               "no length of time",
		"99999999999w":     "no length of time",
		"Sales 2026-13-01": "no date",
		"2026-12-24":       "in the future",
	} {
		_, problem := parseVerify(texts.Texts{}, text, now)
		require.Contains(t, problem, want, text)
	}
}

// fakeComparer answers for channels by id.
type fakeComparer struct {
	reports  map[string]portal.Report
	errs     map[string][]error
	asked    []string
	repaired []string
	wait     chan struct{}
}

func (f *fakeComparer) Verify(ctx context.Context, ch teams.ChannelRef, _ time.Time) (portal.Report, error) {
	f.asked = append(f.asked, ch.ChannelID)
	if f.wait != nil {
		select {
		case <-f.wait:
		case <-ctx.Done():
			return portal.Report{}, ctx.Err()
		}
	}
	if errs := f.errs[ch.ChannelID]; len(errs) > 0 {
		f.errs[ch.ChannelID] = errs[1:]
		if errs[0] != nil {
			return portal.Report{}, errs[0]
		}
	}
	return f.reports[ch.ChannelID], nil
}

func (f *fakeComparer) Repair(_ context.Context, r portal.Report) (portal.Report, error) {
	f.repaired = append(f.repaired, r.Channel.ChannelID)
	for i := range r.Findings {
		if r.Findings[i].Reason == "" {
			r.Findings[i].Mended = true
		}
	}
	return r, nil
}

func verifyRunOf(ids ...string) *verifyRun {
	run := &verifyRun{since: time.Now().Add(-time.Hour), by: "@admin:example.com", stop: func() {}}
	for _, id := range ids {
		run.channels = append(run.channels, verifyChannel{ref: teams.ChannelRef{TeamID: "t", ChannelID: id}, label: "Team/" + id})
	}
	return run
}

func verificationOf(f *fakeComparer) *verification {
	return &verification{verifier: f, now: time.Now, pace: verifyPace, pause: verifyPause}
}

func TestVerifyGoesThroughChannelsAndSumsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := time.Date(2026, 11, 25, 9, 30, 0, 0, time.UTC)
		down := &teams.Error{Op: "test", Kind: teams.KindUnavailable}
		f := &fakeComparer{
			reports: map[string]portal.Report{
				"a": {Channel: teams.ChannelRef{ChannelID: "a"}, InTeams: 10, InMatrix: 12, OnTheWay: 2, Failed: map[string]int{"to Teams: permission missing": 1}},
				"b": {Channel: teams.ChannelRef{ChannelID: "b"}, InTeams: 5, Findings: []portal.Finding{
					{Class: portal.MissingInMatrix, Message: "1700000000000", At: at},
					{Class: portal.OutOfOrder, Message: "1700000000001", Event: "$e", At: at, Reason: "it can't be moved"},
				}},
			},
			errs: map[string][]error{"a": {down, nil}, "c": {&teams.Error{Op: "test", Kind: teams.KindPermission}}},
		}
		v, run := verificationOf(f), verifyRunOf("a", "b", "c")
		run.repair = true
		require.Nil(t, v.begin(run))
		require.Equal(t, run, v.begin(verifyRunOf("x")), "one at a time")
		require.Contains(t, busyText(texts.Texts{}, run, time.Now()), "0 of 3 channels")
		s := v.run(t.Context(), run, func(verifySummary) {})
		require.Nil(t, v.running())
		require.Equal(t, []string{"a", "a", "b", "c"}, f.asked, "what can't be read now is tried again")
		require.Equal(t, []string{"b"}, f.repaired)
		text := verifyText(texts.Texts{}, run, s, time.Now())
		for _, want := range []string{
			"**2 differences in 1 channel.** 3 of 3 channels", "15 messages in Teams, 12 events in Matrix", "**missing in Matrix**: 1, of which 1 mended",
			"**out of order**: 1, of which 0 mended", "Not mended: out of order: it can't be moved (1)", "On the way: 2",
			"Given up, to Teams: permission missing: 1", "Could not be compared (Graph: permission missing): Team/c",
			"missing in Matrix, Team/b, 2026-11-25 09:30:00 UTC: message `1700000000000` – mended", "event `$e`",
		} {
			require.Contains(t, text, want)
		}
		require.NotContains(t, text, "--repair")
	})
}

func TestVerifySaysThatBothSidesAreTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, run := verificationOf(&fakeComparer{}), verifyRunOf("a")
		require.Nil(t, v.begin(run))
		require.Contains(t, verifyText(texts.Texts{}, run, v.run(t.Context(), run, nil), time.Now()), "**Both sides have the same.**")
		f := &fakeComparer{errs: map[string][]error{"a": {portal.ErrTooMuch}}}
		v, run = verificationOf(f), verifyRunOf("a")
		require.Nil(t, v.begin(run))
		text := verifyText(texts.Texts{}, run, v.run(t.Context(), run, nil), time.Now())
		require.Contains(t, text, "**Nothing was compared.**")
		require.Contains(t, text, "choose a later time")
	})
}

// What nobody looked at is not told among what is in order, and both sides are not
// said to be the same.
func TestVerifySaysWhatItHasNotLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unseen := portal.Report{Left: map[string]int{portal.LeftNotForward: 4}, Unseen: map[string]int{portal.UnseenOneByOne: 3}}
		for name, f := range map[string]*fakeComparer{
			"messages":   {reports: map[string]portal.Report{"a": unseen}},
			"a channel":  {errs: map[string][]error{"b": {portal.ErrTooMuch}}},
			"all behind": {errs: map[string][]error{"a": {nil}, "b": {errors.New("x"), errors.New("x"), errors.New("x")}}},
		} {
			v, run := verificationOf(f), verifyRunOf("a", "b")
			require.Nil(t, v.begin(run))
			text := verifyText(texts.Texts{}, run, v.run(t.Context(), run, nil), time.Now())
			require.Contains(t, text, "**Nothing differs in what was compared, but not everything was.**", name)
			require.NotContains(t, text, "have the same", name)
			if name == "messages" {
				require.Contains(t, text, "**Not looked at**, because one by one it would take too long: 3")
				require.Contains(t, text, "In order, not for Teams: 4")
				require.Less(t, strings.Index(text, "Not looked at"), strings.Index(text, "On the way"), "not among what is well")
			}
		}
	})
}

func TestVerifyEndsEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("connection refused")
		all := []error{down, down, down}
		f := &fakeComparer{errs: map[string][]error{"a": all, "b": all, "c": all}}
		v, run := verificationOf(f), verifyRunOf("a", "b", "c", "d")
		require.Nil(t, v.begin(run))
		s := v.run(t.Context(), run, func(verifySummary) {})
		require.NotContains(t, f.asked, "d")
		require.Contains(t, verifyText(texts.Texts{}, run, s, time.Now()), "can't be used now")

		// Stopped, and told of on the way.
		f = &fakeComparer{wait: make(chan struct{})}
		v, run = verificationOf(f), verifyRunOf("a", "b", "c")
		require.Nil(t, v.begin(run))
		ctx, cancel := context.WithCancel(t.Context())
		told := 0
		done := make(chan verifySummary)
		go func() { done <- v.run(ctx, run, func(verifySummary) { told++ }) }()
		time.Sleep(verifyProgress + time.Minute) // of the bubble's clock
		f.wait <- struct{}{}
		synctest.Wait()
		require.Equal(t, 1, told)
		cancel()
		s = <-done
		require.Equal(t, 1, s.done)
		require.Contains(t, verifyText(texts.Texts{}, run, s, time.Now()), "because it was stopped")
		require.Nil(t, v.running())
	})
}

func TestVerifyReportIsBounded(t *testing.T) {
	run := verifyRunOf("a")
	s := newVerifySummary()
	r := portal.Report{}
	for range 500 {
		r.Findings = append(r.Findings, portal.Finding{Class: portal.MissingInTeams, Event: "$e", At: time.Now()})
	}
	s.add("Team/a", r)
	text := verifyText(texts.Texts{}, run, s, time.Now())
	require.Equal(t, verifyExamples, strings.Count(text, "event `$e`"))
	require.Contains(t, text, "… and 480 more")
	require.Contains(t, text, "mends what can be mended")
}

func TestVerifyTakesMirroredChannelsOnly(t *testing.T) {
	catalog := newCatalog(nil)
	for _, conv := range conversations() {
		catalog.byID[conv.Portal] = conv
	}
	c := &Connector{rt: &runtime{catalog: catalog}}
	channels, what, problem, err := c.verifyChannels(t.Context(), "")
	require.NoError(t, err)
	require.Empty(t, problem)
	require.Equal(t, "1 mirrored channel", what)
	require.Equal(t, []verifyChannel{{teams.ChannelRef{TeamID: "1", ChannelID: "a"}, "Sales EMEA/General"}}, channels)
	channels, what, _, err = c.verifyChannels(t.Context(), "sales emea/general")
	require.NoError(t, err)
	require.Len(t, channels, 1)
	require.Contains(t, what, "channel **General**")
	_, _, problem, err = c.verifyChannels(t.Context(), "Sales EMEA/b")
	require.NoError(t, err)
	require.Contains(t, problem, "not mirrored")
	_, _, problem, err = c.verifyChannels(t.Context(), "Sale EMEA")
	require.NoError(t, err)
	require.Contains(t, problem, "Did you mean")
	c.rt.catalog = newCatalog(nil)
	_, _, problem, _ = c.verifyChannels(t.Context(), "")
	require.Contains(t, problem, "No channel")
}
