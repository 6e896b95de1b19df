-- v21 (compatible with v17+): Who was in which room when a drill began, and when it ended
CREATE TABLE teams_drill_look (
	outage_id  BIGINT NOT NULL,
	look       TEXT   NOT NULL,
	rooms      BIGINT NOT NULL,
	started_at BIGINT NOT NULL,
	done_at    BIGINT NOT NULL,

	PRIMARY KEY (outage_id, look)
);
CREATE TABLE teams_drill_room (
	outage_id BIGINT NOT NULL,
	portal    TEXT   NOT NULL,
	began_at  BIGINT NOT NULL,
	ended_at  BIGINT NOT NULL,
	unasked   BIGINT NOT NULL,
	written   BIGINT NOT NULL,

	PRIMARY KEY (outage_id, portal)
);
CREATE TABLE teams_drill_place (
	outage_id BIGINT NOT NULL,
	portal    TEXT   NOT NULL,
	who       TEXT   NOT NULL,
	stranger  BIGINT NOT NULL,
	name      TEXT   NOT NULL,
	began     TEXT   NOT NULL,
	ended     TEXT   NOT NULL,
	why       TEXT   NOT NULL,

	PRIMARY KEY (outage_id, portal, who)
);
