package teamstest

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// DownMode is the way in which a service is down.
type DownMode string

const (
	// DownRefuse takes the port away when both services are down: connections
	// are refused. While only one is, its requests are cut, since both share
	// the port.
	DownRefuse DownMode = "refuse"
	// DownHang takes requests and never answers.
	DownHang DownMode = "hang"
	// DownUnavailable answers 503.
	DownUnavailable DownMode = "503"
	// DownHTML answers with a gateway's HTML page.
	DownHTML DownMode = "html"
)

// outages is which services are down.
type outages struct {
	mu    sync.Mutex
	modes map[Service]DownMode
	// over is closed when an outage begins or ends.
	over chan struct{}
}

func newOutages() *outages {
	return &outages{modes: map[Service]DownMode{}, over: make(chan struct{})}
}

// mode is how a service is down, "" for up; changed is closed at the next
// change.
func (o *outages) mode(s Service) (m DownMode, changed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.modes[s], o.over
}

// Down takes services down, both where none is named. Notifications stop with
// Graph; what happened meanwhile is delivered when it is up again.
func (t *Tenant) Down(mode DownMode, services ...Service) {
	o := t.edge.outages
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range servicesOrAll(services) {
		o.modes[s] = mode
	}
	o.changed()
	if o.modes[ServiceGraph] == DownRefuse && o.modes[ServiceSignIn] == DownRefuse {
		t.server.refuse()
		return
	}
	// From refusing to another way of being down: a port that is not to be
	// had any more is as down as can be.
	_ = t.reopen()
}

// Up brings services up again, both where none is named.
func (t *Tenant) Up(services ...Service) error {
	o := t.edge.outages
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range servicesOrAll(services) {
		delete(o.modes, s)
	}
	o.changed()
	return t.reopen()
}

// reopen takes the port again. It was free for others meanwhile, so it may
// take a moment to have it back.
func (t *Tenant) reopen() error {
	var err error
	for range 250 {
		if err = t.server.accept(); err == nil {
			return nil
		}
		t.edge.pause(t.edge.ctx, 20*time.Millisecond, nil)
	}
	return fmt.Errorf("bring the tenant up: %w", err)
}

// IsDown reports whether a service is down.
func (t *Tenant) IsDown(s Service) bool {
	m, _ := t.edge.outages.mode(s)
	return m != ""
}

func (o *outages) changed() {
	close(o.over)
	o.over = make(chan struct{})
}

func servicesOrAll(services []Service) []Service {
	if len(services) == 0 {
		return slices.Clone([]Service{ServiceGraph, ServiceSignIn})
	}
	return services
}
