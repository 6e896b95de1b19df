-- v14 (compatible with v5+): What an outage kept that went on, or whose queue was not empty, when spans came to be
INSERT INTO teams_outage_span (outage_id, what, from_at, to_at)
SELECT id, 'write', began_at, ended_at FROM teams_outage
WHERE kind <> 'drill' AND drained_at = 0 AND NOT EXISTS (SELECT 1 FROM teams_outage_span WHERE outage_id = teams_outage.id);
