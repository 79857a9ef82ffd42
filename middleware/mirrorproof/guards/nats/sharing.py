"""A client that live requests share is not a mirrored request's to close, nor are its subscriptions.

What a mirrored request opened itself it closes as ever.

Knows who opened what. Must not know messages.
"""

from __future__ import annotations

from typing import Any

from mirrorproof.context import current
from mirrorproof.guards.openers import is_noted, note_opener, opened_by

__all__ = ["close", "close_subscription", "note_maker", "note_taker"]


def _is_anothers(its: Any) -> bool:
    """Whether a mirrored request runs here that did not open it."""
    context = current()
    return context is not None and context.mirrored and context.in_request and not opened_by(its, context)


async def note_maker(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """`Client.connect`."""
    note_opener(instance)
    return await wrapped(*args, **kwargs)


def note_taker(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """`Subscription.__init__`."""
    note_opener(instance)
    return wrapped(*args, **kwargs)


async def close(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """`Client.close` and `drain`."""
    return None if _is_anothers(instance) else await wrapped(*args, **kwargs)


async def close_subscription(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """`Subscription.unsubscribe` and `drain`; those of JetStream stand for one of the client's."""
    own = instance
    if not is_noted(instance):
        own = getattr(instance, "_sub", None) or instance._conn._subs.get(instance._id) or instance
    return None if _is_anothers(own) else await wrapped(*args, **kwargs)
