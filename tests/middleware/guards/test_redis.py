"""The redis guard, on a real server: a mirrored request sees its own suppressed writes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import redis.asyncio
from clients.redis_client import RedisPeer

from mirrorproof import install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, entered, set_process_context
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError
from mirrorproof.exchange import Outcome
from mirrorproof.guards.redis import pipelines
from mirrorproof.settings import Settings


@pytest.fixture(scope="module")
def peer() -> Iterator[RedisPeer]:
    started = RedisPeer()
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def _guarded() -> Iterator[None]:
    install_guards("redis", "threads")
    yield
    uninstall_guards()


@pytest.fixture
def client(peer: RedisPeer) -> Iterator[redis.Redis]:
    """A client on an empty database, which has to look afterwards as it did before the mirrored request."""
    with redis.Redis(**peer.kwargs, db=1) as opened:
        opened.flushdb()
        yield opened


def request(mode: Mode = Mode.DRY_RUN, **settings: object) -> MirrorContext:
    return MirrorContext(Decision(mode), settings=Settings.load(env={}, role="mixed", **settings))


def everything(client: redis.Redis) -> Any:
    return {key: (client.dump(key), client.pexpiretime(key)) for key in client.keys("*")}


class mirrored:
    """A mirrored request, in which nothing on the server may change."""

    def __init__(self, client: redis.Redis, **settings: object) -> None:
        self.client, self.context = client, request(**settings)

    def __enter__(self) -> MirrorContext:
        self.before = everything(self.client)
        self.entered = entered(self.context)
        return self.entered.__enter__()

    def __exit__(self, *error: object) -> None:
        self.context.end()
        self.entered.__exit__(*error)
        assert everything(self.client) == self.before


def test_a_mirrored_request_reads_what_it_wrote(client: redis.Redis) -> None:
    client.set("stock", "10")
    with mirrored(client):
        assert client.set("order", "10.01", ex=60) is True
        assert client.get("order") == b"10.01"
        assert client.ttl("order") == 60
        assert client.incrby("stock", 5) == 15
        assert client.mget("stock", "order", "none") == [b"15", b"10.01", None]
        assert client.append("stock", "0") == 3
        assert client.delete("order", "order", "none") == 1
        assert client.exists("order", "stock") == 1
    assert client.get("stock") == b"10"


def test_a_mirrored_request_reads_the_fields_that_it_set_among_the_server_s(client: redis.Redis) -> None:
    client.hset("basket", mapping={"a": "1", "b": "2"})
    with mirrored(client):
        assert client.hset("basket", mapping={"b": "3", "c": "4"}) == 1
        assert client.hgetall("basket") == {b"a": b"1", b"b": b"3", b"c": b"4"}
        assert client.hlen("basket") == 3
        assert client.hincrby("basket", "a", 9) == 10
        assert client.hdel("basket", "b", "none") == 1
        assert client.hmget("basket", "a", "b", "c") == [b"10", None, b"4"]
        assert client.hdel("basket", "a", "c") == 2
        assert client.exists("basket") == 0
    assert client.hgetall("basket") == {b"a": b"1", b"b": b"2"}


async def test_the_same_holds_with_asyncio(peer: RedisPeer, client: redis.Redis) -> None:
    client.set("stock", "10", ex=100)
    async with redis.asyncio.Redis(**peer.kwargs, db=1, decode_responses=True, protocol=2) as other:
        with mirrored(client):
            assert await other.incr("stock") == 11
            assert 99 <= await other.ttl("stock") <= 100
            assert await other.hset("basket", "a", "1") == 1
            assert await other.hgetall("basket") == {"a": "1"}
            assert await other.getdel("stock") == "11"
            assert await other.get("stock") is None
            assert client.get("stock") is None, "the request's other clients see the same"


def test_a_pipeline_that_only_reads_sees_what_was_written_before(client: redis.Redis) -> None:
    client.set("stock", "10")
    with mirrored(client):
        client.incr("stock")
        assert client.pipeline().get("stock").strlen("stock").execute() == [b"11", 2]


def test_a_watched_transaction_sees_what_it_wrote_and_what_came_before(client: redis.Redis) -> None:
    client.set("stock", "10")

    def take(pipe: redis.client.Pipeline) -> None:
        stock = int(pipe.get("stock"))  # type: ignore[arg-type]
        pipe.multi()
        pipe.set("stock", stock - 1)
        pipe.get("stock")

    with mirrored(client):
        assert client.transaction(take, "stock") == [True, b"9"]
        assert client.transaction(take, "stock") == [True, b"8"]


def test_what_the_server_would_refuse_is_refused_in_its_words(client: redis.Redis) -> None:
    client.hset("basket", "a", "b")
    with mirrored(client):
        with pytest.raises(redis.ResponseError, match="WRONGTYPE Operation against a key"):
            client.incr("basket")
        with pytest.raises(redis.ResponseError, match=r"^hash value is not an integer$"):
            client.hincrby("basket", "a", 1)
        client.set("text", "many")
        with pytest.raises(redis.ResponseError, match=r"^value is not an integer or out of range$"):
            client.incr("text")


def test_what_the_request_has_not_changed_is_read_from_the_server(client: redis.Redis) -> None:
    client.set("stock", "10")
    with entered(request()) as context:
        client.incr("sold")
        assert client.get("stock") == b"10"
        with entered(request(Mode.LIVE)):
            client.set("stock", "9")
        assert client.get("stock") == b"9"
        context.end()


def test_another_request_and_another_database_see_nothing_of_it(peer: RedisPeer, client: redis.Redis) -> None:
    with mirrored(client), redis.Redis(**peer.kwargs, db=2) as other:
        client.set("order", "1")
        assert other.get("order") is None
        with entered(request()):
            assert client.get("order") is None
        assert client.get("order") == b"1"
    assert client.get("order") is None


def test_a_list_or_set_that_it_makes_is_there_and_has_its_time_to_live(client: redis.Redis) -> None:
    client.set("text", "1")
    with mirrored(client):
        assert client.pipeline().sadd("seen", "a").expire("seen", 60).ttl("seen").execute() == [1, True, 60]
        assert client.type("seen") == b"set"
        assert client.rpush("jobs", "1") == 1
        assert client.exists("jobs", "seen", "none") == 2
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            client.get("jobs")
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            client.sadd("text", "a")
        assert client.delete("jobs") == 1


def test_counters_of_several_threads_lose_nothing(client: redis.Redis) -> None:
    client.set("stock", "10")

    def count() -> None:
        for _ in range(50):
            client.incr("stock")

    with mirrored(client):
        threads = [threading.Thread(target=count) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert client.get("stock") == b"210"


async def test_counters_of_several_tasks_lose_nothing(peer: RedisPeer, client: redis.Redis) -> None:
    client.set("stock", "10")
    async with redis.asyncio.Redis(**peer.kwargs, db=1) as other:
        with mirrored(client):
            counts = await asyncio.gather(*(other.incr("stock") for _ in range(20)))
    assert sorted(counts) == list(range(11, 31))


def test_outside_requests_a_shadow_process_remembers_nothing(client: redis.Redis) -> None:
    set_process_context(Settings.load(env={}, role="shadow"))
    try:
        assert client.set("order", "1") is True
        assert client.get("order") is None
    finally:
        set_process_context(None)
    assert client.get("order") is None


def test_the_client_s_own_lock_is_free_unless_the_request_holds_it(client: redis.Redis) -> None:
    client.set("lock", "v1 holds it", px=60_000)
    with mirrored(client):
        lock = client.lock("lock", timeout=600)
        assert lock.acquire(blocking=False) is True
        assert lock.owned() is True
        assert client.lock("lock", timeout=600).acquire(blocking=False) is False
        lock.release()
        assert client.lock("lock", timeout=600).acquire(blocking=False) is True


def test_a_write_that_a_rule_allows_is_read_from_the_server(client: redis.Redis) -> None:
    rule = {"kind": "redis.setex", "action": "allow"}
    with entered(request(effect_rules=(rule,))) as context:
        client.set("order", "1")
        client.execute_command("SETEX", "order", 60, "2")
        assert client.get("order") == b"2"
        context.end()
    assert client.get("order") == b"2"


def test_beyond_its_bound_writes_are_answered_but_not_seen_and_that_is_counted(client: redis.Redis) -> None:
    with mirrored(client) as context:
        client.set("first", "1")
        assert client.set("large", b"x" * (17 * 1024 * 1024)) is True
        assert client.get("large") is None
        assert client.get("first") == b"1"
        assert context.counters["overlay_full"] == 1


def test_a_flushed_database_is_empty_but_for_what_follows(client: redis.Redis) -> None:
    client.set("stock", "10")
    with mirrored(client):
        assert client.flushdb() is True
        assert client.get("stock") is None
        assert client.incr("stock") == 1
        assert client.get("stock") == b"1"


async def test_subscribers_listen_and_nothing_is_published_where_no_other_way_out_is_open(
    peer: RedisPeer, client: redis.Redis
) -> None:
    install_guards("redis", "threads", "unguarded")
    heard = client.pubsub()
    heard.subscribe("news")
    assert heard.get_message(timeout=5) is not None
    with mirrored(client, unguarded="block") as context:
        with redis.Redis(**peer.kwargs) as opened, opened.pubsub() as subscriber:
            subscriber.subscribe("news")
            assert subscriber.get_message(timeout=5)["type"] == "subscribe"  # type: ignore[index]
            assert opened.publish("news", "hello") == 0
        async with redis.asyncio.Redis(**peer.kwargs) as other, other.pubsub() as listener:
            await listener.subscribe("news")
            assert (await listener.get_message(timeout=5))["type"] == "subscribe"  # type: ignore[index]
            assert await other.publish("news", "hello") == 0
    assert [(each.kind, each.target) for each in context.ledger] == [("queue.publish", "channel news")] * 2
    client.publish("news", "the first that is heard")
    assert heard.get_message(timeout=5)["data"] == b"the first that is heard"  # type: ignore[index]
    heard.close()


# -- what comes to a connection past the guard


class FromBefore:
    """What an application kept from before the guards, as names of a module's."""

    def __init__(self, client: redis.Redis) -> None:
        self.command = client.execute_command
        self.json, self.series, self.search = client.json(), client.ts(), client.ft("orders")
        self.pipeline = client.pipeline()
        self.execute = self.pipeline.execute
        self.connection = client.connection_pool.get_connection()

    def ways(self) -> dict[str, Any]:
        return {
            "execute_command": lambda: self.command("SET", "order", "1"),
            "json": lambda: self.json.set("order", "$", {"total": 1}),
            "ts": lambda: self.series.add("order", "*", 1),
            "ft": self.search.dropindex,
            "pipeline": lambda: (self.pipeline.set("order", "1"), self.execute()),
            "connection": lambda: self.connection.send_command("SET", "order", "1"),
            "packed": lambda: self.connection.send_packed_command("*2\r\n$3\r\nDEL\r\n$5\r\nstock\r\n"),
            "no command": lambda: self.connection.send_packed_command([b"SET order 1\r\n"]),
        }


