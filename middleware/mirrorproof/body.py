"""Request and response bodies as they pass: counted, digested, kept up to a bound, never held back.

Theory of operation. Envoy streams a mirrored body to v2 while it streams it to v1, and when v2 does not
read, v1's upload stalls (20 MiB blocked at about 12 MiB). So for a mirrored request a `BodyPump` reads
the server's side at its own pace, whatever the application does: into a bounded buffer, and where the
application does not take it from there within its patience, into nothing. The application is then told
that its client went away, which is what it would have seen from a live client that gave up.

Knows ASGI's http messages. Must not know what a body is compared with.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from typing import Final

from mirrorproof.asgi_types import Message, Receive

__all__ = ["BodyMeter", "BodyPump", "BodySample", "on_asyncio"]

_DISCONNECT: Final = "http.disconnect"
_EMPTY_SHA256: Final = hashlib.sha256().hexdigest()


def on_asyncio() -> bool:
    """Whether an asyncio loop runs here. On trio there is no pump: the application sets the pace."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class BodySample:
    """A body's first `limit` bytes, its whole length in bytes, and its SHA-256."""

    __slots__ = ("_chunks", "_digest", "_kept", "_limit", "size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._chunks: list[bytes] = []
        self._kept = 0
        self._digest: hashlib._Hash | None = None
        self.size = 0

    def feed(self, chunk: bytes) -> None:
        """The next piece. Any bytes-like object; it is copied only where it is cut."""
        size = len(chunk)
        if not size:
            return
        self.size += size
        if self._digest is None:
            self._digest = hashlib.sha256(chunk)
        else:
            self._digest.update(chunk)
        room = self._limit - self._kept
        if room > 0:
            kept = bytes(chunk) if size <= room else bytes(chunk[:room])
            self._chunks.append(kept)
            self._kept += len(kept)

    @property
    def truncated(self) -> bool:
        """Whether the body is longer than what was kept."""
        return self.size > self._kept

    @property
    def kept(self) -> bytes:
        """What was kept."""
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    @property
    def sha256(self) -> str:
        """Hex digest of the whole body."""
        return _EMPTY_SHA256 if self._digest is None else self._digest.hexdigest()


class BodyMeter:
    """The request's body as a live application reads it: `receive` passes the server's messages on."""

    __slots__ = ("_receive", "complete", "sample")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.sample = BodySample(0)
        self.complete = False

    async def receive(self) -> Message:
        """The server's next message."""
        message = await self._receive()
        self.note(message)
        return message

    def note(self, message: Message) -> None:
        """Count and digest one message."""
        if message["type"] == "http.request":
            self.sample.feed(message.get("body", b""))
            self.complete = not message.get("more_body", False)


class BodyPump:
    """Reads a mirrored request's body as fast as it comes. `overrun` says that some of it was thrown away.

    `limit` bytes wait for the application; once that is full it has `patience_s` seconds in all to catch up.
    """

    def __init__(self, receive: Receive, limit: int, patience_s: float) -> None:
        self.meter = BodyMeter(receive)
        self.overrun = False
        self._limit = limit
        self._patience_s = patience_s
        self._waiting: deque[Message] = deque()
        self._held = 0
        self._changed = asyncio.Event()
        self._error: BaseException | None = None
        self._task = asyncio.create_task(self._run())

    async def receive(self) -> Message:
        """What the application sees: the body in order, then whatever the server says next."""
        while not self._waiting:
            if self._error is not None:
                raise self._error
            if self.overrun:
                return {"type": _DISCONNECT}
            if self._task.done():
                return await self.meter.receive()
            await self._wait_for_change()
        message = self._waiting.popleft()
        self._held -= len(message.get("body", b""))
        self._changed.set()
        return message

    async def drain(self, within_s: float) -> None:
        """Wait until the whole body has been read from the server, for `within_s` seconds at most."""
        await asyncio.wait({self._task}, timeout=within_s)

    def stop(self) -> None:
        """The request is over: stop reading."""
        self._task.cancel()

    async def _run(self) -> None:
        try:
            while not self.meter.complete:
                message = await self.meter.receive()
                await self._take(message)
                if message["type"] == _DISCONNECT:
                    return
        except Exception as error:
            self._error = error
        finally:
            self._changed.set()

    async def _take(self, message: Message) -> None:
        size = len(message.get("body", b""))
        if not self.overrun and self._held + size > self._limit:
            self.overrun = not await self._room_for(size)
        if not self.overrun:
            self._waiting.append(message)
            self._held += size
        self._changed.set()

    async def _room_for(self, size: int) -> bool:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        while self._held and self._held + size > self._limit:
            left_s = self._patience_s - (loop.time() - started_s)
            if left_s <= 0:
                break
            try:
                async with asyncio.timeout(left_s):
                    await self._wait_for_change()
            except TimeoutError:
                break
        self._patience_s = max(0.0, self._patience_s - (loop.time() - started_s))
        return not self._held or self._held + size <= self._limit

    async def _wait_for_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
