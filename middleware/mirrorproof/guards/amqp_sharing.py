"""A channel, a connection or a consumer that others share is not a request's to end: closing it is an effect.

What a request opened itself it closes as ever, and nothing is noted. What somebody else opened, a mirrored
request only seems to close; a live one closes it, which its ledger names.

Knows who opened what. Must not know any one client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final
from weakref import WeakKeyDictionary

from mirrorproof.context import current
from mirrorproof.guards.acting import Write, perform, perform_async
from mirrorproof.guards.openers import note_opener, opened_by

__all__ = [
    "cancelling", "closing", "closing_async", "note_consumer", "note_consumer_async", "note_maker",
    "note_suppressed",
]  # fmt: skip

_CONSUMERS: Final = "_mirrorproof_consumers"
_SUPPRESSED: Final = "_mirrorproof_silent_consumers"
_inside: ContextVar[bool] = ContextVar("mirrorproof_amqp_closing", default=False)
Stub = Callable[[Any, Any, Any], Any]
"""(channel, consumer tag, callback or `None`) → what a successful cancel looks like."""


def note_maker(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """`__init__` of a channel or of a connection."""
    note_opener(instance)
    return wrapped(*args, **kwargs)


def note_consumer(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """A channel's `basic_consume` that does happen."""
    return _noted(_CONSUMERS, instance, wrapped(*args, **kwargs))


async def note_consumer_async(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """The same for a coroutine function."""
    return _noted(_CONSUMERS, instance, await wrapped(*args, **kwargs))


def note_suppressed(channel: Any, answer: Any) -> Any:
    """What stands for a consumer that the server does not know of: its cancelling is nobody's business."""
    return _noted(_SUPPRESSED, channel, answer)


def _noted(where: str, channel: Any, answer: Any) -> Any:
    context = current()
    if context is not None:
        tags = channel.__dict__.setdefault(where, WeakKeyDictionary())
        tags.setdefault(context, set()).add(getattr(answer, "consumer_tag", answer))
    return answer


def _shared(its: Any) -> bool:
    context = current()
    if context is None or not context.in_request or _inside.get() or getattr(its, "is_closed", False):
        return False
    return not opened_by(its, context)


@contextmanager
def _within() -> Iterator[None]:
    """What closing consists of is not judged again."""
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)


def closing(kind: str) -> Callable[..., Any]:
    """A wrapper (as wrapt's) of `close`; `kind` is `channel.close` or `connection.close`."""

    def wrapper(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        def run() -> Any:
            with _within():
                return wrapped(*args, **kwargs)

        if not _shared(instance):
            return run()
        return perform(_closes(kind), run, lambda: None)

    return wrapper


def closing_async(kind: str) -> Callable[..., Any]:
    """The same for a coroutine function."""

    async def wrapper(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        async def run() -> Any:
            with _within():
                return await wrapped(*args, **kwargs)

        if not _shared(instance):
            return await run()
        return await perform_async(_closes(kind), run, lambda: None)

    return wrapper


def cancelling(stub: Stub, *, asynchronous: bool = False) -> Callable[..., Any]:
    """A wrapper of a channel's `basic_cancel`. A tag that is nobody's here counts as somebody else's."""

    def wrapper(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        def run() -> Any:
            with _within():
                return wrapped(*args, **kwargs)

        context = current()
        tag = args[0] if args else kwargs.get("consumer_tag")
        if context is None or not context.in_request or _inside.get():
            return run()
        if tag in _tags(_CONSUMERS, instance):
            return run()
        # Tags are random where the application does not choose them:
        write = Write("queue.cancel", "a consumer that others share")
        callback = args[1] if len(args) > 1 else kwargs.get("callback")

        def answer() -> Any:
            return stub(instance, tag, callback)

        if tag in _tags(_SUPPRESSED, instance):
            return _awaited(answer()) if asynchronous else answer()
        return perform_async(write, run, answer) if asynchronous else perform(write, run, answer)

    return wrapper


async def _awaited(answer: Any) -> Any:
    return answer


def _tags(where: str, channel: Any) -> Any:
    """Those of the request that runs here."""
    return channel.__dict__.get(where, {}).get(current(), ())


def _closes(kind: str) -> Write:
    return Write(kind, f"a {kind.partition('.')[0]} that others share")
