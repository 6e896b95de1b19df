package teamstest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"teamsbridge/teams/teamstest"
)

// A tenant is an ordinary HTTPS server: sign in, ask Graph, make it fail.
func ExampleTenant_Faults() {
	tenant, err := teamstest.Start(teamstest.Options{Name: "Contoso"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = tenant.Close() }()
	client := tenant.HTTPClient()

	answer, err := client.PostForm(tenant.URL()+"/"+tenant.TenantID+"/oauth2/v2.0/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {tenant.App().ClientID},
		"client_secret": {tenant.App().Secret()}, "scope": {tenant.URL() + "/.default"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var token struct {
		AccessToken string `json:"access_token"`
	}
	err = json.NewDecoder(answer.Body).Decode(&token)
	_ = answer.Body.Close()
	if err != nil {
		fmt.Println(err)
		return
	}

	ask := func() {
		req, err := http.NewRequest(http.MethodGet, tenant.GraphURL()+"/organization", nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		req.Header.Set("Authorization", "Bearer "+token.AccessToken)
		resp, err := client.Do(req)
		if err != nil {
			fmt.Println("no answer")
			return
		}
		_ = resp.Body.Close()
		fmt.Println(resp.Status)
	}
	ask()
	tenant.Faults().Add(teamstest.Fault{Kind: teamstest.FaultUnavailable, Times: 1, Match: teamstest.Match{Op: teamstest.OpOrganization}})
	ask()
	tenant.Down(teamstest.DownRefuse)
	ask()
	if err := tenant.Up(); err != nil {
		fmt.Println(err)
	}
	ask()
	fmt.Println(len(tenant.Violations()), "violations")
	// Output:
	// 200 OK
	// 503 Service Unavailable
	// no answer
	// 200 OK
	// 0 violations
}
