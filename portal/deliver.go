package portal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2"
	brdb "maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
	"teamsbridge/teams"
)

// errOwnEdit says that an edit of ours is on its way to Teams.
var errOwnEdit = errors.New("an edit of ours is on its way")

// delivery is the way of one version of one message to Matrix. What it has to
// do it decides from the message rows, inside the portal's loop, so that a
// delivery which was cut off goes on where it stopped.
type delivery struct {
	in  *Ingest
	row *database.InboxRow
	m   teams.Message
	id  networkid.MessageID
	// own is the sent part that the message is, nil if it is not ours.
	own *database.SentPart
	// root is a reply's root that has to be delivered first, although the
	// ledger is done with it.
	root *teams.Message
	// media are the message's images by URL.
	media map[string]msgconv.Media
	// pictures are the keys of custom reactions that have a picture, by emoji.
	pictures map[networkid.EmojiID]string
	// snippets are the message's code snippets by URL.
	snippets map[string]msgconv.Snippet
	// files are the message's files by URL, rootFiles those of root.
	files, rootFiles map[string]msgconv.Media
	// head is what the message has in front of its text where that is from Matrix.
	head *msgconv.Head
	// problems are what could not be fetched, to be counted.
	problems []problem
	// fills is set while what was lacking is shown.
	fills bool
	// isBack says that Teams was asked, and has taken a deletion back.
	isBack bool

	source *bridgev2.UserLogin
	room   id.RoomID
}

// deliver brings one version of one message to Matrix.
func (in *Ingest) deliver(ctx context.Context, row *database.InboxRow, m teams.Message) (err error) {
	d := &delivery{in: in, row: row, m: m, id: MessageID(m.Channel, m.ID)}
	defer in.o.Echo.delivering(row.Portal, m.ID)()
	unseen := row.Delivered == 0 && in.o.Now().Before(row.ReceivedAt.Add(undecidedFor))
	if unseen && in.restored.is.Load() && m.From.IsUser() {
		if waits, err := in.o.DB.Restores.Doubts(ctx, row.Portal); err != nil || waits {
			return errors.Join(err, errUndecided)
		}
	}
	if d.own, err = in.o.Echo.Own(ctx, row.Portal, m, in.o.EchoWait, unseen); err != nil {
		return err
	}
	if d.own != nil && isDigest(d.own.EventID) && m.Deleted.IsZero() {
		if err = d.digestListed(ctx); err != nil {
			return err
		}
	}
	if m.Deleted.IsZero() {
		if waits, err := d.askIfBack(ctx); err != nil || waits {
			return err
		}
		if d.own == nil && row.Delivered == 0 && m.ReplyToID != "" {
			if err = d.findRoot(ctx); err != nil {
				return err
			}
		}
		if err = d.fetchMedia(ctx); err != nil {
			return err
		}
		if err = d.fetchRootFiles(ctx); err != nil {
			return err
		}
		if err = d.fetchSnippets(ctx); err != nil {
			return err
		}
		if err = d.fetchEmoticons(ctx); err != nil {
			return err
		}
		d.countProblems()
	}
	return in.loop.Do(ctx, portalIDOf(row), d.apply)
}

// findRoot makes sure that a reply's root is delivered before it.
func (d *delivery) findRoot(ctx context.Context) error {
	rootID := d.m.ReplyToID
	have, err := d.in.o.Bridge.DB.Message.GetFirstPartByID(ctx, "", MessageID(d.m.Channel, rootID))
	if err != nil {
		return fmt.Errorf("look for the root's row: %w", err)
	} else if have != nil {
		return nil
	}
	if own, err := d.in.o.DB.Sent.ByRemote(ctx, d.row.Portal, rootID); err != nil || own != nil {
		return err
	}
	ledger, err := d.in.o.DB.Inbox.Get(ctx, d.row.Portal, rootID)
	if err != nil {
		return err
	}
	switch {
	case ledger == nil:
		root, err := d.fetchRoot(ctx)
		if root == nil || err != nil {
			return err
		}
		if err = d.in.Accept(ctx, "repair", []teams.Message{*root}); err != nil {
			return err
		}
		if root.Deleted.IsZero() && root.Created.Before(d.m.Created) {
			// Not taken means that the conversation is not mirrored any more.
			taken, err := d.in.o.DB.Inbox.Get(ctx, d.row.Portal, rootID)
			if err != nil {
				return err
			} else if taken != nil {
				return errReread
			}
		}
		d.root = root
	case ledger.State == database.StatePending && ledger.Unreadable != nil:
		if d.root, err = d.fetchRoot(ctx); err != nil {
			return err
		}
	case ledger.State == database.StatePending && len(ledger.Payload) > 0:
		// Only a root that is younger than its reply comes behind it.
		root, err := teams.DecodeStored(ledger.Payload)
		if err != nil {
			return nil // it will be parked in its turn
		}
		d.root = &root
	case ledger.State == database.StateDone:
		// Deleted before it was first seen, or its room was made anew.
		if d.root, err = d.fetchRoot(ctx); err != nil {
			return err
		}
	}
	return nil
}

