-- v20 (compatible with v17+): A database that was restored from a copy, and what it does not know
CREATE TABLE teams_restore (
	since_at BIGINT NOT NULL PRIMARY KEY,
	until_at BIGINT NOT NULL,
	done_at  BIGINT NOT NULL
);
CREATE TABLE teams_restored (
	event_id   TEXT   NOT NULL PRIMARY KEY,
	portal     TEXT   NOT NULL,
	state      TEXT   NOT NULL,
	account_id TEXT   NOT NULL,
	noted_at   BIGINT NOT NULL
);
CREATE INDEX teams_restored_doubt_idx ON teams_restored (portal) WHERE state = 'doubt';
