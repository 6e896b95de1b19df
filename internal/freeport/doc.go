// Package freeport finds ports for programs that tests and the demo start and
// that are told their port beforehand. Nothing else lives here.
package freeport
