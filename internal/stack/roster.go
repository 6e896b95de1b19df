package stack

import (
	"context"
	"fmt"
	"strings"

	"teamsbridge/teams/teamstest"
)

// Localpart is the localpart that the bridge's default mapping gives a person.
func Localpart(u *teamstest.User) string {
	local, _, _ := strings.Cut(u.UPN(), "@")
	return strings.ToLower(local)
}

// RegisterStaff makes the Matrix accounts of everybody in the tenant who is
// neither a guest nor disabled, as an identity provider would have.
func (s *Stack) RegisterStaff(ctx context.Context) error {
	for _, u := range s.Tenant.Users() {
		if u.Guest() || !u.Enabled() {
			continue
		}
		if _, err := s.Person(ctx, Localpart(u)); err != nil {
			return fmt.Errorf("make an account for %s: %w", u.DisplayName(), err)
		}
	}
	return nil
}

// NameStaff gives the accounts of RegisterStaff the names of the directory, as
// an identity provider would have too. The bridge does not need them.
func (s *Stack) NameStaff(ctx context.Context) error {
	for _, u := range s.Tenant.Users() {
		if u.Guest() || !u.Enabled() {
			continue
		}
		cli, err := s.Person(ctx, Localpart(u))
		if err != nil {
			return err
		}
		if err = cli.SetDisplayName(ctx, u.DisplayName()); err != nil {
			return fmt.Errorf("name the account of %s: %w", u.DisplayName(), err)
		}
	}
	return nil
}
