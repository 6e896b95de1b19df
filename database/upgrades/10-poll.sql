-- v10 (compatible with v5+): Polls of Matrix and the votes in them
CREATE TABLE teams_poll (
	event_id       TEXT   NOT NULL PRIMARY KEY,
	portal         TEXT   NOT NULL,
	room_id        TEXT   NOT NULL,
	sender_mxid    TEXT   NOT NULL,
	sender_user_id TEXT   NOT NULL,
	sender_name    TEXT   NOT NULL,
	content        bytea  NOT NULL,
	content_at     BIGINT NOT NULL,
	ended_at       BIGINT NOT NULL,
	dirty_at       BIGINT NOT NULL,
	last_event     TEXT   NOT NULL,
	active_at      BIGINT NOT NULL
);
CREATE INDEX teams_poll_dirty_idx ON teams_poll (dirty_at, event_id) WHERE dirty_at <> 0;

CREATE TABLE teams_poll_vote (
	event_id TEXT   NOT NULL PRIMARY KEY,
	poll_id  TEXT   NOT NULL,
	portal   TEXT   NOT NULL,
	voter    TEXT   NOT NULL,
	answers  TEXT   NOT NULL,
	voted_at BIGINT NOT NULL,
	seen_at  BIGINT NOT NULL
);
CREATE INDEX teams_poll_vote_poll_idx ON teams_poll_vote (poll_id);
