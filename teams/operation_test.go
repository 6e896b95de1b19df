package teams

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestClassify(t *testing.T) {
	known := rows()
	for _, c := range []struct{ method, path, op, row, resource string }{
		{"GET", "/teams", "GET teams", "other read", ""},
		{"GET", "/teams/T", "GET team", "team", "T"},
		{"GET", "/teams/T/channels", "GET channels", "channels", "T"},
		{"GET", "/teams/T/allChannels", "GET channels", "channels", "T"},
		{"GET", "/teams/T/primaryChannel", "GET primary channel", "channel", "T"},
		{"GET", "/teams/T/channels/C", "GET channel", "channel", "C"},
		{"GET", "/teams/T/members", "GET team members", "team members", "T"},
		{"GET", "/teams/T/channels/C/allMembers", "GET channel members", "channel members", "C"},
		{"GET", "/teams/T/channels/getAllMessages()?$filter=x", "GET team messages export", "export", ""},
		{"GET", "/teams/T/channels/19%3Aa%40thread.tacv2/messages?$top=50", "GET channel messages", "messages", "19:a@thread.tacv2"},
		{"GET", "/teams('T')/channels('19%3Aa%40thread.tacv2')/messages?$skiptoken=x", "GET channel messages", "messages", "19:a@thread.tacv2"},
		{"GET", "/teams/T/channels/C/messages/delta()", "GET channel messages", "messages", "C"},
		{"GET", "/teams/T/channels/C/messages/1/replies", "GET channel messages", "messages", "C"},
		{"POST", "/teams/T/channels/C/messages", "POST channel message", "post message", "C"},
		{"POST", "/teams/T/channels/C/messages/1/replies", "POST channel message", "post message", "C"},
		{"PATCH", "/teams/T/channels/C/messages/1/replies/2", "PATCH channel message", "patch message", "C"},
		{"DELETE", "/teams/T/channels/C/messages/1", "DELETE channel message", "other delete", "C"},
		{"POST", "/teams/T/channels/C/messages/1/softDelete", "POST message softDelete", "soft delete", "C"},
		{"POST", "/teams/T/channels/C/messages/1/replies/2/undoSoftDelete", "POST message undoSoftDelete", "soft delete", "C"},
		{"POST", "/teams/T/channels/C/messages/1/setReaction", "POST message setReaction", "other write", "C"},
		{"GET", "/teams/T/channels/C/messages/1/hostedContents", "GET hosted contents", "list hosted contents", "C"},
		{"GET", "/teams/T/channels/C/messages/1/hostedContents/x/$value", "GET hosted content", "hosted content", "C"},
		{"GET", "/teams/T/channels/C/filesFolder", "GET channel filesFolder", "other read", "C"},
		{"GET", "/teams/T/photo/$value", "GET team photo", "other read", "T"},
		{"GET", "/teams/T/schedule", "GET team schedule", "other read", "T"},
		{"PATCH", "/subscriptions/1", "PATCH subscription", "other write", ""},
		{"DELETE", "/subscriptions/1", "DELETE subscription", "other delete", ""},
		{"GET", "/users?$top=999", "GET user", "directory", ""},
		{"GET", "/users/u/photo/$value", "GET user photo", "directory", ""},
		{"GET", "/organization", "GET organization", "directory", ""},
		{"GET", "/drives/x/items/y:/z.txt", "GET file", "files", ""},
		{"POST", "/drives/x/items/y:/z.txt:/createUploadSession", "POST upload session", "files", ""},
		{"GET", "/planner/x", "GET other", "other read", ""},
		{"GET", "", "GET root", "other read", ""},
	} {
		got := classify(c.method, mustURL(t, "https://graph.microsoft.com/v1.0"+c.path))
		require.Equal(t, c.op, got.op, c.path)
		require.Equal(t, c.row, got.row, c.path)
		require.Equal(t, c.resource, got.resource, c.path)
		require.Equal(t, c.method != "GET", got.write, c.path)
		require.Contains(t, known, got.row)
	}
}
