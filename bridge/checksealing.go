package bridge

import (
	"context"
	"fmt"

	"teamsbridge/bridge/check"
	"teamsbridge/database"
)

// checkSealing says whether all that is stored opens with the keys that there are,
// and whether anything needs a previous one.
func (c *Connector) checkSealing(ctx context.Context, db *database.Database, s secrets, area *check.Area) {
	status, err := db.Sealing.Status(ctx)
	var missing []database.MissingKey
	if err == nil {
		missing, err = db.Sealing.Missing(ctx)
	}
	if err != nil {
		area.Wrong("sealing", fmt.Sprintf("what is sealed can't be looked at: %v", err), "see that the database's user may read all tables")
		return
	}
	for _, key := range missing {
		area.Wrong("missing-key", fmt.Sprintf("%d stored values are sealed with the encryption key %s, which the config lacks: %s", key.Values, key.ID, s.keyNames()), missingKeyFix(s))
	}
	previous := len(s.previousKeys) > 0
	switch {
	case previous && status.Done:
		area.Doubt("previous-key", "nothing needs encryption_key_previous any more", "remove it, and where it comes from")
	case previous:
		area.Right("previous-key", "encryption_key_previous is still needed: the running bridge seals anew what was sealed with it")
	}
	if status.Unopened > 0 && len(missing) == 0 {
		area.Doubt("unopened", fmt.Sprintf("%d stored values did not open although their key is there: they are damaged", status.Unopened),
			"the bridge asks for messages again, and accounts have to sign in; where it is more than some, restore the database from a backup")
	}
}

// missingKeyFix says what is to be done where a key is missing.
func missingKeyFix(s secrets) string {
	if s.encryptionKey == "" {
		return "put the key that was in use into encryption_key, or name its file in encryption_key_file; don't make a new one"
	}
	return "if encryption_key is not the right one, put that back before the bridge starts; if it was changed on purpose, put the one before into encryption_key_previous. " +
		"Where the key is lost, what was sealed with it stays closed: the bridge asks for messages again, and accounts have to sign in"
}
