package teams

// The sources that a Sink is told.
const (
	SourceWebhook = "webhook"
	SourceExport  = "export"
	SourceDelta   = "delta"
	SourceList    = "list"
	SourceHistory = "history"
	SourceRepair  = "repair"
)

// Scope is what is read together and has one cursor: a team, where ChannelID
// is empty, or a channel. The zero Scope stands for everything.
type Scope struct {
	TeamID    string
	ChannelID string
}

// String returns the key of the scope's cursor.
func (s Scope) String() string {
	switch {
	case s == Scope{}:
		return "all"
	case s.ChannelID == "":
		return "team:" + s.TeamID
	default:
		return "channel:" + s.TeamID + "/" + s.ChannelID
	}
}

// Channel returns the scope's channel.
func (s Scope) Channel() ChannelRef { return ChannelRef(s) }
