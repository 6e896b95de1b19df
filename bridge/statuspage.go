package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/commands"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/format"
	"maunium.net/go/mautrix/id"

	"teamsbridge/bridge/audit"
	"teamsbridge/bridge/statuspage"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// StatusPageConfig is about the operators' page.
type StatusPageConfig struct {
	Enabled   bool   `yaml:"enabled"`
	Listen    string `yaml:"listen"`
	PublicURL string `yaml:"public_url"`
}

// newStatusPage makes the page's server, nil where it is off.
func (r *runtime) newStatusPage() *statuspage.Server {
	cfg := r.c.Config.StatusPage
	if !cfg.Enabled {
		return nil
	}
	return statuspage.New(statuspage.Options{
		PublicURL: cfg.PublicURL, Bridge: pageBridge{r}, Texts: r.c.texts, Now: r.now, Logger: r.log,
		Entered: func(user string) { r.audit.Write(audit.Record{Act: audit.Page, Outcome: audit.Done, By: user}) },
		Refused: func(path string) {
			r.audit.Write(audit.Record{Act: audit.Page, Outcome: audit.Refused, Arguments: path})
		},
	})
}

// serveStatusPage opens the page's own port.
func (r *runtime) serveStatusPage(ctx context.Context) error {
	if r.statusPage == nil {
		return nil
	}
	listener, err := teams.Listen(ctx, teams.ListenerOptions{
		Name: "status-page", Address: r.c.Config.StatusPage.Listen, Paths: []string{"/"}, Handler: r.statusPage.Handler(),
		WriteTimeout: statuspage.WriteTimeout, Logger: r.log,
	})
	if err != nil {
		return err
	}
	r.services.start("status page listener", listener.Serve)
	return nil
}

// commandPage sends a link to the page, where nobody else can read it.
func (c *Connector) commandPage(ctx context.Context, ce *commands.Event) {
	if c.rt.statusPage == nil {
		reply(ce, c.texts.Say(texts.PageOff))
		return
	}
	members, err := c.br.Matrix.GetMembers(ctx, ce.OrigRoomID)
	if err != nil {
		c.failed(ce, fmt.Errorf("list the room's members: %w", err))
		return
	}
	for who, member := range members {
		if who != ce.User.MXID && who != c.br.Bot.GetMXID() && (member.Membership == event.MembershipJoin || member.Membership == event.MembershipInvite) {
			reply(ce, c.texts.Say(texts.PageNotHere))
			return
		}
	}
	address, _, err := c.rt.statusPage.Link(ce.User.MXID.String())
	if err != nil {
		c.failed(ce, err)
		return
	}
	reply(ce, c.texts.Say(texts.PageLink, "url", "<"+address+">"))
}

// pageBridge is what the page shows and asks. It implements statuspage.Bridge.
type pageBridge struct{ r *runtime }

// IsAdmin implements statuspage.Bridge.
func (p pageBridge) IsAdmin(user string) bool {
	return p.r.c.br.Config.Permissions.Get(id.UserID(user)).Admin
}

// errNoCommand says that the page asked for what there is no command for.
var errNoCommand = errors.New("no such command")

// Do implements statuspage.Bridge: the command is carried out as if it had been
// given to the bot, whose answer is not sent but returned.
func (p pageBridge) Do(ctx context.Context, user, command, arguments string) (string, error) {
	c := p.r.c
	who, err := c.br.GetUserByMXID(ctx, id.UserID(user))
	if err != nil {
		return "", fmt.Errorf("get the administrator: %w", err)
	}
	return p.give(ctx, who, command, arguments)
}

func (p pageBridge) give(ctx context.Context, who *bridgev2.User, command, arguments string) (string, error) {
	c := p.r.c
	for _, handler := range c.handlers() {
		if handler.GetName() != command {
			continue
		}
		log, answer := zerolog.Ctx(ctx).With().Str("component", "status page").Logger(), &pageAnswer{MatrixAPI: c.br.Bot}
		processor, _ := c.br.Commands.(*commands.Processor)
		handler.Run(&commands.Event{
			Bot: answer, Bridge: c.br, Processor: processor, Handler: handler, User: who, Command: command,
			Args: strings.Fields(arguments), RawArgs: arguments, Ctx: ctx, Log: &log, MessageStatus: &bridgev2.MessageStatus{},
		})
		return answer.text(), nil
	}
	return "", errNoCommand
}

// pageAnswer is a bot whose answers go to the page.
type pageAnswer struct {
	bridgev2.MatrixAPI
	mu   sync.Mutex
	said []string
}

// SendMessage keeps what the bot would send.
func (a *pageAnswer) SendMessage(_ context.Context, _ id.RoomID, _ event.Type, content *event.Content, _ *bridgev2.MatrixSendExtra) (*mautrix.RespSendEvent, error) {
	if said, ok := content.Parsed.(*event.MessageEventContent); ok {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.said = append(a.said, plain(said))
	}
	return &mautrix.RespSendEvent{}, nil
}

func (a *pageAnswer) text() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.said, "\n\n")
}

// plain is what a message says, without its marks.
func plain(m *event.MessageEventContent) string {
	if m.FormattedBody == "" {
		return m.Body
	}
	as := func(text string, _ format.Context) string { return text }
	parser := format.HTMLParser{
		TabsToSpaces: 4, Newline: "\n", HorizontalLine: "\n", BoldConverter: as, ItalicConverter: as, StrikethroughConverter: as, UnderlineConverter: as,
		MonospaceConverter: as, LinkConverter: func(text, _ string, _ format.Context) string { return text },
	}
	return strings.TrimSpace(parser.Parse(m.FormattedBody, format.NewContext(context.Background())))
}

// plainMarkdown is what Markdown says.
func plainMarkdown(markdown string) string {
	content := format.RenderMarkdown(markdown, true, false)
	return plain(&content)
}
