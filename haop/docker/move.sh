#!/bin/sh
# Takes a data directory over: renames within one volume, nothing is copied. Run again, it goes on from where it was.
# PG_VERSION goes first: without it no server starts there, and the image's own entry makes no new database in a folder
# that is not empty. BEFORE and AFTER are relative to /volume, BEFORE "." for its root; NOTE is what stays there.
set -eu
cd /volume
moving=$AFTER.adopting
mkdir -p "$(dirname "$AFTER")"
if [ ! -s "$AFTER/PG_VERSION" ]; then
    if [ -s "$BEFORE/PG_VERSION" ]; then
        state=$(LC_ALL=C pg_controldata -D "$BEFORE" | sed -n 's/^Database cluster state: *//p')
        if [ "$state" != 'shut down' ] || [ -e "$BEFORE/postmaster.pid" ]; then
            echo "it was not shut down cleanly (its state: ${state:-unknown})"
            exit 3
        fi
    elif [ ! -s "$moving/PG_VERSION" ]; then
        echo "there is no data directory in $BEFORE"
        exit 4
    fi
    if [ "$BEFORE" = . ]; then
        mkdir -p "$moving"
        chmod 700 "$moving"
        for entry in PG_VERSION * .[!.]*; do
            case $entry in "${AFTER%%/*}" | "${AFTER%%/*}".* | lost+found) continue ;; esac
            if [ -e "$entry" ]; then mv "$entry" "$moving/"; fi
        done
    elif [ ! -e "$moving" ]; then
        mv "$BEFORE" "$moving"
    fi
    if [ ! -e "$AFTER.adopted.conf" ]; then
        cp -p "$moving/postgresql.auto.conf" "$AFTER.adopted.conf.new"
        sync
        mv "$AFTER.adopted.conf.new" "$AFTER.adopted.conf"
    fi
    : >"$moving/postgresql.auto.conf"
    chown --reference="$moving/PG_VERSION" "$moving" 2>/dev/null || chown postgres:postgres "$moving"
    mv "$moving" "$AFTER"
fi
if [ "$BEFORE" != . ]; then mkdir -p "$BEFORE"; fi
printf '%s\n' "The data that lay here belong to the haop cluster $CLUSTER, in $AFTER of this volume." >"$BEFORE/$NOTE"
sync
