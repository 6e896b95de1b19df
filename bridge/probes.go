package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"
)

// probes is the listener for monitoring: /metrics, and what service managers
// and load balancers ask for.
//
//	/livez    200 while the process serves: only where it does not, a restart helps
//	/readyz   200 while this instance is the one that works, and its database answers;
//	          503 on standby
//	/healthz  the condition, 503 where it is down
//
// It opens before the instance waits for the database, so that one that waits
// is alive, and not ready. Readiness needs neither Graph nor the homeserver: the
// homeserver calls the bridge back through it when the bridge starts, and with
// Graph away the bridge does its work.
type probes struct {
	address string
	log     zerolog.Logger

	mu       sync.Mutex
	listener net.Listener
	server   *http.Server
	r        *runtime // nil while it waits
}

func newProbes(address string, log zerolog.Logger) *probes {
	return &probes{address: address, log: log}
}

// open listens while nothing else runs yet. Where the address is taken, most
// likely by the instance that has the database, lead tries again.
func (p *probes) open() {
	if err := p.listen(); err != nil {
		p.log.Info().Err(err).Msg("The listener for metrics and probes opens when this instance has the database")
	}
}

func (p *probes) listen() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.address == "" || p.listener != nil {
		return nil
	}
	listener, err := net.Listen("tcp", p.address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: p.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}
	p.listener, p.server = listener, server
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			p.log.Err(err).Msg("The listener for metrics and probes failed")
		}
	}()
	return nil
}

// lead is called when this instance has the database and its tables.
func (p *probes) lead(r *runtime) error {
	if err := p.listen(); err != nil {
		return &ConfigError{Key: "metrics.listen", Problem: "can't be listened on", Fix: "use a free address", Err: err}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.r = r
	return nil
}

// run ends the listener with the other services.
func (p *probes) run(ctx context.Context) error {
	<-ctx.Done()
	p.close()
	return ctx.Err()
}

// close ends it.
func (p *probes) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server != nil {
		_ = p.server.Close()
		p.listener, p.server, p.r = nil, nil, nil
	}
}

func (p *probes) leading() *runtime {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.r
}

func (p *probes) condition(ctx context.Context) condition {
	if r := p.leading(); r != nil {
		return r.condition(ctx)
	}
	return standbyCondition()
}

func (p *probes) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, req *http.Request) {
		r := p.leading()
		if r == nil {
			http.Error(w, "another instance has the database", http.StatusServiceUnavailable)
			return
		}
		promhttp.HandlerFor(r.metrics.registry, promhttp.HandlerOpts{}).ServeHTTP(w, req)
	})
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, statusOK) })
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, req *http.Request) {
		v := p.condition(req.Context())
		p.answer(w, v, v.Status != statusDown)
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, req *http.Request) {
		v := p.condition(req.Context())
		ready := v.Status != statusDown && v.Role != roleStandby
		if r := p.leading(); r != nil && (!ready || req.Context().Err() != nil) {
			r.firsts.again() // whoever asks may lead calls elsewhere for a while
		}
		p.answer(w, v, ready)
	})
	return mux
}

func (p *probes) answer(w http.ResponseWriter, v condition, good bool) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !good {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if err := json.NewEncoder(w).Encode(v); err != nil {
		p.log.Debug().Err(err).Msg("A probe did not wait for its answer")
	}
}
