-- v16: What people wrote is sealed, which older versions can't read
CREATE TABLE teams_reseal (
	column_name TEXT   NOT NULL PRIMARY KEY,
	key_id      TEXT   NOT NULL,
	position    TEXT   NOT NULL,
	done_at     BIGINT NOT NULL,
	unopened    BIGINT NOT NULL
);
