package portal

import (
	"context"
	"fmt"
	"maps"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	brdb "maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
)

func eventID(s string) id.EventID { return id.EventID(s) }

// place is where in the room a message belongs.
type place struct {
	// thread is the root as message rows name it, empty for a post.
	thread networkid.MessageID
	// root and last are the thread's first and newest event.
	root, last id.EventID
}

// placeOf finds a reply's thread. A root that is not there at all leaves the
// reply at the top level; it then is the event under which the thread goes on.
func (d *delivery) placeOf(ctx context.Context) (at place, err error) {
	if d.m.ReplyToID == "" {
		return at, nil
	}
	db := d.in.o.Bridge.DB.Message
	at.thread = MessageID(d.m.Channel, d.m.ReplyToID)
	root, err := db.GetFirstPartByID(ctx, "", at.thread)
	if err != nil {
		return at, fmt.Errorf("get thread root: %w", err)
	}
	if root == nil {
		// Our own post whose row does not bear its id yet.
		own, err := d.in.o.DB.Sent.ByRemote(ctx, d.row.Portal, d.m.ReplyToID)
		if err != nil {
			return at, err
		} else if own != nil {
			if root, err = db.GetPartByMXID(ctx, eventID(own.EventID)); err != nil {
				return at, fmt.Errorf("get own thread root: %w", err)
			}
		}
	}
	if root != nil {
		at.thread, at.root = root.ID, root.MXID
		if metaOf(root).Outbound && root.ThreadRoot != "" {
			if at.root, err = d.matrixRoot(ctx, root); err != nil {
				return at, err
			}
		}
	} else if root, err = db.GetFirstThreadMessage(ctx, networkid.PortalKey{ID: portalIDOf(d.row)}, at.thread); err != nil {
		return at, fmt.Errorf("get first reply: %w", err)
	} else if root != nil {
		at.root = root.MXID
	}
	if root == nil {
		return at, nil
	}
	at.last = at.root
	last, err := db.GetLastThreadMessage(ctx, root.Room, at.thread)
	if err != nil {
		return at, fmt.Errorf("get last reply: %w", err)
	} else if last != nil && !last.HasFakeMXID() {
		at.last = last.MXID
	}
	return at, nil
}

// matrixRoot returns the event under which a message from Matrix has its
// thread: a message that was a reply in Matrix may have become a post in Teams.
func (d *delivery) matrixRoot(ctx context.Context, row *brdb.Message) (id.EventID, error) {
	out, err := d.in.o.DB.Outbox.ByEvent(ctx, row.MXID.String())
	if err != nil || out == nil || out.RootEventID == "" {
		return row.MXID, err
	}
	return eventID(out.RootEventID), nil
}

// create sends a message that is not in Matrix yet, or a notice that stands
// for it because it is deleted already.
func (d *delivery) create(ctx context.Context, p *bridgev2.Portal, placeholder bool) ([]*brdb.Message, error) {
	parts := d.render()
	if placeholder {
		parts = []rendered{placeholderPart(d.in.o.Texts)}
	}
	if len(parts) == 0 {
		d.count("nothing to show")
		return nil, nil
	}
	who := d.in.sender(d.m)
	intent, err := d.intentFor(ctx, p, who, d.m.From.DisplayName, bridgev2.RemoteEventMessage)
	if err != nil {
		return nil, err
	}
	at, err := d.placeOf(ctx)
	if err != nil {
		return nil, err
	}
	rows := make([]*brdb.Message, 0, len(parts))
	stale := false
	for _, part := range parts {
		key := d.onceKey("new:" + part.id)
		if d.row.Delivered > 0 {
			// It was deleted unseen, and what had been sent of it taken back.
			key = d.key("again:" + part.id)
		}
		row, claimed, err := d.send(ctx, p, intent, who.Sender, part, &at, d.m.Created, key)
		if err != nil {
			return nil, err
		}
		meta := metaOf(row)
		meta.Placeholder, meta.Deleted = placeholder, placeholder
		// A message is complete once its first row bears the hash: a delivery
		// that is cut off before goes on with the parts that are missing.
		if len(parts) == 1 && !placeholder {
			d.complete(meta)
		}
		if !placeholder && d.showsEarlier(ctx, p, row, part, claimed) {
			meta.PartHash, meta.ContentHash, stale = "", "", true
		}
		if err = p.Bridge.DB.Message.Insert(ctx, row); err != nil {
			return nil, fmt.Errorf("store message row: %w", err)
		}
		rows = append(rows, row)
	}
	if stale {
		return d.update(ctx, p, rows)
	} else if len(parts) > 1 {
		first := firstRow(rows)
		d.complete(metaOf(first))
		if err = p.Bridge.DB.Message.Update(ctx, first); err != nil {
			return nil, fmt.Errorf("complete message row: %w", err)
		}
	}
	d.count("message")
	d.spoke(intent, who, d.m.Created)
	return rows, nil
}

