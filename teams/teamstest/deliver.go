package teamstest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"
)

const (
	// endpointBatch is the most items in one body; undocumented.
	endpointBatch = 100
	// endpointRequests is how many requests an address gets at a time. More
	// than one, so that order is not kept under load.
	endpointRequests = 4
	// firstTimeout and retryTimeout are what attempts may take.
	firstTimeout = 3 * time.Second
	retryTimeout = 10 * time.Second
	// retryFirst grows by half to retryMost, until retryLife is over.
	retryFirst = 10 * time.Second
	retryMost  = 30 * time.Minute
	retryLife  = 4 * time.Hour
	// endpointWindow is the span that the slow and drop states look at, and
	// last.
	endpointWindow = 10 * time.Minute
	// endpointSample is how many answers it takes to judge an address. The
	// documentation has shares only; one slow answer would be 100 %.
	endpointSample = 10
)

// endpoint is one notification address.
type endpoint struct {
	url     string
	queue   []*item
	busy    int
	answers []answerTime
	// slowUntil and dropUntil are the states of the address.
	slowUntil, dropUntil time.Time
}

type answerTime struct {
	at   time.Time
	took time.Duration
}

func (n *notifier) enqueue(it *item) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.enqueueLocked(it)
}

// enqueueLocked puts an item into the queue of its address, or aside.
func (n *notifier) enqueueLocked(it *item) {
	now := n.e.t.clock.Now()
	if now.Sub(it.born) >= retryLife || it.lifecycle == "" && !n.alive(it.s) {
		n.stats.Lost++
		return
	}
	if it.lifecycle == "" && !now.Before(it.s.authorizedUntil) {
		it.s.parked = append(it.s.parked, it)
		return
	}
	url := it.s.notificationURL
	if it.lifecycle != "" {
		url = it.s.lifecycleURL
	}
	ep := n.endpoints[url]
	if ep == nil {
		ep = &endpoint{url: url}
		n.endpoints[url] = ep
	}
	var wait time.Duration
	switch {
	case now.Before(ep.dropUntil):
		n.stats.Dropped++
		return
	case now.Before(ep.slowUntil):
		wait = endpointWindow
	case it.lifecycle == "":
		wait = n.opts.Latency
	}
	n.started(it)
	if wait > 0 {
		n.spawnLocked(func() {
			if n.e.t.clock.WaitUntil(n.ctx, now.Add(wait)) == nil {
				n.push(ep, it)
			}
		})
		return
	}
	n.pushLocked(ep, it)
}

func (n *notifier) push(ep *endpoint, it *item) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pushLocked(ep, it)
}

func (n *notifier) pushLocked(ep *endpoint, it *item) {
	ep.queue = append(ep.queue, it)
	if ep.busy < endpointRequests {
		ep.busy++
		n.spawnLocked(func() { n.drain(ep) })
	}
}

// drain sends what is queued for an address, as many items at a time as there
// are, whatever subscription they belong to.
func (n *notifier) drain(ep *endpoint) {
	for {
		if n.awaitGraph() != nil {
			return
		}
		n.mu.Lock()
		size := min(len(ep.queue), endpointBatch)
		if size == 0 {
			ep.busy--
			n.mu.Unlock()
			return
		}
		batch := append([]*item(nil), ep.queue[:size]...)
		ep.queue = ep.queue[size:]
		n.mu.Unlock()
		if n.attempt(ep, batch, firstTimeout) {
			continue
		}
		n.spawn(func() { n.retry(ep, batch) })
	}
}

// awaitGraph waits while Graph is down: its notifications are part of it.
func (n *notifier) awaitGraph() error {
	for {
		mode, changed := n.e.outages.mode(ServiceGraph)
		if mode == "" {
			return nil
		}
		select {
		case <-changed:
		case <-n.ctx.Done():
			return context.Cause(n.ctx)
		}
	}
}

// retry repeats a batch until it is accepted or four hours are over.
func (n *notifier) retry(ep *endpoint, batch []*item) {
	for wait := retryFirst; ; wait = min(wait*3/2, retryMost) {
		if n.e.t.clock.Wait(n.ctx, wait) != nil || n.awaitGraph() != nil {
			return
		}
		now := n.e.t.clock.Now()
		n.mu.Lock()
		alive := batch[:0]
		for _, it := range batch {
			if now.Sub(it.born) >= retryLife || it.lifecycle == "" && !n.alive(it.s) {
				n.stats.Lost++
				continue
			}
			alive = append(alive, it)
		}
		batch = alive
		n.mu.Unlock()
		if len(batch) == 0 || n.attempt(ep, batch, retryTimeout) {
			return
		}
	}
}

// attempt makes one request and books its outcome.
func (n *notifier) attempt(ep *endpoint, batch []*item, timeout time.Duration) bool {
	body := n.body(batch)
	began := time.Now()
	accepted := n.post(ep.url, body, timeout)
	took := time.Since(began)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.judge(ep, took)
	n.stats.Attempts++
	for _, it := range batch {
		n.done(it)
		switch {
		case !accepted:
		case it.lifecycle != "":
			n.stats.Lifecycle++
		default:
			n.stats.Delivered++
		}
		if accepted && it.again {
			it.again = false
			n.enqueueLocked(it)
		}
	}
	if !accepted {
		n.stats.Failed++
	}
	return accepted
}

func (n *notifier) post(url string, body []byte, timeout time.Duration) bool {
	ctx, cancel := context.WithTimeout(n.ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	resp, err := n.client.Do(req)
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // lets the connection be used again
	return resp.StatusCode >= 200 && resp.StatusCode < 300
}

// judge notes how long an address took and puts it into the slow or the drop
// state. The lock is held.
func (n *notifier) judge(ep *endpoint, took time.Duration) {
	if n.opts.EndpointsForgiven {
		return
	}
	now := n.e.t.clock.Now()
	fresh := ep.answers[:0]
	var slow, verySlow int
	for _, a := range append(ep.answers, answerTime{now, took}) {
		if now.Sub(a.at) > endpointWindow {
			continue
		}
		fresh = append(fresh, a)
		if a.took >= firstTimeout {
			slow++
		}
		if a.took >= retryTimeout {
			verySlow++
		}
	}
	ep.answers = fresh
	if len(fresh) < endpointSample {
		return
	}
	if slow*100 > 10*len(fresh) {
		ep.slowUntil = now.Add(endpointWindow)
	}
	if verySlow*100 > 15*len(fresh) {
		ep.dropUntil = now.Add(endpointWindow)
	}
}
