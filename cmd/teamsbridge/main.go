package main

import (
	_ "time/tzdata" // network.time_zone, where the system has no time zones

	"maunium.net/go/mautrix/bridgev2/matrix/mxmain"

	"teamsbridge/bridge"
)

// Filled by the linker: -X main.Tag=… -X main.Commit=… -X main.BuildTime=…
var (
	Tag       = "unknown"
	Commit    = "unknown"
	BuildTime = "unknown"
)

func main() {
	m := &mxmain.BridgeMain{
		Name:        "teamsbridge",
		Description: "A Matrix standby for Microsoft Teams.",
		Version:     "0.1.0",
	}
	m.InitVersion(Tag, Commit, BuildTime)
	bridge.Run(m, bridge.New(graphSDK()))
}
