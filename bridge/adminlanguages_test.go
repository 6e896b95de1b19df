package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/bridgeconfig"
	"maunium.net/go/mautrix/bridgev2/commands"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	vitals "teamsbridge/bridge/health"
	own "teamsbridge/database"
	"teamsbridge/matrix"
	"teamsbridge/portal"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// data is what stands in answers and is the same in every language: names, ids,
// Graph's operations, settings, and what people wrote themselves.
var data = regexp.MustCompile(strings.Join([]string{
	`@[\w.:]+`, `\$\w+`, `HTTP \d+( \w+)?`, `GET \w+`, `Sales EMEA|Sale EMEA|General|IT/Operations|Shift \d+|Room \w|Care`, `R&D \W*secret\W*`, `Sale|Nowhere|Genral`,
	`Ann Lee|Bob|Contoso`, `ann@corp\.example`, `Dendrite`, `\b(export|delta|token)\b`, `teams\.\w+`, `network\.[\w.]+`, `offline_access`, `UTC`,
	`moving house|Microsoft says so|soon|frobnicate`, `/teams/\w+`, `v1`, `https://\S+`, `ABCD`,
}, "|"))

var (
	places = regexp.MustCompile(`\{\w+\}`)
	aWord  = regexp.MustCompile(`\p{L}{2,}`)
)

// vocabulary is every word of a catalogue.
func vocabulary(t *testing.T, language string) map[string]bool {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "texts", "catalogue", language+".json"))
	require.NoError(t, err)
	var raw map[string]any
	require.NoError(t, json.Unmarshal(content, &raw))
	out := map[string]bool{}
	for _, value := range raw {
		for _, word := range aWord.FindAllString(places.ReplaceAllString(fmt.Sprint(value), " "), -1) {
			out[strings.ToLower(word)] = true
		}
	}
	return out
}

// answers is where commands answer.
type answers struct {
	bridgev2.MatrixAPI
	said []string
}

func (a *answers) SendMessage(_ context.Context, _ id.RoomID, _ event.Type, content *event.Content, _ *bridgev2.MatrixSendExtra) (*mautrix.RespSendEvent, error) {
	a.said = append(a.said, content.Parsed.(*event.MessageEventContent).Body)
	return &mautrix.RespSendEvent{EventID: "$answer"}, nil
}

// adminRig is a bridge that speaks a language, with a bit of everything that
// administrators may read about.
type adminRig struct {
	*Connector
	t   *testing.T
	bot *answers
	w   *outageTest
}

func newAdminRig(t *testing.T, x texts.Texts) *adminRig {
	t.Helper()
	r := &adminRig{Connector: New(Graph{}), t: t, bot: &answers{}, w: newOutageTest(t)}
	r.texts, r.w.texts = x, x
	q := newQueueRig(t)
	q.texts = x
	r.rt = &runtime{c: r.Connector, db: r.w.db, now: r.w.clock, catalog: q.catalog, outages: r.w.outages, holds: r.w.holds, queues: q.queues,
		verification: &verification{now: r.w.clock}, writers: newWriters(r.w.db, nil),
		dir: newDirectory(r.w.db, nil, func(userID string) id.UserID { return "" })}
	for kind, state := range map[string]string{own.AccountRelay: own.AccountExpired, own.AccountUser: own.AccountOK} {
		a := own.Account{Key: accountKey(kind, "ann"), Kind: kind, UserID: "ann", UPN: "ann@corp.example", DisplayName: "Ann Lee", MXID: "@admin:hs.example",
			State: state, Reason: "token: sign-in expired (HTTP 400 invalid_grant)"}
		r.rt.writers.accounts[a.Key] = a
	}
	r.br = &bridgev2.Bridge{Config: &bridgeconfig.BridgeConfig{}}
	r.br.Commands = commands.NewProcessor(r.br)
	return r
}

