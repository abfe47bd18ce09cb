"""What the fence marker beside a node's data says, and what may replace it. Pure."""

from collections.abc import Callable

from haop.errors import HaopError

FENCED, REJOIN, REINSTATE, REWINDING, REBUILD = "fenced", "rejoin", "reinstate", "rewinding", "rebuild"
STRANDED = "stranded"  # fenced, and whole; but only a clone in its place can follow the primary


def is_rebuild(word: str) -> bool:
    """Whether the data are to be replaced by a clone.

    >>> is_rebuild("rebuild"), is_rebuild("rebuild fenced"), is_rebuild("fenced")
    (True, True, False)
    """
    return word.split(" ", maxsplit=1)[0] == REBUILD


def keeps_back(word: str) -> bool:
    """Whether a node with that marker may not start as the primary; also where nobody can tell what it says."""
    return word != REINSTATE


def is_on_its_way(word: str) -> bool:
    """Whether a node that runs with it is about to become a standby, and nothing may end it."""
    return word in {REJOIN, REWINDING} or is_rebuild(word)


def needs_rebuild(word: str) -> bool:
    """Whether nothing less than a rebuild makes it a standby.

    >>> needs_rebuild("rewinding"), needs_rebuild("stranded"), needs_rebuild("fenced"), needs_rebuild("rebuild")
    (True, True, False, False)
    """
    return word in {REWINDING, STRANDED}


def closes(word: str, works: Callable[[], bool]) -> bool:
    """Whether nothing may serve the data: they are sealed, and what serves them all the same is ended.

    Args:
        word: what the marker says.
        works: whether the node script runs, or what it became: it may be about to rewind them. Asked where that counts.

    >>> closes("fenced", lambda: True), closes("rewinding", lambda: True), closes("rewinding", lambda: False)
    (True, False, True)
    """
    return word == FENCED or (needs_rebuild(word) and not works())


def fenced(word: str) -> str:
    """What a fence makes of it: an interrupted rewind, and what a rebuild gives back, are not forgotten.

    >>> fenced(""), fenced("rejoin"), fenced("rewinding"), fenced("rebuild rewinding")
    ('fenced', 'fenced', 'rewinding', 'rebuild rewinding')
    """
    return word if needs_rebuild(word) or is_rebuild(word) else FENCED


def readmitted(name: str, word: str, *, rebuild: bool = False) -> str:
    """What lets a node start again, but only as a follower.

    >>> readmitted("db1", "fenced"), readmitted("db1", "fenced", rebuild=True), readmitted("db1", "", rebuild=True)
    ('rejoin', 'rebuild fenced', 'rebuild')

    Raises:
        HaopError: only a rebuild makes it a follower.
    """
    if is_rebuild(word):
        return word
    if rebuild:
        return f"{REBUILD} {word}".strip()
    _require_whole(name, word)
    if word == STRANDED:
        raise HaopError(
            f"{name} cannot become a standby with the data that it has: it can neither follow nor be rewound",
            hint=f"clone it again: haop rebuild {name}",
        )
    return REJOIN


def reinstated(name: str, word: str) -> str:
    """What lets a fenced node start again as what it was.

    >>> reinstated("db1", "fenced")
    'reinstate'

    Raises:
        HaopError: a rewind was interrupted, and left data that only a rebuild replaces.
    """
    _require_whole(name, before_rebuild(word))
    return REINSTATE


def _require_whole(name: str, word: str) -> None:
    if word == REWINDING:
        raise HaopError(
            f"{name} cannot start: an interrupted pg_rewind left its data unusable",
            hint=f"clone it again: haop rebuild {name}",
        )


def before_rebuild(word: str) -> str:
    """What a rebuild that came to nothing gives back; "" where there was no marker.

    >>> before_rebuild("rebuild rewinding"), before_rebuild("rebuild"), before_rebuild("fenced")
    ('rewinding', '', 'fenced')
    """
    return word.removeprefix(REBUILD).strip() if is_rebuild(word) else word
