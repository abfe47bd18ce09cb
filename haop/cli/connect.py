"""psql, dsn: how to connect."""

from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from haop.cli.options import JsonOption, node_argument, opened
from haop.errors import Refused

_PASSED_ON = "haop.passed_on"


class PassesOn(TyperCommand):
    """A command that keeps what follows `--` apart from its own arguments."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Split at the first `--`."""
        cut = args.index("--") if "--" in args else len(args)
        ctx.meta[_PASSED_ON] = args[cut + 1 :]
        return super().parse_args(ctx, args[:cut])

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """With what is passed on at the end."""
        return [*super().collect_usage_pieces(ctx), "[-- PSQL-OPTIONS]"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(cls=PassesOn)(psql)
    app.command()(dsn)


def psql(
    ctx: typer.Context,
    node: Annotated[str | None, node_argument("This node, whatever it is.", optional=True)] = None,
    primary: Annotated[bool, typer.Option("--primary", help="The primary: the default.")] = False,
    standby: Annotated[bool, typer.Option("--standby", help="The first standby that streams.")] = False,
    command: Annotated[
        list[str] | None, typer.Option("--command", "-c", metavar="SQL", help="Run this and end; repeatable.")
    ] = None,
    database: Annotated[
        str | None, typer.Option("--database", "-d", help="Another database than the application's.")
    ] = None,
) -> None:
    """Open psql as the superuser postgres, on the application's database.

    The machine's psql, else the one in the node's container. What follows -- goes to psql as it is; output, input
    and Ctrl-C are psql's own. The passwords of postgres and of the owner are at hand (\\c - OWNER).

    \b
    Exit codes: 0 fine, 1 psql ended with an error, 2 no standby streams, 4 no primary or two.

    \b
    Examples:
      haop psql
      haop psql --standby -c "SELECT pg_is_in_recovery()"
      haop psql db2 -- --csv --file report.sql
      haop psql < changes.sql
    """
    from haop.operations import psql as operation

    if sum((node is not None, primary, standby)) > 1:
        raise Refused("choose one: a node, --primary or --standby")
    cluster = opened(ctx)
    which = operation.Which.STANDBY if standby else operation.Which.PRIMARY
    chosen = cluster.require_node(node) if node else operation.choose(cluster, which)
    arguments = [f"--command={sql}" for sql in command or []] + ([f"--dbname={database}"] if database else [])
    if operation.psql(cluster, chosen, [*arguments, *ctx.meta[_PASSED_ON]]):
        raise typer.Exit(1)


def dsn(
    ctx: typer.Context,
    form: Annotated[
        Literal["libpq", "django", "sqlalchemy", "jdbc", "npgsql", "go", "env"],
        typer.Option("--format", help="For which driver; env: variables for a shell or an env_file."),
    ] = "libpq",
    read: Annotated[bool, typer.Option("--read", help="For reading: a standby where one answers.")] = False,
    origin: Annotated[
        Literal["host", "network"],
        typer.Option("--from", help="host: this machine; network: a container in the stack's network."),
    ] = "host",
    show_password: Annotated[bool, typer.Option("--show-password", help="With the password in it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print how an application connects: every node, so that it follows a failover with no proxy.

    The user is the owner of the application's database. Without --show-password, drivers take the password from
    PGPASSWORD or from the file that PGPASSFILE names (Django: from DATABASE_PASSWORD).

    \b
    Examples:
      haop dsn --format jdbc --from network
      psql "$(haop dsn)"
      (set -a; eval "$(haop dsn --read --format env --show-password)"; pg_dump > shop.sql)
    """
    from haop.cli.console import ERR, print_json
    from haop.operations import dsn as operation

    target = operation.target(opened(ctx), read=read, network=origin == "network", show_password=show_password)
    text = operation.FORMATS[form](target)
    if as_json:
        print_json({
            "schema": "haop.dsn/1", "format": form, "dsn": text, "user": target.user, "database": target.database,
            "hosts": [{"host": host.host, "port": host.port} for host in target.hosts], "read": read, "from": origin,
            "root_certificate": target.ca, "password": target.password,
        })  # fmt: skip
        return
    typer.echo(text)
    if not show_password:
        ERR.print("the password is DATABASE_PASSWORD in .env; in it: --show-password", style="dim", soft_wrap=True)
    if target.ca and origin == "network":
        ERR.print(f"[web] has {target.ca}; mount .haop/tls/ca.crt there for others", style="dim", soft_wrap=True)
