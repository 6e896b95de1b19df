package bridge

import (
	"context"
	"fmt"

	"maunium.net/go/mautrix/bridgev2"
	mxdb "maunium.net/go/mautrix/bridgev2/database"

	"teamsbridge/portal"
)

// GetChatInfo implements bridgev2.NetworkAPI from memory. The mirror is what
// keeps rooms up to date; this only answers the framework's own questions
// (sync-chat, a space that is missing), and asks the mirror to look again.
func (k *client) GetChatInfo(_ context.Context, p *bridgev2.Portal) (*bridgev2.ChatInfo, error) {
	ref, ok := portal.ParsePortal(p.ID)
	if !ok {
		return nil, fmt.Errorf("%s is not a conversation of this bridge", p.ID)
	}
	conv, known := k.c.rt.catalog.get(string(p.ID))
	if !known {
		return nil, fmt.Errorf("conversation %s is not known", p.ID)
	}
	k.c.rt.mirror.DirectoryChanged(ref.TeamID, "asked for")
	info := &bridgev2.ChatInfo{Members: &bridgev2.ChatMemberList{MemberMap: bridgev2.ChatMemberMap{}}}
	if p.Name == "" {
		info.Name = &conv.Name
	}
	if ref.ChannelID == "" {
		space := mxdb.RoomTypeSpace
		info.Type = &space
	} else {
		parent := portal.TeamPortal(ref.TeamID).ID
		info.ParentID = &parent
	}
	return info, nil
}
