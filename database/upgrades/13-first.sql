-- v13 (compatible with v5+): When a message came first, whatever came of it since
ALTER TABLE teams_inbox ADD COLUMN first_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE teams_inbox ADD COLUMN shown_at BIGINT NOT NULL DEFAULT 0;
