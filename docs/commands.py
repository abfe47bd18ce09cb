"""Writes docs/commands.md from what `haop COMMAND --help` prints, so that it cannot say anything else.

Run it after a change to a command: .venv/bin/python docs/commands.py
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from haop.cli.app import app

PAGE = Path(__file__).with_name("commands.md")
WIDTH = 100

HEAD = """\
# Commands

<!-- Written by docs/commands.py. Do not edit: change the command's help, then run it again. -->

What `haop COMMAND --help` prints, for every command. Each works from any sub-folder of the project, or with `-C DIR`
before its name: `haop -C shop status`. Each that changes something leaves a line in `haop events`, asks before harm
(`--yes` does not ask), and works alone: a second haop is refused while it runs, and told who works since when.

A program should read `--json`. Its first key is `schema`, such as `haop.status/1`; the number changes when a key
changes its meaning. What is printed for people may change at any time.
"""


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


def page() -> str:
    """The whole page."""
    told = [*_told(typer.main.get_command(app), None, "haop")]
    names = "\n".join(f"- [{name}](#{name.replace(' ', '-')})" for name, _ in told)
    return "\n".join([HEAD, names, *(f"\n## {name}\n\n```text\n{text}\n```" for name, text in told)]) + "\n"


def _told(command: Any, parent: Any, name: str) -> Iterator[tuple[str, str]]:
    """Each command's full name and its help, a group's before those of its commands."""
    # The terminal of whoever runs this must not show.
    shape = {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH, "color": False}
    context = command.context_class(command, info_name=name, parent=parent, **shape)
    text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    yield context.command_path, re.sub(r"\n{3,}", "\n\n", text).strip()
    for child, below in getattr(command, "commands", {}).items():
        if not below.hidden:
            yield from _told(below, context, child)


if __name__ == "__main__":
    sys.exit(main())
