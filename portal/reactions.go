package portal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.mau.fi/util/variationselector"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	brdb "maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal/msgconv"
	"teamsbridge/teams"
)

// reactionSkew is how much older than a reaction of ours a listing may look
// before it counts as one from before the reaction.
const reactionSkew = 3 * time.Second

// errDuplicateReaction is what homeservers answer to a reaction that is there.
var errDuplicateReaction = mautrix.RespError{ErrCode: "M_DUPLICATE_ANNOTATION"}

type reactionKey struct {
	sender networkid.UserID
	emoji  networkid.EmojiID
}

type wantedReaction struct {
	reactionKey
	// shown is its key in Matrix, custom its name where it is an organisation's own.
	shown, custom string
	teams         teams.Reaction
}

// reactions makes the reactions in Matrix those that Teams lists. Reactions
// that are still on their way to Teams, or that a relay account stands for, are
// not Teams' to judge and stay.
func (d *delivery) reactions(ctx context.Context, p *bridgev2.Portal, rows []*brdb.Message) error {
	if len(rows) == 0 || rows[0].HasFakeMXID() {
		return nil
	}
	target := firstRow(rows)
	for _, row := range rows {
		if isOnTheWayOut(target) && !isOnTheWayOut(row) {
			target = row // of what is there, people see the reaction
		}
	}
	have, err := p.Bridge.DB.Reaction.GetAllToMessage(ctx, "", target.ID)
	if err != nil {
		return fmt.Errorf("get reactions: %w", err)
	}
	undone, err := d.lateReactions(ctx)
	if err != nil {
		return err
	}
	wanted := slices.DeleteFunc(d.wantedReactions(), func(w wantedReaction) bool { return undone[w.reactionKey] })
	for _, r := range have {
		key := reactionKey{r.SenderID, r.EmojiID}
		if i := slices.IndexFunc(wanted, func(w wantedReaction) bool { return w.reactionKey == key }); i >= 0 {
			wanted = slices.Delete(wanted, i, i+1)
			if err = d.noteListed(ctx, p, r); err != nil {
				return err
			}
			continue
		}
		if undone[key] || d.keepsReaction(r) {
			continue
		}
		if err = d.redact(ctx, p, r.SenderMXID, r.MXID); err != nil {
			return err
		}
		if err = p.Bridge.DB.Reaction.Delete(ctx, r); err != nil {
			return fmt.Errorf("delete reaction: %w", err)
		}
		d.count("reaction removed")
	}
	d.showCustom(wanted, have)
	for _, w := range wanted {
		if err = d.addReaction(ctx, p, target, w); err != nil {
			return err
		}
	}
	return nil
}

// keepsReaction reports whether a reaction stays although Teams does not list it.
// Where it was never listed, Teams may only not have had it when it listed these:
// when that was is by Teams' clock, which may differ from ours.
func (d *delivery) keepsReaction(r *brdb.Reaction) bool {
	meta := reactionMetaOf(r)
	if meta.OutboxEvent == "" {
		return false
	}
	since := d.listedAt().Sub(time.UnixMilli(meta.AckMS))
	return meta.Relayed || meta.Queued || meta.Removing || since < reactionSkew ||
		meta.ListedVersion == 0 && since < ClockSkew || d.row.Version < meta.ListedVersion
}

// noteListed notes that Teams lists a reaction of ours: what does not list it later
// says that it was taken back.
func (d *delivery) noteListed(ctx context.Context, p *bridgev2.Portal, r *brdb.Reaction) error {
	meta := reactionMetaOf(r)
	if meta.OutboxEvent == "" || meta.Relayed || meta.Queued || meta.ListedVersion != 0 {
		return nil
	}
	meta.ListedVersion = d.row.Version
	r.Metadata = meta
	if err := p.Bridge.DB.Reaction.Upsert(ctx, r); err != nil {
		return fmt.Errorf("note that Teams lists a reaction: %w", err)
	}
	return nil
}

// listedAt is when the message came to be as Teams lists it.
func (d *delivery) listedAt() time.Time {
	if d.m.Modified.IsZero() {
		return time.UnixMilli(d.row.Version)
	}
	return d.m.Modified
}

