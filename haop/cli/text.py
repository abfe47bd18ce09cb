"""Quantities as text. This is the only place where a number loses its unit's precision."""

from datetime import datetime

_SIZES = ("B", "kB", "MB", "GB", "TB")


def size(count: int | None) -> str:
    """Bytes for people.

    >>> size(1536), size(12), size(None)
    ('1.5 kB', '12 B', '–')
    """
    if count is None:
        return "–"
    amount, unit = float(count), 0
    while amount >= 1024 and unit < len(_SIZES) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.0f} {_SIZES[unit]}" if unit == 0 else f"{amount:.1f} {_SIZES[unit]}"


def seconds(value: float | None) -> str:
    """A duration for people.

    >>> seconds(0.034), seconds(0), seconds(4.26), seconds(None)
    ('0.03 s', '0 s', '4.3 s', '–')
    """
    if value is None:
        return "–"
    if value == 0:
        return "0 s"
    return f"{value:.2f} s" if value < 1 else f"{value:.1f} s"


def elapsed(then: datetime, now: datetime) -> str:
    """How long that is, in the two largest units.

    >>> from datetime import timedelta
    >>> now = datetime(2026, 1, 1)
    >>> elapsed(now - timedelta(hours=26, minutes=5), now)
    '1 d 2 h'
    """
    left, parts = int((now - then).total_seconds()), []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        amount, left = divmod(max(left, 0), length)
        if amount:
            parts.append(f"{amount} {unit}")
    return " ".join(parts[:2]) or "0 s"


def sparkline(counts: tuple[int, ...]) -> str:
    """Counts as bars; an empty bucket is a dot, so that an outage is seen.

    >>> sparkline((0, 1, 4, 8))
    '·▁▄█'
    """
    top = max(counts, default=0)
    return "".join("·" if not count else "▁▂▃▄▅▆▇█"[max(0, round(count / top * 8) - 1)] for count in counts)
