-- v18 (compatible with v17+): The edits of a message are found among those that are done
CREATE INDEX teams_outbox_edits_idx ON teams_outbox (target_event_id) WHERE kind = 'edit';
