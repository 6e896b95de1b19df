// Package memhs is a homeserver in memory, for measuring the bridge with more
// rooms than a real one makes in reasonable time on a developer's machine. It
// answers over real HTTP what the bridge asks of the client-server API, sends the
// transactions of the application service API, and counts requests.
//
// What it is not: a homeserver to prove anything about messages with. It has no
// federation, no event graph, no authorisation, no limits, no encryption and no
// history visibility, and forgets everything when it ends. Tests of behaviour run
// on Dendrite and Synapse (package stack).
package memhs
