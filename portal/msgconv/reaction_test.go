package msgconv

import (
	"testing"

	"github.com/stretchr/testify/require"

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
