// Package health judges from results whether what the bridge depends on can
// be used: reading and writing Graph, the sign-in service, the delivery of
// notifications, and the homeserver. It does no I/O, starts nothing, and knows
// the time only from its observations and from the clock it is given.
//
// # One machine per dependency
//
//	unknown     nothing has been observed yet
//	up          it works
//	degraded    it works, but a share of the requests fails, or it throttles
//	down        nothing works: a run of failures without a success between
//	recovering  it worked again; not long enough to call it up
//
// Between these, with the thresholds of Options:
//
//	up, degraded → down        DownAfter failures in a row that span DownFor and
//	                           come from DownScopes conversations or operations,
//	                           or ProbeFails failing probes that span DownFor
//	up → degraded              DegradedFails failures from DegradedScopes scopes,
//	                           a share of DegradedShare, within Window
//	degraded → up              the share has fallen to HealthyShare
//	down → recovering          the first success
//	recovering → up            UpAfter successes in a row, or no failure in QuietFor
//	recovering → degraded      MixedFor of successes and failures
//	recovering → down          as from up
//
// The flapping guard: each outage since the last calm (FlapWindow without
// trouble) raises it by one, and so does being degraded. Each level doubles
// DownAfter and triples DownFor, up to DownForMax. What fails half of the time is
// degraded, and not a series of short outages.
//
// # What is whose problem
//
// A request that is answered with 400, 404 or 409 says nothing about the
// service. Failures of a single conversation never make more of it than that,
// however many they are, unless a probe fails too, or it worked and no other was in
// use lately (AloneAfter, AloneFor, Lately). A 403 is the conversation's problem,
// until the same operation is refused in RevokedScopes conversations, or in all
// that are in use where those are fewer, over RevokedFor without a success: then
// a permission was taken away. One that fails while another works (talk.own)
// speaks for itself alone, until it works again. What the
// sign-in service says about one account never gets here.
//
// Graph may answer what is light (the organisation, a list of members) while
// Teams behind it is down. So successes are not all alike: once operations that
// carry messages (Observation.Core) fail in three conversations, or have failed
// again after a recovery that only probes spoke for, only such an operation can
// show that it works.
//
// # What must not live here
//
// Requests and probes, their callers, words for people, metrics: package bridge.
package health
