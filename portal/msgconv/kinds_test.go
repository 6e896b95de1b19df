package msgconv

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// teamsKinds are the kinds of system events and attachments that Graph is
// documented to give; matrixKinds are the message types beside m.text that
// clients send. Each has a golden case.
var (
	teamsKinds = strings.Fields(`
		callEnded callRecording callStarted callTranscript channelAdded channelDeleted channelDescriptionUpdated channelRenamed
		channelSetAsFavoriteByDefault channelSharingUpdated channelUnsetAsFavoriteByDefault chatRenamed conversationMemberRoleUpdated
		meetingPolicyUpdated membersAdded membersDeleted membersJoined membersLeft messagePinned messageUnpinned tabUpdated
		teamArchived teamCreated teamDescriptionUpdated teamJoiningDisabled teamJoiningEnabled teamRenamed teamUnarchived
		teamsAppInstalled teamsAppRemoved teamsAppUpgraded
		reference messageReference forwardedMessageReference
		application/vnd.microsoft.card.adaptive application/vnd.microsoft.card.hero application/vnd.microsoft.card.thumbnail
		application/vnd.microsoft.card.receipt application/vnd.microsoft.card.signin application/vnd.microsoft.card.codesnippet
		application/vnd.microsoft.card.announcement application/vnd.microsoft.card.fluidEmbedCard
		application/vnd.microsoft.teams.card.list application/vnd.microsoft.teams.card.o365connector`)
	matrixKinds = strings.Fields(`m.emote m.notice m.image m.file m.audio m.video m.location m.key.verification.request`)
)

func TestEachKindHasACase(t *testing.T) {
	t.Parallel()
	for dir, kinds := range map[string][]string{"tomatrix": teamsKinds, "toteams": matrixKinds} {
		paths, err := filepath.Glob(filepath.Join("testdata", dir, "*.txtar"))
		require.NoError(t, err)
		var all strings.Builder
		for _, path := range paths {
			raw, err := os.ReadFile(path)
			require.NoError(t, err)
			all.Write(raw)
		}
		for _, kind := range kinds {
			if !strings.Contains(all.String(), `"`+kind+`"`) && !strings.Contains(all.String(), "-- kind --\n"+kind+"\n") {
				t.Errorf("%s: no case with %q", dir, kind)
			}
		}
	}
}
