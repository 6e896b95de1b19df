package audit

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/rs/zerolog"
)

// Act is what a record is about.
type Act string

// The acts.
const (
	// Start and Stop are of the bridge: from when on it acts, until when.
	Start Act = "start"
	Stop  Act = "stop"
	// Command is one that somebody gave to the bot.
	Command Act = "command"
	// SignIn and SignOut are of a person's own or a relay account; Expired is a
	// sign-in that Microsoft does not take any more.
	SignIn  Act = "sign-in"
	SignOut Act = "sign-out"
	Expired Act = "sign-in expired"
	// Page is that somebody opened the status page.
	Page Act = "status page"
	// Credential is that the application's secret or certificate was replaced.
	Credential Act = "credential replaced"
)

// Outcome is what became of an act.
type Outcome string

// The outcomes. Asked is written before a command is carried out; answered says
// that the bot then said what became of it, failed that it could not be done.
const (
	Asked    Outcome = "asked"
	Answered Outcome = "answered"
	Done     Outcome = "done"
	Failed   Outcome = "failed"
	Refused  Outcome = "refused"
)

// Record is one line. Texts are cut at 1,000 bytes.
type Record struct {
	// Time is when it was written, in UTC; Write sets it.
	Time    time.Time `json:"time"`
	Act     Act       `json:"act"`
	Outcome Outcome   `json:"outcome"`
	// By is the Matrix user who did it, empty where the bridge did.
	By string `json:"by,omitempty"`
	// Room and Event are where a command was given; both are empty where it was a
	// button of the status page.
	Room  string `json:"room,omitempty"`
	Event string `json:"event,omitempty"`
	// Command is the command's name, Arguments what stood behind it. InTheNameOf
	// says that an administrator gave it in By's name; the record before says who.
	Command     string `json:"command,omitempty"`
	Arguments   string `json:"arguments,omitempty"`
	InTheNameOf bool   `json:"in_the_name_of,omitempty"`
	// Account is a Teams account by its id, Kind what it is for: user or relay.
	Account string `json:"account,omitempty"`
	Kind    string `json:"kind,omitempty"`
	// Reason is why it was refused or failed.
	Reason string `json:"reason,omitempty"`
	// Version is the bridge's, where it starts.
	Version string `json:"version,omitempty"`
}

const longest = 1000

// Log is where records go. Its methods may be used from several goroutines.
type Log struct {
	path string
	log  zerolog.Logger
	now  func() time.Time
	mu   sync.Mutex
}

// New makes a log that appends to a file, or to the logger where path is empty.
func New(path string, log zerolog.Logger, now func() time.Time) *Log {
	return &Log{path: path, log: log, now: now}
}

// Check sees whether records can be written, without writing one.
func (l *Log) Check() error {
	if l.path == "" {
		return nil
	}
	f, err := l.open()
	if err != nil {
		return err
	}
	return f.Close()
}

// Write writes a record. It fails never: what can't be written to the file is in
// the log. A nil Log keeps nothing.
func (l *Log) Write(r Record) {
	if l == nil {
		return
	}
	r.Time = l.now().UTC()
	for _, s := range []*string{&r.By, &r.Room, &r.Event, &r.Command, &r.Arguments, &r.Account, &r.Reason} {
		*s = shortened(*s)
	}
	line, err := json.Marshal(r)
	if err != nil { // a struct of strings and a time within this century can't fail
		l.log.Err(err).Str("act", string(r.Act)).Msg("An audit record could not be made")
		return
	}
	if l.path == "" {
		l.log.Info().RawJSON("audit", line).Msg("Audit")
		return
	}
	if err = l.append(line); err != nil {
		l.log.Err(err).RawJSON("audit", line).Msg("The audit file could not be written; the record is here")
	}
}

func (l *Log) append(line []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := l.open()
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err = f.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write the audit file: %w", err)
	}
	if err = f.Sync(); err != nil {
		return fmt.Errorf("sync the audit file: %w", err)
	}
	return nil
}

// open opens the file anew for each record, so that it can be moved away.
func (l *Log) open() (*os.File, error) {
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the audit file: %w", err)
	}
	return f, nil
}

// shortened keeps a record to a size, and to what is valid JSON text.
func shortened(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= longest {
		return s
	}
	cut := longest
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
