package portal

import (
	"context"
	"fmt"

	"maunium.net/go/mautrix/bridgev2"
)

// prepare adds the index that bridgev2 lacks for threads: without it, every
// reply, and every message whose id becomes known, reads all messages of its
// room. It is made anew where an upgrade of bridgev2 has dropped it.
func prepare(ctx context.Context, br *bridgev2.Bridge) error {
	_, err := br.DB.Exec(ctx, `CREATE INDEX IF NOT EXISTS teams_message_thread_idx ON message (bridge_id, room_id, thread_root_id)`)
	if err != nil {
		return fmt.Errorf("create index of threads: %w", err)
	}
	_, err = br.DB.Exec(ctx, `CREATE INDEX IF NOT EXISTS teams_message_reply_idx ON message (bridge_id, room_id, reply_to_id) WHERE reply_to_id IS NOT NULL`)
	if err != nil {
		return fmt.Errorf("create index of replies: %w", err)
	}
	return nil
}
