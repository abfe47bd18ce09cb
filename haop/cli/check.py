"""check: proves replication now."""

from typing import TYPE_CHECKING, Annotated

import typer

from haop.cli.options import JsonOption, opened
from haop.errors import HaopError

if TYPE_CHECKING:
    from haop.model.checking import Checked
    from haop.model.spec import ClusterSpec


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(check)


def _url(value: str | None) -> str | None:
    from haop.model.pages import usable

    if value is not None and not usable(value, path=True):
        raise typer.BadParameter(f"expected a URL such as http://127.0.0.1:8000/api/health/, not {value!r}")
    return value


def check(
    ctx: typer.Context,
    contents: Annotated[
        bool, typer.Option("--contents", help="Compare all contents too, by checksum: reads every table on every node.")
    ] = False,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", callback=_url, help="An application's health endpoint, held against the cluster."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Prove now that every standby has what the primary has, and that nobody gets in who should not.

    Each table is compared as it was at one position in the WAL: its writers wait for as long as it takes the standbys
    to replay that, a second at most, and the reading goes on after it. What cannot be compared is named.

    \b
    Checks:
      replay            a token written on the primary is replayed by every standby, and the time that took
      read-only         every standby refuses a write (SQLSTATE 25006)
      replication-role  the role that standbys connect as can do nothing else
      tls               on every node and every stream, where the build has it
      pg_hba            each line asks for scram-sha-256 or rejects, on every node
      rows, contents    every table of every database: as many rows on all nodes; with --contents, the same
      others            what haop status finds beside: no archiving, an application that cannot connect or write
      application       with --url: what it says of its databases is so, and it writes to the primary

    \b
    Outcomes: ok, different, not compared (it could not be found out), skipped (nothing to compare, as it should be)
    Exit codes: 0 nothing differs, 3 a difference, 4 no primary or two, 5 something could not be compared.

    \b
    Examples:
      haop check
      haop check --url http://127.0.0.1:8000/api/health/
      haop check --contents --json | jq '.checks[] | select(.outcome != "ok")'
    """
    from haop.cli import check_table, console
    from haop.cli.steps import Steps
    from haop.operations.check import check as operation
    from haop.operations.status import observe

    cluster = opened(ctx)
    try:
        _show(cluster.project.spec, operation(cluster, Steps(), contents=contents, url=url), as_json=as_json)
    except HaopError:
        if as_json:
            console.print_json(check_table.unproved_document(cluster.project.spec, observe(cluster)))
        raise


def _show(spec: "ClusterSpec", checked: "Checked", *, as_json: bool) -> None:
    """Print what was found; exit as it is."""
    from haop.cli import check_table, console
    from haop.model.checking import Outcome

    if as_json:
        console.print_json(check_table.check_document(spec, checked))
    else:
        console.OUT.print(check_table.check(spec, checked))
    if code := {Outcome.DIFFERENT: 3, Outcome.NOT_COMPARED: 5}.get(checked.outcome):
        raise typer.Exit(code)
