package portal_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
)

// TestVerifyMendsRandomDamage: a healthy conversation is damaged behind the
// bridge's back, on either side and in its tables; one repair makes both sides
// the same again.
func TestVerifyMendsRandomDamage(t *testing.T) {
	seeds := []uint64{1, 2, 3, uint64(time.Now().UnixNano())}
	if s := os.Getenv("TEAMSBRIDGE_TEST_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
		seeds = []uint64{seed}
	}
	if testing.Short() {
		seeds = seeds[:1]
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Logf("seed %d (repeat with TEAMSBRIDGE_TEST_SEED)", seed)
			randomDamage(t, rand.New(rand.NewPCG(seed, 3)))
		})
	}
}

func randomDamage(t *testing.T, rng *rand.Rand) {
	ctx := context.Background()
	r := started(t)
	var said []id.EventID
	for i := range 20 {
		switch rng.IntN(3) {
		case 0:
			said = append(said, r.Say([]id.UserID{portaltest.AliceMXID, portaltest.CarolMXID}[rng.IntN(2)], fmt.Sprintf("m%d", i)))
		case 1:
			m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, fmt.Sprintf("t%d", i))
			if rng.IntN(2) == 0 {
				r.Tenant.Post(portaltest.Channel, m.ID, portaltest.Bob, fmt.Sprintf("t%dr", i))
			}
		case 2:
			if len(said) > 0 {
				r.Reply(portaltest.AliceMXID, said[rng.IntN(len(said))], fmt.Sprintf("m%d", i))
			}
		}
	}
	r.Quiet()
	clean(t, r)
	damaged := map[string]bool{}
	for range 6 {
		damage(t, r, rng, damaged)
	}
	report := verify(t, r)
	repaired, err := r.Verifier.Repair(ctx, report)
	require.NoError(t, err)
	r.Quiet()
	for _, f := range repaired.Findings {
		t.Logf("%s %s %s mended=%v %s", f.Class, f.Message, f.Event, f.Mended, f.Reason)
	}
	clean(t, r)
	inTeams, inMatrix := r.TeamsTexts(), r.Texts()
	for _, list := range [][]string{inTeams, inMatrix} {
		for i, text := range list {
			list[i] = lastWord(text)
		}
		slices.Sort(list)
	}
	require.Equal(t, inTeams, inMatrix, "the same messages, each once")
}

func lastWord(s string) string {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == ' ' || s[i] == '\n' {
			return s[i+1:]
		}
	}
	return s
}

// damage does one thing to one message that nothing was done to yet.
func damage(t *testing.T, r *portaltest.Rig, rng *rand.Rand, damaged map[string]bool) {
	ctx := context.Background()
	all := r.Tenant.Messages(portaltest.Channel)
	m := all[rng.IntN(len(all))]
	rows, err := r.Bridge.DB.Message.GetAllPartsByID(ctx, "", portal.MessageID(portaltest.Channel, m.ID))
	require.NoError(t, err)
	if damaged[m.ID] || len(rows) == 0 {
		return
	}
	damaged[m.ID] = true
	row := rows[0]
	native := m.From.ID == portaltest.Dave || m.From.ID == portaltest.Bob
	mine := row.SenderMXID == portaltest.AliceMXID || row.SenderMXID == portaltest.CarolMXID
	switch what := rng.IntN(9); {
	case what == 0:
		r.HS.Lose(row.MXID)
	case what == 1 && native:
		r.Silently(func() { r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetText("edited"+m.ID)) })
	case what == 2 && native && m.ReplyToID != "":
		r.Silently(func() { r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetDeleted()) })
	case what == 3 && native:
		r.HS.Double(t, row.MXID)
	case what == 4 && native:
		require.NoError(t, r.Bridge.DB.Message.DeleteAllParts(ctx, "", row.ID))
	case what == 5:
		r.Silently(func() { r.Tenant.Change(portaltest.Channel, m.ID, portaltest.AddReaction(portaltest.Dave, "👍")) })
	case what == 6 && mine:
		r.Secretly(row.SenderMXID, event.EventMessage, map[string]any{
			"msgtype": "m.text", "body": "* edited" + m.ID, "m.new_content": map[string]any{"msgtype": "m.text", "body": "edited" + m.ID},
			"m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": row.MXID.String()}})
	case what == 8 && m.From.ID == portaltest.Relay:
		by := []string{portaltest.Relay, portaltest.SecondRelay}[rng.IntN(2)]
		r.Silently(func() { r.Tenant.Post(portaltest.Channel, m.ReplyToID, by, m.Body) })
	case what == 7:
		r.Secretly(portaltest.CarolMXID, event.EventMessage, map[string]any{"msgtype": "m.text", "body": "unheard" + m.ID})
		r.Silently(func() { r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "untold"+m.ID) })
	}
}
