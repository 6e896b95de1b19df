// Package crashtest is the crash-test program: a real homeserver, the built
// bridge binary and the simulated tenant, random traffic both ways, and while it
// runs everything goes wrong that can: the bridge is killed, Graph and the
// sign-in service fail in every way that teamstest knows, the homeserver is
// restarted, its connections are cut, answers are lost, transactions come twice,
// the database is busy. At the end both sides are compared with each other and
// with what was said: message by message, thread by thread, reaction by
// reaction, in order. cmd/crashtest runs it on demand, e2e's TestCrash in its
// short form.
//
// # How it is made
//
// The book holds what was said and what must be there in the end. Only the
// actors write into it, before they act. Two watchers note what has arrived.
// Everything that goes wrong is bound to how much has arrived, not to the
// clock, so that it meets the bridge at work.
//
// Some things have no defined outcome, so nobody does them: a message that
// somebody answers is not deleted, one that is edited is edited by one person at
// a time, each person has reactions of their own (a relay account can set an
// emoji once), and nobody takes a reaction back and makes it again. A homeserver
// that forgets its transaction ids in a restart can't tell a client's repeated
// request from a second one; so the clients of this test are not in the middle
// of a request when it is stopped. The bridge may be.
//
// Where the homeserver makes two events of one send, the bridge takes one back:
// what somebody hung on that one in between is not held to anything.
//
// Order is held to for everything that was said on one side of a conversation,
// by whomever, unless two clients sent it at the same moment, or just before the
// homeserver was stopped (Dendrite hands that on behind what came after). Messages whose notification was lost, held back or swapped by a
// fault have none: the bridge can't know of them.
//
// # How far a run can be repeated
//
// The seed decides who says what where, which faults come in which order, how
// long each lasts, and after how many arrivals the bridge is killed. It does not
// decide how the operating system runs the processes: the instant of a kill, and
// which request meets a fault that strikes by chance, differ from run to run. The
// same seed gives the same test, not the same interleaving. What a run found is
// in its logs, which are kept when it fails.
//
// # What must not live here
//
// Starting and stopping of the parts and the comparison of a conversation
// (internal/stack), the faults themselves (teamstest), and any knowledge of the
// bridge's insides beyond its configuration, commands and metrics.
package crashtest
