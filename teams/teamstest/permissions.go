package teamstest

import (
	"fmt"
	"sort"
	"strings"
)

// permission is one row of the permission table: any one of the names is
// enough. A nil list means that the kind of token is not supported at all.
type permission struct {
	delegated   []string
	application []string
	// open lets any valid token in: the handler decides.
	open bool
}

// check applies the row to a caller. Resource-specific consent reaches the
// tenant as a role too: who granted it for which team is not simulated.
func (p permission) check(c caller) *apiError {
	if p.open {
		return nil
	}
	names, have, what := p.delegated, c.Scopes, "scope"
	if c.App {
		names, have, what = p.application, c.Roles, "role"
	}
	if names == nil {
		if c.App {
			return errWrongContext("application-only")
		}
		return errWrongContext("delegated")
	}
	for _, name := range names {
		if have[name] {
			return nil
		}
	}
	held := make([]string, 0, len(have))
	for name, ok := range have {
		if ok {
			held = append(held, name)
		}
	}
	sort.Strings(held)
	title := strings.ToUpper(what[:1]) + what[1:]
	return errForbidden(fmt.Sprintf("Missing %s permissions on the request. API requires one of '%s'. %ss on the request '%s'.",
		what, strings.Join(names, ", "), title, strings.Join(held, ", ")))
}

// The rows of the permission table, least privileged first. Names of
// resource-specific consent end in .Group.

func anyToken() permission { return permission{open: true} }

func readsOrganization() permission {
	return permission{
		delegated:   []string{"User.Read", "Organization.Read.All", "Directory.Read.All"},
		application: []string{"Organization.Read.All", "Directory.Read.All", "User.Read.All"},
	}
}

func readsUsers() permission {
	return permission{
		delegated:   []string{"User.ReadBasic.All", "User.Read.All", "Directory.Read.All"},
		application: []string{"User.ReadBasic.All", "User.Read.All", "Directory.Read.All"},
	}
}

func readsPhotos() permission {
	return permission{
		delegated:   []string{"ProfilePhoto.Read.All", "User.ReadBasic.All", "User.Read", "User.Read.All"},
		application: []string{"ProfilePhoto.Read.All", "User.ReadBasic.All", "User.Read.All"},
	}
}

func readsGroups() permission {
	names := []string{"GroupMember.Read.All", "Group.ReadBasic.All", "Group.Read.All", "Directory.Read.All"}
	return permission{delegated: names, application: names}
}

// readsGroupMembers leaves Group.ReadBasic.All out, which does not tell members.
func readsGroupMembers() permission {
	names := []string{"GroupMember.Read.All", "Group.Read.All", "Directory.Read.All"}
	return permission{delegated: names, application: names}
}

func readsTeams() permission {
	names := []string{"Team.ReadBasic.All", "TeamSettings.Read.All", "TeamSettings.ReadWrite.All"}
	return permission{delegated: names, application: names}
}

func readsTeam() permission {
	names := []string{"Team.ReadBasic.All", "TeamSettings.Read.All", "TeamSettings.ReadWrite.All"}
	return permission{delegated: names, application: append([]string{"TeamSettings.Read.Group"}, names...)}
}

func readsChannels() permission {
	return permission{
		delegated:   []string{"Channel.ReadBasic.All", "ChannelSettings.Read.All"},
		application: []string{"ChannelSettings.Read.Group", "Channel.ReadBasic.All", "ChannelSettings.Read.All"},
	}
}

func readsAllChannels() permission {
	names := []string{"Channel.ReadBasic.All", "ChannelSettings.Read.All"}
	return permission{delegated: names, application: names}
}

func readsTeamMembers() permission {
	return permission{
		delegated:   []string{"TeamMember.Read.All", "TeamMember.ReadWrite.All"},
		application: []string{"TeamMember.Read.Group", "TeamMember.Read.All", "TeamMember.ReadWrite.All"},
	}
}

func readsChannelMembers() permission {
	return permission{
		delegated:   []string{"ChannelMember.Read.All", "ChannelMember.ReadWrite.All"},
		application: []string{"ChannelMember.Read.Group", "ChannelMember.Read.All", "ChannelMember.ReadWrite.All"},
	}
}

func readsFiles() permission {
	return permission{
		delegated:   []string{"Files.Read.All", "Files.ReadWrite.All"},
		application: []string{"File.Read.Group", "Files.Read.All", "Files.ReadWrite.All"},
	}
}

func readsMessages() permission {
	return permission{
		delegated:   []string{"ChannelMessage.Read.All", "Group.Read.All", "Group.ReadWrite.All"},
		application: []string{"ChannelMessage.Read.Group", "ChannelMessage.Read.All", "Group.Read.All"},
	}
}

func exportsMessages() permission {
	return permission{application: []string{"ChannelMessage.Read.All"}}
}

// sendsMessages leaves applications out. Teamwork.Migrate.All would let them
// in while a channel is in migration mode, which no channel here ever is.
func sendsMessages() permission {
	return permission{delegated: []string{"ChannelMessage.Send", "Group.ReadWrite.All"}}
}

func editsMessages() permission {
	return permission{
		delegated:   []string{"ChannelMessage.ReadWrite", "Group.ReadWrite.All"},
		application: []string{"ChannelMessage.UpdatePolicyViolation.All"},
	}
}

func deletesMessages() permission {
	return permission{delegated: []string{"ChannelMessage.ReadWrite"}}
}

func reacts() permission {
	return permission{delegated: []string{"ChannelMessage.Send", "Group.ReadWrite.All"}}
}
