-- v8 (compatible with v5+): Files on their way to Teams
CREATE TABLE teams_upload (
	event_id   TEXT   NOT NULL,
	uri        TEXT   NOT NULL,
	portal     TEXT   NOT NULL,
	session    bytea  NOT NULL,
	item_id    TEXT   NOT NULL,
	attachment bytea  NOT NULL,
	started_at BIGINT NOT NULL,
	done_at    BIGINT NOT NULL,

	PRIMARY KEY (event_id, uri)
);
CREATE INDEX teams_upload_item_idx ON teams_upload (item_id) WHERE item_id <> '';
ALTER TABLE teams_sent ADD COLUMN attachment TEXT NOT NULL DEFAULT '';
