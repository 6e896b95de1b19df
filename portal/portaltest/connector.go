package portaltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mattn/go-sqlite3"
	"go.mau.fi/util/dbutil"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/bridgev2/status"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// Connector is bridgev2's side of a Homeserver.
type Connector struct {
	HS *Homeserver
	// Dead, where it is set and true, cuts the bridge off: nothing it sends
	// arrives any more.
	Dead *atomic.Bool
	// crashed is set once it is fixed what the dead bridge leaves behind.
	crashed *atomic.Bool
	// closed is told about events that the bridge has given a final status.
	closed func(eventID id.EventID)
	// again is told about events that could not be handled now, as package matrix
	// judges it.
	again func(eventID id.EventID)
}

func (c *Connector) intent(user id.UserID, puppet bool) *intent {
	return &intent{hs: c.HS, user: user, puppet: puppet, dead: c.Dead}
}

var _ bridgev2.MatrixConnector = (*Connector)(nil)

// Init implements bridgev2.MatrixConnector.
func (c *Connector) Init(*bridgev2.Bridge) {}

// Start implements bridgev2.MatrixConnector.
func (c *Connector) Start(context.Context) error { return nil }

// PreStop implements bridgev2.MatrixConnector.
func (c *Connector) PreStop() {}

// Stop implements bridgev2.MatrixConnector.
func (c *Connector) Stop() {}

// GetCapabilities implements bridgev2.MatrixConnector.
func (c *Connector) GetCapabilities() *bridgev2.MatrixCapabilities {
	return &bridgev2.MatrixCapabilities{}
}

// ParseGhostMXID implements bridgev2.MatrixConnector.
func (c *Connector) ParseGhostMXID(userID id.UserID) (networkid.UserID, bool) {
	rest, ok := strings.CutPrefix(string(userID), ghostPrefix)
	if !ok {
		return "", false
	}
	local, ok := strings.CutSuffix(rest, ":"+ServerName)
	return networkid.UserID(local), ok
}

// FormatGhostMXID implements bridgev2.MatrixConnector.
func (c *Connector) FormatGhostMXID(userID networkid.UserID) id.UserID {
	return ghostMXID(string(userID))
}

// GhostIntent implements bridgev2.MatrixConnector.
func (c *Connector) GhostIntent(userID networkid.UserID) bridgev2.MatrixAPI {
	return c.intent(ghostMXID(string(userID)), false)
}

// NewUserIntent implements bridgev2.MatrixConnector.
func (c *Connector) NewUserIntent(_ context.Context, userID id.UserID, _ string) (bridgev2.MatrixAPI, string, error) {
	c.HS.mu.Lock()
	defer c.HS.mu.Unlock()
	if !c.HS.puppets[userID] {
		return nil, "", errors.New("no double puppeting for this user")
	}
	return c.intent(userID, true), "token", nil
}

// BotIntent implements bridgev2.MatrixConnector.
func (c *Connector) BotIntent() bridgev2.MatrixAPI { return c.intent(BotID, false) }

// SendBridgeStatus implements bridgev2.MatrixConnector.
func (c *Connector) SendBridgeStatus(context.Context, *status.BridgeState) error { return nil }

// SendMessageStatus implements bridgev2.MatrixConnector.
func (c *Connector) SendMessageStatus(_ context.Context, st *bridgev2.MessageStatus, evt *bridgev2.MessageStatusEventInfo) {
	if c.Dead != nil && c.Dead.Load() {
		// The caller can't see that this failed: it must not get to write down
		// that it is done before what is left is fixed.
		for !c.crashed.Load() {
			time.Sleep(time.Millisecond)
		}
		return
	}
	final := st.Status != event.MessageStatusPending
	switch {
	case final && st.Status != event.MessageStatusSuccess && c.again != nil && isTransient(st.InternalError):
		kept := *st
		kept.Status, kept.SendNotice = event.MessageStatusPending, false
		st = &kept
		c.again(evt.SourceEventID)
	case final && c.closed != nil:
		c.closed(evt.SourceEventID)
	}
	c.HS.addStatus(st, evt)
}

// isTransient reports whether package matrix would keep an event that failed so.
func isTransient(err error) bool {
	liteErr := (sqlite3.Error{})
	return errors.Is(err, bridgev2.ErrDatabaseError) || errors.Is(err, dbutil.ErrTxn) || errors.As(err, &liteErr)
}

