package portal

import (
	"context"
	"fmt"
	"slices"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2"
	brdb "maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
)

// inLoop runs a step inside the portal's loop, where rows may be changed.
func (r *repair) inLoop(ctx context.Context, f *Finding, step func(ctx context.Context, p *bridgev2.Portal, f *Finding) error) error {
	return r.v.loop.Do(ctx, networkid.PortalID(r.report.Portal), func(ctx context.Context, p *bridgev2.Portal, _ *bridgev2.UserLogin) error {
		return step(ctx, p, f)
	})
}

// prepare makes rows and echoes say what a delivery has to do.
func (r *repair) prepare(ctx context.Context, f *Finding, d *delivery) error {
	return r.inLoop(ctx, f, func(ctx context.Context, p *bridgev2.Portal, f *Finding) error {
		switch f.fix {
		case fixResend:
			return r.resend(ctx, p, f, d)
		case fixReshow:
			return r.reshow(ctx, p, f, d)
		case fixRedelete:
			return r.changeRows(ctx, p, d, func(meta *MessageMetadata) { meta.Deleted = false })
		case fixReaction:
			return r.forgetReaction(ctx, p, f, d)
		}
		return r.claimShown(ctx, f, d)
	})
}

// rowsOf returns a message's rows, those of an event that was written in
// Matrix among them.
func (r *repair) rowsOf(ctx context.Context, p *bridgev2.Portal, d *delivery) ([]*brdb.Message, error) {
	own, err := r.v.o.DB.Sent.ByRemote(ctx, r.report.Portal, d.m.ID)
	if err != nil {
		return nil, err
	}
	at := *d
	at.own = own
	return at.rows(ctx)
}

func (r *repair) changeRows(ctx context.Context, p *bridgev2.Portal, d *delivery, change func(meta *MessageMetadata)) error {
	rows, err := r.rowsOf(ctx, p, d)
	if err != nil {
		return err
	}
	return p.Bridge.DB.DoTxn(ctx, nil, func(ctx context.Context) error {
		for _, row := range rows {
			change(metaOf(row))
			if err := p.Bridge.DB.Message.Update(ctx, row); err != nil {
				return fmt.Errorf("change message row: %w", err)
			}
		}
		return nil
	})
}

// resend marks a message's event as gone. What is left of the message in the
// room is taken away, so that it is there once when it comes again.
func (r *repair) resend(ctx context.Context, p *bridgev2.Portal, f *Finding, d *delivery) error {
	rows, err := r.rowsOf(ctx, p, d)
	if err != nil {
		return err
	}
	for _, row := range rows {
		e, err := r.v.o.Room.RoomEvent(ctx, p.MXID, row.MXID)
		if err != nil {
			return fmt.Errorf("ask for an event: %w", err)
		} else if e == nil || e.Redacted {
			continue
		} else if metaOf(row).Outbound {
			return &repairError{why: whyOwnThread}
		}
		if err = r.remove(ctx, p, row.MXID); err != nil {
			return err
		}
	}
	return r.changeRows(ctx, p, d, func(meta *MessageMetadata) { meta.Gone, meta.ContentHash = true, "" })
}

// reshow forgets what an event is said to show, and that it was ever sent.
func (r *repair) reshow(ctx context.Context, p *bridgev2.Portal, f *Finding, d *delivery) error {
	rows, err := r.rowsOf(ctx, p, d)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if row.MXID == f.Event {
			if err = r.v.o.DB.Echoes.Forget(ctx, d.key("edit:"+string(row.PartID))); err != nil {
				return err
			}
		}
	}
	return r.changeRows(ctx, p, d, func(meta *MessageMetadata) { meta.ContentHash, meta.PartHash = "", "" })
}

// forgetReaction deletes the row of a reaction whose event is not there.
func (r *repair) forgetReaction(ctx context.Context, p *bridgev2.Portal, f *Finding, d *delivery) error {
	rows, err := r.rowsOf(ctx, p, d)
	if err != nil || len(rows) == 0 {
		return err
	}
	for _, w := range d.wantedReactions() {
		if string(w.sender) == f.who && string(w.emoji) == f.Emoji {
			if err = r.v.o.DB.Echoes.Forget(ctx, d.reactionSource(firstRow(rows), w)); err != nil {
				return err
			}
		}
	}
	row, err := p.Bridge.DB.Reaction.GetByMXID(ctx, f.Event)
	if err != nil {
		return fmt.Errorf("get reaction row: %w", err)
	} else if row == nil {
		return nil
	}
	if err = p.Bridge.DB.Reaction.Delete(ctx, row); err != nil {
		return fmt.Errorf("delete reaction row: %w", err)
	}
	return nil
}

// claimShown makes echoes say which events show a message that no row knows:
// those that are there are claimed, those that are not are sent anew.
func (r *repair) claimShown(ctx context.Context, f *Finding, d *delivery) error {
	for _, echo := range f.echoes {
		echo.RoomID = r.room.String()
		if err := r.v.o.DB.Echoes.Forget(ctx, echo.SourceKey); err != nil {
			return err
		}
		claimed := echo
		if _, part, ok := shownMessage(echo.SourceKey); ok {
			claimed.SourceKey = d.onceKey("new:" + part)
		}
		if err := r.v.o.DB.Echoes.Forget(ctx, claimed.SourceKey); err != nil {
			return err
		}
		if _, err := r.v.o.DB.Echoes.Record(ctx, []database.Echo{claimed}); err != nil {
			return err
		}
	}
	if f.Class != MissingInMatrix || !d.m.Deleted.IsZero() {
		return nil
	}
	for _, part := range msgconv.ToMatrix(d.m, msgconv.MatrixEnv{People: r.v.o.Directory, Texts: r.v.o.Texts, ChannelID: d.m.Channel.ChannelID}).Parts {
		if err := r.forgetDead(ctx, d.onceKey("new:"+part.ID)); err != nil {
			return err
		}
	}
	return nil
}

