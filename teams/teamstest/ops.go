package teamstest

// Op names one operation of Graph, whatever its URL. The request log, faults,
// the permission table and the throttling table speak of operations.
type Op string

// The operations of the core. Those of the edge (subscriptions, sign-in) stand
// beside their handlers.
const (
	OpUnknown           Op = "unknown"
	OpBatch             Op = "batch"
	OpOrganization      Op = "organization.list"
	OpUsers             Op = "users.list"
	OpUser              Op = "users.get"
	OpMe                Op = "me.get"
	OpUserPhoto         Op = "users.photo"
	OpGroups            Op = "groups.list"
	OpGroup             Op = "groups.get"
	OpGroupMembers      Op = "groups.transitiveMembers"
	OpTeams             Op = "teams.list"
	OpJoinedTeams       Op = "teams.joined"
	OpTeam              Op = "teams.get"
	OpTeamPhoto         Op = "teams.photo"
	OpTeamMembers       Op = "teams.members"
	OpChannels          Op = "channels.list"
	OpAllChannels       Op = "channels.listAll"
	OpIncomingChannels  Op = "channels.listIncoming"
	OpPrimaryChannel    Op = "channels.primary"
	OpChannel           Op = "channels.get"
	OpChannelMembers    Op = "channels.members"
	OpChannelAllMembers Op = "channels.allMembers"
	OpFilesFolder       Op = "channels.filesFolder"
	OpExport            Op = "messages.export"
	OpMessages          Op = "messages.list"
	OpMessagesDelta     Op = "messages.delta"
	OpMessage           Op = "messages.get"
	OpReplies           Op = "replies.list"
	OpReply             Op = "replies.get"
	OpPostMessage       Op = "messages.post"
	OpPostReply         Op = "replies.post"
	OpPatchMessage      Op = "messages.patch"
	OpSoftDelete        Op = "messages.softDelete"
	OpUndoSoftDelete    Op = "messages.undoSoftDelete"
	OpSetReaction       Op = "messages.setReaction"
	OpUnsetReaction     Op = "messages.unsetReaction"
	OpHostedContents    Op = "hostedContents.list"
	OpHostedContent     Op = "hostedContents.value"
)
