-- v2 (compatible with v1+): Events that a source change became beside the one that counts
CREATE TABLE teams_doubled (
	event_id   TEXT   NOT NULL PRIMARY KEY,
	source_key TEXT   NOT NULL,
	room_id    TEXT   NOT NULL,
	seen_at    BIGINT NOT NULL
);
