package teamstest

// The functions here find what a request's path names, and check that the
// caller may see it. The tenant's lock is held.

// findTeam finds the team of the path. Delegated callers must belong to it.
func (x *exchange) findTeam() (*Team, *apiError) {
	team := x.t.team(x.vars["team"])
	if team == nil {
		return nil, errNotFound("No team found with Group Id " + x.vars["team"])
	}
	if !x.caller.App && team.member(x.caller.UserID) == nil && !team.sharesWith(x.caller.UserID) {
		return nil, errForbidden("User " + x.caller.UserID + " is not a member of the team " + team.ID)
	}
	return team, nil
}

// sharesWith reports whether a person outside the team belongs to one of its
// shared channels.
func (team *Team) sharesWith(userID string) bool {
	for _, c := range team.channels {
		if c.kind == Shared && !c.deleted && c.mayRead(userID) {
			return true
		}
	}
	return false
}

// findChannel finds the channel of the path. Delegated callers must be able to
// read it.
func (x *exchange) findChannel() (*Channel, *apiError) {
	team, refused := x.findTeam()
	if refused != nil {
		return nil, refused
	}
	c := team.channel(x.vars["channel"])
	if c == nil {
		// A channel that was shared into the team is reached through the
		// team that owns it.
		return nil, errNotFound("NotFound: channel " + x.vars["channel"] + " in team " + team.ID)
	}
	if !x.caller.App && !c.mayRead(x.caller.UserID) {
		return nil, errForbidden("User " + x.caller.UserID + " is not a member of the channel " + c.ID)
	}
	return c, nil
}

// findMessage finds the message of the path, a reply if it names one. What
// readers do not see yet is found too; the caller decides.
func (x *exchange) findMessage() (*Message, *apiError) {
	c, refused := x.findChannel()
	if refused != nil {
		return nil, refused
	}
	m := x.known(c.messages[x.vars["message"]])
	if m == nil || m.root != nil {
		return nil, errNotFound("NotFound: message " + x.vars["message"])
	}
	replyID, isReply := x.vars["reply"]
	if !isReply {
		return m, nil
	}
	reply := x.known(c.messages[replyID])
	if reply == nil || reply.root != m {
		return nil, errNotFound("NotFound: reply " + replyID)
	}
	return reply, nil
}

// known returns a message unless it is too young to be known by its id.
func (x *exchange) known(m *Message) *Message {
	if m == nil || x.t.writeLag > 0 && x.t.clock.Now().Before(m.created.Add(x.t.writeLag)) {
		return nil
	}
	return m
}

// callerUser is the person behind a delegated token.
func (x *exchange) callerUser() (*User, *apiError) {
	if x.caller.App {
		return nil, errBadRequest("/me request is only valid with delegated authentication flow.")
	}
	u := x.t.user(x.caller.UserID)
	if u == nil {
		return nil, errNotFound("Resource '" + x.caller.UserID + "' does not exist or one of its queried reference-property objects are not present.")
	}
	return u, nil
}

// findUser finds the person of the path, the caller for /me.
func (x *exchange) findUser() (*User, *apiError) {
	key, named := x.vars["user"]
	if !named {
		return x.callerUser()
	}
	u := x.t.user(key)
	if u == nil {
		return nil, &apiError{
			Status: 404, Code: "Request_ResourceNotFound",
			Message: "Resource '" + key + "' does not exist or one of its queried reference-property objects are not present.",
		}
	}
	return u, nil
}
