package teamstest

import (
	"encoding/hex"
	"math/rand/v2"
	"sync"

	"github.com/google/uuid"
)

// ids makes identifiers that look as Microsoft's do and are the same in every
// run of the same seed.
type ids struct {
	mu  sync.Mutex
	rng *rand.ChaCha8
}

func newIDs(seed uint64) *ids {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	return &ids{rng: rand.NewChaCha8(key)}
}

// bytes returns n pseudo-random bytes.
func (g *ids) bytes(n int) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := make([]byte, n)
	_, _ = g.rng.Read(b) // never fails
	return b
}

// guid returns a GUID as Graph writes them.
func (g *ids) guid() string {
	id, _ := uuid.FromBytes(g.bytes(16)) // 16 bytes always make one
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}

// hex returns 2n hexadecimal digits.
func (g *ids) hex(n int) string { return hex.EncodeToString(g.bytes(n)) }

// channel returns an id of a channel.
func (g *ids) channel() string { return "19:" + g.hex(16) + "@thread.tacv2" }
