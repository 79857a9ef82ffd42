"""What a client starts for itself, whoever makes it do so first: threads and tasks that serve everybody.

A client that a mirrored request is the first to use would have its monitor, or its pool's workers, refused
once that request has ended. So they are started outside requests. For what runs the client's own code only.

Knows nothing of any one client.
"""

from __future__ import annotations

from typing import Any

from mirrorproof.context import detached

__all__ = ["unmarked"]


def unmarked(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A wrapper (as wrapt's): the threads and tasks that the call starts are nobody's."""
    with detached():
        return wrapped(*args, **kwargs)
