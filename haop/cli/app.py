"""The application: global options, and the one place where errors become exits."""

import errno
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from haop import __version__
from haop.cli import (
    adopt,
    check,
    cluster,
    connect,
    demo,
    doctor,
    drill,
    guard,
    history,
    manners,
    move,
    rebuild,
    salvage,
    setup,
)
from haop.errors import HaopError

EPILOG = """Exit codes:

\b
  0  fine
  1  failed on the way
  2  refused, nothing changed (usage, bad input)
  3  degraded, difference found, objective missed
  4  no primary or two; drill not run
  5  inconclusive
  130  interrupted

\b
Examples:
  haop demo                 a real failover in a temporary folder, start to end
  haop init shop && haop -C shop up
  haop -C shop drill failover
"""

# What a disk answers when it is not haop that is wrong.
_DISK_TROUBLE = {
    errno.ENOSPC: "make room on the disk, then run the command again: it goes on from where it stopped",
    errno.EDQUOT: "make room within the quota, then run the command again: it goes on from where it stopped",
    errno.EROFS: "the file system is mounted read-only",
    errno.EACCES: "run haop as the user that the project belongs to",
    errno.EPERM: "run haop as the user that the project belongs to",
    errno.EIO: "look at the disk: dmesg",
}


class Boundary(TyperGroup):
    """Turns `HaopError` into a message and an exit code. Anything else is a bug and shows its traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except HaopError as error:
            # To the terminal's width and colours without rich: an error must show when nothing else works.
            sys.stderr.write(f"error: {error.message}\n" + (f"hint:  {error.hint}\n" if error.hint else ""))
            raise typer.Exit(error.exit_code) from None
        except OSError as error:
            if manners.has_hung_up(error):
                raise typer.Exit(130) from None
            if error.errno not in _DISK_TROUBLE:
                raise
            hint = _DISK_TROUBLE[error.errno]
            where = f" ({error.filename})" if error.filename else ""
            sys.stderr.write(f"error: {error.strerror}{where}\nhint:  {hint}\n")
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            sys.stderr.write("\ninterrupted\n")
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=Boundary,
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # its tracebacks show local variables, and with them secrets
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"haop {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Option("-C", metavar="DIR", help="Work in this folder.")] = Path(),
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no remarks; results and errors.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Each action as well: what is run, asked, awaited, how long.")
    ] = False,
    version: Annotated[  # noqa: ARG001 - its callback prints and exits
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """High-Availability Operations for PostgreSQL.

    From one database to a cluster that survives losing a node, and the proof of it.
    """
    ctx.obj = folder
    manners.tell(ctx, quiet=quiet, verbose=verbose)


for group in (setup, adopt, cluster, check, doctor, move, rebuild, history, connect, demo):
    group.register(app)
app.add_typer(drill.app, name="drill")
app.add_typer(guard.app, name="guard")
app.add_typer(salvage.app, name="salvage")


def main() -> None:
    """The entry point of the command `haop`."""
    manners.print_whatever_the_terminal_lacks()
    manners.end_like_ctrl_c()
    manners.read_no_variables_of_libpq()
    app(prog_name="haop")
