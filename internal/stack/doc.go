// Package stack puts a whole installation on one machine: a real homeserver
// (Dendrite, built from the Go module proxy by the nested module in dendrite/,
// or Synapse through a start script), the simulated tenant, and the built
// bridge binary between them. The end-to-end tests and cmd/demo use it.
//
// What lives here: building, configuring, starting, killing and stopping the
// programs, Matrix users to act as, and the comparison of both sides message
// by message. What must not: anything that the bridge itself imports, and any
// knowledge of the bridge's insides. The stack touches the bridge only as an
// operator could: flags, config file, signals, HTTP.
package stack
