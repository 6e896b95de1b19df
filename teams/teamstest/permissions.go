package teamstest

import (
	"fmt"
	"sort"
	"strings"
)

// permission is one row of the permission table: any one of the names is
// enough. A nil list means that the kind of token is not supported at all.
type permission struct {
	delegated   []string
	application []string
	// open lets any valid token in: the handler decides.
	open bool
}

// check applies the row to a caller. Resource-specific consent reaches the
// tenant as a role too: who granted it for which team is not simulated.
func (p permission) check(c caller) *apiError {
	if p.open {
		return nil
	}
	names, have, what := p.delegated, c.Scopes, "scope"
	if c.App {
		names, have, what = p.application, c.Roles, "role"
	}
	if names == nil {
		if c.App {
			return errWrongContext("application-only")
		}
		return errWrongContext("delegated")
	}
	for _, name := range names {
		if have[name] {
			return nil
		}
	}
	held := make([]string, 0, len(have))
	for name, ok := range have {
		if ok {
			held = append(held, name)
		}
	}
	sort.Strings(held)
	title := strings.ToUpper(what[:1]) + what[1:]
	return errForbidden(fmt.Sprintf("Missing %s permissions on the request. API requires one of '%s'. %ss on the request '%s'.",
		what, strings.Join(names, ", "), title, strings.Join(held, ", ")))
}
