package bridge

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/bridgev2"

	"teamsbridge/bridge/weblogin"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

func TestWebSignInIsOfferedWhereItIsOn(t *testing.T) {
	c := &Connector{Config: *validConfig(t)}
	require.Len(t, c.GetLoginFlows(), 1)
	_, err := c.CreateLogin(t.Context(), nil, flowWeb)
	require.ErrorIs(t, err, bridgev2.ErrInvalidLoginFlowID)
	c.Config.WebLogin.Enabled = true
	var flows []string
	for _, flow := range c.GetLoginFlows() {
		flows = append(flows, flow.ID)
		login, err := c.CreateLogin(t.Context(), nil, flow.ID)
		require.NoError(t, err)
		require.Implements(t, (*bridgev2.LoginProcessDisplayAndWait)(nil), login)
		login.Cancel() // before it was started
	}
	require.Equal(t, []string{flowWeb, flowDevice}, flows)
}

// Whatever ends a web sign-in is told in people's language.
func TestOutcomesOfWebSignInsAreSpoken(t *testing.T) {
	outcomes := []error{
		weblogin.ErrExpired, weblogin.ErrReplaced, weblogin.ErrCancelled, weblogin.ErrTooMany, weblogin.ErrBroken,
		&teams.Error{Op: "web sign-in", Kind: teams.KindSignInExpired, Err: teams.ErrDeclined},
		&teams.Error{Op: "web sign-in", Hint: inEnglish(texts.HintOtherSignIn), Err: errors.New("the nonce is another")},
	}
	for _, x := range others(t) {
		seen := map[string]bool{}
		for _, err := range outcomes {
			said := (&Connector{texts: x}).webProblem(err)
			require.NotEqual(t, (&Connector{}).webProblem(err), said)
			require.NotContains(t, said, "nonce")
			require.False(t, seen[said], "said of two outcomes: %s", said)
			seen[said] = true
		}
	}
}
