package graph

import (
	"context"
	"io"
	"net/url"
	"time"

	abstractions "github.com/microsoft/kiota-abstractions-go"
	sdkteams "github.com/microsoftgraph/msgraph-sdk-go/teams"
	"teamsbridge/teams"
)

// messagePage is the largest page that Graph gives for channel messages.
const messagePage = int32(50)

func changedAfter(since time.Time) *string {
	if since.IsZero() {
		return nil
	}
	f := "lastModifiedDateTime gt " + since.UTC().Format("2006-01-02T15:04:05.000Z")
	return &f
}

// page gets one page; link, where it is set, takes the place of info.
func (c *Client) page(ctx context.Context, op, link string, ch teams.ChannelRef, info *abstractions.RequestInformation, err error) (teams.Page, error) {
	if link != "" {
		info, err = c.follow(link)
	}
	raw, err := c.read(ctx, info, err)
	if err != nil {
		return teams.Page{}, err
	}
	page, err := teams.DecodePage(raw)
	if err != nil {
		return teams.Page{}, garbled(op, err)
	}
	page.FillChannel(ch)
	if page.Malformed > 0 {
		c.log.Warn().Str("op", op).Str("team", ch.TeamID).Str("channel", ch.ChannelID).Int("count", page.Malformed).
			Msg("Graph listed messages without a usable id")
	}
	return page, nil
}

// ExportTeam implements teams.MessageSource.
func (c *Client) ExportTeam(ctx context.Context, teamID string, since time.Time, link string) (teams.Page, error) {
	if err := need(teamID); err != nil {
		return teams.Page{}, err
	}
	top := messagePage
	info, err := c.client.Teams().ByTeamId(teamID).Channels().GetAllMessages().ToGetRequestInformation(ctx,
		&sdkteams.ItemChannelsGetAllMessagesRequestBuilderGetRequestConfiguration{
			QueryParameters: &sdkteams.ItemChannelsGetAllMessagesRequestBuilderGetQueryParameters{Filter: changedAfter(since), Top: &top},
		})
	return c.page(ctx, "GET team messages export", link, teams.ChannelRef{TeamID: teamID}, info, err)
}

// Delta implements teams.MessageSource.
func (c *Client) Delta(ctx context.Context, ch teams.ChannelRef, since time.Time, link string) (teams.Page, error) {
	if err := need(ch.TeamID, ch.ChannelID); err != nil {
		return teams.Page{}, err
	}
	top := messagePage
	info, err := c.messages(ch).Delta().ToGetRequestInformation(ctx, &sdkteams.ItemChannelsItemMessagesDeltaRequestBuilderGetRequestConfiguration{
		QueryParameters: &sdkteams.ItemChannelsItemMessagesDeltaRequestBuilderGetQueryParameters{
			Filter: changedAfter(since), Top: &top, Expand: []string{"replies"},
		},
	})
	return c.page(ctx, "GET channel messages delta", link, ch, info, err)
}

// List implements teams.MessageSource.
func (c *Client) List(ctx context.Context, ch teams.ChannelRef, link string) (teams.Page, error) {
	if err := need(ch.TeamID, ch.ChannelID); err != nil {
		return teams.Page{}, err
	}
	top := messagePage
	info, err := c.messages(ch).ToGetRequestInformation(ctx, &sdkteams.ItemChannelsItemMessagesRequestBuilderGetRequestConfiguration{
		QueryParameters: &sdkteams.ItemChannelsItemMessagesRequestBuilderGetQueryParameters{Top: &top, Expand: []string{"replies"}},
	})
	return c.page(ctx, "GET channel messages", link, ch, info, err)
}

// Replies implements teams.MessageSource.
func (c *Client) Replies(ctx context.Context, root teams.MessageRef, link string) (teams.Page, error) {
	if err := need(root.TeamID, root.ChannelID, root.ID); err != nil {
		return teams.Page{}, err
	}
	top := messagePage
	info, err := c.messages(root.ChannelRef).ByChatMessageId(root.ID).Replies().ToGetRequestInformation(ctx,
		&sdkteams.ItemChannelsItemMessagesItemRepliesRequestBuilderGetRequestConfiguration{
			QueryParameters: &sdkteams.ItemChannelsItemMessagesItemRepliesRequestBuilderGetQueryParameters{Top: &top},
		})
	page, err := c.page(ctx, "GET channel messages", link, root.ChannelRef, info, err)
	for i := range page.Messages {
		if m := &page.Messages[i]; m.ReplyToID == "" && m.ID != root.ID {
			m.ReplyToID = root.ID
		}
	}
	return page, err
}

// Message implements teams.Reader.
func (c *Client) Message(ctx context.Context, ref teams.MessageRef) (teams.Message, error) {
	if err := need(ref.TeamID, ref.ChannelID, ref.ID); err != nil {
		return teams.Message{}, err
	}
	var (
		info *abstractions.RequestInformation
		err  error
	)
	if ref.RootID == "" {
		info, err = c.messages(ref.ChannelRef).ByChatMessageId(ref.ID).ToGetRequestInformation(ctx, nil)
	} else {
		info, err = c.messages(ref.ChannelRef).ByChatMessageId(ref.RootID).Replies().ByChatMessageId1(ref.ID).ToGetRequestInformation(ctx, nil)
	}
	raw, err := c.read(ctx, info, err)
	if err != nil {
		return teams.Message{}, err
	}
	m, err := teams.DecodeMessage(raw)
	if err != nil {
		return teams.Message{}, garbled("GET channel messages", err)
	}
	complete(&m, ref.ChannelRef, ref.RootID)
	return m, nil
}

// complete fills what the request knew and the answer may leave out.
func complete(m *teams.Message, ch teams.ChannelRef, rootID string) {
	m.FillChannel(ch)
	if m.ReplyToID == "" && m.ID != rootID {
		m.ReplyToID = rootID
	}
}

// HostedContent implements teams.Reader. The URL comes out of somebody's
// message: besides a foreign host, every path is refused that is not an inline
// image's, so that nobody can have the bridge read other things for them.
func (c *Client) HostedContent(ctx context.Context, rawURL string) (io.ReadCloser, string, error) {
	u, err := url.Parse(rawURL)
	if err != nil || !c.endpoints.AllowsToken(u) {
		return nil, "", &teams.Error{Op: "GET hosted content", Kind: teams.KindForeignHost, Hint: "the address is not on Graph"}
	}
	if _, ok := teams.ParseHostedContentURL(rawURL); !ok {
		return nil, "", &teams.Error{Op: "GET hosted content", Kind: teams.KindForeignHost, Hint: "the address is not an inline image's"}
	}
	info := abstractions.NewRequestInformation()
	info.Method = abstractions.GET
	info.SetUri(*u)
	resp, err := c.open(teams.WithStream(ctx), info, nil)
	if err != nil {
		return nil, "", err
	}
	return resp.Body, contentType(resp.Header.Get("Content-Type"), nil), nil
}

func (c *conn) messages(ch teams.ChannelRef) *sdkteams.ItemChannelsItemMessagesRequestBuilder {
	return c.client.Teams().ByTeamId(ch.TeamID).Channels().ByChannelId(ch.ChannelID).Messages()
}
