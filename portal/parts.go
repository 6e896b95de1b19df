package portal

import (
	"context"
	"errors"
	"fmt"
	"html"
	"slices"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2/networkid"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// message posts a message, part by part. Parts that Teams has are not posted
// again, parts in doubt are looked for first.
func (s *Sender) message(ctx context.Context, row *database.OutboxRow) error {
	ch, ok := ParsePortal(networkid.PortalID(row.Portal))
	if !ok || ch.ChannelID == "" {
		return &failure{reason: "not a channel", message: failNoChannel}
	}
	parts, err := s.o.DB.Sent.ByEvent(ctx, row.EventID)
	if err != nil {
		return err
	}
	doubted := len(parts) > 0
	if parts, err = s.settleAll(ctx, parts); err != nil {
		return err
	}
	if doubted && len(parts) == 0 {
		// Teams has nothing of it after all: it may have to stay.
		if stays, err := s.mayStay(ctx, row); err != nil {
			return err
		} else if stays {
			return errNotThere
		}
	}
	r, err := s.rootOf(ctx, row)
	if err != nil {
		return err
	}
	if r.quote == nil && row.RootEventID != "" {
		if r.quote, err = s.answeredBy(ctx, roomID(row), eventID(row.EventID)); err != nil {
			return err
		}
	}
	if known, err := s.restoredRow(ctx, row); err != nil {
		return err
	} else if known != nil && len(parts) == 0 {
		if err = s.findRestored(ctx, row, ch, r); err != nil {
			return err
		} else if parts, err = s.o.DB.Sent.ByEvent(ctx, row.EventID); err != nil {
			return err
		}
	}
	var preferred string
	if len(parts) > 0 {
		preferred = parts[0].AccountID
	} else if preferred, err = s.postedBefore(ctx, row.Portal, row.EventID); err != nil {
		return err
	}
	w, relayed, err := s.o.Writers.For(ctx, row, preferred)
	if err != nil {
		return fmt.Errorf("choose an account: %w", err)
	}
	p := &posting{s: s, row: row, ch: ch, root: r, writer: w, relayed: relayed, parts: parts}
	if err = p.run(ctx); err != nil {
		return err
	}
	if !p.marked {
		if err = s.markSent(ctx, row); err != nil {
			return err
		}
	}
	if p.relayed {
		s.o.Metrics.Count(MetricRelayed, row.Kind)
	}
	s.o.Metrics.Observe(DurationSend, s.o.Now().Sub(row.EventAt))
	s.ackOrLeave(ctx, row)
	return nil
}

func (s *Sender) markSent(ctx context.Context, row *database.OutboxRow) error {
	ctx, cancel := durable(ctx)
	defer cancel()
	return s.o.DB.Outbox.MarkSent(ctx, row.ID)
}

// posting is a message on its way.
type posting struct {
	s       *Sender
	row     *database.OutboxRow
	ch      teams.ChannelRef
	root    root
	writer  teams.Writer
	relayed bool
	// parts are those that Teams has.
	parts []database.SentPart
	// marked says that the row was marked sent together with its last part.
	marked bool
}

func (p *posting) part(i int) *database.SentPart {
	at := slices.IndexFunc(p.parts, func(x database.SentPart) bool { return x.Part == i })
	if at < 0 {
		return nil
	}
	return &p.parts[at]
}

func (p *posting) run(ctx context.Context) error {
	drafts, err := p.convert(ctx)
	if err != nil {
		// The account may be unable to upload, and another able.
		if again, changeErr := p.change(ctx, err); changeErr != nil {
			return changeErr
		} else if !again {
			return err
		} else if drafts, err = p.convert(ctx); err != nil {
			return err
		}
	}
	for i := 0; i < len(drafts); {
		if p.part(i) != nil {
			i++
			continue
		}
		if err = p.post(ctx, i, drafts[i], i == len(drafts)-1); err == nil {
			i++
			continue
		}
		again, changeErr := p.change(ctx, err)
		if changeErr != nil {
			return changeErr
		} else if !again {
			return err
		} else if drafts, err = p.convert(ctx); err != nil {
			return err
		}
	}
	return nil
}

// convert makes the drafts. Parts that another account has posted keep their
// wording; what is left says whose it is.
func (p *posting) convert(ctx context.Context) ([]teams.Draft, error) {
	w := p.s.wordingOf(p.row, p.parts, p.relayed, p.root.quote)
	w.writer = p.writer
	drafts, err := p.s.drafts(ctx, p.row, w)
	if err != nil {
		return nil, err
	}
	if len(p.parts) > 0 && p.relayed && !w.relayed {
		for i := range drafts {
			if p.part(i) == nil {
				drafts[i].HTML = "<p><b>" + html.EscapeString(authorName(p.row)) + "</b> " + html.EscapeString(p.s.o.Texts.Say(texts.Continued)) + "</p>" + drafts[i].HTML
			}
		}
	}
	return drafts, nil
}

// change looks for another way after an error: a relay account instead of the
// sender's own, a post of its own instead of a reply to what is gone.
func (p *posting) change(ctx context.Context, err error) (again bool, _ error) {
	switch {
	case needsRelay(err) && !p.relayed:
		p.s.o.Writers.Failed(ctx, p.writer.Account().UserID, err)
		w, relayErr := p.s.o.Writers.Relay(ctx, p.row, "")
		if relayErr != nil {
			return false, fmt.Errorf("choose a relay account: %w", relayErr)
		}
		p.writer, p.relayed = w, true
		return true, nil
	case needsRelay(err) && teams.KindOf(err) == teams.KindSignInExpired:
		p.s.o.Writers.Failed(ctx, p.writer.Account().UserID, err)
		return false, nil
	case isMissing(err) && p.root.id != "" && len(p.parts) == 0:
		gone, lookErr := p.s.rootIsGone(ctx, p.ch, p.root.id)
		if lookErr != nil || !gone {
			return false, lookErr
		}
		p.root = root{quote: &msgconv.Quote{Link: p.s.o.Link(roomID(p.row), eventID(p.row.RootEventID))}}
		return true, nil
	}
	return false, nil
}

// rootIsGone reports whether a thread's root is not there any more.
func (s *Sender) rootIsGone(ctx context.Context, ch teams.ChannelRef, rootID string) (bool, error) {
	ref := teams.MessageRef{ChannelRef: ch, ID: rootID}
	m, err := s.o.Reader.Message(ctx, ref)
	if err != nil {
		if isMissing(err) {
			young, err := s.isYoung(ctx, ref)
			return !young, err
		}
		return false, fmt.Errorf("look at the root: %w", err)
	}
	return !m.Deleted.IsZero(), nil
}

// post posts part i of the message. The continuation of a post goes under it as
// replies, where nothing can come between.
func (p *posting) post(ctx context.Context, i int, d teams.Draft, last bool) error {
	rootID := p.root.id
	if first := p.part(0); first != nil && i > 0 {
		if rootID = first.RootID; rootID == "" {
			rootID = first.RemoteID
		}
	}
	var also func(ctx context.Context) error
	if last {
		also = func(ctx context.Context) error {
			p.marked = true
			return p.s.o.DB.Outbox.MarkSent(ctx, p.row.ID)
		}
	}
	part, err := p.s.post(ctx, p.writer, p.row.Portal, p.row.EventID, i, p.ch, rootID, d, also)
	if err != nil {
		p.marked = false
		return err
	}
	p.parts = append(p.parts, part)
	return nil
}

// post makes one post: marked when it is about to be sent, confirmed or taken back
// after. What waits for Graph's limits is not marked, so that after a crash only
// what may be in Teams is looked for. An unknown outcome is settled here if Teams
// tells soon. also, if not nil, is done in the transaction that confirms Teams'
// answer.
func (s *Sender) post(
	ctx context.Context, w teams.Writer, portal, event string, i int, ch teams.ChannelRef, rootID string, d teams.Draft,
	also func(ctx context.Context) error,
) (database.SentPart, error) {
	account := w.Account().UserID
	part := database.SentPart{
		EventID: event, Part: i, Portal: portal, TeamID: ch.TeamID, ChannelID: ch.ChannelID, RootID: rootID,
		AccountID: account, Fingerprint: fingerprint(d.HTML), State: database.StateSending, Attachment: fileOf(d),
		ContentHash: contentOf(d),
	}
	m, marked, landed, err := s.markAndPost(ctx, w, &part, d)
	defer landed()
	switch {
	case !marked:
		return part, err
	case err == nil:
		s.refusals.over(portal)
		err = s.confirm(ctx, &part, m.ID, also)
		return part, err
	}
	if !isAmbiguous(err) {
		dctx, cancel := durable(ctx)
		defer cancel()
		if abortErr := s.o.DB.Sent.Abort(dctx, event, i); abortErr != nil {
			return part, errors.Join(err, abortErr)
		}
		return part, err
	}
	zerolog.Ctx(ctx).Warn().Err(err).Int("part", i).Msg("Nobody knows if Teams took a post, looking for it")
	landed()
	if after := teams.RetryAfter(err); after > 0 {
		// Whoever goes on with it, a next process too, has to wait for that long.
		if dbErr := s.o.DB.Outbox.Announced(ctx, event, s.o.Now().Add(after)); dbErr != nil {
			return part, dbErr
		}
	}
	settled, settleErr := s.settle(ctx, part)
	switch {
	case settleErr != nil:
		return part, settleErr
	case settled == nil:
		return part, fmt.Errorf("%w: %w", errNotThere, err)
	}
	return *settled, nil
}

// errNotMarked means that a writer sent without having called AboutToSend.
var errNotMarked = errors.New("the post was not marked before it was sent")

// markAndPost marks a part at the moment at which it is sent. An error without a
// mark means that nothing was sent. landed must be called when the outcome is in
// the database.
func (s *Sender) markAndPost(ctx context.Context, w teams.Writer, part *database.SentPart, d teams.Draft) (m teams.Message, marked bool, landed func(), err error) {
	landed = func() {}
	var markErr error
	sending := teams.BeforeSend(ctx, func() error {
		if marked {
			return nil
		}
		part.StartedAt = s.o.Now()
		landed = s.o.Echo.takeOff(part.Portal, part.AccountID)
		if markErr = s.o.DB.Sent.Begin(ctx, *part); markErr != nil {
			return markErr
		}
		marked = true
		return nil
	})
	m, err = w.Post(sending, teams.ChannelRef{TeamID: part.TeamID, ChannelID: part.ChannelID}, part.RootID, d)
	switch {
	case markErr != nil:
		return m, false, landed, markErr
	case err == nil && !marked:
		return m, false, landed, errNotMarked
	}
	return m, marked, landed, err
}

func (s *Sender) confirm(ctx context.Context, part *database.SentPart, remoteID string, also func(ctx context.Context) error) error {
	ctx, cancel := durable(ctx)
	defer cancel()
	confirm := func(ctx context.Context) error {
		return s.o.DB.Sent.Confirm(ctx, part.EventID, part.Part, remoteID, part.RootID)
	}
	var err error
	if also == nil {
		err = confirm(ctx)
	} else {
		err = s.o.DB.DoTxn(ctx, nil, func(ctx context.Context) error {
			if err := confirm(ctx); err != nil {
				return err
			}
			return also(ctx)
		})
	}
	if err != nil {
		return err
	}
	part.RemoteID, part.State = remoteID, database.StateSent
	return nil
}
