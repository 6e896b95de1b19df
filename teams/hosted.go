package teams

import "net/url"

// ParseHostedContentURL takes the address of an inline image apart. It is of
// the message that ref names; a picture of another channel than the message
// that shows it is not to be fetched, or whoever can write a message could read
// other people's channels through the bridge. The host is not looked at.
func ParseHostedContentURL(raw string) (ref MessageRef, ok bool) {
	u, err := url.Parse(raw)
	if err != nil || u.RawQuery != "" || u.Fragment != "" {
		return MessageRef{}, false
	}
	segs := segments(u)
	for i, s := range segs {
		// A picture's own id is base64 and may have a slash (escaped, here).
		if s == "." || s == ".." || (!validID(s) && i != len(segs)-2) {
			return MessageRef{}, false
		}
	}
	plain := len(segs) == 9
	reply := len(segs) == 11
	if !plain && !reply || segs[0] != "teams" || segs[2] != "channels" || segs[4] != "messages" ||
		segs[len(segs)-3] != "hostedContents" || segs[len(segs)-1] != "$value" || reply && segs[6] != "replies" {
		return MessageRef{}, false
	}
	ref = MessageRef{ChannelRef: ChannelRef{TeamID: segs[1], ChannelID: segs[3]}, ID: segs[5]}
	if reply {
		ref.RootID, ref.ID = segs[5], segs[7]
	}
	return ref, true
}
