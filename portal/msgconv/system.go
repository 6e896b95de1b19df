package msgconv

import (
	"regexp"
	"strings"

	"github.com/tidwall/gjson"
	"maunium.net/go/mautrix/event"

	"teamsbridge/teams"
	"teamsbridge/texts"
)

// maxNames is how many people a system event names; the rest is counted.
const maxNames = 10

// systemNotice turns a system event into one calm line.
func systemNotice(m teams.Message, env MatrixEnv) Part {
	c := &event.MessageEventContent{MsgType: event.MsgNotice, Body: systemLine(m.Event, env), Mentions: &event.Mentions{}}
	if text, href := recordingLink(env.Texts, m.Event); href != "" {
		out := newBuilder(forMatrix)
		out.text(c.Body + " – ")
		out.element("a", text, attr{"href", href})
		c = textContentOf(out.finish())
		c.MsgType = event.MsgNotice
	}
	return Part{Type: event.EventMessage, Content: c}
}

// recordingLink returns where a meeting's recording is, if it can be had.
func recordingLink(x texts.Texts, e *teams.EventDetail) (text, href string) {
	if e == nil || e.Type != "callRecording" {
		return "", ""
	}
	href, ok := cleanHref(gjson.GetBytes(e.Raw, "callRecordingUrl").String(), false)
	if !ok {
		return "", ""
	}
	return x.Say(texts.RecordingOpen), href
}

// participants names who took part in a call, each once.
func participants(list gjson.Result, env MatrixEnv) (names []string, more int) {
	seen := map[string]bool{}
	list.ForEach(func(_, v gjson.Result) bool {
		p := v.Get("participant")
		u := p.Get("user")
		for _, other := range []string{"application", "device"} {
			if !u.IsObject() {
				u = p.Get(other)
			}
		}
		name := nameOf(u.Get("id").String(), u.Get("displayName").String(), env)
		key := firstOf(u.Get("id").String(), name)
		switch {
		case seen[key]:
		case len(names) < maxNames && name != env.Texts.Say(texts.Somebody):
			names = append(names, name)
		default:
			more++
		}
		seen[key] = true
		return true
	})
	return names, more
}

// actor names who caused an event, or returns "" where Graph did not say.
func actor(who *teams.Identity, env MatrixEnv) string {
	if who == nil || who.ID == "" && who.DisplayName == "" {
		return ""
	}
	return nameOf(who.ID, who.DisplayName, env)
}

// nameOf returns the name of a Teams user as the directory knows it, else as
// the message gives it.
func nameOf(userID, given string, env MatrixEnv) string {
	if env.People != nil && userID != "" {
		if _, name, _ := env.People.Mention(userID); cleanName(name) != "" {
			return cleanName(name)
		}
	}
	if name := cleanName(given); name != "" {
		return name
	}
	return env.Texts.Say(texts.Somebody)
}

// person names somebody in an event's JSON, where the identity stands either
// as it is or under "user".
func person(v gjson.Result, env MatrixEnv) string {
	if u := v.Get("user"); u.IsObject() {
		v = u
	}
	return nameOf(v.Get("id").String(), v.Get("displayName").String(), env)
}

func people(list gjson.Result, env MatrixEnv) (names []string, more int) {
	list.ForEach(func(_, v gjson.Result) bool {
		if len(names) < maxNames {
			names = append(names, person(v, env))
		} else {
			more++
		}
		return true
	})
	return names, more
}

func roles(x texts.Texts, list gjson.Result) []string {
	var out []string
	list.ForEach(func(_, v gjson.Result) bool {
		role := cleanName(v.String())
		switch role {
		case "owner":
			role = x.Say(texts.RoleOwner)
		case "guest":
			role = x.Say(texts.RoleGuest)
		}
		if role != "" && len(out) < maxNames {
			out = append(out, role)
		}
		return true
	})
	return out
}

var isoDuration = regexp.MustCompile(`^P(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,6})(?:\.\d+)?S)?)?$`)

// spokenDuration turns an ISO 8601 duration such as PT1H5M into "1 h 5 min".
func spokenDuration(x texts.Texts, iso string) string {
	m := isoDuration.FindStringSubmatch(iso)
	if m == nil {
		return ""
	}
	var out []string
	for i, unit := range []texts.Key{texts.ShortDays, texts.ShortHours, texts.ShortMinutes, texts.ShortSeconds} {
		if v := strings.TrimLeft(m[i+1], "0"); v != "" {
			out = append(out, x.Say(unit, "n", v))
		}
	}
	return strings.Join(out, " ")
}
