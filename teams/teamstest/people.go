package teamstest

import (
	"slices"
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
		ID: strings.ToLower(spec.ID), t: t, displayName: spec.DisplayName, upn: spec.UPN, mail: spec.Mail,
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
		if local, _, guest := strings.Cut(u.upn, "#EXT#"); guest {
			at := max(strings.LastIndex(local, "_"), 0)
			u.mail = local[:at] + "@" + strings.TrimPrefix(local[at:], "_")
		}
	case "-":
		u.mail = ""
	}
	t.users = append(t.users, u)
	t.usersByID[u.ID] = u
	return u
}

// localPart makes a sign-in name of a display name: "Zoë de Vries" becomes
// "zoe.de.vries".
func localPart(name string) string {
	plain := strings.NewReplacer("é", "e", "ë", "e", "è", "e", "í", "i", "ö", "o", "ø", "o", "ó", "o", "ü", "u", "ú", "u",
		"ä", "a", "á", "a", "å", "a", "ý", "y", "ñ", "n", "ç", "c", "š", "s", "ž", "z").Replace(strings.ToLower(name))
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' {
			return r
		}
		return -1
	}, plain)), ".")
}

// User returns the person with that object id or sign-in name, nil if none.
func (t *Tenant) User(key string) *User {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.user(key)
}

// Users returns everybody in the directory.
func (t *Tenant) Users() []*User {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(t.users), func(u *User) bool { return u.deleted })
}

// user finds a person by object id or sign-in name. t.mu is held.
func (t *Tenant) user(key string) *User {
	if u := t.usersByID[strings.ToLower(key)]; u != nil {
		if u.deleted {
			return nil
		}
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
func (u *User) UPN() string { return locked(u.t, func() string { return u.upn }) }

// Mail is the person's address, "" for none.
func (u *User) Mail() string { return locked(u.t, func() string { return u.mail }) }

// DisplayName is the person's name.
func (u *User) DisplayName() string { return locked(u.t, func() string { return u.displayName }) }

// Guest reports whether the person is a guest of the organisation.
func (u *User) Guest() bool { return locked(u.t, func() bool { return u.guest }) }

// Enabled reports whether the person may sign in.
func (u *User) Enabled() bool { return locked(u.t, func() bool { return u.enabled && !u.deleted }) }

// Rename gives the person another display name. Messages show it at once.
func (u *User) Rename(name string) { u.change(func() { u.displayName = name }) }

// SetUPN gives the person another sign-in name, and mail address if both were
// the same.
func (u *User) SetUPN(upn string) {
	u.change(func() {
		if u.mail == u.upn {
			u.mail = upn
		}
		u.upn = upn
	})
}

// SetEnabled lets the person sign in or not.
func (u *User) SetEnabled(enabled bool) { u.change(func() { u.enabled = enabled }) }

// Delete takes the person out of the directory and out of every team. What
// they wrote stays.
func (u *User) Delete() {
	u.t.mu.Lock()
	defer u.t.unlock()
	u.deleted = true
	for _, team := range u.t.teams {
		team.removeMember(u, nil)
	}
}

// SetPhoto gives the person a picture; nil takes it away.
func (u *User) SetPhoto(data []byte, contentType string) {
	u.change(func() { u.photo, u.photoType = slices.Clone(data), contentType })
}

func (u *User) change(alter func()) {
	u.t.mu.Lock()
	defer u.t.unlock()
	alter()
}

// locked reads something under the tenant's lock.
func locked[T any](t *Tenant, read func() T) T {
	t.mu.Lock()
	defer t.mu.Unlock()
	return read()
}
