package bridge

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2/commands"

	"teamsbridge/bridge/audit"
	"teamsbridge/database"
)

// AuditConfig says where the audit log goes.
type AuditConfig struct {
	// File takes the records; without one they are lines of the log.
	File string `yaml:"file"`
}

// auditLog opens the log; the error is a mistake of the configuration.
func (c *Config) auditLog(log zerolog.Logger, now func() time.Time) (*audit.Log, error) {
	l := audit.New(c.Audit.File, log, now)
	if err := l.Check(); err != nil {
		return nil, &ConfigError{Key: "audit.file", Problem: "can't be written to", Fix: "name a file in a folder that is there and that the bridge may write to, or leave it empty", Err: err}
	}
	return l, nil
}

// The reasons of records, which are for programs and stay as they are.
const (
	reasonNotAdmin = "not an administrator"
	reasonForeign  = "another person's account"
)

// auditedHandler has each use of a command written down: before it is carried
// out, so that none is missing, and afterwards what became of it.
type auditedHandler struct {
	*commands.FullHandler
	c *Connector
}

// Run implements commands.MinimalCommandHandler.
func (h auditedHandler) Run(ce *commands.Event) {
	record := audit.Record{
		Act: audit.Command, Outcome: audit.Asked, By: ce.User.MXID.String(), Room: ce.OrigRoomID.String(), Event: ce.EventID.String(),
		Command: h.Name, Arguments: arguments(ce), InTheNameOf: ce.Sudo,
	}
	if h.RequiresAdmin && !ce.User.Permissions.Admin {
		record.Outcome, record.Reason = audit.Refused, reasonNotAdmin
		h.c.rt.audit.Write(record)
		h.FullHandler.Run(ce) // says so
		return
	}
	h.c.rt.audit.Write(record)
	var failure atomic.Pointer[error]
	// Another user and room may stand in it afterwards: sudo and doin change it.
	inner := *ce
	inner.Ctx = context.WithValue(ce.Ctx, failureKey{}, &failure)
	h.FullHandler.Run(&inner)
	record.Outcome = audit.Answered
	if err := failure.Load(); err != nil {
		record.Outcome, record.Reason = audit.Failed, (*err).Error()
	}
	h.c.rt.audit.Write(record)
}

// failureKey is where a command's context holds why it could not be done.
type failureKey struct{}

// noteFailure tells the audit log why a command could not be done. What fails
// after its command was answered has records of its own.
func noteFailure(ctx context.Context, err error) {
	if failure, ok := ctx.Value(failureKey{}).(*atomic.Pointer[error]); ok {
		failure.Store(&err)
	}
}

// frameworkCommands are those of the framework that are of use here.
func frameworkCommands() []*commands.FullHandler {
	return []*commands.FullHandler{commands.CommandLogin, commands.CommandSudo, commands.CommandDoIn, commands.CommandSetManagementRoom}
}

// auditSignIn writes down that a sign-in did not lead to an account.
func (r *runtime) auditSignIn(kind, by, account string, err error) {
	record := audit.Record{Act: audit.SignIn, Outcome: audit.Failed, By: by, Kind: kind, Account: account, Reason: err.Error()}
	if errors.Is(err, errForeignAccount) {
		record.Outcome, record.Reason = audit.Refused, reasonForeign
	}
	r.audit.Write(record)
}

// auditAccount writes down what became of an account.
func (r *runtime) auditAccount(act audit.Act, a database.Account, reason string) {
	record := audit.Record{Act: act, Outcome: audit.Done, Kind: a.Kind, Account: a.UserID, Reason: reason}
	if act == audit.SignIn {
		record.By = a.MXID
	}
	r.audit.Write(record)
}