PAST = ("execute_command", "json", "ts", "ft", "pipeline", "connection", "packed", "no command")


@pytest.mark.parametrize("way", PAST)
def test_a_write_that_comes_to_a_connection_past_the_guard_is_refused(client: redis.Redis, way: str) -> None:
    uninstall_guards()
    before = FromBefore(client)
    install_guards("redis")
    with mirrored(client) as context, pytest.raises(EffectRefusedError):
        before.ways()[way]()
    assert {each.outcome for each in context.ledger} <= {Outcome.BLOCKED}
    assert bool(len(context.ledger)) == (way != "no command")
    assert client.set("live", "1") is True


def test_reads_and_live_writes_that_come_to_a_connection_past_the_guard_are_made(client: redis.Redis) -> None:
    uninstall_guards()
    before = FromBefore(client)
    install_guards("redis")
    client.set("stock", "10")
    with mirrored(client):
        assert before.command("GET", "stock") == b"10"
    with entered(request(Mode.LIVE)):
        before.ways()["pipeline"]()
        assert before.command("SET", "stock", "9") is True
    assert client.mget("order", "stock") == [b"1", b"9"]


async def test_asyncio_refuses_it_as_well(client: redis.Redis, peer: RedisPeer) -> None:
    uninstall_guards()
    other = redis.asyncio.Redis(**peer.kwargs, db=1)
    command = other.execute_command
    install_guards("redis")
    async with other:
        with mirrored(client):
            with pytest.raises(EffectRefusedError):
                await command("SET", "order", "1")
            assert await command("GET", "order") is None
        with entered(request(Mode.LIVE)):
            assert await command("SET", "order", "1") is True


