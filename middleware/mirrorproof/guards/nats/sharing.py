"""A client that live requests share is not a mirrored request's to close, nor are its subscriptions.

What a mirrored request opened itself it closes as ever.

Knows who opened what. Must not know messages.
"""

from __future__ import annotations

from typing import Any, Final
from weakref import ref

from mirrorproof.context import MirrorContext, current

__all__ = ["close", "close_subscription", "note_maker", "note_taker"]

_MAKER: Final = "_mirrorproof_maker"


def _note(its: Any) -> None:
    context = current()
    its.__dict__[_MAKER] = None if context is None else ref(context)


def _is_anothers(its: Any) -> bool:
    """Whether a mirrored request runs here that did not open it."""
    context: MirrorContext | None = current()
    if context is None or not context.mirrored or not context.in_request:
        return False
    maker = its.__dict__.get(_MAKER)
    return maker is None or maker() is not context


async def note_maker(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """`Client.connect`."""
    _note(instance)
    return await wrapped(*args, **kwargs)


def note_taker(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """`Subscription.__init__`."""
    _note(instance)
    return wrapped(*args, **kwargs)


async def close(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """`Client.close` and `drain`."""
    return None if _is_anothers(instance) else await wrapped(*args, **kwargs)


async def close_subscription(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """`Subscription.unsubscribe` and `drain`; those of JetStream stand for one of the client's."""
    own = instance
    if _MAKER not in instance.__dict__:
        own = getattr(instance, "_sub", None) or instance._conn._subs.get(instance._id) or instance
    return None if _is_anothers(own) else await wrapped(*args, **kwargs)
