"""One command, answered from what the request changed and what the server has.

Pure. Must not know the client or the network.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from mirrorproof.guards.redis.commands import Command, lock_script_of
from mirrorproof.guards.redis.overlay import hashes, keys, strings
from mirrorproof.guards.redis.overlay.handling import HANDLERS, wrong_number
from mirrorproof.guards.redis.overlay.space import Known, NeededError, ServerError, Space, UnknownError, View

__all__ = ["answering", "handled"]

_ = hashes, strings  # their handlers are in the table now

Answering = Generator[tuple[Any, ...], Any, Any]


def handled(command: Command) -> bool:
    """Whether there is a handler for the command."""
    return command.name in HANDLERS or _lock_script(command) is not None


def answering(space: Space, command: Command, now_ms: Callable[[], int]) -> Answering:
    """Yields reads to make, takes their replies, and returns the reply to `command` as RESP3 has it.

    A reply may be a `ServerError`, or an `UnknownError` where there is none. Raises `ServerError` for what
    the server would refuse, and `UnknownError` for what cannot be told.
    """
    handler = _handler(command)
    known: Known = {}
    while True:
        try:
            with space.lock:
                return handler(View(space, known, now_ms()))
        except NeededError as needed:
            reads = needed.reads
        for read in reads:
            known[read] = _wire(read[0], (yield read))


def _handler(command: Command) -> Callable[[View], Any]:
    if (script := _lock_script(command)) is not None:
        key, *argv = command.args[2:]
        return lambda view: keys.lock_script(view, script, key, tuple(argv))
    found = HANDLERS[command.name]
    if not found.admits(len(command.args)):
        raise wrong_number(command.name)
    return lambda view: found.run(view, command.args)


def _lock_script(command: Command) -> str | None:
    args = command.args
    expected = command.name == "EVALSHA" and len(args) >= 4 and args[1] == b"1"
    return lock_script_of(args[0]) if expected else None


def _wire(name: str, reply: Any) -> Any:
    """A reply in one form, whatever the protocol and the client's callbacks; else `UnknownError`."""
    if isinstance(reply, (ServerError, UnknownError)):
        return reply
    if name in ("strlen", "hlen", "pttl"):
        return reply if isinstance(reply, int) else UnknownError()
    if name == "type":
        return (
            reply.encode()
            if isinstance(reply, str)
            else reply
            if isinstance(reply, bytes)
            else UnknownError()
        )
    if name == "get":
        return reply if _is_text(reply) else UnknownError()
    if name == "hmget":
        return reply if isinstance(reply, list) and all(map(_is_text, reply)) else UnknownError()
    if isinstance(reply, list):
        reply = dict(zip(reply[::2], reply[1::2], strict=True))
    sound = isinstance(reply, dict) and all(
        isinstance(each, bytes) for pair in reply.items() for each in pair
    )
    return reply if sound else UnknownError()


def _is_text(reply: Any) -> bool:
    return reply is None or isinstance(reply, bytes)
