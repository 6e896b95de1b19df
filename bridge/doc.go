// Package bridge is the connector: it wires Microsoft Graph (teams), the
// homeserver side (matrix), conversations (portal) and our tables (database)
// into mautrix bridgev2, and owns what none of them does: the configuration,
// which conversations are mirrored, who is who, the accounts that write, the
// commands, and whether Graph can be used.
//
// # The delivery contract
//
// Accepted means: in the database, committed and synced to disk. Nothing is
// acknowledged to the homeserver or to Graph before that. Where a test of this
// package, portal or e2e proves a clause, it says which ("Proves M4.").
//
//	M1  A message, edit, reaction or redaction of a mirrored room is accepted
//	    before the homeserver gets its 200 (matrix: the journal). Where the
//	    homeserver does not send redactions, they are accepted together with the
//	    position up to which they were followed (matrix: the redaction feed).
//	M2  The journal's row ends in the transaction that writes the outbox's row
//	    and the provisional message row (portal: Outbox), or when a status says
//	    that the event is not for Teams. There is no instant without an owner. A
//	    vote's ends in the transaction that writes the vote and marks its poll,
//	    whose votes become one outbox row (portal: Tally).
//	M3  An outbox row ends as done, parked, failed or cancelled. Parked (Teams
//	    refuses it) and failed (it stays in Matrix) have a reason, which the
//	    author is told once, whatever happens; waiting is never a failure. Of a
//	    count of votes nobody is told: it has no author.
//	M4  A part is marked before it is posted. A post of unknown outcome is
//	    looked for in Teams before it is repeated (portal: Sender, Echo).
//	M5  One lane per conversation, first in, first out; a conversation that can't
//	    go on holds up no other. Messages pass a change that can't see what it would
//	    replace; they keep their order, and so do the edits of one message.
//	M6  Only the author of a message edits or deletes it.
//	T1  A notification is answered with 202 after its body is accepted; it leaves
//	    the log when the ledger has its messages, or under a named reason
//	    (teams: receiver and Processor).
//	T2  A reader's cursor moves after the ledger has everything before it. What
//	    Graph lists is the truth: every gap is read again from the last watermark,
//	    and everything once a day (teams: Poller).
//	T3  The ledger holds one row per message, in its newest version, whichever way
//	    and however often it came. The row is done when the homeserver has that
//	    version (portal: Ingest).
//	T4  The transaction id of what is sent to the homeserver is derived from the
//	    source change, and the change is named in the event: a repeated send is
//	    recognised, also after a restart of either side (matrix).
//	T5  One lane per conversation, oldest first, a thread's root before its replies.
//	S1  Rooms do not depend on the bridge, nor the bridge's start on Graph. With
//	    the homeserver down, notifications are taken and read into the ledger.
//	S2  A conversation that disappears in Teams keeps its room, which says so. No
//	    room is ever deleted.
//	S3  Whoever is removed in Teams leaves the room; whoever leaves the room of
//	    their own will is not brought back.
//	S4  An outage is announced once to the administrators, once in each room in
//	    which something waits, and so is its end, with a count. It is one record
//	    from its beginning until its last message has come to an end: no restart
//	    announces it again or forgets its end. What begins again soon is the same
//	    outage, and so is what is both detected and declared.
//	S5  Tokens and keys are sealed in the database, and sent to no host that a
//	    message names. A file is fetched only where it is in the folder of the
//	    channel whose message refers to it (teams: Files); its bytes go to and come
//	    from addresses that Graph gave out, on the cloud's hosts, without a token.
//
// # What survives a crash, at each step
//
//	Matrix to Teams                          after a restart
//	  transaction being received             the homeserver repeats it
//	  in the journal, answered 200           replayed before new transactions
//	  a vote, its poll marked                counted by the tally
//	  in the outbox, queued                  sent by its lane
//	  uploading a file: its session is kept  goes on where it was
//	  sending: a request may be out          looked for in Teams, then decided
//	  sent, room does not show it            shown
//	Teams to Matrix
//	  notification being received            Graph repeats it; the daily reading is behind that
//	  in the notification log                processed
//	  in the ledger, pending                 delivered by its lane
//	  sent to the homeserver, no answer      sent again under the same id; the echo confirms it
//	A restored database
//	  rooms being read                       read again, nothing was sent
//	Outages
//	  declared, or a drill: held, no record    the record is made, people are told
//	  told, not noted                          the room is looked at before it is told
//	  goes on                                  goes on, or ends as soon as Graph answers
//	  over, not everything delivered           counted and told when it is
//	Mirroring
//	  team or channel half set up            goes on: every step is noted in the
//	                                         conversations' table when it is complete
//
// # Start and stop
//
// newRuntime wires the parts and sends nothing. Then the database's lock is
// taken, so that one process at a time does what follows; a second one waits
// there, and whoever loses the lock ends at once. intake runs right after the
// tables were upgraded: webhook listener, notification processor, metrics, the
// listeners of the web sign-in and of the status page. The framework then waits
// for the homeserver. run starts
// everything else: lanes, readers, subscriptions, mirror. Graph may be down all
// the while. All loops are services: they stop with their context, and one that
// fails is started again.
//
// # Outages
//
// Package bridge/health judges what the bridge depends on from what its requests
// meet: the HTTP stack's attempts (GraphAttempt), tokens that were not to be had
// (watchedCredential), notifications that came or ought to have come (intakeWatch,
// watchedSink), the homeserver's answers and transactions. Type health runs the
// probes where there is doubt, and calls down, changed and up, in order and one
// at a time. An outage is that messages can't be read from Teams or written to it.
//
// # Who is authoritative
//
// Graph for which teams, channels and members there are; the selections' table,
// then the configuration, for which of them are mirrored; the staff table for
// which Matrix account is whose; the conversations' table for what has been
// brought to rooms. The catalog and the directory are copies in memory for those
// who may not wait, written through.
//
// # What the framework is configured to do
//
// Deduplication of Matrix messages off: the outbox does it (M2), and the
// framework's own reads the whole message table for each message. Personal
// filtering spaces off: there would be one per person of the directory. Nobody
// is kicked for not being in Teams. Portals are shared, never split; events and
// transactions are handled in order, never asynchronously. The framework's
// backfill is off: it drops what is older than a message that waits to be sent;
// history comes through the ledger. Connections to the database stay open: a new
// one costs PostgreSQL a process. Message status events and delivery receipts
// are on (S4, M3). Room federation is off until an operator wants it. The log
// begins at info, because at debug the framework logs what people write.
//
// # What must not live here
//
// HTTP to Graph and its JSON (teams), the homeserver's transactions (matrix),
// what becomes of a message (portal), its conversion (portal/msgconv), SQL
// (database), and the Graph SDK, which the program hands in.
package bridge
