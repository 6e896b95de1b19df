-- v4: Digests of long backlogs
ALTER TABLE teams_outbox ADD COLUMN digest TEXT NOT NULL DEFAULT '';
CREATE TABLE teams_digest (
	id           TEXT   NOT NULL PRIMARY KEY,
	portal       TEXT   NOT NULL,
	head         TEXT   NOT NULL,
	notice       TEXT   NOT NULL,
	notice_event TEXT   NOT NULL,
	created_at   BIGINT NOT NULL,
	done_at      BIGINT NOT NULL
);
CREATE INDEX teams_digest_open_idx ON teams_digest (id) WHERE done_at = 0;

CREATE TABLE teams_digest_entry (
	event_id  TEXT    NOT NULL PRIMARY KEY,
	digest_id TEXT    NOT NULL,
	position  BIGINT  NOT NULL,
	part      BIGINT  NOT NULL,
	html      TEXT    NOT NULL,
	deleted   BOOLEAN NOT NULL,
	reactions TEXT    NOT NULL
);
CREATE UNIQUE INDEX teams_digest_entry_idx ON teams_digest_entry (digest_id, position);
