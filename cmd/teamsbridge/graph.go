package main

import (
	"teamsbridge/bridge"
	"teamsbridge/teams"
	"teamsbridge/teams/graph"
)

// graphSDK hands the Graph SDK to the bridge, which must not import it itself.
func graphSDK() bridge.Graph {
	return bridge.Graph{
		NewReader: func(o bridge.GraphOptions) (teams.Reader, teams.SubscriptionAPI, error) {
			client, err := graph.New(graph.Options{
				Endpoints: o.Endpoints, Credential: o.Credential, HTTP: o.HTTP, TenantID: o.TenantID, Logger: o.Logger,
			})
			return client, client, err
		},
		NewWriter: func(o bridge.WriterOptions) (teams.Writer, error) {
			return graph.NewWriter(graph.WriterOptions{
				Endpoints: o.Endpoints, Credential: o.Credential, HTTP: o.HTTP, Account: o.Account, Messages: o.Messages,
			})
		},
	}
}
