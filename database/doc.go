// Package database keeps what must survive a crash: child tables of
// bridgev2's own database, with one typed store per table.
//
// What lives here: the schema (upgrades/*.sql), the stores, the sealing of
// secrets at rest, and the lock that lets one process at a time work on them.
// What must not: anything of Matrix, Graph or bridgev2 beyond plain strings, and
// any decision about retrying, ordering or wording. The stores say what was, the
// packages above decide what comes next.
//
// Who is authoritative for what:
//
//   - Journal: a Matrix event that the homeserver was told we have, until the
//     outbox or the framework has dealt with it.
//   - Outbox: what people said in Matrix and Teams does not have yet. One row
//     per Matrix event for ever (it is also the deduplication), with a payload
//     only while the row is unfinished.
//   - Sent: which Teams message each part of an outbox row became; a part is
//     marked before it is posted, so that a crash in between is seen.
//   - Inbox: which version of each Teams message was accepted and which was
//     delivered. What Graph lists is the truth, the inbox is how far we are.
//   - Echoes: which Matrix event a source change became, as the homeserver
//     itself confirmed it.
//   - Late: which edits and reactions Teams may still carry out behind newer ones.
//   - Digests: what a digest of a long backlog says, before anything of it is
//     posted and as long as its messages can change, and what its posts were given.
//   - Uploads: which file in Teams each file of an event became, and what is
//     needed to go on with one that is on its way, which is sealed.
//   - Polls: what polls of Matrix ask, and every vote in them: what Teams shows of
//     a poll is counted from here.
//   - Holds and Outages: which queues are held and why; when Teams could not be
//     used, and who was told of it.
//   - Restores: that the database was restored from an earlier time, and what the
//     rooms say of events since.
//   - The rest is bookkeeping that can be rebuilt, except accounts and keys.
//
// Secrets and what people wrote are sealed (sealedcolumn.go; docs/architecture.md
// lists all columns). A value that no key opens does not fail the query: its row
// says so, and whoever needs the content asks for it again.
//
// Every statement runs in the transaction of its context (dbutil), so
// (*Database).DoTxn spans these tables and bridgev2's. The SQL is the same for
// SQLite and PostgreSQL; databasetest proves it. Times are Unix milliseconds,
// 0 means none. Bodies of messages are never logged.
package database
