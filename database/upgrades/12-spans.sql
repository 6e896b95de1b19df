-- v12 (compatible with v5+): When nothing could be written or read, and until when rows were held
CREATE TABLE teams_outage_span (
	outage_id BIGINT NOT NULL,
	what      TEXT   NOT NULL,
	from_at   BIGINT NOT NULL,
	to_at     BIGINT NOT NULL,

	PRIMARY KEY (outage_id, what, from_at)
);
ALTER TABLE teams_outbox ADD COLUMN held_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE teams_outage_room ADD COLUMN gap_told_at BIGINT NOT NULL DEFAULT 0;
