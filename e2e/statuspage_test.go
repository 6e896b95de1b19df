package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"teamsbridge/internal/freeport"
	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

var enterLink = regexp.MustCompile(`http://127\.0\.0\.1:\d+/enter/[A-Za-z0-9_-]{43}`)

// An administrator opens the status page from the bot's link in a browser, sees
// what works and what waits, declares an outage and ends it, holds a channel up
// and lets it go; strangers get nothing; all of it is in the audit log.
func TestStatusPage(t *testing.T) {
	program := chromium(t)
	t.Parallel()
	o := newOffice(t, stack.Options{})
	port, err := freeport.Get()
	require.NoError(t, err)
	base := fmt.Sprintf("http://127.0.0.1:%d", port)
	audited := filepath.Join(t.TempDir(), "audit.jsonl")
	require.NoError(t, o.Bridge.Configure(network(settings{
		"status_page": settings{"enabled": true, "listen": strings.TrimPrefix(base, "http://"), "public_url": base},
		"audit":       settings{"file": audited},
	})))
	o.runRelayed()
	ben := o.as(stack.Localpart(o.ben))
	room := o.room(ben, o.general)
	o.general.Post(o.ada, teamstest.Msg{HTML: "<p>good morning</p>"})
	o.find(ben, room, "good morning", nil)

	for _, path := range []string{"/", "/live", "/act", "/leave", "/enter/0", "/other"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			req, err := http.NewRequestWithContext(o.ctx, method, base+path, strings.NewReader(url.Values{"act": {"outage-start"}, "reason": {"mischief"}}.Encode()))
			require.NoError(t, err)
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			answer, err := http.DefaultClient.Do(req)
			require.NoError(t, err)
			_ = answer.Body.Close()
			require.Contains(t, []int{http.StatusUnauthorized, http.StatusNotFound}, answer.StatusCode, "%s %s", method, path)
		}
	}

	staff := o.bot(ben)
	staff.send("page")
	staff.waitFor("administrators")
	bot := o.bot(o.Admin)
	bot.send("page")
	link := enterLink.FindString(bot.waitFor("/enter/"))
	require.NotEmpty(t, link)

	b := openBrowser(t, program)
	pictures := func(name string) {
		for _, scheme := range []string{"light", "dark"} {
			b.scheme(scheme)
			for _, size := range [][2]int64{{1280, 1100}, {390, 844}} {
				b.size(size[0], size[1])
				require.True(t, value[bool](b, "document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out")
				b.shot("status-" + name + "-" + scheme + "-" + strconv.FormatInt(size[0], 10))
			}
		}
		b.scheme("light")
		b.size(1280, 1100)
	}
	says := func(what, text string) {
		b.arrives(what, "document.body.innerText.includes("+strconv.Quote(text)+")")
	}
	b.do("open the link", chromedp.Navigate(link))
	says("whose it is", o.Admin.UserID.String())
	pictures("door")
	b.do("open the page", chromedp.Click(chromedp.CSS("button.main")))
	says("the page", "Everything works.")
	says("the team", "Engineering")
	require.Equal(t, base+"/", value[string](b, "location.href"))
	require.Empty(t, value[string](b, "document.cookie"), "scripts can't read the cookie")
	pictures("well")

	b.do("declare an outage", chromedp.SendKeys(chromedp.CSS("input[name=reason]"), "moving house"), chromedp.Click(chromedp.CSS("button[value=outage-start]")))
	says("the bot's answer", "moving house")
	says("that it is over when somebody says so", "End the declared outage")
	_, err = ben.SendText(o.ctx, room, "said in the outage")
	require.NoError(t, err)
	// The page shows it without being asked.
	says("what waits", "1 waiting")
	pictures("outage")
	b.do("end it", chromedp.Click(chromedp.CSS("button[value=outage-end]")))
	says("that it is over", "Declare an outage")
	o.inTeams(o.general, "said in the outage", nil)
	says("that all is well again", "Everything works.")

	general := `[...document.querySelectorAll("tbody tr")].find(row => row.cells[1].textContent.includes("General"))`
	value[bool](b, "("+general+".querySelector('summary').click(), true)")
	value[bool](b, "("+general+".querySelector('button[value=pause]').click(), true)")
	says("that it is held", "paused")
	pictures("paused")
	value[bool](b, "("+general+".querySelector('summary').click(), true)")
	value[bool](b, "("+general+".querySelector('button[value=resume]').click(), true)")
	b.arrives("that it goes on", "!("+general+").textContent.includes('paused')")

	b.do("look for a name", chromedp.SendKeys(chromedp.CSS("input[name=find]"), "nowhere\r"))
	says("that there is none", "No team or channel has this name.")
	b.do("leave", chromedp.Click(chromedp.CSS("header button")))
	says("goodbye", "You have left the page")
	b.do("come back", chromedp.Navigate(base+"/"))
	says("no more", "This page is for administrators")
	b.do("use the link again", chromedp.Navigate(link))
	says("nor", "This link is not good any more")
	require.Empty(t, b.said(), "the console is quiet")

	text, err := os.ReadFile(audited)
	require.NoError(t, err)
	var got []string
	for line := range strings.Lines(string(text)) {
		var record struct{ Act, Outcome, By, Command, Arguments, Room string }
		require.NoError(t, json.Unmarshal([]byte(line), &record))
		got = append(got, strings.TrimSpace(strings.Join([]string{record.Act, record.Outcome, record.By, record.Command, record.Arguments}, " ")))
	}
	admin, all := o.Admin.UserID.String(), strings.Join(got, "\n")
	for _, want := range []string{
		"start done", "sign-in done " + admin, "command refused " + ben.UserID.String() + " page", "command asked " + admin + " page", "status page done " + admin,
		"status page refused", "command asked " + admin + " outage start moving house", "command answered " + admin + " outage end",
		"command answered " + admin + " queue pause " + o.team.ID + "/" + o.general.ID,
	} {
		require.Contains(t, all, want)
	}
	require.NotContains(t, string(text), "said in the outage")
}
