package msgconv

// Everything that the bridge itself says in converted messages.
const (
	textReactionNotEmoji = "Teams takes only emoji as reactions"
	textReactionCustom   = "Teams takes no custom emoji from outside"
)
