"""What one mirrored request has made of a server's keys: its suppressed writes, as it sees them afterwards.

Theory of operation. A `Space` holds what the request has changed, and no more: a key's new value or that it
is gone, the fields of a hash that were set or deleted, a new time to live. A command's handler sees the space
over the server through a `View`. Where it needs to know what the server has, the view interrupts it;
`answering`, a generator, yields the read to make, is sent its reply and calls the handler anew. So handlers
are plain functions that ask first and change last, nothing is locked while the network is waited for, and
clients of any kind can drive it. Each command asks the server anew: other requests go on changing it.

Pure: time arrives as a number. Must not know the client or the network.
"""

from __future__ import annotations

from mirrorproof.guards.redis.overlay.answering import answering, handled
from mirrorproof.guards.redis.overlay.space import ServerError, Space, UnknownError

__all__ = ["ServerError", "Space", "UnknownError", "answering", "handled"]
