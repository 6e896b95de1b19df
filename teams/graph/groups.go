package graph

import (
	"context"

	"github.com/microsoftgraph/msgraph-sdk-go/groups"

	"teamsbridge/teams"
)

type wireGroup struct {
	ID, Mail, MailNickname, Visibility string
	AssignedLabels                     []struct{ LabelID, DisplayName string }
}

func (w wireGroup) group() teams.Group {
	g := teams.Group{ID: w.ID, Mail: w.Mail, MailNickname: w.MailNickname, Visibility: w.Visibility}
	for _, l := range w.AssignedLabels {
		g.Labels = append(g.Labels, teams.Label{ID: l.LabelID, Name: l.DisplayName})
	}
	return g
}

// groupFields are what is asked of a group. Graph tells its labels only where they
// are asked for.
func groupFields() []string {
	return []string{"id", "mail", "mailNickname", "visibility", "assignedLabels"}
}

// TeamGroups implements teams.Reader.
func (c *Client) TeamGroups(ctx context.Context) ([]teams.Group, error) {
	top, filter := pageSize, "resourceProvisioningOptions/Any(x:x eq 'Team')"
	info, err := c.client.Groups().ToGetRequestInformation(ctx, &groups.GroupsRequestBuilderGetRequestConfiguration{
		QueryParameters: &groups.GroupsRequestBuilderGetQueryParameters{Filter: &filter, Select: groupFields(), Top: &top},
	})
	items, err := list[wireGroup](ctx, c.conn, "GET groups", info, err)
	if err != nil {
		return nil, err
	}
	out := make([]teams.Group, 0, len(items))
	for _, w := range items {
		if w.ID != "" {
			out = append(out, w.group())
		}
	}
	return out, nil
}

// Group implements teams.Reader.
func (c *Client) Group(ctx context.Context, groupID string) (teams.Group, error) {
	if err := need(groupID); err != nil {
		return teams.Group{}, err
	}
	info, err := c.client.Groups().ByGroupId(groupID).ToGetRequestInformation(ctx, &groups.GroupItemRequestBuilderGetRequestConfiguration{
		QueryParameters: &groups.GroupItemRequestBuilderGetQueryParameters{Select: groupFields()},
	})
	w, err := get[wireGroup](ctx, c.conn, "GET group", info, err)
	return w.group(), err
}

// GroupMembers implements teams.Reader. What a member is tells its type, so that no
// cast in the path is needed, which Graph answers only as an advanced query.
func (c *Client) GroupMembers(ctx context.Context, groupID string) (out teams.GroupMembers, err error) {
	if err := need(groupID); err != nil {
		return out, err
	}
	top := pageSize
	info, err := c.client.Groups().ByGroupId(groupID).TransitiveMembers().ToGetRequestInformation(ctx, &groups.ItemTransitiveMembersRequestBuilderGetRequestConfiguration{
		QueryParameters: &groups.ItemTransitiveMembersRequestBuilderGetQueryParameters{Select: []string{"id"}, Top: &top},
	})
	items, err := list[struct {
		Type string `json:"@odata.type"`
		ID   string
	}](ctx, c.conn, "GET group members", info, err)
	for _, w := range items {
		switch {
		case w.ID == "":
		case w.Type == "#microsoft.graph.user":
			out.Users = append(out.Users, w.ID)
		case w.Type == "#microsoft.graph.group":
			out.Groups = append(out.Groups, w.ID)
		}
	}
	return out, err
}