// send sends one part as a new event and returns its row, which is not stored.
// An event that the key became before is claimed instead.
func (d *delivery) send(
	ctx context.Context, p *bridgev2.Portal, intent bridgev2.MatrixAPI, sender networkid.UserID, part rendered, at *place, ts time.Time, key string,
) (row *brdb.Message, claimed bool, err error) {
	content := part.content
	if content.Mentions == nil {
		content.Mentions = &event.Mentions{}
	}
	if at.root != "" {
		content.GetRelatesTo().SetThread(at.root, at.last)
	}
	row = &brdb.Message{
		ID: d.id, PartID: networkid.PartID(part.id), Room: p.PortalKey,
		SenderID: sender, SenderMXID: intent.GetMXID(), IsDoublePuppeted: intent.IsDoublePuppet(),
		Timestamp: ts, ThreadRoot: at.thread,
		Metadata: &MessageMetadata{
			ETag: d.row.Version, EditedMS: unixMS(d.m.Edited), PartHash: part.hash, Source: part.source, Media: part.media, System: sender == "",
		},
	}
	before, err := d.sentBefore(ctx, key)
	if err != nil {
		return nil, false, err
	}
	if before != "" {
		row.MXID = eventID(before)
	} else {
		if content.Mentions.Room {
			if err := d.letRing(ctx, p, intent.GetMXID()); err != nil {
				return nil, false, err
			}
		}
		resp, err := intent.SendMessage(d.in.o.WithKey(ctx, key), p.MXID, part.kind, &event.Content{
			Parsed: content, Raw: map[string]any{SourceField: key},
		}, &bridgev2.MatrixSendExtra{Timestamp: ts, MessageMeta: row})
		if err != nil {
			return nil, false, fmt.Errorf("send part to the homeserver: %w", err)
		}
		row.MXID = resp.EventID
	}
	if at.root != "" {
		at.last = row.MXID
	}
	return row, before != "", nil
}

// transactionMemory is longer than homeservers remember transaction ids.
const transactionMemory = time.Hour

// showsEarlier reports whether an event that send has just returned shows an
// earlier version of the message: one whose answer got lost, so that the
// homeserver, or its echo, answered for this version with the event of that one.
func (d *delivery) showsEarlier(ctx context.Context, p *bridgev2.Portal, row *brdb.Message, part rendered, claimed bool) bool {
	switch {
	case d.m.Edited.IsZero():
		return false
	case claimed:
		return true
	case !d.in.wasTried(d.row) && d.in.o.Now().Sub(d.in.began) > transactionMemory:
		return false
	}
	evt, err := p.Bridge.Bot.GetEvent(ctx, p.MXID, row.MXID)
	if err != nil || evt == nil {
		return true // an edit that changes nothing does no harm
	}
	body, _ := evt.Content.Raw["body"].(string)
	html, _ := evt.Content.Raw["formatted_body"].(string)
	return body != part.content.Body || html != part.content.FormattedBody
}

// firstRow is the row that bears the hash of the whole message.
func firstRow(rows []*brdb.Message) *brdb.Message {
	first := rows[0]
	for _, row := range rows[1:] {
		if row.PartID < first.PartID {
			first = row
		}
	}
	return first
}

func unixMS(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// markDeleted says in a sent part what became of it.
func (d *delivery) markDeleted(ctx context.Context, deleted bool) error {
	if d.own == nil || (d.own.State == database.PartDeleted) == deleted {
		return nil
	}
	return d.in.o.DB.Sent.SetDeleted(ctx, d.own.EventID, d.own.Part, deleted)
}

// rendered is one part of a message, ready to be sent.
type rendered struct {
	id      string
	kind    event.Type
	content *event.MessageEventContent
	hash    string
	// source is the address of what the part shows, empty for text.
	source string
	media  *MediaMetadata
}

func (r rendered) isText() bool { return r.id == "" || kindOf(r.id) == "text" }

// render converts the message.
func (d *delivery) render() []rendered {
	x := d.in.o.Texts
	snippets := maps.Clone(d.snippets)
	for url, s := range snippets {
		s.Problem = spoken(x, s.Problem)
		snippets[url] = s
	}
	out := msgconv.ToMatrix(d.m, msgconv.MatrixEnv{
		People: d.in.o.Directory, Texts: x, ChannelID: d.m.Channel.ChannelID,
		Media: spokenMedia(x, d.media), Snippets: snippets, Files: spokenMedia(x, d.files), Head: d.head,
	})
	images, files := msgconv.Images(d.m), msgconv.Files(d.m)
	parts := make([]rendered, 0, len(out.Parts))
	for _, part := range out.Parts {
		r := rendered{id: part.ID, source: part.Source, kind: part.Type, content: part.Content}
		if i, ok := imageIndex(part.ID); ok && i < len(images) {
			url := images[i].URL
			if media, ok := d.media[url]; ok && media.Problem == "" {
				r.media = &MediaMetadata{Source: url, Media: media}
				// Keys of encrypted files stay out of the database.
				r.media.Media.File = nil
			}
			r.hash = hashOf("image", url, part.Content.Body)
		} else if i, ok := fileIndex(part.ID); ok && i < len(files) {
			url := files[i].URL
			if media, ok := d.files[url]; ok && media.Problem == "" {
				r.media = &MediaMetadata{Source: url, Media: media}
				r.media.Media.File = nil
			}
			r.hash = hashOf("file", url, string(part.Content.MsgType), part.Content.Body)
		} else {
			r.hash = contentPartHash(part.Content)
		}
		parts = append(parts, r)
	}
	return parts
}
