package demopage

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net"
	"net/http"
	"sync"
	"time"

	"maunium.net/go/mautrix/id"

	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

//go:embed web
var web embed.FS

// Options say what the page shows.
type Options struct {
	// Stack is what runs; its bridge has been started.
	Stack *stack.Stack
	// Relay is the account that speaks for people without a sign-in. Nobody
	// speaks as it on the page.
	Relay *teamstest.User
	// SignedIn are the people who signed in with the bridge: what they say in
	// Matrix is in Teams under their own names.
	SignedIn []*teamstest.User
	// Metrics is the address of the bridge's metrics.
	Metrics string
}

// Page is the running page.
type Page struct {
	opts    Options
	graph   *graphClient
	numbers *http.Client
	token   string
	host    string
	server  *http.Server
	end     context.CancelFunc
	done    chan struct{}
	streams chan struct{}

	mu    sync.Mutex
	rooms map[string]id.RoomID // by channel
	names map[id.UserID]string
}

const (
	// callLimit is how long one call to Graph or the homeserver may take.
	callLimit = 20 * time.Second
	// uploadLimit is how long a request with a file may take.
	uploadLimit = 3 * time.Minute
	// maxStreams is how many pages may be open at once.
	maxStreams = 16
)

// Start serves the page on the loopback interface, on a port of the system's
// choice. Close ends it.
func Start(opts Options) (*Page, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the page: %w", err)
	}
	base, end := context.WithCancel(context.Background())
	p := newPage(opts, listener.Addr().String())
	p.end = end
	p.server = &http.Server{
		Handler: p.handler(), BaseContext: func(net.Listener) context.Context { return base },
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: uploadLimit, WriteTimeout: uploadLimit, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10,
	}
	go func() {
		defer close(p.done)
		_ = p.server.Serve(listener)
	}()
	return p, nil
}

func newPage(opts Options, host string) *Page {
	return &Page{
		opts: opts, host: host, token: rand.Text(), done: make(chan struct{}), streams: make(chan struct{}, maxStreams),
		graph:   newGraphClient(opts.Stack.Tenant),
		numbers: &http.Client{Timeout: 5 * time.Second},
		rooms:   map[string]id.RoomID{}, names: map[id.UserID]string{},
	}
}

// URL is the address of the page.
func (p *Page) URL() string { return "http://" + p.host + "/" }

// Close ends the page and every stream.
func (p *Page) Close() error {
	p.end()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := p.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, p.server.Close())
	}
	<-p.done
	return err
}

func (p *Page) handler() http.Handler {
	files, err := fs.Sub(web, "web")
	if err != nil {
		panic(err) // a constant of the build
	}
	sides := func() []person { return []person{{ID: "teams", Name: "Teams"}, {ID: "matrix", Name: "Matrix"}} }
	index := template.Must(template.New("index.html").Funcs(template.FuncMap{"sides": sides}).ParseFS(files, "index.html"))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = index.Execute(w, map[string]string{"Token": p.token})
	})
	static := http.FileServerFS(files)
	for _, name := range []string{"style.css", "icon.svg", "app.js", "api.js", "keys.js", "sanitise.js", "message.js", "composer.js", "strip.js"} {
		mux.Handle("GET /"+name, static)
	}
	mux.HandleFunc("GET /api/start", p.serveStart)
	mux.HandleFunc("GET /api/events", p.serveEvents)
	mux.HandleFunc("POST /api/say", p.serveSay)
	mux.HandleFunc("POST /api/change", p.serveChange)
	mux.HandleFunc("POST /api/outage", p.serveOutage)
	mux.HandleFunc("POST /api/member", p.serveMember)
	mux.HandleFunc("GET /media/matrix/{server}/{id}", p.serveMatrixMedia)
	mux.HandleFunc("GET /media/teams/{path...}", p.serveTeamsImage)
	mux.HandleFunc("GET /media/file", p.serveTeamsFile)
	return p.guard(mux)
}
