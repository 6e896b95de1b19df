-- v11 (compatible with v5+): What a post was given
ALTER TABLE teams_sent ADD COLUMN content_hash TEXT NOT NULL DEFAULT '';