// GenerateContentURI implements bridgev2.MatrixConnector.
func (c *Connector) GenerateContentURI(context.Context, networkid.MediaID) (id.ContentURIString, error) {
	return "", errors.New("no direct media")
}

// ParseContentURI implements bridgev2.MatrixConnector.
func (c *Connector) ParseContentURI(context.Context, id.ContentURIString) (networkid.MediaID, error) {
	return nil, errors.New("no direct media")
}

// GetPowerLevels implements bridgev2.MatrixConnector.
func (c *Connector) GetPowerLevels(_ context.Context, room id.RoomID) (*event.PowerLevelsEventContent, error) {
	return c.HS.PowerLevels(room), nil
}

// GetMembers implements bridgev2.MatrixConnector.
func (c *Connector) GetMembers(context.Context, id.RoomID) (map[id.UserID]*event.MemberEventContent, error) {
	return map[id.UserID]*event.MemberEventContent{}, nil
}

// GetMemberInfo implements bridgev2.MatrixConnector.
func (c *Connector) GetMemberInfo(_ context.Context, _ id.RoomID, userID id.UserID) (*event.MemberEventContent, error) {
	return &event.MemberEventContent{Membership: event.MembershipJoin, Displayname: userID.Localpart()}, nil
}

// BatchSend implements bridgev2.MatrixConnector.
func (c *Connector) BatchSend(context.Context, id.RoomID, *mautrix.ReqBeeperBatchSend, []*bridgev2.MatrixSendExtra) (*mautrix.RespBeeperBatchSend, error) {
	return nil, errors.New("no batch sending")
}

// GenerateDeterministicRoomID implements bridgev2.MatrixConnector.
func (c *Connector) GenerateDeterministicRoomID(networkid.PortalKey) id.RoomID { return "" }

// GenerateDeterministicEventID implements bridgev2.MatrixConnector.
func (c *Connector) GenerateDeterministicEventID(id.RoomID, networkid.PortalKey, networkid.MessageID, networkid.PartID) id.EventID {
	return ""
}

// GenerateReactionEventID implements bridgev2.MatrixConnector.
func (c *Connector) GenerateReactionEventID(id.RoomID, *database.Message, networkid.UserID, networkid.EmojiID) id.EventID {
	return ""
}

// ServerName implements bridgev2.MatrixConnector.
func (c *Connector) ServerName() string { return ServerName }

// intent is one user of the homeserver.
type intent struct {
	hs     *Homeserver
	user   id.UserID
	puppet bool
	dead   *atomic.Bool
}

var _ bridgev2.MatrixAPI = (*intent)(nil)

func (a *intent) GetMXID() id.UserID   { return a.user }
func (a *intent) IsDoublePuppet() bool { return a.puppet }

func (a *intent) SendMessage(ctx context.Context, room id.RoomID, kind event.Type, content *event.Content, extra *bridgev2.MatrixSendExtra) (*mautrix.RespSendEvent, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var at time.Time
	if extra != nil {
		at = extra.Timestamp
	}
	eventID, err := a.hs.send(ctx, a.dead, Send{Room: room, User: a.user, Type: kind, Key: keyOf(ctx), Content: plain(content), bridge: true}, at)
	if errors.Is(err, errHang) {
		<-ctx.Done()
		return nil, ctx.Err()
	} else if err != nil {
		return nil, err
	}
	return &mautrix.RespSendEvent{EventID: eventID}, nil
}

func (a *intent) SendState(_ context.Context, room id.RoomID, kind event.Type, _ string, content *event.Content, _ time.Time) (*mautrix.RespSendEvent, error) {
	a.hs.mu.Lock()
	defer a.hs.mu.Unlock()
	if levels, ok := content.Parsed.(*event.PowerLevelsEventContent); ok && kind == event.StatePowerLevels {
		if err := a.hs.changeLevels(room, levels); err != nil {
			return nil, err
		}
	}
	a.hs.seq++
	return &mautrix.RespSendEvent{EventID: id.EventID(fmt.Sprintf("$s%d", a.hs.seq))}, nil
}

