"""What a mirrored request has made of Redis's keys, without a server: the test replies in its place."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mirrorproof.guards.redis.commands import parse
from mirrorproof.guards.redis.overlay import ServerError, Space, UnknownError, answering
from mirrorproof.guards.redis.overlay.numbers import added
from mirrorproof.guards.redis.overlay.space import SERVER, View

SERVED: dict[tuple[Any, ...], Any] = {
    ("get", b"stock"): b"10",
    ("pttl", b"stock"): 5_000,
    ("type", b"stock"): b"string",
    ("hmget", b"basket", b"a", b"b"): [b"1", None],
    ("hgetall", b"basket"): [b"a", b"1", b"z", b"9"],
}


def says(space: Space, line: str, served: dict[tuple[Any, ...], Any] = SERVED, now_ms: int = 0) -> Any:
    """The reply, and what was asked for it."""
    steps = answering(space, parse(tuple(line.split()), str.encode), lambda: now_ms)
    asked: list[tuple[Any, ...]] = []
    try:
        asked.append(next(steps))
        while True:
            asked.append(steps.send(served[asked[-1]]))
    except StopIteration as done:
        return done.value, asked


def test_it_asks_for_what_a_command_needs_and_no_more() -> None:
    assert says(Space(), "SET stock 1") == (b"OK", [])
    assert says(Space(), "INCR stock") == (11, [("get", b"stock")])
    assert says(Space(), "EXPIRE stock 9") == (1, [("type", b"stock")])
    assert says(Space(), "HSET basket a 2 b 3") == (1, [("hmget", b"basket", b"a", b"b")])


def test_what_was_changed_is_not_asked_for_again() -> None:
    space = Space()
    says(space, "INCR stock")
    assert says(space, "INCR stock") == (12, [])
    assert says(space, "TTL stock") == (5, [("pttl", b"stock")])
    says(space, "HSET basket a 2 b 3")
    assert says(space, "HGET basket b") == (b"3", [])
    assert says(space, "HGETALL basket") == (
        {b"a": b"2", b"z": b"9", b"b": b"3"}, [("hgetall", b"basket")],
    )  # fmt: skip


def test_a_key_s_time_to_live_runs_out() -> None:
    space = Space()
    says(space, "SET order 1 PX 100", now_ms=1_000)
    assert says(space, "GET order", now_ms=1_099)[0] == b"1"
    assert says(space, "GET order", now_ms=1_100)[0] is None
    assert says(space, "SET order 2 NX", now_ms=1_100)[0] == b"OK"


def test_another_write_while_the_server_is_asked_is_not_lost() -> None:
    space = Space()
    first = answering(space, parse(("INCR", "stock"), str.encode), lambda: 0)
    assert next(first) == ("get", b"stock")
    assert says(space, "INCR stock")[0] == 11
    with pytest.raises(StopIteration) as done:
        first.send(b"10")
    assert done.value.value == 12


def test_threads_take_turns() -> None:
    space, before = Space(), sys.getswitchinterval()
    says(space, "SET stock 0")
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            for each in [
                pool.submit(lambda: [says(space, "INCR stock") for _ in range(500)]) for _ in range(4)
            ]:
                each.result()
    finally:
        sys.setswitchinterval(before)
    assert says(space, "GET stock")[0] == b"2000"


def test_a_refused_command_changes_nothing() -> None:
    space = Space()
    with pytest.raises(ServerError, match="not an integer"):
        says(space, "INCR stock", {("get", b"stock"): b"many"})
    with pytest.raises(ServerError, match="WRONGTYPE"):
        says(space, "INCR stock", {("get", b"stock"): ServerError("WRONGTYPE Operation")})
    with pytest.raises(ServerError, match="wrong number of arguments for 'get' command"):
        says(space, "GET")
    assert not space.touches((b"stock",))


@pytest.mark.parametrize("reply", [UnknownError(), "text", 5, [b"1"]])
def test_a_reply_in_a_form_of_the_application_s_own_tells_nothing(reply: Any) -> None:
    with pytest.raises(UnknownError):
        says(Space(), "INCR stock", {("get", b"stock"): reply})


def test_a_handler_may_not_ask_once_it_has_changed_something() -> None:
    view = View(Space(), {}, 0)
    view.put(b"order", b"1")
    with pytest.raises(RuntimeError, match="asked after"):
        view.ask("get", b"stock")


@pytest.mark.parametrize("bounds", [{"max_keys": 2}, {"max_bytes": 400}])
def test_beyond_its_bounds_the_space_forgets_the_key_and_counts(bounds: dict[str, int]) -> None:
    space = Space(**bounds)
    for name in ("a", "b", "c"):
        says(space, f"SET {name} {'x' * 100}")
    assert (space.touches((b"a", b"b")), space.touches((b"c",)), space.overflows) == (True, False, 1)
    says(space, "SET a 1")
    says(space, "DEL b", {})
    says(space, f"HSET b f {'x' * 300}")
    assert View(space, {}, 0).entry(b"a") is not SERVER


def test_room_is_given_back() -> None:
    space = Space(max_bytes=1_000)
    for _ in range(50):
        says(space, f"SET a {'x' * 500}")
        says(space, f"HSET b f {'x' * 100}", {("hmget", b"b", b"f"): [None]})
        says(space, "HDEL b f", {("hlen", b"b"): 0})
        says(space, "DEL a b", {("type", b"b"): b"none"})
    assert space.overflows == 0


@pytest.mark.parametrize(("old", "by", "total"), [
    (b"10.5", b"0.1", b"10.6"), (b"5.0e3", b"2.0e2", b"5200"), (b"0", b"-0.0", b"0"), (b"3", b"-4", b"-1"),
    (b"1e17", b"1", b"100000000000000001"), (b"0.1", b"0.2", b"0.3"),
])  # fmt: skip
def test_sums_are_written_as_the_server_writes_them(old: bytes, by: bytes, total: bytes) -> None:
    assert added(old, by, "no float", "no float") == total
