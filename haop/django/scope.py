"""What one client has done and asked for: a request's state, else that of a thread or task.

A write moves the client's reads to the primary until a standby has replayed it. In a request the state begins with what
the client brought along from its earlier ones; in a management command or a task it is the thread's.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class Scope:
    """Of one client."""

    wrote: bool = False  # since `written` was found out
    written: str | None = None  # the position in the WAL that holds all its writes so far
    stale: bool = False  # a read was answered by a standby that may lack them, because there was no primary
    asks_replica: bool = False
    failure: BaseException | None = None  # an outage that another middleware made an error page of


_SCOPE: ContextVar[Scope | None] = ContextVar("haop_scope", default=None)
_ASKS: ContextVar[bool] = ContextVar("haop_asks_replica", default=False)


def scope() -> Scope:
    """The state that holds here."""
    if (found := _SCOPE.get()) is None:
        _SCOPE.set(found := Scope())
    return found


def begin(written: str | None) -> Scope:
    """A request begins; its client's earlier writes end at that position."""
    _SCOPE.set(made := Scope(written=written))
    return made


def asks_replica() -> bool:
    """Whether reads are to go to a standby."""
    return _ASKS.get() or ((found := _SCOPE.get()) is not None and found.asks_replica)


@contextmanager
def use_replica() -> Iterator[None]:
    """Reads go to the standby, once it has what this client wrote.

    with use_replica():
        rows = list(Sample.objects.filter(...))  # evaluated in here: a queryset reads when it is used

    Inside `atomic()` nothing changes: a transaction stays where it is.
    """
    token = _ASKS.set(True)
    try:
        yield
    finally:
        _ASKS.reset(token)


def reads_from_replica(view: F) -> F:
    """A view whose reads go to the standby, those of its template included. For sync and async views.

    Use Django's `method_decorator` for a class's method.
    """
    if iscoroutinefunction(view):

        @functools.wraps(view)
        async def asynchronous(*args: Any, **kwargs: Any) -> Any:
            scope().asks_replica = True
            return await view(*args, **kwargs)

        return cast("F", asynchronous)

    @functools.wraps(view)
    def synchronous(*args: Any, **kwargs: Any) -> Any:
        scope().asks_replica = True
        return view(*args, **kwargs)

    return cast("F", synchronous)
