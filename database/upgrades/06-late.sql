-- v6 (compatible with v5+): Writes that Teams may still carry out
CREATE TABLE teams_late (
	portal     TEXT   NOT NULL,
	target     TEXT   NOT NULL,
	what       TEXT   NOT NULL,
	started_at BIGINT NOT NULL,
	newest     TEXT   NOT NULL,

	PRIMARY KEY (portal, target, what)
);