// fetchRoot asks Graph for the root; nil means that there is none any more.
func (d *delivery) fetchRoot(ctx context.Context) (*teams.Message, error) {
	root, err := d.in.o.Reader.Message(ctx, teams.MessageRef{ChannelRef: d.m.Channel, ID: d.m.ReplyToID})
	switch kind := teams.KindOf(err); kind {
	case teams.KindNotFound, teams.KindGone, teams.KindPermission, teams.KindBadRequest:
		if kind == teams.KindNotFound && d.mayHideRoot() {
			return nil, fmt.Errorf("fetch the root of a reply: %w", err)
		}
		d.in.o.Metrics.Count(MetricDelivered, "root missing")
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("fetch the root of a reply: %w", err)
	}
	return &root, nil
}

// mayHideRoot reports whether Graph may not show a reply's root yet: the reply was
// written a moment ago, as far as Teams' clock and ours agree, and came then.
func (d *delivery) mayHideRoot() bool {
	now, patience := d.in.o.Now(), d.in.o.RootPatience
	return now.Before(d.m.Created.Add(patience+ClockSkew)) && now.Before(d.row.ReceivedAt.Add(patience))
}

// apply runs in the portal's loop.
func (d *delivery) apply(ctx context.Context, p *bridgev2.Portal, source *bridgev2.UserLogin) error {
	d.source, d.room = source, p.MXID
	if err := d.in.look(ctx, d.row.Portal, p.MXID); err != nil {
		return err
	}
	existing, err := d.rows(ctx)
	if err != nil {
		return err
	}
	switch {
	case len(existing) == 0 && d.own != nil:
		// The event was redacted before Teams had it, or its room made anew.
		return nil
	case len(existing) == 0 && !d.m.Deleted.IsZero():
		d.count("deleted unseen")
		return nil
	case len(existing) == 0:
		if err = d.applyRoot(ctx, p, source); err != nil {
			return err
		}
		if existing, err = d.create(ctx, p, false); err != nil || len(existing) == 0 {
			return err
		}
		if len(d.m.Reactions) == 0 {
			return nil
		}
		return d.reactions(ctx, p, existing)
	case areDeleting(existing):
		return nil
	case !d.m.Deleted.IsZero():
		return d.remove(ctx, p, existing)
	case d.isBeforeDeletion(existing[0]):
		d.count("older than its deletion")
		return nil
	case isUnshown(existing[0]) && !d.isBack:
		d.askAgain() // it was deleted a moment ago
		return nil
	case metaOf(existing[0]).Deleted, metaOf(existing[0]).Gone:
		if existing, err = d.restore(ctx, p, existing); err != nil {
			return err
		}
	case d.own != nil && metaOf(existing[0]).Outbound:
		if err = d.ownUpdate(ctx, p, existing[0]); err != nil {
			return err
		}
		if d.own.Part > 0 {
			return nil
		}
	default:
		if existing, err = d.update(ctx, p, existing); err != nil {
			return err
		}
	}
	return d.reactions(ctx, p, existing)
}

// rows returns the message's rows, the first part first.
func (d *delivery) rows(ctx context.Context) ([]*brdb.Message, error) {
	db := d.in.o.Bridge.DB.Message
	if d.own != nil {
		row, err := db.GetPartByMXID(ctx, eventID(d.own.EventID))
		if err != nil {
			return nil, fmt.Errorf("get own message row: %w", err)
		} else if row != nil {
			return []*brdb.Message{row}, nil
		}
		// A message that was deleted and came back has a new event.
	}
	rows, err := db.GetAllPartsByID(ctx, "", d.id)
	if err != nil {
		return nil, fmt.Errorf("get message rows: %w", err)
	}
	slices.SortFunc(rows, func(a, b *brdb.Message) int { return strings.Compare(string(a.PartID), string(b.PartID)) })
	return rows, nil
}

// applyRoot delivers a root that has to come first. One that is deleted gets a
// placeholder, so that its thread holds together.
func (d *delivery) applyRoot(ctx context.Context, p *bridgev2.Portal, source *bridgev2.UserLogin) error {
	if d.root == nil {
		return nil
	}
	root := d.rootDelivery()
	root.source, root.room = source, d.room
	rows, err := root.rows(ctx)
	if err != nil || len(rows) > 0 {
		return err
	}
	images := msgconv.Images(root.m)
	if err = root.fetchImages(ctx, p.MXID, images, nil); err != nil {
		return err
	}
	root.countProblems()
	_, err = root.create(ctx, p, !root.m.Deleted.IsZero())
	return err
}

// rootDelivery is the way of a root that has to come first.
func (d *delivery) rootDelivery() *delivery {
	return &delivery{
		in: d.in, m: *d.root, id: MessageID(d.root.Channel, d.root.ID), files: d.rootFiles,
		row: &database.InboxRow{Portal: d.row.Portal, MessageID: d.root.ID, Version: versionOf(*d.root), Attempts: d.row.Attempts, ReceivedAt: d.row.ReceivedAt},
	}
}