func (a *intent) MarkRead(context.Context, id.RoomID, id.EventID, time.Time) error { return nil }
func (a *intent) MarkUnread(context.Context, id.RoomID, bool) error                { return nil }
func (a *intent) MarkTyping(context.Context, id.RoomID, bridgev2.TypingType, time.Duration) error {
	return nil
}

func (a *intent) DownloadMedia(_ context.Context, uri id.ContentURIString, _ *event.EncryptedFileInfo) ([]byte, error) {
	a.hs.mu.Lock()
	defer a.hs.mu.Unlock()
	data, ok := a.hs.media[uri]
	if !ok {
		return nil, Refused(404, "M_NOT_FOUND")
	}
	return data, nil
}

func (a *intent) DownloadMediaToFile(ctx context.Context, uri id.ContentURIString, file *event.EncryptedFileInfo, _ bool, callback func(*os.File) error) error {
	data, err := a.DownloadMedia(ctx, uri, file)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp("", "portaltest-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err = f.Write(data); err != nil {
		return err
	}
	return callback(f)
}

func (a *intent) UploadMedia(_ context.Context, _ id.RoomID, data []byte, _, _ string) (id.ContentURIString, *event.EncryptedFileInfo, error) {
	return a.hs.Upload(data), nil, nil
}

// Upload stores a file and returns its URI.
func (h *Homeserver) Upload(data []byte) id.ContentURIString {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	uri := id.ContentURIString(fmt.Sprintf("mxc://%s/m%d", ServerName, h.seq))
	h.media[uri] = bytes.Clone(data)
	return uri
}

// File returns what was uploaded under a URI.
func (h *Homeserver) File(uri string) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.media[id.ContentURIString(uri)]
}

// Media returns how many files were uploaded.
func (h *Homeserver) Media() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.media)
}

func (a *intent) UploadMediaStream(_ context.Context, _ id.RoomID, _ int64, _ bool, cb bridgev2.FileStreamCallback) (id.ContentURIString, *event.EncryptedFileInfo, error) {
	var buf bytes.Buffer
	if _, err := cb(io.Writer(&buf)); err != nil {
		return "", nil, bridgev2.CallbackError{Type: "write", Wrapped: err}
	}
	uri := a.hs.Upload(buf.Bytes())
	if a.hs.Encrypted {
		return "", &event.EncryptedFileInfo{URL: uri}, nil
	}
	return uri, nil, nil
}

func (a *intent) SetDisplayName(context.Context, string) error              { return nil }
func (a *intent) SetAvatarURL(context.Context, id.ContentURIString) error   { return nil }
func (a *intent) SetExtraProfileMeta(context.Context, any) error            { return nil }
func (a *intent) SetProfile(context.Context, any) error                     { return nil }
func (a *intent) DeleteRoom(context.Context, id.RoomID, bool) error         { return nil }
func (a *intent) EnsureInvited(context.Context, id.RoomID, id.UserID) error { return nil }
func (a *intent) EnsureJoined(context.Context, id.RoomID, ...bridgev2.EnsureJoinedParams) error {
	return nil
}
func (a *intent) TagRoom(context.Context, id.RoomID, event.RoomTag, bool) error { return nil }
func (a *intent) MuteRoom(context.Context, id.RoomID, time.Time) error          { return nil }

func (a *intent) CreateRoom(context.Context, *mautrix.ReqCreateRoom) (id.RoomID, error) {
	a.hs.mu.Lock()
	defer a.hs.mu.Unlock()
	a.hs.seq++
	return id.RoomID(fmt.Sprintf("!r%d:%s", a.hs.seq, ServerName)), nil
}

func (a *intent) GetEvent(_ context.Context, _ id.RoomID, eventID id.EventID) (*event.Event, error) {
	if err := a.hs.readRefused(); err != nil {
		return nil, err
	}
	e := a.hs.Event(eventID)
	if e.ID == "" || a.hs.isHidden(eventID) {
		return nil, Refused(404, "M_NOT_FOUND")
	}
	content := e.Content
	if e.Redacted {
		content = nil
	}
	return &event.Event{
		ID: e.ID, RoomID: e.Room, Sender: e.Sender, Type: e.Type, Timestamp: e.At.UnixMilli(), Content: event.Content{Raw: content},
	}, nil
}