// forgetDead forgets an echo whose event shows nothing any more.
func (r *repair) forgetDead(ctx context.Context, key string) error {
	echo, err := r.v.o.DB.Echoes.Get(ctx, key)
	if err != nil || echo == nil {
		return err
	}
	e, err := r.v.o.Room.RoomEvent(ctx, r.room, eventID(echo.EventID))
	if err != nil {
		return fmt.Errorf("ask for an event: %w", err)
	} else if e != nil && !e.Redacted {
		return nil
	}
	return r.v.o.DB.Echoes.Forget(ctx, key)
}

// clearWay takes away what would make the bridge ignore an event that comes
// once more, although Teams does not have it.
func (r *repair) clearWay(ctx context.Context, p *bridgev2.Portal, f *Finding) error {
	row, err := p.Bridge.DB.Message.GetPartByMXID(ctx, f.Event)
	if err != nil {
		return fmt.Errorf("get message row: %w", err)
	}
	return p.Bridge.DB.DoTxn(ctx, nil, func(ctx context.Context) error {
		switch {
		case f.fix == fixRequeueEdit && row != nil:
			meta := metaOf(row)
			meta.Before, meta.Prints, meta.Given, meta.EditedMS = append(meta.Before, meta.Prints...), nil, nil, 0
			if err := p.Bridge.DB.Message.Update(ctx, row); err != nil {
				return fmt.Errorf("change message row: %w", err)
			}
			return r.v.o.DB.Outbox.Forget(ctx, f.other)
		case f.Class == MissingInTeams:
			parts, err := r.v.o.DB.Sent.ByEvent(ctx, f.Event.String())
			if err != nil {
				return err
			}
			if slices.ContainsFunc(parts, func(p database.SentPart) bool { return p.RemoteID != "" }) {
				return &repairError{why: whyStill}
			}
			out, err := r.v.o.DB.Outbox.ByEvent(ctx, f.Event.String())
			if err != nil {
				return err
			} else if out != nil && out.DoneAt.IsZero() {
				return &repairError{why: whyWaits} // it has come since
			}
			if row != nil && IsProvisional(row.ID) {
				if err := p.Bridge.DB.Message.Delete(ctx, row.RowID); err != nil {
					return fmt.Errorf("delete message row: %w", err)
				}
			}
			return r.v.o.DB.Outbox.Forget(ctx, f.Event.String())
		}
		return nil
	})
}

// rewrite has the post of a digest written again from its messages.
func (r *repair) rewrite(ctx context.Context, f *Finding) error {
	part, err := r.v.o.DB.Sent.ByRemote(ctx, r.report.Portal, f.Message)
	if err != nil || part == nil {
		return err
	}
	if err = r.v.o.DB.Digests.Overtake(ctx, part.EventID, part.Part); err != nil {
		return err
	}
	r.rewritten = true
	r.v.o.Echo.overtaken.add(r.report.Portal)
	r.v.o.Echo.decided(ctx, r.report.Portal)
	return nil
}

// remove redacts an event as the bot.
func (r *repair) remove(ctx context.Context, p *bridgev2.Portal, evt id.EventID) error {
	_, err := p.Bridge.Bot.SendMessage(r.v.o.WithKey(ctx, "repaired:"+evt.String()), p.MXID, event.EventRedaction, &event.Content{
		Parsed: &event.RedactionEventContent{Redacts: evt},
	}, &bridgev2.MatrixSendExtra{Timestamp: r.v.o.Now()})
	if err != nil {
		return fmt.Errorf("redact: %w", err)
	}
	zerolog.Ctx(ctx).Warn().Str("portal", string(p.ID)).Stringer("event_id", evt).Msg("A repair removed an event")
	return nil
}

// redact removes an event that is one too many, unless the bridge has come to
// know a message by it.
func (r *repair) redact(ctx context.Context, p *bridgev2.Portal, f *Finding) error {
	if known, err := r.v.o.Ingest.isRow(ctx, p, f.Event); err != nil || known {
		return err
	}
	return r.remove(ctx, p, f.Event)
}

// untwin leaves a post of ours with the event that it was written as, and takes
// the other away that shows it as news.
func (r *repair) untwin(ctx context.Context, p *bridgev2.Portal, f *Finding) error {
	own, err := p.Bridge.DB.Message.GetPartByMXID(ctx, eventID(f.other))
	if err != nil {
		return fmt.Errorf("get message row: %w", err)
	}
	news, err := p.Bridge.DB.Message.GetPartByMXID(ctx, f.Event)
	if err != nil {
		return fmt.Errorf("get message row: %w", err)
	}
	err = p.Bridge.DB.DoTxn(ctx, nil, func(ctx context.Context) error {
		if news == nil || own == nil || !IsProvisional(own.ID) {
			return nil
		}
		if err := p.Bridge.DB.Message.DeleteAllParts(ctx, "", news.ID); err != nil {
			return fmt.Errorf("delete message row: %w", err)
		}
		before := own.ID
		own.ID = news.ID
		if err := p.Bridge.DB.Message.Update(ctx, own); err != nil {
			return fmt.Errorf("store real id: %w", err)
		}
		return renameReferences(ctx, p.Bridge, own, before)
	})
	if err != nil {
		return err
	}
	return r.redact(ctx, p, f)
}
