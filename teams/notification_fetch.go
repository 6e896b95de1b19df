package teams

import (
	"context"
	"sync"
)

// fetcher reads each message of a batch once: several notifications of one
// message that were all received before the batch began ask for the same state.
type fetcher struct {
	from MessageGetter
	sem  chan struct{}

	mu    sync.Mutex
	calls map[MessageRef]*fetchCall
}

// errFetchBroken is the outcome of a call that did not return.
var errFetchBroken = &Error{Op: "GET channel messages", Kind: KindUnavailable, Hint: "the request was broken off"}

type fetchCall struct {
	done chan struct{}
	msg  Message
	err  error
}

func newFetcher(from MessageGetter) *fetcher {
	return &fetcher{from: from, sem: make(chan struct{}, processorFetchers), calls: map[MessageRef]*fetchCall{}}
}

func (f *fetcher) get(ctx context.Context, ref MessageRef) (Message, error) {
	f.mu.Lock()
	call, running := f.calls[ref]
	if !running {
		call = &fetchCall{done: make(chan struct{})}
		f.calls[ref] = call
	}
	f.mu.Unlock()
	if running {
		<-call.done // bounded by the deadline of the call itself
		return call.msg, call.err
	}
	defer close(call.done)
	f.sem <- struct{}{}
	defer func() { <-f.sem }()
	ctx, cancel := context.WithTimeout(ctx, processorFetchTime)
	defer cancel()
	// Whoever waits for a call that panics must not take nothing for a message.
	call.err = errFetchBroken
	call.msg, call.err = f.from.Message(ctx, ref)
	return call.msg, call.err
}