def test_what_a_sentinel_is_asked_is_a_read(client: redis.Redis) -> None:
    with mirrored(client) as context, pytest.raises(redis.ResponseError, match="unknown command"):
        client.sentinel_masters()  # reaches the server, which is no sentinel
    assert not context.ledger


def ledger_of(client: redis.Redis, mode: Mode, work: Any, **settings: object) -> MirrorContext:
    context = request(mode, **settings)
    with entered(context):
        work(client)
    context.end()
    return context


def test_a_big_pipeline_is_told_as_far_as_the_ledger_takes_it_and_counted_beyond(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[object] = []
    told = pipelines.told
    monkeypatch.setattr(pipelines, "told", lambda *args: parsed.append(args) or told(*args))

    def fill(client: redis.Redis) -> None:
        with client.pipeline(transaction=False) as pipe:
            for number in range(60):
                pipe.get(f"key {number}")
                pipe.set(f"key {number}", number)
            assert len(pipe.execute()) == 120

    mirrored = ledger_of(client, Mode.DRY_RUN, fill, max_effects=20)
    assert client.keys("*") == []
    live = ledger_of(client, Mode.LIVE, fill, max_effects=20)
    assert len(client.keys("*")) == 60
    assert [each.digest for each in live.ledger] == [each.digest for each in mirrored.ledger]
    assert (len(live.ledger), live.ledger.lost, mirrored.ledger.lost) == (20, 40, 40)
    assert len(parsed) == 40  # nothing beyond the ledger's room was put into words


def test_a_long_value_is_told_by_its_length_and_checksum(client: redis.Redis) -> None:
    long, other = b"x" * 5_000_000, b"x" * 2_500_000 + b"y" + b"x" * 2_499_999

    def digest(mode: Mode, value: bytes) -> str:
        (effect,) = ledger_of(client, mode, lambda client: client.set("long", value)).ledger
        assert "<5000000 bytes, CRC-32 " in effect.summary
        return effect.digest

    assert digest(Mode.LIVE, long) == digest(Mode.DRY_RUN, long) != digest(Mode.DRY_RUN, other)


def test_a_value_may_be_any_buffer(client: redis.Redis) -> None:
    def write(client: redis.Redis) -> None:
        assert client.set("a", memoryview(b"one")) is True
        assert client.set("b", bytearray(b"two")) is True
        assert client.get("a") == b"one"

    mirrored = ledger_of(client, Mode.DRY_RUN, write)
    assert client.keys("*") == []
    live = ledger_of(client, Mode.LIVE, write)
    assert [each.digest for each in live.ledger] == [each.digest for each in mirrored.ledger]
