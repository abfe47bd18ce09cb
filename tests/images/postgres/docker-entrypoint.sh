#!/bin/bash
# The entry script of the test double of the postgres image: our own, after the official image's documentation.
#
#   POSTGRES_PASSWORD, _USER, _DB, _INITDB_ARGS, or a file's content through the same name with _FILE;
#   POSTGRES_HOST_AUTH_METHOD for other hosts (default scram-sha-256; trust needs no password);
#   /docker-entrypoint-initdb.d/*.{sh,sql,sql.gz}, in order of name, once, on an empty data directory.
#
# Not kept: POSTGRES_INITDB_WALDIR, .sql.xz and .sql.zst, a --user that has no entry in /etc/passwd.
set -Eeuo pipefail

main() {
    [[ ${1:-} == -* ]] && set -- postgres "$@"
    if [[ ${1:-} == postgres ]] && ! asks_only "$@"; then
        if ((EUID == 0)); then
            own_folders
            exec gosu postgres "$0" "$@"
        fi
        [[ -s $PGDATA/PG_VERSION ]] || initialise "$@"
    fi
    exec "$@"
}

asks_only() {
    local argument
    for argument in "$@"; do
        case $argument in -\? | --help | -V | --version | -C | --describe-config) return 0 ;; esac
    done
    return 1
}

own_folders() {
    mkdir -p "$PGDATA"
    chmod 700 "$PGDATA"
    find "$PGDATA" \! -user postgres -exec chown postgres {} +
    find /var/run/postgresql \! -user postgres -exec chown postgres {} +
}

initialise() {
    local user password database initdb_args method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
    password=$(setting POSTGRES_PASSWORD '')
    user=$(setting POSTGRES_USER postgres)
    database=$(setting POSTGRES_DB "$user")
    initdb_args=$(setting POSTGRES_INITDB_ARGS '')
    if [[ -z $password && $method != trust ]]; then
        fail 'the data directory is empty and there is no password: set POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE'
    fi

    # The arguments are a line of shell words, quotes and all.
    local -a extra=()
    eval "extra=($initdb_args)"
    if [[ -n $password ]]; then
        initdb --username="$user" --pwfile=<(printf '%s\n' "$password") "${extra[@]}"
    else
        initdb --username="$user" "${extra[@]}"
    fi
    printf '\nhost all all all %s\n' "$method" >> "$PGDATA/pg_hba.conf"

    # The temporary server has the real one's options, and a socket only: nobody outside sees a half-made database.
    local server port=${PGPORT:-5432}
    "$@" -c listen_addresses= -p "$port" &
    server=$!
    wait_for "$server" "$user" "$port"
    if [[ $database != postgres ]]; then
        sql postgres --set=name="$database" <<< 'CREATE DATABASE :"name"'
    fi
    local file
    for file in /docker-entrypoint-initdb.d/*; do run_file "$file"; done
    kill -INT "$server"
    wait "$server"
    echo 'docker-entrypoint: the data directory is ready'
}

# setting NAME DEFAULT: the variable NAME, or the content of the file that NAME_FILE names.
setting() {
    local name=$1 file_name=${1}_FILE
    if [[ -n ${!name:-} && -n ${!file_name:-} ]]; then
        fail "both $name and $file_name are set"
    elif [[ -n ${!file_name:-} ]]; then
        cat "${!file_name}"
    else
        printf '%s' "${!name:-$2}"
    fi
}

wait_for() {
    local -i tries=600
    until pg_isready --quiet --username="$2" --dbname=postgres --port="$3"; do
        kill -0 "$1" || fail 'the temporary server did not start'
        ((tries-- > 0)) || fail 'the temporary server did not answer within 60 s'
        sleep 0.1
    done
}

# In a function so that a sourced script may use it, and the names it would look for are there.
run_file() {
    export POSTGRES_USER=$user POSTGRES_DB=$database POSTGRES_PASSWORD=$password
    case $1 in
        *.sh)
            echo "docker-entrypoint: $1"
            # shellcheck disable=SC1090 # documented: a script that is not executable is sourced
            if [[ -x $1 ]]; then "$1"; else . "$1"; fi
            ;;
        *.sql) echo "docker-entrypoint: $1" && sql "$database" < "$1" ;;
        *.sql.gz) echo "docker-entrypoint: $1" && gunzip -c "$1" | sql "$database" ;;
    esac
}

sql() {
    local database=$1
    shift
    psql --set=ON_ERROR_STOP=1 --no-psqlrc --no-password --username="$user" --port="$port" --dbname="$database" "$@"
}

fail() {
    echo "docker-entrypoint: $1" >&2
    exit 1
}

main "$@"
