package stack

import (
	"context"
	"fmt"

	"teamsbridge/internal/pgserver"
)

// startDatabase gives the bridge a PostgreSQL database where that is asked for;
// SQLite needs nothing.
func (s *Stack) startDatabase(ctx context.Context, kind string) (err error) {
	switch kind {
	case "", "sqlite":
		return nil
	case "postgres":
	default:
		return fmt.Errorf("unknown database %q: it is sqlite or postgres", kind)
	}
	if s.postgres, err = pgserver.Start(); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	if s.Bridge.DatabaseURI, err = s.postgres.Create(ctx, "teamsbridge"); err != nil {
		return err
	}
	return s.Bridge.Configure(map[string]any{"database": map[string]any{"type": "postgres", "uri": s.Bridge.DatabaseURI}})
}
