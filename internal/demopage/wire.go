package demopage

// What the page gets. The fields' names are the ones that web/*.js use.

// team is a team with its channels.
type team struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Channels []channel `json:"channels"`
}

// channel is a channel and who is in it.
type channel struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Kind    string   `json:"kind"`
	Members []person `json:"members"`
	// Others are in the team and could be added.
	Others []person `json:"others,omitempty"`
}

// person is somebody in a channel or a room.
type person struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Guest bool   `json:"guest,omitempty"`
	// SignedIn says that what they say in Matrix is in Teams as theirs.
	SignedIn bool `json:"signedIn,omitempty"`
	// Account says that they have a Matrix account to speak from.
	Account bool `json:"account,omitempty"`
	// Matrix is the id of that account.
	Matrix string `json:"matrix,omitempty"`
	// Bridge marks the bridge's own accounts: its bot, the relay, ghosts.
	Bridge bool `json:"bridge,omitempty"`
}

// message is one message of either side, in the form in which both are shown.
type message struct {
	ID string `json:"id"`
	// Thread is the id of the message that this one is a reply to.
	Thread string `json:"thread,omitempty"`
	Author person `json:"author"`
	// At is in milliseconds since 1970.
	At      int64 `json:"at"`
	Edited  bool  `json:"edited,omitempty"`
	Deleted bool  `json:"deleted,omitempty"`
	// System is what nobody in particular says: an event, a notice.
	System     bool   `json:"system,omitempty"`
	Subject    string `json:"subject,omitempty"`
	Importance string `json:"importance,omitempty"`
	HTML       string `json:"html,omitempty"`
	Text       string `json:"text,omitempty"`
	// Source is what an edit begins with.
	Source    string     `json:"source,omitempty"`
	Quote     *quote     `json:"quote,omitempty"`
	Files     []file     `json:"files,omitempty"`
	Reactions []reaction `json:"reactions,omitempty"`
}

// quote is what a message refers to.
type quote struct {
	Author string `json:"author,omitempty"`
	Text   string `json:"text"`
}

// file is something attached.
type file struct {
	Name string `json:"name"`
	Size int64  `json:"size,omitempty"`
	// Kind is image, file, or what else it is in words.
	Kind string `json:"kind"`
	// URL is empty for what can't be had.
	URL string `json:"url,omitempty"`
}

// reaction is one reaction with everybody who has it.
type reaction struct {
	Key    string   `json:"key"`
	Label  string   `json:"label"`
	People []person `json:"people"`
}

// teamsView is the Teams side of a channel.
type teamsView struct {
	// Error says why there is nothing newer; what was read before stays shown.
	Error    string    `json:"error,omitempty"`
	Messages []message `json:"messages"`
}

// matrixView is the Matrix side of a channel.
type matrixView struct {
	Error    string    `json:"error,omitempty"`
	Room     string    `json:"room"`
	Name     string    `json:"name"`
	Topic    string    `json:"topic,omitempty"`
	Space    string    `json:"space,omitempty"`
	InSpace  int       `json:"inSpace,omitempty"`
	Members  []person  `json:"members"`
	Messages []message `json:"messages"`
}

// numbers are what the bridge says of itself.
type numbers struct {
	// Known is false while the bridge does not answer.
	Known bool `json:"known"`
	// Outage is the switch on the page.
	Outage bool `json:"outage"`
	// GraphUp is what the bridge has noticed.
	GraphUp bool `json:"graphUp"`
	// Waiting is how many events from Matrix are on their way to Teams, Sent how
	// many went, Inbox how many are on their way to Matrix.
	Waiting int `json:"waiting"`
	Parked  int `json:"parked"`
	Sent    int `json:"sent"`
	Inbox   int `json:"inbox"`
	// Oldest is for how many seconds the first of them has waited.
	Oldest int `json:"oldest"`
}
