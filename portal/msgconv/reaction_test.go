package msgconv

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"

	"teamsbridge/teams"
)

func TestEmojiFromTeams(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   teams.Reaction
		want string
	}{
		{teams.Reaction{Type: "like"}, "👍"},
		{teams.Reaction{Type: "heart"}, "❤️"},
		{teams.Reaction{Type: "laugh"}, "😆"},
		{teams.Reaction{Type: "surprised"}, "😮"},
		{teams.Reaction{Type: "sad"}, "😢"},
		{teams.Reaction{Type: "angry"}, "😠"},
		{teams.Reaction{Type: "💯", DisplayName: "Hundred points"}, "💯"},
		{teams.Reaction{Type: "❤"}, "❤️"},
		{teams.Reaction{Type: "👍🏽"}, "👍🏽"},
		{teams.Reaction{Type: "👍️"}, "👍"},
		{teams.Reaction{Type: "🏳‍🌈"}, "🏳️‍🌈"},
		{teams.Reaction{Type: "1️⃣"}, "1️⃣"},
		{teams.Reaction{Type: "custom", DisplayName: "microsoft_teams", ContentURL: "https://graph.microsoft.com/x"}, ":microsoft_teams:"},
		{teams.Reaction{Type: "custom", DisplayName: ":a\u202eb:"}, ":ab:"},
		{teams.Reaction{Type: "custom"}, ""},
		{teams.Reaction{Type: "newword"}, "newword"},
		{teams.Reaction{}, ""},
	} {
		require.Equal(t, c.want, EmojiFromTeams(c.in), "%+v", c.in)
	}
}

func TestEmojiToTeams(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in, want string
		err      error
	}{
		{"👍️", "👍", nil},
		{"👍", "👍", nil},
		{"❤", "❤️", nil},
		{" 🎉 ", "🎉", nil},
		{"👩‍👩‍👧‍👦", "👩‍👩‍👧‍👦", nil},
		{"🇩🇪", "🇩🇪", nil},
		{"🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", nil},
		{"#️⃣", "#️⃣", nil},
		{"", "", ErrNotEmoji},
		{"yes", "", ErrNotEmoji},
		{"like", "", ErrNotEmoji},
		{"👍👍", "", ErrNotEmoji},
		{"\u200d", "", ErrNotEmoji},
		{"🎉!", "", ErrNotEmoji},
		{"<b>", "", ErrNotEmoji},
		{"mxc://example.org/abc", "", ErrCustomEmoji},
		{":rocket:", "", ErrCustomEmoji},
	} {
		got, err := EmojiToTeams(c.in)
		require.Equal(t, c.err, err, "%q", c.in)
		require.Equal(t, c.want, got, "%q", c.in)
	}
}

func TestReactionRoundTrip(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"👍️", "👍", "❤️", "❤", "😆", "🏳️‍🌈", "👍🏿", "☀️", "1️⃣", "🇫🇷"} {
		sent, err := EmojiToTeams(key)
		require.NoError(t, err)
		back := EmojiFromTeams(teams.Reaction{Type: sent})
		require.Equal(t, sent, back)
		require.True(t, SameEmoji(key, back))
	}
	require.True(t, SameEmoji("👍️", EmojiFromTeams(teams.Reaction{Type: "like"})))
	require.True(t, SameEmoji("heart", "❤"))
	require.False(t, SameEmoji("👍🏿", "👍"))
}

func TestReactionPictures(t *testing.T) {
	t.Parallel()
	ch := teams.ChannelRef{TeamID: "t1", ChannelID: "19:c@thread.tacv2"}
	url := func(channel, id string) string {
		return "https://graph.microsoft.com/v1.0/teams/t1/channels/" + channel + "/messages/1/hostedContents/" + id + "/$value"
	}
	m := teams.Message{Channel: ch, Reactions: []teams.Reaction{
		{Type: "👍", ContentURL: url(ch.ChannelID, "a")},
		{Type: "custom", DisplayName: "party", ContentURL: url(ch.ChannelID, "b")},
		{Type: "custom", DisplayName: ":party:", ContentURL: url(ch.ChannelID, "c")},
		{Type: "custom", DisplayName: "", ContentURL: url(ch.ChannelID, "d")},
		{Type: "custom", DisplayName: "elsewhere", ContentURL: url("19:other@thread.tacv2", "e")},
		{Type: "custom", DisplayName: "query", ContentURL: url(ch.ChannelID, "f") + "?x=1"},
		{Type: "custom", DisplayName: "none"},
		{Type: "custom", DisplayName: "ship", ContentURL: " " + url(ch.ChannelID, "g") + " "},
	}}
	require.Equal(t, []ImageRef{
		{URL: url(ch.ChannelID, "b"), Alt: ":party:"}, {URL: url(ch.ChannelID, "g"), Alt: ":ship:"},
	}, ReactionPictures(m))
	m.Deleted = time.Now()
	require.Empty(t, ReactionPictures(m))

	for want, media := range map[string]Media{
		"mxc://example.org/abc": {URI: "mxc://example.org/abc", MimeType: "image/png"},
		"":                      {URI: "mxc://example.org/abc", MimeType: "application/octet-stream"},
	} {
		require.Equal(t, want, ReactionPicture(media))
	}
	for _, media := range []Media{
		{}, {Problem: "gone"}, {URI: "mxc://example.org/abc", MimeType: "image/png", Problem: "gone"}, {URI: "https://example.org/abc", MimeType: "image/png"},
		{URI: "mxc://example.org/abc", MimeType: "image/png", File: &event.EncryptedFileInfo{}},
	} {
		require.Empty(t, ReactionPicture(media), "%+v", media)
	}
}
