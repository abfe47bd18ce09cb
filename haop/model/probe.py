"""What a probe that got no answer got instead."""

from enum import StrEnum


class NoAnswer(StrEnum):
    """Why a probe got no answer."""

    SILENT = "no answer in time"
    REFUSED = "connection refused"
    LOST = "the connection was lost"
    ENDED = "the connection was ended by an administrator"
    STARTING = "starting up or in recovery"
    BROKEN = "an error instead of an answer"
    DENIED = "the server lives and says no"