// say gives a command and returns the answer.
func (r *adminRig) say(command, rest string, fn func(context.Context, *commands.Event)) {
	r.t.Helper()
	log, before := zerolog.Nop(), len(r.bot.said)
	user := &bridgev2.User{User: &database.User{MXID: "@admin:hs.example"}, Permissions: bridgeconfig.Permissions{Admin: true}}
	fn(r.t.Context(), &commands.Event{Bot: r.bot, Bridge: r.br, User: user, Command: command, Args: strings.Fields(rest), RawArgs: rest, Ctx: r.t.Context(), Log: &log})
	require.Len(r.t, r.bot.said, before+1, "%s %s", command, rest)
}

// commands gives commands in turn, with what is right and what is not.
func (r *adminRig) commands() {
	for _, rest := range []string{"", "Sales EMEA", "Sale EMEA", "Nowhere", "IT/Operations"} {
		r.say("channels", rest, r.commandChannels)
	}
	r.say("teams", "", r.commandTeams)
	r.say("whoami", "", r.commandWhoami)
	r.say("mirror", "", r.commandMirror)
	r.say("unmirror", "Nowhere", r.commandUnmirror)
	for _, rest := range []string{
		"", "frobnicate", "show", "show Sales EMEA", "show $sending", "show $unknown", "show Nowhere", "show Sales EMEA/Genral", "pause", "pause $head", "pause all moving house",
		"pause Sales EMEA", "", "retry all", "retry Care", "resume $head", "resume Sales EMEA", "resume all", "resume all", "drop Sales EMEA", "drop Sales EMEA --yes", "drop Care", "",
	} {
		r.say("queue", rest, r.commandQueue)
	}
	for _, rest := range []string{"", "list", "logout Nowhere", "logout ann@corp.example", "list"} {
		r.say("relay", rest, r.commandRelay)
	}
	for _, rest := range []string{"--soon", "0d", "2026-99-99", "2999-01-01", "stop", "Sales EMEA"} {
		r.say("verify", rest, r.commandVerify)
	}
	r.outageCommands()
	r.failed(&commands.Event{Bot: r.bot, Ctx: r.t.Context(), Log: &zerolog.Logger{}}, fmt.Errorf("listing the team's channels: %w",
		&teams.Error{Op: "GET channels", Kind: teams.KindPermission, Status: 403, Code: "Forbidden", RetryAfter: time.Second}))
}

func (r *adminRig) outageCommands() {
	drill := func(rest string) { r.say("drill", rest, r.commandDrill) }
	outage := func(rest string) { r.say("outage", rest, r.commandOutage) }
	for _, rest := range []string{"", "start Nowhere", "start IT/Operations", "start all 999", "end", "report"} {
		drill(rest)
	}
	outage("")
	outage("frobnicate")
	outage("start")
	outage("end")
	drill("start Sales EMEA 5")
	drill("start all")
	outage("")
	absent := func(who, state, why string) own.DrillPlace {
		return own.DrillPlace{Who: who, Name: "Bob", State: state, Why: why}
	}
	taken := inEnglish(texts.MappedTaken, "account", "@ann:hs.example", "owner", "@bob:hs.example")
	r.w.found = map[string]drillFound{roomA: {unasked: true, places: []own.DrillPlace{in("Bob"), absent("1", own.PlaceLeft, ""), absent("2", own.PlaceInvited, ""),
		absent("3", own.PlaceGone, ""), absent("4", own.PlaceNever, inEnglish(texts.MappedElsewhere, "account", "@bob:hs.example")), absent("5", own.PlaceNoAccount, taken)}}}
	for i, key := range []texts.Key{texts.MappedNoGroup, texts.MappedGuest, texts.MappedEmpty, texts.MappedForeign} {
		r.w.found[fmt.Sprint("c:team/", i)] = found(absent("6", own.PlaceNoAccount, inEnglish(key)))
	}
	r.w.found["c:team/9"] = found(absent("6", own.PlaceNoAccount, inEnglish(texts.MappedExcluded, "where", "network.mapping")))
	r.w.foundErr = func(portal string) error {
		if portal == roomB {
			return io.ErrUnexpectedEOF
		}
		return nil
	}
	r.w.found[roomB] = drillFound{}
	r.w.deliver(r.w.write(roomA, 2)...)
	r.w.pass(time.Minute)
	r.w.found[roomA] = found(in("Ann Lee"), own.DrillPlace{Who: "@bob:hs.example", Name: "@bob:hs.example", State: own.PlaceIn, Stranger: true},
		absent("7", own.PlaceNoAccount, inEnglish(texts.MappedNoAttribute, "attribute", "@token:x")))
	drill("end")
	r.w.jump(20 * time.Minute)
	r.w.pass(time.Hour)
	for _, rest := range []string{"", "missing", "rooms", "people", "people 0", "people soon", "rooms 9", "Nowhere missing", "Sales EMEA", "IT/Operations people", "7"} {
		drill("report " + rest)
	}
	r.w.teamsDown()
	ids := r.w.write(roomA, 3)
	r.w.pass(time.Minute)
	r.w.outages.changed(r.w.ctx, outageOf(vitals.CredentialExpired))
	outage("start Microsoft says so")
	outage("")
	r.w.pass(time.Minute)
	drill("start all")
	outage("end")
	outage("")
	r.w.teamsUp()
	r.w.read()
	r.w.deliver(ids[:2]...)
	require.NoError(r.t, r.w.db.Outbox.Park(r.t.Context(), ids[2], "bad request", ""))
	r.w.pass(time.Hour)
	outage("")
	for _, n := range r.w.said {
		r.bot.said = append(r.bot.said, n.Text)
	}
}

