package databasetest

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// The format of SQLite's write-ahead log: https://sqlite.org/fileformat2.html#walformat
const (
	logHeader   = 32
	frameHeader = 24
	logMagic    = 0x377f0682 // the lowest bit says how checksums read words
)

// LogFrame is a frame of a write-ahead log: where it ends, and whether a
// transaction ends with it.
type LogFrame struct {
	End    int
	Commit bool
}

// logReader goes through a log as SQLite does when it recovers.
type logReader struct {
	log    []byte
	order  binary.ByteOrder
	page   int
	at     int
	s1, s2 uint32
}

// readLog returns nil for a log that SQLite would take for empty.
func readLog(log []byte) *logReader {
	if len(log) < logHeader {
		return nil
	}
	r := &logReader{log: log, order: binary.LittleEndian, page: int(binary.BigEndian.Uint32(log[8:])), at: logHeader}
	switch binary.BigEndian.Uint32(log) {
	case logMagic:
	case logMagic | 1:
		r.order = binary.BigEndian
	default:
		return nil
	}
	r.sum(log[:24])
	if r.s1 != binary.BigEndian.Uint32(log[24:]) || r.s2 != binary.BigEndian.Uint32(log[28:]) {
		return nil
	}
	return r
}

func (r *logReader) sum(b []byte) {
	for i := 0; i+8 <= len(b); i += 8 {
		r.s1 += r.order.Uint32(b[i:]) + r.s2
		r.s2 += r.order.Uint32(b[i+4:]) + r.s1
	}
}

// next reads a frame, if there is one that SQLite would believe.
func (r *logReader) next() (LogFrame, bool) {
	if len(r.log)-r.at < frameHeader+r.page {
		return LogFrame{}, false
	}
	s1, s2 := r.s1, r.s2
	head, page := r.log[r.at:r.at+frameHeader], r.log[r.at+frameHeader:r.at+frameHeader+r.page]
	r.sum(head[:8])
	r.sum(page)
	if !slices.Equal(head[8:16], r.log[16:24]) || r.s1 != binary.BigEndian.Uint32(head[16:]) || r.s2 != binary.BigEndian.Uint32(head[20:]) {
		r.s1, r.s2 = s1, s2
		return LogFrame{}, false
	}
	r.at += frameHeader + r.page
	return LogFrame{End: r.at, Commit: binary.BigEndian.Uint32(head[4:]) != 0}, true
}

// LogFrames returns the frames of a write-ahead log that SQLite would believe.
func LogFrames(log []byte) (frames []LogFrame) {
	r := readLog(log)
	if r == nil {
		return nil
	}
	for {
		f, ok := r.next()
		if !ok {
			return frames
		}
		frames = append(frames, f)
	}
}

// HalfTransaction returns a log as a power cut leaves it in the middle of a
// transaction: behind what is in it already up to n frames that are right, with
// anything in them, but without the end of the transaction, and a piece of
// another frame.
func HalfTransaction(log []byte, rng *rand.Rand, n int) []byte {
	r := readLog(log)
	if r == nil {
		return log
	}
	for ok := true; ok; {
		_, ok = r.next()
	}
	out := slices.Clone(log[:r.at])
	noise := func(size int) []byte {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	for range rng.IntN(n + 1) {
		page := noise(r.page)
		head := make([]byte, frameHeader)
		binary.BigEndian.PutUint32(head, 1+rng.Uint32N(50))
		copy(head[8:16], log[16:24])
		r.sum(head[:8])
		r.sum(page)
		binary.BigEndian.PutUint32(head[16:], r.s1)
		binary.BigEndian.PutUint32(head[20:], r.s2)
		out = append(append(out, head...), page...)
	}
	return append(out, noise(rng.IntN(r.page+frameHeader))...)
}

// WriteDatabase writes a database file and its write-ahead log.
func WriteDatabase(t testing.TB, path string, main, log []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, main, 0o600))
	require.NoError(t, os.WriteFile(path+"-wal", log, 0o600))
}
