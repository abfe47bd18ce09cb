#!/bin/sh
# Runs a statement in a server of this container, over its socket. Everything reaches it through its environment: command
# lines are seen by everybody, and by `docker events`. HAOP_SQL, HAOP_LOGIN, HAOP_DATA (the data directory).
set -eu
port=$(sed -n 4p "$HAOP_DATA/postmaster.pid" 2>/dev/null || true)
folder=$(sed -n 5p "$HAOP_DATA/postmaster.pid" 2>/dev/null || true)
PGPASSWORD=${POSTGRES_PASSWORD:-$(cat "${POSTGRES_PASSWORD_FILE:-/dev/null}" 2>/dev/null || true)}
export PGPASSWORD
printf '%s\n' "$HAOP_SQL" | psql -XAtqw -v ON_ERROR_STOP=1 -v SHOW_CONTEXT=never -h "${folder:-/var/run/postgresql}" \
    -p "${port:-5432}" -U "$HAOP_LOGIN" -d template1 -f -
