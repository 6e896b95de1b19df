// Package bridge is the connector: it wires Graph (teams), the homeserver side
// (matrix), conversations (portal) and our tables (database) into mautrix
// bridgev2.
package bridge
