package msgconv

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/texts"
)

func TestDigestTexts(t *testing.T) {
	zone := time.FixedZone("", 3600)
	from, to := time.Date(2026, 11, 20, 10, 2, 0, 0, zone), time.Date(2026, 11, 20, 11, 45, 0, 0, zone)
	require.Equal(t, "<p><b>In Matrix while Teams was unavailable, 2026-11-20 10:02–11:45 +01:00</b></p><p>57 messages stand in the replies to this post.</p>",
		DigestHead(texts.Texts{}, texts.WhileUnavailable, from, to, 57))
	require.Contains(t, DigestHead(texts.Texts{}, texts.WhileUnavailable, from.UTC(), to.UTC().Add(24*time.Hour), 1), "2026-11-20 09:02 – 2026-11-21 10:45 UTC</b></p><p>1 message stands")
	require.Contains(t, DigestNotice(texts.Texts{}, texts.WhileUnavailable, from, to, 57), "57 messages) is in Teams as one post")

	reactions := []DigestReaction{{"$1", "👍", "Ada"}, {"$2", "🎉", "Ben <b>"}, {"$3", "👍", "Cleo"}, {"$4", "👍", "Ada"}}
	require.Equal(t, "<div><p>hello</p><p>👍 Ada, Cleo · 🎉 Ben &lt;b&gt;</p></div>", DigestEntry(texts.Texts{}, "<p>hello</p>", false, reactions))
	require.Equal(t, "<div><p><i>(deleted)</i></p></div>", DigestEntry(texts.Texts{}, "<p>hello</p>", true, reactions))
	require.Contains(t, DigestTooLong(texts.Texts{}, "https://matrix.to/#/!r/$e"), `href="https://matrix.to/#/`)
	require.NotContains(t, DigestTooLong(texts.Texts{}, "javascript:alert(1)"), "javascript")

	// What Teams makes of it has the same fingerprint as what was posted.
	posted := DigestEntry(texts.Texts{}, "<p><b>Ada</b>: hello</p>", false, reactions)
	listed := strings.NewReplacer("<div>", "<div>\n", "</p>", "</p>\n").Replace("<div><div>" + posted + "</div></div>")
	require.Equal(t, Fingerprint(posted), Fingerprint(listed))
}
