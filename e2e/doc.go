// Package e2e holds the end-to-end tests: the built bridge binary, a real
// homeserver and the simulated tenant, over real HTTP. Nothing else lives
// here; what the tests share with cmd/demo is in internal/stack.
//
// The homeserver is Dendrite, built from the Go module proxy, unless
// TEAMSBRIDGE_E2E_HOMESERVER says synapse, for which TEAMSBRIDGE_SYNAPSE_UP
// names the program that starts one. TestPage and TestWebSignInPages
// need a Chromium too; see TEAMSBRIDGE_E2E_BROWSER in browser_test.go.
package e2e
