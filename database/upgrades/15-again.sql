-- v15 (compatible with v5+): Messages that are in Matrix without something that Graph did not show yet
ALTER TABLE teams_inbox ADD COLUMN again_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX teams_inbox_again_idx ON teams_inbox (again_at) WHERE again_at <> 0;
