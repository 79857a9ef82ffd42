"""One WSGI request: its answer seen as the server pulls it, each step within the request's context.

Theory of operation. Pieces are passed on as they are, at once. A mirrored request's body is read ahead; a
live one's is only counted as the application reads it. The iterable's end ends the context, its `close()`
(which the server always calls) makes the capture.

Knows PEP 3333's environ, input and iterables. Must not know how a request was decided upon.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from typing import Any, Final

from mirrorproof.body import BodySample
from mirrorproof.context import MirrorContext, entered
from mirrorproof.failsafe import failsafe
from mirrorproof.gate import Submit
from mirrorproof.head import RequestHead
from mirrorproof.observation import DRAIN_S, Asked, Observation

__all__ = ["RequestBody", "ServedWSGIRequest", "body_of"]

Environ = MutableMapping[str, Any]
_CHUNK_BYTES: Final = 65_536
_UNCOUNTED: Final = frozenset({"read1", "readinto", "readinto1", "peek", "seek"})


class RequestBody:
    """The server's `wsgi.input`, counted and digested, never read past the request's own body."""

    def __init__(self, stream: Any, length: int | None) -> None:
        self.sample = BodySample(0)
        self.complete = length == 0
        self._stream = stream
        self._length = length

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end."""
        left = size if self._length is None else min(size, self._length - self.sample.size)
        data: bytes = b"" if self.complete or left <= 0 else self._stream.read(left)
        return self.note(data, ended=not data)

    def note(self, data: bytes, *, ended: bool = False) -> bytes:
        """Count `data`, which was read from the server."""
        self.sample.feed(data)
        self.complete = self.complete or ended or self.sample.size == self._length
        return data


class _CountedInput:
    """`wsgi.input` as a live application reads it: the server's own, and what it returns is counted."""

    def __init__(self, stream: Any, observation: ServedWSGIRequest) -> None:
        self._stream = stream
        self._observation = observation

    def read(self, *size: Any) -> bytes:
        data: bytes = self._stream.read(*size)
        whole = not size or size[0] is None or size[0] < 0
        return self._count(data, whole or (not data and size[0] != 0))

    def readline(self, *size: Any) -> bytes:
        data: bytes = self._stream.readline(*size)
        return self._count(data, not data)

    def readlines(self, *hint: Any) -> list[bytes]:
        lines: list[bytes] = self._stream.readlines(*hint)
        self._count(b"".join(lines), not hint)
        return lines

    def __iter__(self) -> Iterator[bytes]:
        for line in self._stream:
            yield self._count(line, False)
        self._count(b"", True)

    def __getattr__(self, name: str) -> Any:
        if name in _UNCOUNTED:
            self._observation.uncounted = True
        return getattr(self._stream, name)

    def _count(self, data: bytes, ended: bool) -> bytes:
        observation = self._observation
        failsafe("see a body", observation.context.counters, observation.body.note, data, ended=ended)
        return data


class _ReadAhead(io.RawIOBase):
    """A mirrored request's body: what was read ahead, then the server's."""

    def __init__(self, body: RequestBody, limit: int) -> None:
        self._body = body
        self._error: Exception | None = None
        kept = bytearray()
        try:
            while len(kept) < limit and (chunk := body.read(min(_CHUNK_BYTES, limit - len(kept)))):
                kept += chunk
        except Exception as error:  # the client went away: the application hears of it where it reads
            self._error = error
        self._kept = memoryview(bytes(kept))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data: bytes | memoryview = self._kept[: len(buffer)]
        self._kept = self._kept[len(data) :]
        if not data and self._error is not None:
            raise self._error
        if not data:
            data = self._body.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def body_of(environ: Environ) -> RequestBody:
    """The request's body; none where nothing says how long it is."""
    text = str(environ.get("CONTENT_LENGTH") or "")
    length: int | None = int(text) if text.isascii() and text.isdigit() else 0
    if not text and (environ.get("wsgi.input_terminated") or "HTTP_TRANSFER_ENCODING" in environ):
        length = None
    return RequestBody(environ["wsgi.input"], length)


