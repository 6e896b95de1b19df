package portal

import (
	"go.mau.fi/util/variationselector"
	"maunium.net/go/mautrix/bridgev2/networkid"
)

// emojiID is how a reaction is stored: without the variation selectors, which
// differ between clients.
func emojiID(emoji string) networkid.EmojiID {
	return networkid.EmojiID(variationselector.Remove(emoji))
}
