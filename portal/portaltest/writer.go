package portaltest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"teamsbridge/teams"
)

// Writer returns the writer of an account; dead, where it is set and true, cuts
// it off.
func (t *Tenant) Writer(userID string, dead *atomic.Bool) teams.Writer {
	return &writer{t: t, user: userID, dead: dead}
}

type writer struct {
	t    *Tenant
	user string
	dead *atomic.Bool
}

func (w *writer) Account() teams.Account { return teams.Account{UserID: w.user, DisplayName: w.user} }

// do makes a write with the fault that is set for it. f is called with the
// tenant locked.
func (w *writer) do(ctx context.Context, what Write, f func() (teams.Message, error)) (teams.Message, error) {
	what.Account = w.user
	w.t.mu.Lock()
	if w.dead != nil && w.dead.Load() {
		w.t.mu.Unlock()
		return teams.Message{}, ErrAmbiguous
	}
	w.t.requests++
	w.t.writes++
	var fault Fault
	if err := w.t.limits.throttle(what); err != nil {
		fault.Refuse = err
	} else if w.t.fault != nil {
		fault = w.t.fault(what)
	}
	if fault.Refuse != nil {
		w.t.mu.Unlock()
		if fault.Late > 0 {
			time.AfterFunc(fault.Late, func() { w.late(f) })
		}
		return teams.Message{}, after(ctx, fault.Delay, fault.Refuse)
	}
	m, err := f()
	w.t.mu.Unlock()
	if err != nil {
		return m, err
	}
	if m.ID != "" {
		w.t.tell(m)
	}
	if fault.Hold != nil {
		select {
		case <-fault.Hold:
		case <-ctx.Done():
			return teams.Message{}, ctx.Err()
		}
	}
	if err = after(ctx, fault.Delay, fault.Lose); err != nil {
		return teams.Message{}, err
	}
	return m, nil
}

// late makes a write of which the client has been told that it failed.
func (w *writer) late(f func() (teams.Message, error)) {
	w.t.mu.Lock()
	m, err := f()
	w.t.mu.Unlock()
	if err == nil {
		w.t.tell(m)
	}
}

// after returns err when a time has passed, or the context's error.
func after(ctx context.Context, d time.Duration, err error) error {
	if d <= 0 {
		return err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Post implements teams.Writer.
func (w *writer) Post(ctx context.Context, ch teams.ChannelRef, rootID string, d teams.Draft) (teams.Message, error) {
	if err := teams.AboutToSend(ctx); err != nil {
		return teams.Message{}, err
	}
	return w.do(ctx, Write{Op: "post", Channel: ch, Target: rootID, HTML: d.HTML}, func() (teams.Message, error) {
		if w.t.refused != "" && strings.Contains(d.HTML, w.t.refused) {
			return teams.Message{}, ErrBadRequest
		}
		if rootID != "" {
			root := w.t.known(ch, rootID)
			if root == nil || !root.Deleted.IsZero() {
				return teams.Message{}, ErrNotFound
			} else if root.ReplyToID != "" {
				return teams.Message{}, errors.New("test: reply to a reply")
			}
		}
		// Teams wraps what it is given.
		id := w.t.post(ch, rootID, w.user, "<div><div>\n"+d.HTML+"</div></div>").ID
		m := w.t.find(ch, id)
		m.Body = w.t.host(m, m.Body, d.Images)
		m.Attachments, m.Mentions = d.Attachments, d.Mentions
		return clone(m), nil
	})
}

// host keeps the pictures that come with a text and gives each an address of its
// own; t is locked.
func (t *Tenant) host(m *teams.Message, html string, images []teams.InlineImage) string {
	for _, image := range images {
		t.hosted++
		url := fmt.Sprintf("https://graph.microsoft.com/v1.0/teams/%s/channels/%s/messages/%s/hostedContents/own%d/$value",
			m.Channel.TeamID, m.Channel.ChannelID, m.ID, t.hosted)
		t.images[url] = image.Data
		html = strings.ReplaceAll(html, "../hostedContents/"+image.ID+"/$value", url)
	}
	return html
}

func (w *writer) onMessage(ctx context.Context, what Write, ref teams.MessageRef, author bool, f func(m *teams.Message, at time.Time)) error {
	what.Channel, what.Target = ref.ChannelRef, ref.ID
	_, err := w.do(ctx, what, func() (teams.Message, error) {
		m := w.t.known(ref.ChannelRef, ref.ID)
		switch {
		case m == nil || m.ReplyToID != ref.RootID:
			return teams.Message{}, ErrNotFound
		case author && m.From.ID != w.user:
			return teams.Message{}, ErrPermission
		case what.Op == "delete" && !m.Deleted.IsZero():
			return teams.Message{}, ErrBadRequest // as teamstest does: nobody says what Graph does
		}
		return w.t.change(ref.ChannelRef, ref.ID, f), nil
	})
	return err
}

func (w *writer) Edit(ctx context.Context, ref teams.MessageRef, d teams.Draft) error {
	return w.onMessage(ctx, Write{Op: "edit", HTML: d.HTML}, ref, true, func(m *teams.Message, at time.Time) {
		SetText(w.t.host(m, "<div><div>\n"+d.HTML+"</div></div>", d.Images))(m, at)
		m.Mentions = d.Mentions
		if d.Attachments != nil { // what is not said stays
			m.Attachments = d.Attachments
		}
	})
}

func (w *writer) Delete(ctx context.Context, ref teams.MessageRef) error {
	return w.onMessage(ctx, Write{Op: "delete"}, ref, true, SetDeleted())
}

func (w *writer) Undelete(ctx context.Context, ref teams.MessageRef) error {
	return w.onMessage(ctx, Write{Op: "undelete"}, ref, true, SetUndeleted("<p></p>"))
}

func (w *writer) React(ctx context.Context, ref teams.MessageRef, emoji string) error {
	return w.onMessage(ctx, Write{Op: "react", HTML: emoji}, ref, false, AddReaction(w.user, emoji))
}

func (w *writer) Unreact(ctx context.Context, ref teams.MessageRef, emoji string) error {
	return w.onMessage(ctx, Write{Op: "unreact", HTML: emoji}, ref, false, DropReaction(w.user, emoji))
}
