#!/bin/sh
# Runs once, when PostgreSQL's volume is made: the bridge's own account and
# database beside Synapse's.
set -eu
psql -v ON_ERROR_STOP=1 -v password="$(cat /run/secrets/postgres_password)" -U synapse -d synapse <<'SQL'
CREATE ROLE teamsbridge LOGIN PASSWORD :'password';
CREATE DATABASE teamsbridge OWNER teamsbridge ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
SQL
