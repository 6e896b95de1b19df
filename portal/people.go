package portal

import (
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"
)

// people are those whom a message from Matrix may mention: whoever has an account
// there, and whoever is there as a ghost.
type people struct {
	Directory
	ghost func(mxid id.UserID) (networkid.UserID, bool)
}

// Person implements msgconv.People.
func (p people) Person(mxid id.UserID) (userID, name string, ok bool) {
	if userID, name, ok = p.Directory.Person(mxid); ok {
		return userID, name, true
	}
	ghost, ok := p.ghost(mxid)
	if _, app := ParseAppUserID(ghost); !ok || app {
		return "", "", false
	}
	_, name, _ = p.Mention(string(ghost))
	return string(ghost), name, name != ""
}

func (s *Sender) people() people { return people{s.o.Directory, s.o.Bridge.Matrix.ParseGhostMXID} }
