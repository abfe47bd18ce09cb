"""psql inside a node's container, where the machine has none."""

from collections.abc import Sequence

from haop.model.spec import ClusterSpec

# The passwords lie in memory already, for the same user alone; psql wants them in a file of another shape. The shell
# outlives Ctrl-C, which is psql's, and removes the file.
_SCRIPT = r"""
umask 077
PGPASSFILE=$(mktemp /dev/shm/psql.XXXXXX) || exit 1
export PGPASSFILE
trap 'rm -f "$PGPASSFILE"' EXIT
trap : INT
trap 'exit 1' TERM HUP
{
    printf '127.0.0.1:5432:*:postgres:%s\n' "$(sed 's/[\:]/\\&/g' "$HAOP_SECRETS/superuser_password")"
    printf '127.0.0.1:5432:*:%s:%s\n' "$HAOP_OWNER" "$(sed 's/[\:]/\\&/g' "$HAOP_SECRETS/owner_password")"
} > "$PGPASSFILE"
psql "$@"
"""


def argv(
    container: str, secrets: str, spec: ClusterSpec, arguments: Sequence[str], *, terminal: bool
) -> tuple[str, ...]:
    """What runs it there as the superuser. The server is reached by loopback, under its certificate's name for that."""
    environment = {
        "HAOP_SECRETS": secrets,
        "HAOP_OWNER": spec.owner,
        "PGHOST": "127.0.0.1",
        "PGPORT": "5432",
        "PGUSER": "postgres",
        "PGDATABASE": spec.database,
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": f"{secrets}/ca.crt",
        "PGAPPNAME": "haop psql",
    }
    options = [option for name, value in environment.items() for option in ("--env", f"{name}={value}")]
    keyboard = ("--interactive", "--tty", "--env", "TERM") if terminal else ("--interactive",)
    return (
        "docker", "exec", *keyboard, *options, "--user", "postgres", container, "sh", "-c", _SCRIPT, "psql", *arguments,
    )  # fmt: skip
