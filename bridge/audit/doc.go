// Package audit writes down who did what to the bridge: every command with who
// gave it and whether it was allowed, every sign-in and sign-out, and what the
// bridge itself does about its credentials, its start and its end.
//
// A record is one line of JSON. It goes to a file of its own, which only grows and
// which can be moved away at any time (each record opens it again), or, where no
// file is configured, into the bridge's log. A command's record is on disk
// before the command is carried out, so that nothing that was asked for is missing;
// that of a sign-in when it is stored. Where a record cannot be
// written it goes into the log, as an error: the fallback of an organisation has
// to stay usable when a disk is full.
//
// What must not live here: what people write, tokens and secrets, and anything
// that knows the framework, Graph or the database.
package audit
