// Command demo runs teamsbridge on one machine against a real homeserver and a
// simulated tenant, so that a newcomer sees the main job with one command.
//
//	go run ./cmd/demo         serves a page of both sides, prints its address and keeps running
//	go run ./cmd/demo -once   plays a tour as a transcript, checks it, and exits
//
// It starts programs and watches them from outside; nothing here is part of
// the bridge. What it shares with the end-to-end tests is in internal/stack; the page is in internal/demopage.
package main