class ServedWSGIRequest(Observation):
    """Serves one request. `submit`, where there is one, gets its capture at the end."""

    def __init__(
        self, context: MirrorContext, head: RequestHead, environ: Environ,
        headers: Sequence[tuple[bytes, bytes]], *, path: str, submit: Submit | None,
    ) -> None:  # fmt: skip
        super().__init__(context, head, submit)
        self.environ = environ
        self.uncounted = False
        self.body = body_of(environ)
        self._asked_headers = headers
        self._path = path
        self._closed = False
        stream = environ["wsgi.input"]
        if context.mirrored:
            ahead = _ReadAhead(self.body, context.settings.max_unread_bytes)
            environ["wsgi.input"] = io.BufferedReader(ahead)
            environ["wsgi.input_terminated"] = True  # it ends where the body does
        elif submit is not None:
            environ["wsgi.input"] = _CountedInput(stream, self)

    def run(self, app: Any, start_response: Any) -> Iterable[bytes]:
        """Have the application serve it. Raises what the application raises."""
        result: Iterable[bytes]
        try:
            with entered(self.context):
                result = app(self.environ, self._starter(start_response))
        except BaseException as raised:
            self.give_up(raised)
            raise
        wrapper = self.environ.get("wsgi.file_wrapper")
        if not self.context.mirrored and isinstance(wrapper, type) and isinstance(result, wrapper):
            self._see_unseen()
            self._see_end()
            self.finish(None)
            return result  # the server sends the file itself
        return _SizedAnswer(self, result) if hasattr(result, "__len__") else _Answer(self, result)

    def _starter(self, start_response: Any) -> Callable[..., Any]:
        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:
            write = start_response(status, headers, *exc_info)
            failsafe("see a response", self.context.counters, self._see_head, status, headers)

            def seen_write(data: bytes) -> object:
                self.see(data)
                return write(data)

            return seen_write

        return start

    def _see_head(self, status: str, headers: list[tuple[str, str]]) -> None:
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        self._see_start(int(status[:3]), raw)

    def see(self, chunk: bytes) -> None:
        """The next piece of the answer."""
        failsafe("see a body", self.context.counters, self._sample.feed, chunk)

    def drain(self) -> None:
        """Read what is left of a mirrored request's body, for `DRAIN_S` seconds at most."""
        if self.context.mirrored:
            failsafe("read a body to its end", self.context.counters, self._drain)

    def _drain(self) -> None:
        until_s = time.monotonic() + DRAIN_S
        while not self.body.complete and time.monotonic() < until_s:
            self.body.read(_CHUNK_BYTES)

    def ended(self) -> None:
        """The application has no more to say."""
        if not self._complete:
            self.drain()
            self._see_end()

    def give_up(self, raised: BaseException) -> None:
        """The application raised instead of answering."""
        error = self._judge(raised)
        self.context.end()
        self.drain()
        self.finish(error)

    def stop(self, close: Callable[[], object] | None) -> None:
        """The server is done with the answer. Raises what the application's `close` raises."""
        if self._status and (self.environ["REQUEST_METHOD"] == "HEAD" or self._status in (204, 304)):
            self.ended()  # some servers do not ask for a body that they would not send
        self.context.end()  # also where the client went away
        error: str | None = None
        try:
            if close is not None:
                with entered(self.context):
                    close()
        except BaseException as raised:
            error = self._judge(raised)
            if not self._stays(raised):
                raise
        finally:
            self.drain()
            self.finish(error)

    def finish(self, error: str | None) -> None:
        """Capture, once."""
        if not self._closed:
            self._closed = True
            self.close(error)

    def asked(self) -> Asked:
        """What was asked for, when it is over."""
        environ = self.environ
        query = environ.get("QUERY_STRING", "").encode("latin-1", "replace")
        complete = self.body.complete and not self.uncounted
        return Asked(
            environ["REQUEST_METHOD"], self._path, query, self._asked_headers, self.body.sample, complete
        )


class _Answer:
    """The application's iterable, each step of it within the request's context."""

    def __init__(self, served: ServedWSGIRequest, result: Iterable[bytes]) -> None:
        self._served = served
        self._result = result
        self._pieces: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        served = self._served
        try:
            with entered(served.context):
                if self._pieces is None:
                    self._pieces = iter(self._result)
                piece = next(self._pieces)
        except StopIteration:
            served.ended()
            raise
        except BaseException as raised:
            served.give_up(raised)
            raise
        served.see(piece)
        return piece

    def close(self) -> None:
        self._served.stop(getattr(self._result, "close", None))


class _SizedAnswer(_Answer):
    """One whose number of pieces is known, which servers make a Content-Length of. It is all made by now."""

    def __init__(self, served: ServedWSGIRequest, result: Any) -> None:
        super().__init__(served, result)
        served.drain()

    def __len__(self) -> int:
        return len(self._result)  # type: ignore[arg-type]
