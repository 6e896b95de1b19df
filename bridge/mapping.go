package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"text/template"

	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// The attributes of a person that an account's name can be made of.
const (
	attributeUPN  = "upn"
	attributeMail = "mail"
)

// mapper decides which Matrix account belongs to a person.
type mapper struct {
	cfg       MappingConfig
	domain    string
	tmpl      *template.Template
	overrides map[string]string
	// file is what mapping.overrides_file says, nil where there is none.
	file atomic.Pointer[exceptions]
	// allowed are who is in a group of mapping.members_of, nil before they are listed.
	allowed atomic.Pointer[map[string]bool]
}

// mapped is the outcome for one person.
type mapped struct {
	mxid   id.UserID
	status string
	reason string
	// exception means that an exception gives the account.
	exception bool
}

// templateData is what mapping.template can name.
type templateData struct {
	Local, Domain, UPN, Mail, ID string
}

func newMapper(cfg MappingConfig, homeserver string) (*mapper, error) {
	tmpl, err := template.New("mapping.template").Option("missingkey=error").Parse(cfg.Template)
	if err != nil {
		return nil, err
	}
	m := &mapper{cfg: cfg, domain: cfg.Domain, tmpl: tmpl, overrides: make(map[string]string, len(cfg.Overrides))}
	if m.domain == "" {
		m.domain = homeserver
	}
	for who, mxid := range cfg.Overrides {
		m.overrides[strings.ToLower(who)] = mxid
	}
	if err := m.loadOverrides(); err != nil {
		return nil, err
	}
	one, err := m.localpart(teams.User{ID: "1", UPN: "one@a.example", Mail: "one@a.example"})
	if err != nil {
		return nil, err
	}
	two, err := m.localpart(teams.User{ID: "2", UPN: "two@a.example", Mail: "two@a.example"})
	if err != nil {
		return nil, err
	}
	if one == two {
		return nil, errors.New("it gives everybody the same account")
	}
	return m, nil
}

// fingerprint tells whether people were mapped by the same configuration.
func (m *mapper) fingerprint() string {
	data, err := json.Marshal(m.cfg)
	if err != nil { // strings always marshal
		panic(err)
	}
	sum := ""
	if file := m.file.Load(); file != nil {
		sum = file.sum
	}
	return hashOf(string(data), m.domain, sum)
}

// errNobodyAllowed says that the groups are empty: rather nothing changes than that
// everybody loses their rooms, because somebody has emptied a group by mistake.
var errNobodyAllowed = errors.New("nobody is in the groups that mapping.members_of names, so everybody would be taken out of all rooms: name other groups, or put people into these")

// listAllowed asks who is in the groups of mapping.members_of.
func (m *mapper) listAllowed(ctx context.Context, reader teams.Reader) error {
	if len(m.cfg.MembersOf) == 0 {
		return nil
	}
	allowed := map[string]bool{}
	for _, group := range m.cfg.MembersOf {
		members, err := reader.GroupMembers(ctx, group)
		if err != nil {
			return fmt.Errorf("listing the members of group %s, which mapping.members_of names: %w", group, err)
		}
		for _, userID := range members.Users {
			allowed[userID] = true
		}
	}
	if len(allowed) == 0 {
		return errNobodyAllowed
	}
	m.allowed.Store(&allowed)
	return nil
}

// person decides for one person. Nobody is mapped who is a guest (unless the
// configuration says so), disabled, or without the attribute.
func (m *mapper) person(u teams.User) mapped {
	if !u.Enabled {
		return mapped{status: database.StaffDisabled, reason: "the account is disabled in the directory"}
	}
	for _, key := range []string{u.UPN, u.Mail, u.ID} {
		mxid, where := m.exception(strings.ToLower(key))
		switch {
		case where == "":
			continue
		case mxid == "":
			return mapped{status: database.StaffUnmapped, reason: inEnglish(texts.MappedExcluded, "where", where)}
		}
		return mapped{mxid: id.UserID(mxid), status: database.StaffMapped, reason: where, exception: true}
	}
	if allowed := m.allowed.Load(); len(m.cfg.MembersOf) > 0 && (allowed == nil || !(*allowed)[u.ID]) {
		return mapped{status: database.StaffUnmapped, reason: inEnglish(texts.MappedNoGroup)}
	}
	if strings.EqualFold(u.UserType, "Guest") && !m.cfg.Guests {
		return mapped{status: database.StaffGuest, reason: inEnglish(texts.MappedGuest)}
	}
	if m.attribute(u) == "" {
		return mapped{status: database.StaffUnmapped, reason: inEnglish(texts.MappedNoAttribute, "attribute", m.cfg.Attribute)}
	}
	local, err := m.localpart(u)
	if err != nil {
		return mapped{status: database.StaffUnmapped, reason: err.Error()}
	}
	return mapped{mxid: id.NewUserID(local, m.domain), status: database.StaffMapped, reason: "mapping.template"}
}

// exception returns the account that somebody has by way of exception, and where
// that stands, empty where it does nowhere.
func (m *mapper) exception(key string) (mxid, where string) {
	if key == "" {
		return "", ""
	}
	if mxid, ok := m.overrides[key]; ok {
		return mxid, "mapping.overrides"
	}
	if file := m.file.Load(); file != nil {
		if mxid, ok := file.byPerson[key]; ok {
			return mxid, "mapping.overrides_file"
		}
	}
	return "", ""
}

func (m *mapper) attribute(u teams.User) string {
	if m.cfg.Attribute == attributeMail {
		return u.Mail
	}
	return u.UPN
}

func (m *mapper) localpart(u teams.User) (string, error) {
	value := strings.ToLower(m.attribute(u))
	local, domain, _ := strings.Cut(value, "@")
	var b strings.Builder
	err := m.tmpl.Execute(&b, templateData{
		Local: local, Domain: domain, UPN: strings.ToLower(u.UPN), Mail: strings.ToLower(u.Mail), ID: strings.ToLower(u.ID),
	})
	if err != nil {
		return "", err
	}
	out := strings.ToLower(strings.TrimSpace(b.String()))
	if out == "" {
		return "", errors.New(inEnglish(texts.MappedEmpty))
	}
	if err := id.ValidateUserLocalpart(out); err != nil {
		return "", fmt.Errorf("%q is not a Matrix localpart: %w", out, err)
	}
	return out, nil
}
