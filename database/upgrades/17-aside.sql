-- v17: Changes that wait for what they would replace let others pass
ALTER TABLE teams_outbox ADD COLUMN aside_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX teams_outbox_aside_idx ON teams_outbox (portal, next_at) WHERE aside_at <> 0 AND done_at = 0;
