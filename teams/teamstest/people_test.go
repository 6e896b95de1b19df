package teamstest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPeople(t *testing.T) {
	w := newWorld(t, Options{})
	u := w.AddUser(UserSpec{DisplayName: "Zoë de Vries"})
	require.Equal(t, "zoe.de.vries@contoso.example", u.UPN())
	require.Equal(t, u.UPN(), u.Mail())
	require.Same(t, u, w.User("ZOE.de.vries@contoso.example"))
	require.Same(t, u, w.User(u.ID))
	u.SetUPN("zoe@contoso.example")
	require.Equal(t, "zoe@contoso.example", u.Mail())
	u.SetEnabled(false)
	require.False(t, u.Enabled())
	u.Rename("Zoë Smit")
	require.Equal(t, "Zoë Smit", u.DisplayName())
	require.Empty(t, w.AddUser(UserSpec{DisplayName: "No Mail", Mail: "-"}).Mail())

	m := w.general.Post(u, Msg{Text: "x"})
	w.team.AddMember(w.ann, u)
	before := len(w.Users())
	u.Delete()
	require.Nil(t, w.User(u.ID))
	require.Len(t, w.Users(), before-1)
	require.NotContains(t, w.team.Members(), u)
	require.Same(t, u, m.State().From, "what people wrote stays")
}

func TestMisuseIsLoud(t *testing.T) {
	w := newWorld(t, Options{})
	require.Panics(t, func() {
		w.general.Post(w.ann, Msg{HTML: "<p>x</p>", Mentions: []Mention{{User: w.bob}}})
	})
	require.NotPanics(t, func() { w.general.Post(w.ann, Msg{Text: "the lock was given back"}) })
}
