package bridge

import (
	"context"
	"fmt"

	"teamsbridge/bridge/check"
	"teamsbridge/database"
)

// checkSealing says whether anything needs a previous encryption key, and whether
// there is anything that no key opens.
func (c *Connector) checkSealing(ctx context.Context, db *database.Database, s secrets, area *check.Area) {
	status, err := db.Sealing.Status(ctx)
	if err != nil {
		area.Wrong("sealing", fmt.Sprintf("what is sealed can't be looked at: %v", err), "see that the database's user may read all tables")
		return
	}
	previous := len(s.previousKeys) > 0
	switch {
	case previous && status.Done:
		area.Doubt("previous-key", "nothing needs encryption_key_previous any more", "remove it, and where it comes from")
	case previous:
		area.Right("previous-key", "encryption_key_previous is still needed: the running bridge seals anew what was sealed with it")
	}
	if status.Unopened > 0 {
		area.Doubt("unopened", fmt.Sprintf("none of the encryption keys opened %d stored values", status.Unopened),
			"if there is a key that was in use before, put it into encryption_key_previous; without it the bridge asks for messages again, and accounts have to sign in")
	}
}
