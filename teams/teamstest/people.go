package teamstest

import (
	"strings"
	"time"
)

// UserSpec describes a person to add. Only the display name is needed.
type UserSpec struct {
	// ID is the directory object id, "" for one of the tenant's making.
	ID          string
	DisplayName string
	// UPN is the sign-in name, "" for one made from the display name.
	UPN string
	// Mail is the address, "" for the UPN, "-" for none.
	Mail string
	// Guest makes the person a guest of the organisation.
	Guest bool
	// Disabled people can not sign in.
	Disabled bool
	// JobTitle is shown in the directory.
	JobTitle string
}

// User is a person in the directory.
type User struct {
	// ID is the directory object id. It never changes.
	ID string

	t           *Tenant
	displayName string
	upn, mail   string
	jobTitle    string
	guest       bool
	enabled     bool
	deleted     bool
	created     time.Time
	photo       []byte
	photoType   string
}

// AddUser adds a person to the directory.
func (t *Tenant) AddUser(spec UserSpec) *User {
	t.mu.Lock()
	defer t.mu.Unlock()
	u := &User{
		ID: spec.ID, t: t, displayName: spec.DisplayName, upn: spec.UPN, mail: spec.Mail,
		jobTitle: spec.JobTitle, guest: spec.Guest, enabled: !spec.Disabled, created: t.clock.Now(),
	}
	if u.ID == "" {
		u.ID = t.ids.guid()
	}
	if u.upn == "" {
		u.upn = localPart(spec.DisplayName) + "@" + t.opts.Domain
		if u.guest {
			u.upn = localPart(spec.DisplayName) + "_partner.example#EXT#@" + t.opts.Domain
		}
	}
	switch u.mail {
	case "":
		u.mail = u.upn
		if u.guest && strings.Contains(u.upn, "#EXT#") {
			local, _, _ := strings.Cut(u.upn, "#EXT#")
			at := strings.LastIndex(local, "_")
			u.mail = local[:max(at, 0)] + "@" + local[at+1:]
		}
	case "-":
		u.mail = ""
	}
	t.users = append(t.users, u)
	t.usersByID[u.ID] = u
	return u
}

func localPart(name string) string {
	return strings.ToLower(strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}, name)), "."))
}

// user finds a person by object id or sign-in name. t.mu is held.
func (t *Tenant) user(key string) *User {
	if u := t.usersByID[strings.ToLower(key)]; u != nil && !u.deleted {
		return u
	}
	for _, u := range t.users {
		if !u.deleted && strings.EqualFold(u.upn, key) {
			return u
		}
	}
	return nil
}

// UPN is the person's sign-in name.
func (u *User) UPN() string {
	u.t.mu.Lock()
	defer u.t.mu.Unlock()
	return u.upn
}

// DisplayName is the person's name.
func (u *User) DisplayName() string {
	u.t.mu.Lock()
	defer u.t.mu.Unlock()
	return u.displayName
}
