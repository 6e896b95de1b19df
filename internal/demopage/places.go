package demopage

import (
	"net/http"
	"slices"

	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// start is what the page needs to begin.
type start struct {
	Graph string `json:"graph"`
	// Homeserver, Users and Password are for any Matrix client.
	Homeserver string   `json:"homeserver"`
	ServerName string   `json:"serverName"`
	Users      []string `json:"users"`
	Password   string   `json:"password"`
	Bot        string   `json:"bot"`
	Teams      []team   `json:"teams"`
}

func (p *Page) serveStart(w http.ResponseWriter, _ *http.Request) {
	s := start{
		Graph: p.opts.Stack.Tenant.GraphURL(), Homeserver: p.opts.Stack.Homeserver.URL(), ServerName: p.opts.Stack.Homeserver.ServerName(),
		Password: stack.Password, Bot: p.opts.Stack.UserID(stack.BotName).String(), Teams: p.places(),
	}
	for _, u := range p.opts.SignedIn {
		s.Users = append(s.Users, stack.Localpart(u))
	}
	s.Users = append(s.Users, stack.AdminName)
	answer(w, http.StatusOK, s)
}

// places are the teams and channels with their members.
func (p *Page) places() []team {
	var teams []team
	for _, t := range p.opts.Stack.Tenant.Teams() {
		out := team{ID: t.ID, Name: t.DisplayName()}
		staff := t.Members()
		for _, ch := range t.Channels() {
			members := ch.Members()
			place := channel{ID: ch.ID, Name: ch.DisplayName(), Kind: ch.Kind(), Members: p.people(members)}
			pool := staff
			if ch.Kind() == teamstest.Standard {
				pool = p.opts.Stack.Tenant.Users()
			}
			for _, u := range p.people(pool) {
				if !slices.Contains(place.Members, u) {
					place.Others = append(place.Others, u)
				}
			}
			out.Channels = append(out.Channels, place)
		}
		teams = append(teams, out)
	}
	return teams
}

func (p *Page) people(users []*teamstest.User) []person {
	var out []person
	for _, u := range users {
		if !u.Enabled() {
			continue
		}
		one := person{
			ID: u.ID, Name: u.DisplayName(), Guest: u.Guest(), Account: p.hasAccount(u), Bridge: p.isRelay(u),
			SignedIn: slices.ContainsFunc(p.opts.SignedIn, func(s *teamstest.User) bool { return s.ID == u.ID }),
		}
		if one.Account {
			one.Matrix = p.opts.Stack.UserID(stack.Localpart(u)).String()
		}
		out = append(out, one)
	}
	return out
}
