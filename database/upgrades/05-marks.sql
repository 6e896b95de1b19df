-- v5: Marks of queued messages
ALTER TABLE teams_outbox ADD COLUMN mark TEXT NOT NULL DEFAULT '';
CREATE INDEX teams_outbox_marked_idx ON teams_outbox (portal, id) WHERE mark <> '';
