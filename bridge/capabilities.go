package bridge

import (
	"context"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/event"
)

// capabilitiesID changes whenever the capabilities do.
const capabilitiesID = "org.teamsbridge.capabilities.2026_11_1"

// roomFeatures accepts everything: what Teams can't show as it is becomes a
// text that says what it was, and nothing is refused to somebody who writes.
func roomFeatures(maxFileSize int64) *event.RoomFeatures {
	features := &event.RoomFeatures{
		ID:         capabilitiesID,
		Formatting: event.FormattingFeatureMap{},
		File:       event.FileFeatureMap{},

		LocationMessage: event.CapLevelPartialSupport,
		Thread:          event.CapLevelFullySupported,
		// Teams knows no other reply than the one in a thread: a plain Matrix
		// reply starts or continues one.
		Reply: event.CapLevelUnsupported,

		Edit:     event.CapLevelFullySupported,
		Delete:   event.CapLevelFullySupported,
		Reaction: event.CapLevelFullySupported,

		PerMessageProfileRelay: true,
	}
	for _, f := range []event.FormattingFeature{
		event.FmtBold, event.FmtItalic, event.FmtUnderline, event.FmtStrikethrough, event.FmtInlineCode, event.FmtCodeBlock,
		event.FmtSyntaxHighlighting, event.FmtBlockquote, event.FmtInlineLink, event.FmtUserLink, event.FmtAtRoomMention,
		event.FmtUnorderedList, event.FmtOrderedList, event.FmtListStart, event.FmtListJumpValue, event.FmtCustomEmoji,
		event.FmtHeaders, event.FmtHorizontalLine,
	} {
		features.Formatting[f] = event.CapLevelFullySupported
	}
	anything := &event.FileFeatures{
		MimeTypes: map[string]event.CapabilitySupportLevel{"*/*": event.CapLevelPartialSupport},
		Caption:   event.CapLevelFullySupported,
		MaxSize:   maxFileSize,
	}
	image := &event.FileFeatures{
		MimeTypes: map[string]event.CapabilitySupportLevel{"*/*": event.CapLevelFullySupported},
		Caption:   event.CapLevelFullySupported,
		MaxSize:   maxFileSize,
	}
	for _, typ := range []event.CapabilityMsgType{event.MsgImage, event.CapMsgGIF, event.CapMsgSticker} {
		features.File[typ] = image
	}
	for _, typ := range []event.CapabilityMsgType{event.MsgFile, event.MsgVideo, event.MsgAudio, event.CapMsgVoice} {
		features.File[typ] = anything
	}
	return features
}

// capabilities returns what can be done in a room.
func (c *Connector) capabilities(_ context.Context, p *bridgev2.Portal) *event.RoomFeatures {
	if p.RoomType == database.RoomTypeSpace {
		return &event.RoomFeatures{ID: capabilitiesID + ".space"}
	}
	return roomFeatures(c.maxFileSize.Load())
}

// SetMaxFileSize implements bridgev2.MaxFileSizeingNetwork.
func (c *Connector) SetMaxFileSize(size int64) { c.maxFileSize.Store(size) }
