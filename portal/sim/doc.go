// Package sim runs the bridge in virtual time against everything that can go
// wrong, many seeds at a time: the real framework, the real database and the
// real poller between portaltest's homeserver and tenant, inside a synctest
// bubble. Hours pass in milliseconds. It has tests only.
//
// A seed decides what people do on both sides and when (plan), when the bridge
// crashes, restarts and the homeserver forgets its transactions, and what else
// fails (faults): each decision is a hash of the seed, of what is tried and of
// how often it was tried, so that one does not shift the others. A seed has
// only some kinds of faults, so that they do not hide each other.
//
// At the end the faults stop. Within a bounded virtual time nothing may be left
// to do (liveness), and both sides have to show what was said (safety): every
// message once, in its thread, in its newest version, with its reactions, in
// order; nothing failed without a cause, and of what did its author was told.
//
// # What a seed does not decide
//
// Which goroutine runs first. Virtual time makes timers exact, but what happens
// at the same instant happens in the order that Go's scheduler chooses, and a
// crash hits the n-th SQL statement, whoever makes it. So most failures repeat
// with their seed, some only after several tries.
//
// # What is not in here
//
// HTTP, transactions and their journal on the wire (package matrix), the Graph
// SDK, the limiter, webhooks: those have tests of their own, and end-to-end ones.
// What people say about a message in the seconds between a send whose answer got
// lost and its repetition is refused by the framework, which does not know the
// event; the plan leaves that out.
//
// TEAMSBRIDGE_SIM_SEEDS is how many seeds run (100), TEAMSBRIDGE_SIM_FIRST the
// first of them, TEAMSBRIDGE_TEST_SEED the only one, TEAMSBRIDGE_SIM_STRIDE the
// distance of crash points (9), and TEAMSBRIDGE_TEST_LOG shows the bridge's log.
package sim
