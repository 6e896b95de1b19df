// Package matrix is the homeserver side: it stands between mautrix's connector
// and the homeserver and adds what the framework lacks for a durable bridge.
//
// What lives here:
//
//   - the transaction journal: an event of a mirrored room is in SQL before the
//     homeserver gets its 200, is handed to the framework again after a crash,
//     and leaves when somebody owns it. One that can't be taken over for a
//     reason of ours holds back those behind it in its room (turn.go);
//   - the redaction feed: Dendrite does not send redactions to appservices
//     (Dendrite 0.15.2; pull request 3445 there mends it), so the bot follows
//     /sync for them, which costs one request at a time that waits at the
//     homeserver. Redactions come into the journal together with the position,
//     and wait there while the event that they are for has not come by
//     transaction (syncfeed*.go, hold.go); what it followed is read a second
//     time, because answers may leave something out and not say so;
//   - the look for what the homeserver did not tell: Synapse may lose sight of a
//     transaction when it recovers from a failure, so after trouble the bot asks
//     /sync what the rooms have had, and what nobody told is journalled as if it
//     had been told (untold*.go). What comes redacted already is left alone
//     (redacted.go);
//   - a restored database: the bridge notes at the homeserver that it works, so a
//     database that was set back is noticed (alive.go). Then the rooms are read
//     before anything passes: what the bridge has sent, what people have said, and
//     what statuses say that Teams has (restore*.go, delivered.go);
//   - idempotent sends: the transaction id of an event that mirrors a source
//     change is derived from that change, and the homeserver's own echo of the
//     event is kept as its confirmation;
//   - what the framework is shown instead of events that it lacks (Options.Present,
//     present.go): what is journalled stays as it came;
//   - small corrections of the framework's connector (connection limit,
//     deadlines that let files of any size pass, no status events about state,
//     servers with an old spec version).
//
// What must not live here: anything of Teams, conversion, room contents, and
// any decision about what a queued message looks like.
//
// The homeserver is authoritative for which events exist; the journal for
// which of them nobody has dealt with yet. Uses of the framework's internals
// are in install.go, journal.go and barrier.go, each with a contract test that
// fails loudly when mautrix changes.
package matrix
