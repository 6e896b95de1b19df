// Package portal is one Teams conversation and its Matrix room: the ids that
// name both sides, what the room looks like, and the two ways that a message
// takes between them. It is where the delivery contract is kept: nothing lost,
// nothing twice, in order.
//
// # Teams to Matrix
//
// Ingest.Accept writes messages into the inbox ledger, whatever way they came.
// Once it has returned nil a message can't be lost: its row stays pending until
// Matrix has that version. Each conversation with pending rows has one lane,
// which delivers them in the order in which they were written, a thread's root
// before its replies. A row's states:
//
//	pending  accepted; a crash leaves it so, and the lane starts again from it
//	done     Matrix has this version; a newer one makes it pending again
//	parked   refused many times for a reason of its own, which is recorded
//
// Notifications keep no order. So a new message rests while one that was written
// before it is known to be on its way, while its channel has yet to be read, and
// as long as notifications differ in how long they take (arrivals.go); and a lane
// reads its rows again whenever something was accepted.
//
// A lane decides from bridgev2's message rows what there is still to do, so a
// delivery that was cut off half-way goes on with the part that is missing. The
// transaction id and the source key in the content cover the instant between
// the homeserver's answer and the row.
//
// A homeserver recognises a transaction id only once the first request is done.
// So where a send may be in flight that nobody waits for any more (a process
// before, a cut connection), the conversation rests for a moment, its room is
// looked at once for the source key, and only then is it sent again. What is
// there twice all the same is healed: one of the two is redacted. What arrives after
// Teams took it back is recognised by its echo, and redacted too.
//
// # Matrix to Teams
//
// Outbox takes an event over from the journal: outbox row, provisional message
// row and the end of the journal row are one SQL transaction. Sender has one
// lane per conversation with unfinished rows. A row's states:
//
//	queued     nobody has tried yet, or Teams certainly did not take it
//	sending    a request may be on its way; after a crash it is read back first
//	sent       Teams has it, the message row does not bear its id yet
//	done       the room shows it as delivered
//	parked     Teams refused it for good; it can be sent again, nothing waits for it
//	failed     it never will be in Teams
//	cancelled  taken back before Teams saw it
//
// Parked and failed rows are untold until their author, or the room, was told:
// the teller does that beside the lanes, and after a crash. While
// it is known that Teams takes nothing, few lanes try, in turn (scouts.go).
//
// Before each POST a sent part is begun, after it confirmed or aborted. A part
// that is neither is in doubt, and is looked for in Teams before it is posted
// again. The echo of a post is recognised by its id, and while the id is not
// known yet, by account, thread, time and fingerprint.
//
// A message's file is uploaded before the message is posted, in its turn
// (uploads.go): the session is stored before the first byte goes, and what the
// file became when it is there, so that neither is made twice. Files from Teams
// are copied before the portal's loop is entered (files.go).
//
// An edit has to see the post that it replaces (keepadded.go). While that can't be
// read, the edit steps aside after a while: messages pass it, and it is tried
// beside them (aside.go).
//
// An edit or a reaction without a known outcome is repeated, and remembered: where
// Teams carries it out late, behind a newer one, the newer one is sent again.
//
// A poll of Matrix is a message with its question and answers. The framework
// knows too little of polls, so their events come to it as messages that are
// marked (msgconv.PresentPoll). A vote is stored and its poll marked in one
// transaction; Tally turns that, some seconds later, into what waits already or
// into one more edit of the message, and takes the mark away, in one transaction.
//
// Where a conversation's policy is that, a long backlog goes as a digest: one
// post with the messages in its thread (digest*.go). What it says is stored
// before anything is posted; its posts are sent parts like any other, under the
// digest's own id.
//
// # A restored database
//
// Where the database knows less than both sides, the rooms have told what it lacks
// before anything is sent (Restorer): posts that are known become sent parts, and
// what was delivered is not made again. A message of which no status tells is looked
// for in Teams in its turn (restoredoubt.go), and what may be it is no news until
// then. With such a database every send to a room asks the echoes first.
//
// # Comparing
//
// Verifier reads a channel and its room back and compares them, message by
// message, with each other and with the rows. What it compares are ids, times,
// hashes and keys (sides); the comparison itself (compare) reads nothing. A
// repair adds no way for messages: it corrects what rows, echoes and outbox say
// where that is wrong, and sends the message the way that all messages go.
//
// # Who is authoritative
//
// Graph for what a Teams message says; the ledger for which version Matrix has;
// the outbox for what Teams still has to get; the sent parts for which Teams
// message is an event of ours; bridgev2's message rows for which event a Teams
// message is. Message and reaction rows are changed inside the portal's event
// loop only, outbox and sent rows by the sender only once they are enqueued.
//
// # What must not live here
//
// HTTP, sign-in and Graph's JSON (package teams), the homeserver's transactions
// (package matrix), conversion (package msgconv), logins, commands and
// configuration (package bridge).
package portal
