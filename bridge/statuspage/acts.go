package statuspage

import (
	"net/http"
	"strings"
	"unicode"
)

const maxArgument = 500 // bytes

// acts are the buttons: what a form's act stands for, as the bot has it. Nothing
// else can be asked through the page.
var acts = map[string]struct {
	command, verb string
	// target, reason, minutes and sure say which fields the form has; sure is a
	// box that has to be ticked.
	target, reason, minutes, sure bool
}{
	"outage-start": {command: "outage", verb: "start", reason: true},
	"outage-end":   {command: "outage", verb: "end"},
	"drill-start":  {command: "drill", verb: "start", target: true, minutes: true},
	"drill-end":    {command: "drill", verb: "end"},
	"pause":        {command: "queue", verb: "pause", target: true},
	"resume":       {command: "queue", verb: "resume", target: true},
	"retry":        {command: "queue", verb: "retry", target: true},
	"drop":         {command: "queue", verb: "drop", target: true, sure: true},
	"sync":         {command: "sync", target: true},
	"mirror":       {command: "mirror", target: true},
	"unmirror":     {command: "unmirror", target: true, sure: true},
}

// commandOf is what a form asks for; ok is false where it is no form of ours.
func commandOf(r *http.Request) (command, arguments string, ok bool) {
	act, ok := acts[r.PostFormValue("act")]
	if !ok {
		return "", "", false
	}
	parts := []string{act.verb}
	field := func(name string, wanted bool) {
		value := strings.TrimSpace(strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return ' '
			}
			return r
		}, r.PostFormValue(name)))
		switch {
		case !wanted:
		case value == "" || len(value) > maxArgument:
			ok = false
		default:
			parts = append(parts, value)
		}
	}
	field("target", act.target)
	field("reason", act.reason)
	field("minutes", act.minutes)
	if act.sure {
		ok = ok && r.PostFormValue("sure") == "yes"
		if act.command == "queue" {
			parts = append(parts, "--yes")
		}
	}
	return act.command, strings.TrimSpace(strings.Join(parts, " ")), ok
}
