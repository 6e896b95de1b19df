package matrix

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
)

// Fields that events which mirror a source change carry in their content.
const (
	// SourceField names the source change: the key given to WithKey.
	SourceField = "org.teamsbridge.source"
	// ProofField shows that the bridge itself wrote SourceField: people can
	// write any content, and a forged echo would suppress a message.
	ProofField = "org.teamsbridge.proof"
	// TimeField is the time that the bridge gave to the event, where it gave one.
	// People can't choose when their events were sent: whose field says when it
	// was is no copy.
	TimeField = "org.teamsbridge.at"
)

type keyContext struct{}

// sendKey numbers the sends of one source change.
type sendKey struct {
	key string

	mu       sync.Mutex
	next     map[string]int // by sender and path: the next part's number
	assigned map[string]int // by sender, path and the client's own transaction id
}

// WithKey returns a context under which sends to the homeserver are
// idempotent: transaction ids are derived from the key, the sender, the path
// (room, event type, or the redacted event) and how many such sends there were
// under this context before. The same key and the same order of sends give the
// same ids after a crash, so key must name one source change (a message in one
// version), and what is sent under it must be decided by that change alone.
func WithKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, keyContext{}, &sendKey{key: key, next: map[string]int{}, assigned: map[string]int{}})
}

// KeyFrom returns the key of WithKey, "" where there is none.
func KeyFrom(ctx context.Context) string {
	if k := keyFrom(ctx); k != nil {
		return k.key
	}
	return ""
}

func keyFrom(ctx context.Context) *sendKey {
	k, _ := ctx.Value(keyContext{}).(*sendKey)
	return k
}

// transactionID derives the id of a send. clientTxn is the id that the client
// chose: a repeated request has the same one and gets the same answer here.
func (k *sendKey) transactionID(sender, path, clientTxn string) string {
	base := sender + "\x00" + path
	k.mu.Lock()
	part, known := k.assigned[base+"\x00"+clientTxn]
	if !known {
		part = k.next[base]
		k.next[base]++
		k.assigned[base+"\x00"+clientTxn] = part
	}
	k.mu.Unlock()
	// Homeservers leave the sender out of their cache key, so it is part of the id.
	sum := sha256.Sum256(fmt.Appendf(nil, "teamsbridge send v1\x00%s\x00%s\x00%d", k.key, base, part))
	return "tb" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:26])
}

// prover makes and checks the proof in an event's content.
type prover struct{ secret [32]byte }

func newProver(appserviceToken string) *prover {
	return &prover{secret: sha256.Sum256([]byte("teamsbridge echo v1\x00" + appserviceToken))}
}

func (p *prover) proof(roomID, key string) string {
	mac := hmac.New(sha256.New, p.secret[:])
	mac.Write([]byte(roomID + "\x00" + key))
	return hex.EncodeToString(mac.Sum(nil)[:12])
}

func (p *prover) check(roomID, key, proof string) bool {
	return hmac.Equal([]byte(p.proof(roomID, key)), []byte(proof))
}
