package statuspage

import "context"

// Level is how something is, for its colour and its place.
type Level string

// The levels. Idle is of what is neither good nor bad.
const (
	Good Level = "good"
	Warn Level = "warn"
	Bad  Level = "bad"
	Idle Level = "idle"
)

// View is what the page shows, in people's words. It holds names and counts, and
// nothing that people wrote to each other.
type View struct {
	Level    Level
	Headline string
	// Lines are groups of facts, each under a heading.
	Groups []Group
	// Rows are conversations, those first that need somebody; Left says how many
	// more there are, empty where there are none.
	Rows []Row
	Left string
	// Outages are the newest ones, a line each; Drill is the newest one's report.
	Outages []string
	Drill   string
	// Declared and Drilling say which of the two buttons there are.
	Declared, Drilling bool
	// Teams are those that can be drilled.
	Teams []Choice
}

// Group is some lines under a heading.
type Group struct {
	Heading string
	Lines   []Line
}

// Line is one fact.
type Line struct {
	Name, State string
	Level       Level
	Note        string
}

// Choice is one of several.
type Choice struct{ Value, Name string }

// Row is a team or a channel.
type Row struct {
	// Target is how commands name it.
	Target string
	// Name is a channel's, empty in a team's own row.
	Team, Name, Kind string
	State            string
	Level            Level
	// ToTeams and ToMatrix are what waits and since when, empty where nothing does.
	ToTeams, ToMatrix string
	// Parked says how many messages can't go, empty where all can.
	Parked string
	// Mirrored, Paused and Waiting say which buttons make sense.
	Mirrored, Paused, Waiting bool
}

// Bridge is what the page shows and asks.
type Bridge interface {
	// View is the state now; find narrows the rows to names that have it.
	View(ctx context.Context, find string) (View, error)
	// Do gives a command in an administrator's name and returns the bot's answer.
	Do(ctx context.Context, user, command, arguments string) (answer string, err error)
	// IsAdmin reports whether somebody may use the page now.
	IsAdmin(user string) bool
}