func outageOf(cause vitals.Cause) outage {
	return outage{Kind: cause, Detail: "GET organization: sign-in expired (HTTP 401): the client secret has expired: create a new one in the app registration and set network.client_secret"}
}

// reports are what is put together without a command, or by one that would ask
// Graph.
func (r *adminRig) reports() (out []string) {
	x, now := r.texts, r.w.clock()
	sub := func(status teams.SubscriptionStatus) teams.SubscriptionState {
		return teams.SubscriptionState{Resource: "/teams/getAllMessages", Status: status, Expires: now.Add(time.Hour), LastError: "GET subscriptions: unavailable (HTTP 503)"}
	}
	expired := own.Account{UPN: "ann@corp.example", Kind: own.AccountRelay, Reason: reasonSealed}
	s := &statusReport{now: now, version: "v1", tenant: "Contoso", up: time.Hour, certificate: now, expired: []own.Account{expired},
		outbox: own.Stats{Oldest: now.Add(-time.Hour)}, inbox: own.Stats{Oldest: now.Add(-time.Hour)},
		redactions:    matrix.RedactionState{Source: matrix.RedactionsPush, Homeserver: "Dendrite", LastError: "HTTP 500"},
		poller:        teams.PollerStatus{Scopes: map[string]int{"export": 1}, LastError: "GET messages: throttled (HTTP 429), retry after 3s"},
		subscriptions: []teams.SubscriptionState{sub(teams.SubscriptionQuota), sub(teams.SubscriptionActive)}, webhook: true,
		doubt: teams.WebhookDoubt{Since: now, Until: now, Reasons: teams.DoubtReasons()}}
	for range statusListed + 2 {
		s.refusals = append(s.refusals, teams.Refusal{Reader: "export", Reason: teams.ErrUnreadable.Error()})
	}
	for i, d := range vitals.Dependencies() {
		s.dependencies = append(s.dependencies, vitals.Status{Dependency: d, State: vitals.States()[i%4], Cause: vitals.Causes()[i], Since: now})
		s.dependencies = append(s.dependencies, vitals.Status{Dependency: d, State: vitals.Up, Since: now})
	}
	for _, cause := range vitals.Causes() {
		rec := own.Outage{Kind: own.OutageDetected, Cause: string(cause), Began: now, Resumed: now}
		s.outage, s.outages = &rec, append(s.outages, outageLine{Outage: rec, total: tally{waiting: 1, delivered: 2}})
		out = append(out, beganOpsText(x, &rec, nil, &outage{NoReading: true}), beganOpsText(x, &rec, nil, &outage{NoWriting: true}), changedOpsText(x, outageOf(cause)))
	}
	s.drill = s.outage
	out = append(out, s.adminText(x), s.staffText(x))
	s.outage, s.drill, s.webhook, s.redactions, s.relays, s.poller = nil, nil, false, matrix.RedactionState{}, s.expired, teams.PollerStatus{}
	out = append(out, s.adminText(x), s.staffText(x))
	s.down, s.redactions.Source = true, matrix.RedactionsSync
	out = append(out, s.adminText(x))
	s.down, s.known = false, true
	out = append(out, s.adminText(x), teamsText(x, nil, true), teamsText(x, nil, false), channelsText(x, nil), relayText(x, nil))
	team := own.Conversation{Name: "Sales EMEA"}
	for _, channel := range []*teams.Channel{nil, {DisplayName: "General"}} {
		out = append(out, chosenText(x, true, team, channel), chosenText(x, false, team, channel))
	}
	return append(out, r.lists()...)
}

