package teams

import (
	"context"
	"io"
	"net/http"
)

type ctxKey int

const (
	ctxAccount ctxKey = iota
	ctxStream
	ctxBodyLimit
	ctxFile
	ctxBeforeSend
)

// WithAccount marks requests as sent by a signed-in account, for the limits
// that Graph has per user.
func WithAccount(ctx context.Context, userID string) context.Context {
	return context.WithValue(ctx, ctxAccount, userID)
}

// BeforeSend has f called when a write of ctx has waited for everything, limits,
// announced pauses and a token, and is about to go to Graph: the moment from
// which on nobody can say without asking whether Graph has it. The write does not
// go where f fails. f is called again where the write is tried again, and must
// not block for long: the request's place in the limits waits with it.
func BeforeSend(ctx context.Context, f func() error) context.Context {
	return context.WithValue(ctx, ctxBeforeSend, f)
}

// AboutToSend calls what BeforeSend has left in ctx, for writers that do not send
// through NewHTTPClient.
func AboutToSend(ctx context.Context) error {
	if f, ok := ctx.Value(ctxBeforeSend).(func() error); ok {
		return f()
	}
	return nil
}

// WithStream leaves the body of a successful answer to the caller, who must
// close it; otherwise it is read before the call returns.
func WithStream(ctx context.Context) context.Context {
	return context.WithValue(ctx, ctxStream, true)
}

// WithBodyLimit bounds the body of a successful answer.
func WithBodyLimit(ctx context.Context, limit int64) context.Context {
	return context.WithValue(ctx, ctxBodyLimit, limit)
}

func bodyLimit(ctx context.Context) int64 {
	if n, ok := ctx.Value(ctxBodyLimit).(int64); ok && n > 0 {
		return n
	}
	return MaxPageBytes
}

// streamBody is a body that its reader consumes: bounded, with typed errors,
// and with the attempt's deadline until it is closed.
type streamBody struct {
	io.ReadCloser
	call   call
	cancel context.CancelFunc
	touch  func()
	left   int64
}

// Read implements io.Reader.
func (b *streamBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, tooLarge(b.call, http.StatusOK)
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.touch()
	}
	if b.left -= int64(n); b.left < 0 {
		return 0, tooLarge(b.call, http.StatusOK)
	}
	if err != nil && err != io.EOF {
		err = transportError(b.call, err, true)
	}
	return n, err
}

// Close implements io.Closer.
func (b *streamBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
