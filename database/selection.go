package database

import (
	"context"
	"time"

	"go.mau.fi/util/dbutil"
)

// Selection is an administrator's choice by command, over what the config says.
type Selection struct {
	TeamID, ChannelID string // ChannelID "" = the team
	Mirror            bool
	By                string
	At                time.Time
}

// Selections keeps the choices.
type Selections struct{ base }

// Set stores a choice; the last one counts.
func (s *Selections) Set(ctx context.Context, sel Selection) error {
	_, err := s.exec(ctx, "store selection", `
		INSERT INTO teams_selection (team_id, channel_id, mirror, chosen_by, chosen_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (team_id, channel_id) DO UPDATE SET mirror = excluded.mirror, chosen_by = excluded.chosen_by, chosen_at = excluded.chosen_at`,
		sel.TeamID, sel.ChannelID, sel.Mirror, sel.By, ms(s.orNow(sel.At)))
	return err
}

// All returns every choice.
func (s *Selections) All(ctx context.Context) ([]Selection, error) {
	return list(ctx, s.base, "list selections", scanSelection,
		`SELECT team_id, channel_id, mirror, chosen_by, chosen_at FROM teams_selection ORDER BY team_id, channel_id`)
}

// Delete takes a choice back; the config counts again.
func (s *Selections) Delete(ctx context.Context, teamID, channelID string) error {
	_, err := s.exec(ctx, "delete selection", `DELETE FROM teams_selection WHERE team_id = $1 AND channel_id = $2`, teamID, channelID)
	return err
}

func scanSelection(row dbutil.Scannable) (sel Selection, err error) {
	var at int64
	err = row.Scan(&sel.TeamID, &sel.ChannelID, &sel.Mirror, &sel.By, &at)
	sel.At = fromMS(at)
	return sel, err
}
