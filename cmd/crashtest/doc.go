// Command crashtest runs the crash test: see package internal/crashtest. It
// ends with an error when both sides do not agree, and keeps its logs then.
//
//	go run -tags goolm ./cmd/crashtest -messages 20000 -kills 200
package main