// wantedReactions returns what Teams lists, oldest first, without the relay
// accounts' own: those stand for reactions that are in Matrix already.
func (d *delivery) wantedReactions() []wantedReaction {
	var out []wantedReaction
	for _, r := range d.m.Reactions {
		shown := msgconv.EmojiFromTeams(r)
		if shown == "" || r.User.ID == "" || d.in.o.Directory.IsRelay(r.User.ID) {
			continue
		}
		sender := UserID(r.User.ID)
		if r.User.Kind == "application" {
			sender = AppUserID(r.User.ID)
		}
		key := reactionKey{sender, emojiID(shown)}
		if slices.ContainsFunc(out, func(w wantedReaction) bool { return w.reactionKey == key }) {
			continue
		}
		out = append(out, wantedReaction{reactionKey: key, shown: shown, teams: r})
	}
	slices.SortStableFunc(out, func(a, b wantedReaction) int {
		if c := a.teams.Created.Compare(b.teams.Created); c != 0 {
			return c
		}
		return strings.Compare(string(a.sender), string(b.sender))
	})
	return out
}

func (d *delivery) addReaction(ctx context.Context, p *bridgev2.Portal, target *brdb.Message, w wantedReaction) error {
	who := bridgev2.EventSender{Sender: w.sender}
	if w.teams.User.IsUser() {
		who = personSender(w.teams.User.ID, d.in.o.Directory.Mapped(w.teams.User.ID))
	}
	intent, err := d.intentFor(ctx, p, who, w.teams.User.DisplayName, bridgev2.RemoteEventReaction)
	if err != nil {
		return err
	}
	at := d.reactedAt(w)
	row := &brdb.Reaction{
		Room: p.PortalKey, MessageID: target.ID, MessagePartID: target.PartID,
		SenderID: w.sender, SenderMXID: intent.GetMXID(), EmojiID: w.emoji, Timestamp: at, Metadata: &ReactionMetadata{},
	}
	key := d.reactionSource(target, w)
	before, err := d.sentBefore(ctx, key)
	if err != nil {
		return err
	}
	if before != "" {
		row.MXID = eventID(before) // under which key it shows, nobody remembers
	} else {
		if w.custom != "" {
			row.Emoji = w.shown
		}
		resp, err := intent.SendMessage(d.in.o.WithKey(ctx, key), p.MXID, event.EventReaction, w.content(target.MXID, key),
			&bridgev2.MatrixSendExtra{Timestamp: at, ReactionMeta: row})
		if errors.Is(err, errDuplicateReaction) {
			d.count("reaction was there")
			if row.MXID, err = d.findSent(ctx, p, key); err != nil || row.MXID == "" {
				return err
			}
		} else if err != nil {
			return fmt.Errorf("send reaction to the homeserver: %w", err)
		} else {
			row.MXID = resp.EventID
		}
	}
	if err = p.Bridge.DB.Reaction.Upsert(ctx, row); err != nil {
		return fmt.Errorf("store reaction: %w", err)
	}
	d.count("reaction")
	d.spoke(intent, who, at)
	return nil
}

// content is the event of a reaction.
func (w wantedReaction) content(target id.EventID, source string) *event.Content {
	key, raw := w.shown, map[string]any{SourceField: source}
	if w.custom == "" {
		key = variationselector.Add(key)
	} else if key != w.custom {
		raw[ShortcodeField] = w.custom
	}
	return &event.Content{
		Parsed: &event.ReactionEventContent{RelatesTo: event.RelatesTo{Type: event.RelAnnotation, EventID: target, Key: key}}, Raw: raw,
	}
}

// reactedAt is when somebody reacted, as far as Teams tells.
func (d *delivery) reactedAt(w wantedReaction) time.Time {
	if w.teams.Created.IsZero() {
		return d.editTime()
	}
	return w.teams.Created
}

// reactionSource is the source key of a reaction.
func (d *delivery) reactionSource(target *brdb.Message, w wantedReaction) string {
	at := strconv.FormatInt(d.reactedAt(w).UnixMilli(), 10)
	return d.onceKey("react:" + target.MXID.String() + ":" + string(w.sender) + ":" + string(w.emoji) + ":" + at)
}
