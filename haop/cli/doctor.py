"""doctor: what is wrong, why it matters, and what to do."""

from typing import TYPE_CHECKING, Annotated

import typer

from haop.cli.options import JsonOption, YesOption, folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from haop.operations.doctor.examination import Examination
    from haop.operations.doctor.fixes import Fix
    from haop.operations.doctor.treatment import Treated
    from haop.project import Project


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    ctx: typer.Context,
    fix: Annotated[
        bool, typer.Option("--fix", help="Mend what is safe to mend, then examine again. Asks before it drops a slot.")
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Examine project, machine, servers and containers; say what is wrong, why it matters, and what to do.

    It looks, and changes nothing without --fix. It works while the cluster is down: what could not be looked at is
    listed as not examined, with the reason, and never counts as passed.

    \b
    Columns:
      severity  error: clients feel it, or the next failure would hurt; warning: less than asked for; info
      code      the check's name, the same in --json
      why       the reason for the check, and where it was seen
      fix       what to do

    \b
    --fix does this and nothing else, each with a line in haop events:
      modes of .env and of secrets; lines missing in .gitignore; a stack/ that is stale and that nobody edited;
      the restart policy of a fenced container; slots that are missing; slots of no node (asks, or --yes)

    \b
    Exit codes: 0 no error, 3 errors, 4 no primary or two.

    \b
    Examples:
      haop doctor
      haop doctor --fix --yes
      haop doctor --json | jq '.checks[] | select(.outcome == "found")'
    """
    from haop.cli import doctor_report
    from haop.cli.console import OUT, print_json
    from haop.operations import lock
    from haop.operations.doctor.examination import examine
    from haop.project import load

    project = load(folder(ctx))
    if fix:  # before it looks: what another haop is about to change is not to be mended
        ctx.with_resource(lock.held(project, "doctor --fix"))
    examination = examine(project)
    examination, done = _mended(project, examination, assume=yes) if fix else (examination, ())
    if as_json:
        print_json(doctor_report.document(examination, done))
    else:
        OUT.print(doctor_report.report(examination))
    raise typer.Exit(doctor_report.exit_code(examination))


def _mended(project: "Project", found: "Examination", *, assume: bool) -> "tuple[Examination, Sequence[Treated]]":
    """Mend what may be, telling each; what is left, and what was done."""
    from haop.cli import doctor_report
    from haop.cli.console import ERR
    from haop.operations.doctor.treatment import treat

    def tell(treated: "Treated") -> None:
        ERR.print(doctor_report.treated(treated), soft_wrap=True)

    return treat(project, found, may=_allowed(assume=assume), tell=tell)


def _allowed(*, assume: bool) -> "Callable[[Fix], bool]":
    """Whether a fix may be applied: one with a question is asked for, where there is somebody to ask."""
    import sys

    def may(fix: "Fix") -> bool:
        if not fix.question or assume:
            return True
        return sys.stdin.isatty() and typer.confirm(fix.question, err=True)

    return may
