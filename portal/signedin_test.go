package portal_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
)

// An edit or a deletion whose account has to sign in again holds nothing up, its
// author is told, and it goes when the account is back, also after a restart.
func TestChangesWaitForTheAccountThatPosted(t *testing.T) {
	r := started(t)
	a, b := r.Say(portaltest.BobMXID, "one"), r.Say(portaltest.BobMXID, "two")
	r.Quiet()
	// The account has expired: the first request finds that out.
	r.Tenant.SetFault(func(_, account string) portaltest.Fault {
		if account == portaltest.Relay {
			return portaltest.Fault{Refuse: portaltest.ErrExpired}
		}
		return portaltest.Fault{}
	})
	edit, removal := r.Edit(portaltest.BobMXID, a, "one, edited"), r.Redact(portaltest.BobMXID, b)
	after := r.Say(portaltest.AliceMXID, "after it")
	r.Quiet()
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, after))
	require.Equal(t, event.MessageStatusFail, lastStatus(r, edit))
	require.Equal(t, event.MessageStatusFail, lastStatus(r, removal))
	require.Len(t, answers(r, a), 1)
	require.Contains(t, answers(r, a)[0], "when that account has signed in again")
	r.Restart()
	r.Quiet()
	require.Len(t, r.TeamsTexts(), 3, "nothing goes while it is not signed in")

	r.Tenant.SetFault(nil)
	r.People.SignIn(portaltest.Relay, true)
	r.Eventually(func() bool {
		return lastStatus(r, edit) == event.MessageStatusSuccess && lastStatus(r, removal) == event.MessageStatusSuccess
	})
	r.Quiet()
	require.Len(t, r.TeamsTexts(), 2)
	require.Contains(t, r.TeamsTexts()[0], "one, edited")
	require.Len(t, answers(r, a), 1, "once")
}

// What a newer edit has replaced does not come back; edits that waited together
// keep their order.
func TestEditThatWasOvertakenWhileItWaited(t *testing.T) {
	for name, waits := range map[string]bool{"newer went": false, "newer waits too": true} {
		t.Run(name, func(t *testing.T) {
			r := portaltest.New(t)
			r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) { out.Sweep = time.Hour } // at starts only
			r.Start()
			a := r.Say(portaltest.AliceMXID, "one")
			r.Quiet()
			r.People.SignIn(portaltest.Alice, false)
			older := r.Edit(portaltest.AliceMXID, a, "older")
			r.Quiet()
			require.Equal(t, event.MessageStatusFail, lastStatus(r, older))
			r.People.SignIn(portaltest.Alice, !waits)
			newer := r.Edit(portaltest.AliceMXID, a, "newer")
			r.Quiet()
			r.People.SignIn(portaltest.Alice, true)
			r.Restart()
			r.Eventually(func() bool {
				row, err := r.DB.Outbox.ByEvent(context.Background(), older.String())
				return err == nil && row.State != database.StateParked && lastStatus(r, newer) == event.MessageStatusSuccess
			})
			r.Quiet()
			require.Equal(t, []string{"newer"}, r.TeamsTexts())
		})
	}
}
