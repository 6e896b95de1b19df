-- v7 (compatible with v5+): Since when a post is in doubt
ALTER TABLE teams_sent ADD COLUMN doubt_at BIGINT NOT NULL DEFAULT 0;
