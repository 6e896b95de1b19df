package bridge

import (
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/teams"
)

func TestMapping(t *testing.T) {
	jane := teams.User{ID: "AAD-1", DisplayName: "Jane Doe", UPN: "Jane.Doe@Corp.example", Mail: "jd@mail.example", UserType: "Member", Enabled: true}
	with := func(change func(u *teams.User)) teams.User {
		u := jane
		change(&u)
		return u
	}
	base := MappingConfig{Attribute: "upn", Template: "{{.Local}}"}
	for _, tc := range []struct {
		name   string
		cfg    MappingConfig
		user   teams.User
		mxid   id.UserID
		status string
	}{
		{"by UPN, in lower case", base, jane, "@jane.doe:hs.example", database.StaffMapped},
		{"by mail", MappingConfig{Attribute: "mail", Template: "{{.Local}}"}, jane, "@jd:hs.example", database.StaffMapped},
		{"with the domain in the name", MappingConfig{Attribute: "upn", Template: "{{.Local}}_{{.Domain}}"}, jane, "@jane.doe_corp.example:hs.example", database.StaffMapped},
		{"another homeserver", MappingConfig{Attribute: "upn", Template: "{{.Local}}", Domain: "other.example"}, jane, "@jane.doe:other.example", database.StaffMapped},
		{"override by UPN", MappingConfig{Attribute: "upn", Template: "{{.Local}}", Overrides: map[string]string{"jane.doe@corp.example": "@jane:x.example"}}, jane, "@jane:x.example", database.StaffMapped},
		{"override by id", MappingConfig{Attribute: "upn", Template: "{{.Local}}", Overrides: map[string]string{"aad-1": "@jane:x.example"}}, jane, "@jane:x.example", database.StaffMapped},
		{"overridden to nobody", MappingConfig{Attribute: "upn", Template: "{{.Local}}", Overrides: map[string]string{"JD@mail.example": ""}}, jane, "", database.StaffUnmapped},
		{"guest", base, with(func(u *teams.User) { u.UserType = "Guest" }), "", database.StaffGuest},
		{"guest allowed", MappingConfig{Attribute: "upn", Template: "{{.Local}}", Guests: true}, with(func(u *teams.User) { u.UserType = "Guest" }), "@jane.doe:hs.example", database.StaffMapped},
		{"guest by override", MappingConfig{Attribute: "upn", Template: "{{.Local}}", Overrides: map[string]string{"aad-1": "@g:x.example"}},
			with(func(u *teams.User) { u.UserType = "Guest" }), "@g:x.example", database.StaffMapped},
		{"disabled", base, with(func(u *teams.User) { u.Enabled = false }), "", database.StaffDisabled},
		{"disabled goes before an override", MappingConfig{Attribute: "upn", Template: "{{.Local}}", Overrides: map[string]string{"aad-1": "@jane:x.example"}},
			with(func(u *teams.User) { u.Enabled = false }), "", database.StaffDisabled},
		{"no mail", MappingConfig{Attribute: "mail", Template: "{{.Local}}"}, with(func(u *teams.User) { u.Mail = "" }), "", database.StaffUnmapped},
		{"impossible name", base, with(func(u *teams.User) { u.UPN = "jörg@corp.example" }), "", database.StaffUnmapped},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, err := newMapper(tc.cfg, "hs.example")
			require.NoError(t, err)
			got := m.person(tc.user)
			require.Equal(t, tc.mxid, got.mxid)
			require.Equal(t, tc.status, got.status)
			require.NotEmpty(t, got.reason)
		})
	}
}
