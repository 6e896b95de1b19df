-- v9 (compatible with v5+): Events that were there twice are known for a while after they were removed
ALTER TABLE teams_doubled ADD COLUMN healed_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX teams_doubled_open_idx ON teams_doubled (seen_at) WHERE healed_at = 0;