// fetchRootFiles copies the files of a root that has to come first: that may
// take longer than the portal's loop may be held up.
func (d *delivery) fetchRootFiles(ctx context.Context) error {
	if d.root == nil || len(msgconv.Files(*d.root)) == 0 {
		return nil
	}
	root := d.rootDelivery()
	if err := root.fetchMedia(ctx); err != nil {
		return err
	}
	root.countProblems()
	d.rootFiles = root.files
	return nil
}

// sender returns who a message is by.
func (in *Ingest) sender(m teams.Message) bridgev2.EventSender {
	switch {
	case m.Type != teams.TypeMessage && m.Event != nil, m.From.ID == "":
		return bridgev2.EventSender{}
	case m.From.Kind == "application":
		return bridgev2.EventSender{Sender: AppUserID(m.From.ID)}
	case m.From.IsUser():
		return personSender(m.From.ID, in.o.Directory.Mapped(m.From.ID))
	}
	return bridgev2.EventSender{}
}

// intentFor returns who sends an event of somebody; people whom the directory
// does not know get the name that Graph tells with the message.
func (d *delivery) intentFor(ctx context.Context, p *bridgev2.Portal, who bridgev2.EventSender, name string, kind bridgev2.RemoteEventType) (bridgev2.MatrixAPI, error) {
	if who.Sender != "" {
		unlock, err := d.in.ghosts.lock(ctx, who.Sender)
		if err != nil {
			return nil, fmt.Errorf("wait for a ghost: %w", err)
		}
		defer unlock()
	}
	if who.SenderLogin != "" && !d.speaks(ctx, p, who.Sender) {
		who.SenderLogin = ""
	}
	intent, ok := p.GetIntentFor(ctx, who, d.source, kind)
	if !ok {
		return nil, fmt.Errorf("no intent for sender")
	}
	if who.Sender == "" {
		return intent, nil
	}
	// Whoever is not in the room is invited first: in a room with the restricted
	// join rule Dendrite answers who may not join with 500, which the framework does
	// not take for a reason to invite.
	defer d.invite(ctx, p, intent)
	if name == "" {
		return intent, nil
	}
	ghost, err := p.Bridge.GetGhostByID(ctx, who.Sender)
	if err != nil {
		return nil, fmt.Errorf("get ghost: %w", err)
	}
	if ghost.Name == "" {
		ghost.UpdateInfo(ctx, &bridgev2.UserInfo{Name: &name})
	}
	return intent, nil
}

// invite makes sure that an account may join the room. Where the homeserver refuses
// that, joining shows whether it matters.
func (d *delivery) invite(ctx context.Context, p *bridgev2.Portal, intent bridgev2.MatrixAPI) {
	if err := p.Bridge.Bot.EnsureInvited(ctx, p.MXID, intent.GetMXID()); err != nil {
		zerolog.Ctx(ctx).Debug().Err(err).Stringer("user_mxid", intent.GetMXID()).Msg("Could not invite who is to speak")
	}
}

func (d *delivery) count(what string) { d.in.o.Metrics.Count(MetricDelivered, what) }

// key is the source key of an event that shows this version of the message.
func (d *delivery) key(part string) string {
	return SourceKey(d.m.Channel, d.m.ID, d.row.Version, part)
}

// onceKey is the source key of an event that there is once, whatever the version.
func (d *delivery) onceKey(part string) string {
	return SourceKey(d.m.Channel, d.m.ID, 0, part)
}

// sentBefore returns the event that a source key became in a delivery whose
// end nobody saw: an earlier attempt, one of an earlier process, or one of an
// earlier version. A newer version begins to count attempts anew, so what this
// process has tried is asked too.
func (d *delivery) sentBefore(ctx context.Context, key string) (string, error) {
	doubt := d.in.doubts.has(d.row.Portal) || d.in.restored.is.Load()
	if !doubt && d.row.Attempts == 0 && !d.in.wasTried(d.row) && !d.row.ReceivedAt.Before(d.in.began) && d.m.Edited.IsZero() {
		return "", nil
	}
	echo, err := d.in.o.DB.Echoes.Get(ctx, key)
	if err != nil || echo == nil || echo.RoomID != d.room.String() {
		return "", err
	}
	if doubt {
		d.in.o.Metrics.Count(MetricIngestDoubt, "found")
	}
	return echo.EventID, nil
}

// isShownBy reports whether a row says that the message's events show this version.
// What it said before an edit made in Matrix it may say again, if it was edited in
// Teams since: the edit from Matrix need not have been listed in between.
func (d *delivery) isShownBy(meta *MessageMetadata, hash string) bool {
	edited := meta.EditedMS
	if meta.Unseen {
		edited = meta.ListedMS
	}
	return meta.ContentHash == hash && (meta.Outbound || unixMS(d.m.Edited) <= edited)
}

// isShown reports whether the message's rows show this version of it already, so
// that nothing has to be fetched for it.
func (d *delivery) isShown(ctx context.Context) (bool, error) {
	rows, err := d.rows(ctx)
	if err != nil {
		return false, err
	}
	hash := contentHash(d.m)
	for _, row := range rows {
		if d.isShownBy(metaOf(row), hash) && !metaOf(row).Lacks {
			return true, nil
		}
	}
	return false, nil
}
