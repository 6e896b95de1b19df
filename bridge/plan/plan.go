package plan

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Verb says what a step does.
type Verb string

// The verbs.
const (
	CreateSpace Verb = "create-space"
	CreateRoom  Verb = "create-room"
	Rename      Verb = "rename"
	Update      Verb = "update" // topic, picture, link or archive mark
	Detach      Verb = "detach"
	Set         Verb = "set" // who may join, who may read back, power levels
	Join        Verb = "join"
	Invite      Verb = "invite"
	Leave       Verb = "leave"
	Map         Verb = "map"   // somebody gets a Matrix account, or another one
	Unmap       Verb = "unmap" // somebody has none any more
	Refused     Verb = "refused"
)

// Step is one change.
type Step struct {
	Verb Verb `json:"verb"`
	// Team and Channel are names; Channel is empty for a team's space.
	Team    string `json:"team,omitempty"`
	Channel string `json:"channel,omitempty"`
	// Person is the account or, where there is none, the sign-in name.
	Person string `json:"person,omitempty"`
	// Why is the reason, or the name before.
	Why string `json:"why,omitempty"`
}

// Plan is a set of steps.
type Plan struct{ Steps []Step }

// Add adds a step.
func (p *Plan) Add(s Step) { p.Steps = append(p.Steps, s) }

// Sort puts steps in the order of teams, channels and people.
func (p *Plan) Sort() {
	rank := func(s Step) int {
		switch s.Verb {
		case Map, Unmap:
			return 0
		case Join, Invite, Leave:
			return 2
		default:
			return 1
		}
	}
	slices.SortStableFunc(p.Steps, func(a, b Step) int {
		people := func(s Step) int { return min(rank(s), 1) }
		return cmp.Or(cmp.Compare(people(a), people(b)), cmp.Compare(a.Team, b.Team), cmp.Compare(a.Channel, b.Channel),
			cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Verb, b.Verb), cmp.Compare(a.Person, b.Person))
	})
}

// Count returns how many steps have one of the verbs.
func (p *Plan) Count(verbs ...Verb) (n int) {
	for _, s := range p.Steps {
		if slices.Contains(verbs, s.Verb) {
			n++
		}
	}
	return n
}

// The exit codes of plan.
const (
	ExitNothing = 0
	ExitFailed  = 1
	ExitChanges = 4
)

// ExitCode is the code with which the program ends.
func (p *Plan) ExitCode() int {
	if p.Count(CreateSpace, CreateRoom, Rename, Update, Set, Detach, Join, Invite, Leave, Map, Unmap) > 0 {
		return ExitChanges
	}
	return ExitNothing
}

// shown is how many people of a room are named where not all are asked for.
const shown = 5

// Write writes the plan for people; everybody names each person.
func (p *Plan) Write(w io.Writer, everybody bool) error {
	var b strings.Builder
	place := ""
	for i := 0; i < len(p.Steps); {
		s := p.Steps[i]
		if s.Verb == Map || s.Verb == Unmap {
			b.WriteString(s.line())
			i++
			continue
		}
		if at := s.place(); at != place {
			place = at
			if s.aboutPerson() {
				fmt.Fprintf(&b, "  %s\n", at)
			}
		}
		if !s.aboutPerson() {
			b.WriteString(s.line())
			i++
			continue
		}
		var people []string
		for ; i < len(p.Steps) && p.Steps[i].Verb == s.Verb && p.Steps[i].place() == place; i++ {
			people = append(people, p.Steps[i].Person)
		}
		b.WriteString(peopleLine(s.Verb, people, everybody))
	}
	b.WriteString(p.summary())
	_, err := io.WriteString(w, b.String())
	return err
}

// aboutPerson reports whether the step is about somebody in a room.
func (s Step) aboutPerson() bool { return s.Verb == Join || s.Verb == Invite || s.Verb == Leave }

func (s Step) place() string {
	if s.Channel == "" {
		return s.Team
	}
	return s.Team + " / " + s.Channel
}

func (s Step) line() string {
	why := ""
	if s.Why != "" {
		why = "  (" + s.Why + ")"
	}
	switch s.Verb {
	case CreateSpace:
		return "+ " + s.place() + "  new space\n"
	case CreateRoom:
		return "+ " + s.place() + "  new room\n"
	case Rename:
		return "~ " + s.place() + "  renamed" + why + "\n"
	case Update:
		return "~ " + s.place() + "  changed" + why + "\n"
	case Set:
		return "~ " + s.place() + "  set" + why + "\n"
	case Detach:
		return "- " + s.place() + "  let go" + why + "\n"
	case Map:
		return "+ " + s.Person + "  gets a Matrix account" + why + "\n"
	case Unmap:
		return "- " + s.Person + "  has no Matrix account any more" + why + "\n"
	default:
		return "! " + s.place() + "  can't be read" + why + "\n"
	}
}

func peopleLine(v Verb, people []string, everybody bool) string {
	sign, verb := "+", "join"
	if v == Leave {
		sign, verb = "-", "leave"
	}
	if len(people) == 1 {
		verb += "s"
	}
	if v == Invite {
		verb = "invited"
	}
	names := strings.Join(people, ", ")
	if !everybody && len(people) > shown {
		names = fmt.Sprintf("%s and %d more", strings.Join(people[:shown], ", "), len(people)-shown)
	}
	return fmt.Sprintf("    %s %d %s: %s\n", sign, len(people), verb, names)
}

func (p *Plan) summary() string {
	if p.ExitCode() == ExitNothing && p.Count(Refused) == 0 {
		return "Nothing to do: rooms and people are as they should be.\n"
	}
	return fmt.Sprintf("\nTo make: %d spaces, %d rooms. To change: %d. To let go: %d. People: %d join, %d are invited, %d leave, %d mapped anew, %d not mapped any more.%s\n",
		p.Count(CreateSpace), p.Count(CreateRoom), p.Count(Rename, Update, Set), p.Count(Detach), p.Count(Join), p.Count(Invite), p.Count(Leave), p.Count(Map), p.Count(Unmap), p.unread())
}

func (p *Plan) unread() string {
	if n := p.Count(Refused); n > 0 {
		return fmt.Sprintf(" %d can't be read.", n)
	}
	return ""
}

// WriteJSON writes the plan for programs.
func (p *Plan) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	steps := p.Steps
	if steps == nil {
		steps = []Step{}
	}
	return enc.Encode(struct {
		Changes bool   `json:"changes"`
		Steps   []Step `json:"steps"`
	}{p.ExitCode() == ExitChanges, steps})
}
