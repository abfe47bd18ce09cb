"""Progress: whole numbers on any terminal, and a line now and then where there is none."""

import io
import time

import pytest
from rich.console import Console

from haop.cli.steps import Steps
from haop.waiting import wait_until

TITLE = "rebuild db2: stop it, clone the primary, follow"


def test_on_a_narrow_terminal_no_number_is_cut() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, force_interactive=True, width=40, color_system=None)
    with Steps(console).step(TITLE) as tell:
        tell("363 MB of about 1714 MB")
        wait_until(lambda: "about" in out.getvalue(), deadline=30, waiting_for="the detail to be shown")
    assert "363 MB of about 1714 MB" in " ".join(out.getvalue().split())


def test_without_a_terminal_a_line_now_and_then_says_how_far_it_is() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=False, width=40)
    with Steps(console, every=0.05).step(TITLE) as tell:
        wait_until(lambda: out.getvalue().count("\n") > 1, deadline=30, waiting_for="two lines")
        tell("363 MB of about 1714 MB")
        wait_until(lambda: "1714" in out.getvalue(), deadline=30, waiting_for="how far it is")
    lines = out.getvalue().splitlines()
    assert all(line.startswith(f"... {TITLE}  ") for line in lines[:-1]), lines
    assert lines[-2].endswith("  363 MB of about 1714 MB")
    assert lines[-1].startswith(f"ok {TITLE}  ")


def test_a_step_that_fails_leaves_no_reminder_behind() -> None:
    out = io.StringIO()
    with pytest.raises(ZeroDivisionError), Steps(Console(file=out, width=40), every=0.01).step("divide"):
        _ = 1 // 0
    told = out.getvalue()
    assert told.splitlines()[-1].startswith("failed divide  ")
    time.sleep(0.05)
    assert out.getvalue() == told
