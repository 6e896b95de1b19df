package portal

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2/networkid"

	"teamsbridge/database"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// digest posts the post of a digest that a row is in, and before the first one
// the post under which all of them stand. The lane comes to the other rows of
// the post when they are sent already.
func (s *Sender) digest(ctx context.Context, row *database.OutboxRow) error {
	d, err := s.o.DB.Digests.Get(ctx, row.Digest)
	if err != nil {
		return err
	}
	entry, err := s.o.DB.Digests.ByEvent(ctx, row.EventID)
	if err != nil {
		return err
	}
	if d == nil || entry == nil {
		return fmt.Errorf("the digest %s of an outbox row is gone", row.Digest)
	}
	if err = s.reword(ctx, d); err != nil {
		return err
	}
	ch, ok := ParsePortal(networkid.PortalID(row.Portal))
	if !ok || ch.ChannelID == "" {
		return &failure{reason: "not a channel", message: failNoChannel}
	}
	parts, err := s.o.DB.Sent.ByEvent(ctx, d.ID)
	if err != nil {
		return err
	}
	if parts, err = s.settleAll(ctx, parts); err != nil {
		return err
	}
	p := &digestPosting{s: s, d: d, row: row, ch: ch, parts: parts}
	if err = p.run(ctx, entry.Part); err != nil {
		return p.change(ctx, entry.Part, err)
	}
	return nil
}

// digestPosting is a post of a digest on its way.
type digestPosting struct {
	s     *Sender
	d     *database.Digest
	row   *database.OutboxRow
	ch    teams.ChannelRef
	parts []database.SentPart
}

func (p *digestPosting) part(i int) *database.SentPart {
	at := slices.IndexFunc(p.parts, func(x database.SentPart) bool { return x.Part == i })
	if at < 0 {
		return nil
	}
	return &p.parts[at]
}

func (p *digestPosting) run(ctx context.Context, part int) error {
	if p.part(0) == nil {
		if err := p.post(ctx, 0, "", p.d.Head); err != nil {
			return err
		}
	}
	p.s.digestNotice(ctx, p.d)
	if p.part(part) == nil {
		entries, err := p.s.o.DB.Digests.Entries(ctx, p.d.ID, part)
		if err != nil {
			return err
		}
		if why := unreadableEntry(entries, ""); why != nil {
			return p.dissolve(ctx, part, why)
		}
		if err = p.s.freshen(ctx, entries); err != nil {
			return err
		}
		if err = p.post(ctx, part, p.part(0).RemoteID, renderDigest(p.s.o.Texts, entries)); err != nil {
			return err
		}
	}
	return p.sent(ctx, part)
}

func (p *digestPosting) post(ctx context.Context, part int, rootID, html string) error {
	preferred, err := p.s.postedBefore(ctx, p.row.Portal, p.d.ID)
	if err != nil {
		return err
	}
	if first := p.part(0); first != nil {
		preferred = first.AccountID
	}
	w, err := p.s.o.Writers.Relay(ctx, p.row, preferred)
	if err != nil {
		return fmt.Errorf("choose a relay account: %w", err)
	}
	sent, err := p.s.post(ctx, w, p.row.Portal, p.d.ID, part, p.ch, rootID, teams.Draft{HTML: html}, nil)
	if err != nil {
		if teams.KindOf(err) == teams.KindSignInExpired {
			p.s.o.Writers.Failed(ctx, w.Account().UserID, err)
		}
		return err
	}
	p.parts = append(p.parts, sent)
	return nil
}

// sent shows what is in a post of the digest as delivered. A crash before that
// is made up for when the lane finds the post among the sent parts.
func (p *digestPosting) sent(ctx context.Context, part int) error {
	dctx, cancel := durable(ctx)
	defer cancel()
	rows, err := p.s.o.DB.Digests.MarkSent(dctx, p.d.ID, part)
	if err != nil {
		return err
	}
	now := p.s.o.Now()
	for _, row := range rows {
		p.s.o.Metrics.Count(MetricDigested, "message")
		p.s.o.Metrics.Observe(DurationSend, now.Sub(row.EventAt))
		p.s.ackOrLeave(ctx, row)
	}
	return nil
}

// change looks for another way after an error. A post that Teams refuses for
// good is taken apart, so that only the message that is at fault is parked; so
// is what is left of a digest whose first post somebody has deleted.
func (p *digestPosting) change(ctx context.Context, part int, err error) error {
	if isMissing(err) && p.part(0) != nil {
		gone, lookErr := p.s.rootIsGone(ctx, p.ch, p.part(0).RemoteID)
		if lookErr != nil {
			return lookErr
		} else if gone {
			return p.dissolve(ctx, -1, err)
		}
	}
	if v := p.s.judge(p.row, err); v.final && p.part(0) != nil && p.part(part) == nil {
		return p.dissolve(ctx, part, err)
	}
	return err
}

func (p *digestPosting) dissolve(ctx context.Context, part int, why error) error {
	zerolog.Ctx(ctx).Warn().Err(why).Str("digest", p.d.ID).Msg("A digest's messages go to Teams one by one")
	p.s.o.Metrics.Count(MetricDigested, "dissolved")
	return p.s.o.DB.Digests.Dissolve(ctx, p.d.ID, part)
}

// renderDigest writes a post with several messages.
func renderDigest(x texts.Texts, entries []database.DigestEntry) string {
	var b strings.Builder
	for _, e := range entries {
		b.WriteString(renderEntry(x, e))
	}
	return b.String()
}
