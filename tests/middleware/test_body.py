"""Bodies as they pass: counted, digested, kept up to a bound, never held back for long."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mirrorproof.body import BodyPump, BodySample


@given(st.lists(st.binary(max_size=50)), st.integers(0, 200))
def test_a_sample_keeps_the_first_bytes_and_digests_all(chunks: list[bytes], limit: int) -> None:
    sample, whole = BodySample(limit), b"".join(chunks)
    for chunk in chunks:
        sample.feed(chunk)
    assert sample.kept == whole[:limit]
    assert sample.size == len(whole)
    assert sample.truncated == (len(whole) > limit)
    assert sample.sha256 == hashlib.sha256(whole).hexdigest()


def test_a_sample_keeps_what_was_there_although_the_buffer_changes_later() -> None:
    sample, buffer = BodySample(10), bytearray(b"abc")
    sample.feed(buffer)  # type: ignore[arg-type]
    sample.feed(memoryview(b"def"))  # type: ignore[arg-type]
    buffer[:] = b"xyz"
    assert sample.kept == b"abcdef"


class Server:
    """A server's `receive`: gives its messages, then waits; notes how many were taken."""

    def __init__(self, *chunks: bytes, disconnects: bool = False) -> None:
        last = len(chunks) - 1
        self.messages: list[Any] = [
            {"type": "http.request", "body": chunk, "more_body": disconnects or n < last}
            for n, chunk in enumerate(chunks)
        ]
        if disconnects:
            self.messages.append({"type": "http.disconnect"})
        self.taken = 0

    async def receive(self) -> Any:
        await asyncio.sleep(0)
        if self.taken < len(self.messages):
            self.taken += 1
            return self.messages[self.taken - 1]
        return {"type": "http.disconnect"}


async def read(pump: BodyPump) -> tuple[bytes, str]:
    whole = b""
    while (message := await pump.receive())["type"] == "http.request":
        whole += message["body"]
        if not message["more_body"]:
            return whole, "complete"
    return whole, "gone"


@given(
    st.lists(st.binary(max_size=40), min_size=1, max_size=12),
    st.integers(1, 100),
    st.lists(st.integers(0, 3), max_size=12),
)
def test_whoever_reads_gets_all_of_it_or_is_told_that_the_client_left_and_it_is_always_drained(
    chunks: list[bytes], limit: int, pauses: list[int]
) -> None:
    async def scenario() -> None:
        server = Server(*chunks)
        pump = BodyPump(server.receive, limit, 0)
        whole, end, waits = b"", "", iter(pauses)
        while not end:
            for _ in range(next(waits, 0)):
                await asyncio.sleep(0)
            message = await pump.receive()
            if message["type"] == "http.disconnect":
                end = "gone"
            else:
                whole += message["body"]
                end = "" if message["more_body"] else "complete"
        await pump.drain(60)
        sent = b"".join(chunks)
        assert server.taken == len(chunks)
        assert pump.meter.sample.sha256 == hashlib.sha256(sent).hexdigest()
        assert (end == "gone") is pump.overrun
        assert sent.startswith(whole)
        assert end == "gone" or whole == sent

    asyncio.run(scenario())


async def test_a_reader_that_comes_in_time_loses_nothing_of_a_body_over_the_bound() -> None:
    server = Server(*[b"x" * 10] * 100)
    pump = BodyPump(server.receive, 25, 60)
    assert await read(pump) == (b"x" * 1000, "complete")
    assert not pump.overrun


async def test_while_the_patience_lasts_the_servers_side_is_held_back() -> None:
    server = Server(*[b"x" * 10] * 100)
    pump = BodyPump(server.receive, 25, 60)
    for _ in range(500):
        await asyncio.sleep(0)
    assert server.taken == 3, "two wait and the third is in hand"
    assert await read(pump) == (b"x" * 1000, "complete")


async def test_what_the_server_says_after_the_body_reaches_the_application() -> None:
    pump = BodyPump(Server(b"a").receive, 100, 0)
    assert await read(pump) == (b"a", "complete")
    assert (await pump.receive())["type"] == "http.disconnect"


async def test_two_readers_at_once_share_the_messages_and_neither_hangs() -> None:
    pump = BodyPump(Server(*[b"%d" % n for n in range(10)], disconnects=True).receive, 100, 0)
    one, two = await asyncio.gather(read(pump), read(pump))
    assert sorted(one[0] + two[0]) == list(b"0123456789")
    assert one[1] == two[1] == "gone"


async def test_a_reader_that_is_cancelled_loses_nothing() -> None:
    gate = asyncio.Event()
    server = Server(b"a", b"b")

    async def receive() -> Any:
        await gate.wait()
        return await server.receive()

    pump = BodyPump(receive, 100, 0)
    reading = asyncio.create_task(pump.receive())
    await asyncio.sleep(0)
    reading.cancel()
    gate.set()
    assert await read(pump) == (b"ab", "complete")
