"""What can go wrong, and how the command line says it.

    HaopError                exit 1: failed on the way
    ├── Refused              exit 2: nothing was changed
    │   └── BadConfiguration         a file, the key in it, and what was expected
    ├── CommandFailed        exit 1: an external program, with its last words
    ├── DeadlineExceeded     exit 1: what was waited for, and for how long
    ├── Degraded             exit 3: it works, but not as asked for
    └── NoPrimary            exit 4: no primary, or two; a drill that was not run

The message says what happened, the hint what to do next. Anything else that is raised is a bug in haop and shows its
traceback. Exit 5 is a verdict, not an error: what was to be measured or compared could not be. `ConnectionFailed` is an
answer, not an exit: observation turns it into `Unreachable`.
"""


class HaopError(Exception):
    """Something that an operator can act on."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class Refused(HaopError):
    """The request was not begun; nothing was changed."""

    exit_code = 2


class BadConfiguration(Refused):
    """A file of the project says something that cannot be used."""


class CommandFailed(HaopError):
    """An external program ended with an error; the message carries its last words."""


class DeadlineExceeded(HaopError):
    """Something awaited did not happen in time."""


class ConnectionFailed(HaopError):
    """A server did not answer, or refused; the message says why in one line."""


class Degraded(HaopError):
    """It works, but something is not as it was asked for."""

    exit_code = 3


class NoPrimary(HaopError):
    """The cluster has no primary, or more than one, or is not steady enough for a drill."""

    exit_code = 4
