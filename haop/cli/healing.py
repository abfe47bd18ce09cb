"""What was interrupted: told, and healed first after asking."""

from typing import TYPE_CHECKING

from haop.cli.options import confirm
from haop.errors import Refused

if TYPE_CHECKING:
    from haop.operations.cluster import Cluster


def ask(cluster: "Cluster") -> None:
    """Before `up`, which heals anyway: on a terminal, ask first.

    Raises:
        Refused: the answer was no.
    """
    import sys

    from haop.operations import heal

    if (record := heal.read(cluster.project)) and sys.stdin.isatty():
        confirm(f"Interrupted: {record.told}. Heal it first?", assume=False)


def heal_first(cluster: "Cluster", *, assume: bool) -> None:
    """Before something that needs a steady cluster: heal what is open, after asking.

    Raises:
        Refused: the answer was no, or there is nobody to ask.
    """
    import sys

    from haop.operations import heal

    if not (record := heal.read(cluster.project)):
        return
    question = f"Interrupted: {record.told}. Heal it first?"
    if not assume and not sys.stdin.isatty():
        raise Refused(f"{question} There is no terminal to ask.", hint=f"{record.remedy}, or --yes to do both")
    confirm(question, assume=assume)
    run(cluster)


def run(cluster: "Cluster") -> str:
    """Heal; returns the primary's name."""
    from haop.cli.steps import Steps
    from haop.operations import heal
    from haop.operations.audit import audited
    from haop.operations.up import up

    record = heal.read(cluster.project)
    with audited(cluster.project, "drill heal", node=record.node if record else None) as outcome:
        primary = up(cluster, Steps()).status.primary
        name = primary.name if primary else "nobody"
        outcome.detail = f"{record.told if record else 'nothing'}; {name} is primary"
    return name


def remind(cluster: "Cluster") -> None:
    """Say what is open, if anything is; with -q too: nobody is to go away from a broken cluster unknowing."""
    import typer

    from haop.operations import heal

    if record := heal.read(cluster.project):
        typer.secho(f"\nopen: {record.told}; bring everything back: {record.remedy}", fg="yellow", err=True)
