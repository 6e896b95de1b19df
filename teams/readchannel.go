package teams

import (
	"context"
	"time"
)

// readChannelDepth is how long after its post a reply is looked for.
const readChannelDepth = defaultDepth

// ReadChannel hands on what changed in a channel after a time, whatever was
// read before and without any cursor: with the list of its posts and their
// replies, or, where Graph refuses that, with delta, then with the team's
// export. take may get a message more than once, in any order and version. It
// returns the reader that could do it.
func ReadChannel(ctx context.Context, src MessageSource, ch ChannelRef, since time.Time, now func() time.Time, take func([]Message)) (source string, err error) {
	for _, r := range []reader{&listReader{}, &deltaReader{now}, &exportReader{}} {
		if err = readChannel(ctx, r, src, ch, since, take); err == nil {
			return r.name(), nil
		}
		switch KindOf(err) {
		case KindBadRequest, KindPermission, KindNotFound, KindPrecondition, KindGone:
			// The next reader may be allowed to.
		default:
			return r.name(), err
		}
	}
	return "", err
}

func readChannel(ctx context.Context, r reader, src MessageSource, ch ChannelRef, since time.Time, take func([]Message)) error {
	st := &readState{since: since, depth: readChannelDepth}
	for st.pages < maxReadPages {
		page, err := r.step(ctx, src, Scope(ch), st)
		if err != nil {
			if lostPlace(err, st) {
				st.rescan()
				continue
			}
			return err
		}
		kept := make([]Message, 0, len(page.msgs))
		for _, m := range page.msgs {
			if m.Channel.ChannelID == ch.ChannelID {
				kept = append(kept, m)
			}
		}
		take(kept)
		if page.done {
			return nil
		} else if page.next == st.link {
			return errPageLoop
		}
		st.advance(page)
	}
	return errPageLoop
}
