"""salvage: the WAL that a node alone had, and that a rewind or a rebuild discarded."""

from typing import TYPE_CHECKING, Annotated

import typer

from haop.cli.options import JsonOption, YesOption, confirm, folder, opened

if TYPE_CHECKING:
    from haop.operations.salvages import Kept

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="List and remove the WAL that a rewind or a rebuild discarded, kept in .haop/salvage/.",
    epilog="\b\nExamples:\n  haop salvage list\n  haop salvage remove --older 90d\n",
)


@app.command("list")
def list_kept(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """What is kept: whose WAL, from where to where, how much, since when. The oldest first.

    Acknowledged writes may be in it that no node has any more, so haop never removes any of it by itself. meta.json in
    each folder says how to read it. Over 1 GB in all, haop doctor tells.

    \b
    Examples:
      haop salvage list
      haop salvage list --json | jq '.kept[] | select(.node == "db1").name'
    """
    from dataclasses import asdict

    from haop import project
    from haop.cli import console
    from haop.cli.text import size
    from haop.operations import salvages

    found = project.load(folder(ctx))
    kept, total = salvages.listed(found), salvages.size(found)
    if as_json:
        console.print_json({
            "schema": "haop.salvage/1", "bytes": total, "limit_bytes": salvages.LIMIT,
            "kept": [{**asdict(each), "kept_at": each.kept_at.isoformat()} for each in kept],
        })  # fmt: skip
        return
    for each in kept:
        console.OUT.print(_told(each), soft_wrap=True, markup=False)
    console.OUT.print(f"{len(kept)} folder{'' if len(kept) == 1 else 's'}, {size(total)} in .haop/salvage")


@app.command()
def remove(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="As haop salvage list has it.")] = None,
    older: Annotated[str | None, typer.Option(metavar="90d", help="All that was kept longer ago: 12h, 90d.")] = None,
    yes: YesOption = False,
) -> None:
    """Remove some of it, for good. Asks.

    \b
    Exit codes: 0 removed, 2 refused (no such name; not confirmed).

    \b
    Examples:
      haop salvage remove db1-1-0_3000148-0_3012A60-20261124T081500Z
      haop salvage remove --older 90d --yes
    """
    from haop.cli.console import OUT
    from haop.cli.text import size
    from haop.errors import Refused
    from haop.operations import salvages

    project = opened(ctx, changing="salvage remove", guarded=True).project
    if bool(names) == bool(older):
        raise Refused("say which: names, or --older", hint="haop salvage list")
    kept = salvages.chosen(project, names) if names else _older(salvages.listed(project), older or "")
    if kept:
        told = "".join(f"\n{_told(each)}" for each in kept)
        confirm(f"Remove for good:{told}\nGo on?", assume=yes)
        salvages.remove(project, kept)
    OUT.print(f"removed {len(kept)}, {size(sum(each.bytes for each in kept))}; {size(salvages.size(project))} are left")


def _older(kept: "tuple[Kept, ...]", text: str) -> "tuple[Kept, ...]":
    from datetime import UTC, datetime, timedelta

    from haop.errors import Refused
    from haop.model.table import parse_duration

    days = text.removesuffix("d")
    try:
        seconds = int(days) * 86400.0 if days != text and days.isdecimal() else parse_duration(text)
        before = datetime.now(UTC) - timedelta(seconds=seconds)
    except (ValueError, OverflowError) as error:
        raise Refused(f"--older: expected 12h or 90d, not {text!r}") from error
    return tuple(each for each in kept if each.kept_at < before)


def _told(each: "Kept") -> str:
    from datetime import UTC, datetime

    from haop.cli.text import elapsed, size

    whose = "it does not tell whose WAL it is (no meta.json that can be read)"
    if each.node:
        whose = f"only {each.node} had it: {each.from_lsn} to {each.to_lsn} of timeline {each.timeline}"
    return f"{each.name}\n  {whose}\n  {size(each.bytes)}, kept {elapsed(each.kept_at, datetime.now(UTC))} ago"
