#!/bin/sh
# The entry script of the test double of the redis image: our own, after the official image's documentation.
#
#   an option or a .conf file alone means redis-server; the server does not run as root;
#   protected mode is off unless asked for, so that other containers can connect.
set -eu

case ${1:-} in -* | *.conf) set -- redis-server "$@" ;; esac

if [ "${1:-}" = redis-server ]; then
    if [ "$(id -u)" = 0 ]; then
        find . \! -user redis -exec chown redis {} +
        exec setpriv --reuid=redis --regid=redis --clear-groups "$0" "$@"
    fi
    case ${2:-} in
        -v | --version | -h | --help) ;;
        *)
            if ! printf '%s\n' "$*" | grep -q protected-mode && ! grep -qs '^protected-mode' "${2:-/dev/null}"; then
                set -- "$@" --protected-mode no
            fi
            ;;
    esac
fi
exec "$@"