// lists are long ones, and the reports of comparisons.
func (r *adminRig) lists() (out []string) {
	x, now := r.texts, r.w.clock()
	var views []teamView
	for i := range maxListed + 2 {
		conv := own.Conversation{Name: fmt.Sprintf("Shift %d", i), Membership: teams.MembershipShared, State: own.ConversationDetached, Reason: reasonDeleted}
		views = append(views, teamView{team: conv, channels: []own.Conversation{conv}})
	}
	views[0].team.State = own.ConversationWanted
	out = append(out, teamsText(x, views, true), channelsText(x, views))
	run, s := verifyRunOf("General", "General"), newVerifySummary()
	run.by = "@admin:hs.example"
	out = append(out, progressText(x, run, s, now), busyText(x, run, now), verifyText(x, run, s, now))
	var report portal.Report
	for i, class := range portal.Classes() {
		f := portal.Finding{Class: class, Message: "1700000000000", Event: "$head", At: now, Mended: i%2 == 0}
		if i%3 > 0 {
			f.Reason = "Teams: throttled"
		}
		report.Findings = append(report.Findings, f, f)
	}
	report.Left = map[string]int{portal.LeftHistory: 1, portal.LeftPurged: 3, portal.LeftModerated: 2, portal.LeftForgotten: 1, portal.LeftNotForward: 1, portal.LeftFinished: 1}
	report.Unseen = map[string]int{portal.UnseenOneByOne: 1, portal.UnseenRefused: 2}
	report.Failed = map[string]int{"to Teams: too large": 1, "deletion: in doubt": 2, "edit: no account": 1, "removal of a reaction: gone": 1, "to Matrix: homeserver forbids": 1}
	report.Reader = teams.SourceDelta
	s.add("General", report)
	s.errors = map[string][]string{"Graph: unavailable": {"General", "General", "General", "General", "General", "General"}, verifyReason(portal.ErrTooMuch): {"General"},
		verifyReason(errors.New("x")): {"General"}}
	for _, ended := range []string{"", inEnglish(texts.VerifyStopped), inEnglish(texts.VerifyUnusable)} {
		s.ended = ended
		out = append(out, verifyText(x, run, s, now))
		run.repair = !run.repair
	}
	return out
}

// Whatever administrators read is in their language: each word of it stands in
// the language's catalogue, or is a name.
func TestAdministratorsAreToldInTheirLanguage(t *testing.T) {
	for _, language := range texts.Languages() {
		t.Run(language, func(t *testing.T) {
			x, err := texts.For(language, time.FixedZone("", 5*3600))
			require.NoError(t, err)
			r := newAdminRig(t, x)
			r.commands()
			known, said := vocabulary(t, language), append(r.bot.said, r.reports()...)
			require.Greater(t, len(said), 100)
			foreign := map[string]string{}
			for _, text := range said {
				require.NotContains(t, text, "{")
				require.NotContains(t, text, "UTC", "times are told in the zone of the configuration")
				for _, word := range aWord.FindAllString(data.ReplaceAllString(strings.ReplaceAll(text, `\`, ""), " "), -1) {
					if !known[strings.ToLower(word)] {
						foreign[word] = text
					}
				}
			}
			require.Empty(t, foreign, "words that are not in the catalogue")
		})
	}
}
