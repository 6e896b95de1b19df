package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/bridgeconfig"
	"maunium.net/go/mautrix/bridgev2/commands"
	mxdb "maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/id"

	"teamsbridge/bridge/audit"
	"teamsbridge/database"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// audited is a rig whose records can be read.
func audited(t *testing.T) (r *adminRig, read func() []audit.Record) {
	r = newAdminRig(t, texts.Texts{})
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	r.rt.audit = audit.New(path, zerolog.Nop(), r.w.clock)
	return r, func() (out []audit.Record) {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for line := range bytes.Lines(text) {
			var record audit.Record
			require.NoError(t, json.Unmarshal(line, &record))
			out = append(out, record)
		}
		return out
	}
}

// TestCommandsAreAudited: each command is written down before it is carried out,
// with who gave it, and afterwards what became of it; so is a refused one.
func TestCommandsAreAudited(t *testing.T) {
	r, read := audited(t)
	log := zerolog.Nop()
	give := func(who id.UserID, admin, sudo bool, rest string, fn func(*commands.Event)) {
		handler := auditedHandler{c: r.Connector, FullHandler: &commands.FullHandler{Name: "queue", RequiresAdmin: true, Func: fn}}
		handler.Run(&commands.Event{
			Bot: r.bot, Bridge: r.br, User: &bridgev2.User{User: &mxdb.User{MXID: who}, Permissions: bridgeconfig.Permissions{Admin: admin}},
			Command: "queue", RawArgs: rest, OrigRoomID: "!management", EventID: "$command", Ctx: t.Context(), Log: &log, Sudo: sudo,
		})
	}
	give("@admin:hs.example", true, false, "drop all --yes", func(ce *commands.Event) {
		before := read()
		require.Len(t, before, 1, "written before it is done")
		require.Equal(t, audit.Asked, before[0].Outcome)
		reply(ce, "done")
	})
	give("@admin:hs.example", true, true, "retry all", func(ce *commands.Event) { r.failed(ce, errors.New("the database is away")) })
	give("@eve:hs.example", false, false, "drop all", func(*commands.Event) { t.Fatal("she may not") })

	got := read()
	require.Len(t, got, 5)
	for i, want := range []audit.Record{
		{Outcome: audit.Asked, By: "@admin:hs.example", Arguments: "drop all --yes"},
		{Outcome: audit.Answered, By: "@admin:hs.example", Arguments: "drop all --yes"},
		{Outcome: audit.Asked, By: "@admin:hs.example", Arguments: "retry all", InTheNameOf: true},
		{Outcome: audit.Failed, By: "@admin:hs.example", Arguments: "retry all", InTheNameOf: true, Reason: "the database is away"},
		{Outcome: audit.Refused, By: "@eve:hs.example", Arguments: "drop all", Reason: reasonNotAdmin},
	} {
		want.Act, want.Command, want.Room, want.Event, want.Time = audit.Command, "queue", "!management", "$command", got[i].Time
		require.Equal(t, want, got[i])
	}
}

// TestEveryCommandIsAudited: no command of the bridge's own is left out, nor those
// of the framework that do something here.
func TestEveryCommandIsAudited(t *testing.T) {
	r, _ := audited(t)
	collected := map[string]commands.CommandHandler{}
	for _, h := range r.handlers() {
		collected[h.GetName()] = h
	}
	for _, name := range []string{"mirror", "unmirror", "sync", "queue", "verify", "outage", "drill", "relay", "logout", "login", "sudo", "doin", "set-management-room"} {
		require.IsType(t, auditedHandler{}, collected[name], name)
	}
}

// TestSignInsAreAudited: sign-ins, sign-outs and what Microsoft takes no more.
func TestSignInsAreAudited(t *testing.T) {
	r, read := audited(t)
	w, _ := testWriters(t)
	w.audit = r.rt.auditAccount
	ctx := context.Background()
	require.NoError(t, w.signedIn(ctx, database.AccountRelay, teams.Account{UserID: "u7", UPN: "relay@corp.example"}, "@admin:hs.example", "token"))
	w.Failed(ctx, "u7", &teams.Error{Op: "token", Kind: teams.KindSignInExpired, Code: "invalid_grant"})
	require.NoError(t, w.signedOut(ctx, accountKey(database.AccountRelay, "u7")))
	require.NoError(t, w.signedOut(ctx, accountKey(database.AccountRelay, "u7")), "nobody is signed out twice")
	r.rt.auditSignIn(database.AccountUser, "@eve:hs.example", "u1", &spokenError{"Das ist nicht Ihr Konto.", errForeignAccount})

	got := read()
	require.Len(t, got, 4)
	require.Equal(t, audit.Record{Time: got[0].Time, Act: audit.SignIn, Outcome: audit.Done, By: "@admin:hs.example", Account: "u7", Kind: database.AccountRelay}, got[0])
	require.Equal(t, audit.Expired, got[1].Act)
	require.Contains(t, got[1].Reason, "sign-in expired")
	require.Equal(t, audit.SignOut, got[2].Act)
	require.Equal(t, audit.Record{Time: got[3].Time, Act: audit.SignIn, Outcome: audit.Refused, By: "@eve:hs.example", Account: "u1", Kind: database.AccountUser, Reason: reasonForeign}, got[3])
	for _, record := range got {
		line, err := json.Marshal(record)
		require.NoError(t, err)
		require.NotContains(t, string(line), `"token"`)
	}
}
