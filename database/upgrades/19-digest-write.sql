-- v19 (compatible with v17+): What the posts of digests were given, and which show something older
CREATE TABLE teams_digest_write (
	digest_id TEXT   NOT NULL,
	part      BIGINT NOT NULL,
	seq       BIGINT NOT NULL,
	print     TEXT   NOT NULL,
	content   TEXT   NOT NULL,
	tried_at  BIGINT NOT NULL,

	PRIMARY KEY (digest_id, part, print, content)
);
ALTER TABLE teams_sent ADD COLUMN overtaken BIGINT NOT NULL DEFAULT 0;
CREATE INDEX teams_sent_overtaken_idx ON teams_sent (portal) WHERE overtaken <> 0;
