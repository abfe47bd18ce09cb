"""How haop behaves on a terminal: how much it tells, and how it ends."""

import codecs
import errno
import io
import logging
import os
import signal
import sys
from typing import Any

import typer

# What a terminal that lacks these shows in their place; one for one, so that tables stand.
_PLAIN = str.maketrans("·–—…→←↑↓✓✗─│├└▁▂▃▄▅▆▇█", ".--.><^v+x-||`_.:-=+*#")
_TERMINALS = tuple(stream for stream in (0, 1, 2) if os.isatty(stream))


def tell(ctx: typer.Context, *, quiet: bool, verbose: bool) -> None:
    """For the length of a command: nothing but results and errors, or each action as well."""
    if quiet:
        from haop.cli.console import ERR

        ERR.quiet = True
        ctx.call_on_close(lambda: setattr(ERR, "quiet", False))
    if verbose:
        log, handler = logging.getLogger("haop"), _ToStandardError()
        handler.setFormatter(logging.Formatter("%(asctime)s.%(msecs)03d %(message)s", "%H:%M:%S"))
        log.addHandler(handler)
        log.setLevel(logging.DEBUG)
        ctx.call_on_close(lambda: log.removeHandler(handler))
        ctx.call_on_close(lambda: log.setLevel(logging.NOTSET))


def print_whatever_the_terminal_lacks() -> None:
    """No letter ends a command: a terminal of Latin-1 gets another for it, or its number."""
    codecs.register_error("haop", _plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a service manager may have closed it: then it is None
            stream.reconfigure(errors="haop")


def read_no_variables_of_libpq() -> None:
    """Forget where the operator's other tools connect: a PGSERVICE or PGOPTIONS would say so for haop's connections."""
    for name in [name for name in os.environ if name.startswith("PG") and not name.startswith("PG_")]:
        del os.environ[name]


def end_like_ctrl_c() -> None:
    """Let SIGTERM and a closed terminal end haop as Ctrl-C does: what is open is closed, what is broken is healed."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup's wish
            signal.signal(number, _interrupt)


def _interrupt(number: int, _frame: Any) -> None:
    # Once: a shell, or systemd, sends both, and the second must not end the cleaning up.
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, _enough)
    if number == signal.SIGHUP:  # who cleans up may tell of it, though nobody reads it any more
        _write_nowhere()
    raise KeyboardInterrupt


def has_hung_up(error: OSError) -> bool:
    """Whether that is a terminal which was closed: a write may hear of it before the signal comes, which is then late.

    From then on what is written goes nowhere. A file on a disk that fails says the same, and is none.
    """
    if error.errno != errno.EIO or all(map(os.isatty, _TERMINALS)):
        return False
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, _enough)
    _write_nowhere()
    return True


def _write_nowhere() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in _TERMINALS:
        os.dup2(nowhere, stream)


def _enough(_number: int, _frame: Any) -> None:
    """It ends already. A handler, unlike SIG_IGN, is not inherited by programs that clean up."""


def _plainly(error: UnicodeError) -> tuple[str, int]:
    r"""As `codecs` asks for: what stands for letters that cannot be encoded, and where to go on.

    >>> _plainly(UnicodeEncodeError("ascii", "db1 → db2 é", 4, 5, ""))
    ('>', 5)
    >>> _plainly(UnicodeEncodeError("ascii", "db1 → db2 é", 10, 11, ""))
    ('\\xe9', 11)
    """
    assert isinstance(error, UnicodeEncodeError)
    told = error.object[error.start : error.end].translate(_PLAIN)
    return told.encode("ascii", "backslashreplace").decode("ascii"), error.end


class _ToStandardError(logging.Handler):
    """To what is standard error at that moment: rich puts itself there while it draws."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(self.format(record) + "\n")
