"""What PyMongo's users get in a mirrored request, and what never reaches the server.

The server here is a fake: on loopback, it speaks enough of OP_MSG for the real PyMongo, remembers the
commands that came and takes every one. What NX-27017 does not do (tests/clients/mongo.py) is tried on it.
"""

from __future__ import annotations

import asyncio
import socketserver
import struct
import threading
import uuid
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import gridfs
import pymongo.synchronous.command_runner
import pytest
from bson import ObjectId
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import (
    AsyncMongoClient,
    DeleteMany,
    InsertOne,
    MongoClient,
    ReturnDocument,
    UpdateMany,
    UpdateOne,
    WriteConcern,
    monitoring,
)
from pymongo.errors import BulkWriteError, OperationFailure, WriteError
from pymongo.server_api import ServerApi

from mirrorproof import Settings, current, install_guards, side_effect, uninstall_guards
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError, ReadOnlyError
from mirrorproof.exchange import Outcome
from mirrorproof.guards.pymongo.answers import answer
from mirrorproof.guards.pymongo.commands import described, drawn_ids
from mirrorproof.guards.pymongo.updates import projected, updated, upserted
from mirrorproof.guards.pymongo.values import is_drawn

READS = frozenset({"hello", "ping", "find", "count", "endSessions", "listCollections", "abortTransaction"})
MORE_TO_COME = 2


class Mongo(socketserver.ThreadingTCPServer):
    """Answers each command with success, and remembers those that came."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        self.commands: list[dict[str, Any]] = []
        self.found: list[dict[str, Any]] = [{"_id": 1, "total": 10}]
        super().__init__(("127.0.0.1", 0), _Talk)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        self.address = f"127.0.0.1:{self.server_address[1]}"
        self.url = f"mongodb://{self.address}/?directConnection=true"

    @property
    def names(self) -> list[str]:
        return [next(iter(each)) for each in self.commands]

    @property
    def written(self) -> list[str]:
        return [name for name in self.names if name not in READS]


class _Talk(socketserver.StreamRequestHandler):
    server: Mongo

    def handle(self) -> None:
        while len(head := self.rfile.read(16)) == 16:
            length, request, _, _ = struct.unpack("<iiii", head)
            body = self.rfile.read(length - 16)
            (flags,) = struct.unpack_from("<i", body)
            (size,) = struct.unpack_from("<i", body, 5)
            command = bson.decode(body[5 : 5 + size])
            self.server.commands.append(command)
            if flags & MORE_TO_COME:
                continue
            payload = struct.pack("<iB", 0, 0) + bson.encode(self.reply(next(iter(command)), command))
            self.wfile.write(struct.pack("<iiii", 16 + len(payload), 0, request, 2013) + payload)

    def reply(self, name: str, command: dict[str, Any]) -> dict[str, Any]:
        cursor = {"id": 0, "ns": f"shop.{command[name]}"}
        if name == "hello":
            return {
                "ok": 1.0, "isWritablePrimary": True, "setName": "rs", "hosts": [self.server.address],
                "maxBsonObjectSize": 1 << 24, "maxMessageSizeBytes": 48000000, "maxWriteBatchSize": 100000,
                "minWireVersion": 0, "maxWireVersion": 25, "logicalSessionTimeoutMinutes": 30,
            }  # fmt: skip
        if "$forbidden" in (command.get("filter") or command.get("query") or {}):
            return {"ok": 0.0, "code": 13, "errmsg": "not allowed to read"}
        if "$nonsense" in (command.get("filter") or command.get("query") or {}):
            return {"ok": 0.0, "code": 2, "errmsg": "unknown operator: $nonsense"}
        if name == "find":
            return {"ok": 1.0, "cursor": cursor | {"firstBatch": self.server.found}}
        if name in ("aggregate", "listCollections"):
            return {"ok": 1.0, "cursor": cursor | {"firstBatch": []}}
        if name == "bulkWrite":
            sums = dict.fromkeys(
                ("nInserted", "nMatched", "nModified", "nUpserted", "nDeleted", "nErrors"), 0
            )
            return {"ok": 1.0, "cursor": cursor | {"firstBatch": []}, **sums}
        return {"ok": 1.0, "n": len(self.server.found), "nModified": 1}


@pytest.fixture
def mongo() -> Iterator[Mongo]:
    server = Mongo()
    install_guards()
    yield server
    uninstall_guards()
    server.shutdown()
    server.server_close()


@pytest.fixture
def client(mongo: Mongo) -> Iterator[MongoClient[Any]]:
    with MongoClient(mongo.url, server_api=ServerApi("1")) as client:
        client.admin.command("ping")
        yield client


def in_mode(mode: Mode = Mode.DRY_RUN, **settings: Any) -> Any:
    return entered(MirrorContext(Decision(mode), settings=Settings.load(env={}, **settings)))


def effects(context: MirrorContext) -> list[tuple[str, Outcome]]:
    return [(each.kind, each.outcome) for each in context.ledger]


# -- nothing reaches the server


def _without_concern(client: Any) -> Any:
    return client.shop.get_collection("orders", write_concern=WriteConcern(w=0))


def _many(client: Any, **options: Any) -> Any:
    return _without_concern(client).bulk_write([InsertOne({"a": 1}), DeleteMany({})], **options)


UNHEARD = "w=0, bulk of a client"
WAYS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "$out": (
        lambda c: list(c.shop.orders.aggregate([{"$match": {}}, {"$out": "copy"}])), ("mongo.aggregate",),
    ),
    "$merge": (
        lambda c: list(c.shop.orders.aggregate([{"$merge": {"into": {"db": "d", "coll": "copy"}}}])),
        ("mongo.aggregate",),
    ),
    "$out of a database": (
        lambda c: list(c.shop.aggregate([{"$documents": []}, {"$out": "copy"}])), ("mongo.aggregate",),
    ),
    "$out, raw": (
        lambda c: list(c.shop.orders.aggregate_raw_batches([{"$out": "copy"}])), ("mongo.aggregate",),
    ),
    "rename": (lambda c: c.shop.orders.rename("archive"), ("mongo.command",)),
    "w=0": (lambda c: _without_concern(c).insert_one({"_id": 7}), ("mongo.insert",)),
    "w=0, update": (
        lambda c: _without_concern(c).update_one({"_id": 7}, {"$set": {"a": 1}}), ("mongo.update",),
    ),
    "w=0, bulk": (_many, ("mongo.insert", "mongo.delete")),
    "w=0, unordered bulk": (lambda c: _many(c, ordered=False), ("mongo.insert", "mongo.delete")),
    UNHEARD: (
        lambda c: c.bulk_write(
            [InsertOne({"a": 1}, namespace="shop.orders")], ordered=False, write_concern=WriteConcern(w=0)
        ),
        ("mongo.bulk_write",),
    ),
    "create_collection": (lambda c: c.shop.create_collection("new", check_exists=False), ("mongo.command",)),
    "drop_database": (lambda c: c.drop_database("shop"), ("mongo.command",)),
    "drop_index": (lambda c: c.shop.orders.drop_index("a_1"), ("mongo.command",)),
    "a command of its own": (lambda c: c.shop.command("collMod", "orders", validator={}), ("mongo.command",)),
    "GridFS": (
        lambda c: gridfs.GridFS(c.shop).put(b"order", filename="order"), ("mongo.insert", "mongo.insert"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_what_writes_never_reaches_the_server_in_a_mirrored_request(
    mongo: Mongo, client: MongoClient[Any], way: str
) -> None:
    write, kinds = WAYS[way]
    with in_mode() as context:
        write(client)
    assert mongo.written == []
    assert effects(context) == [(kind, Outcome.SUPPRESSED) for kind in kinds]
    refused: Any = (
        nullcontext() if way == UNHEARD else pytest.raises(ReadOnlyError)
    )  # nobody hears its errors
    with in_mode(Mode.READ_ONLY) as reading, refused:
        write(client)
    assert mongo.written == []
    assert (kinds[0], Outcome.BLOCKED) in effects(reading)
    with in_mode(Mode.LIVE) as live:
        write(client)
        client.admin.command("ping")  # what was not acknowledged has arrived before it
    assert mongo.written
    assert effects(live) == [(kind, Outcome.EXECUTED) for kind in kinds]


def _transact(client: Any, collection: str = "orders") -> None:
    with client.start_session() as session, session.start_transaction():
        client.shop[collection].insert_one({"_id": 7}, session=session)
        client.shop.orders.find_one({}, session=session)


def test_a_mirrored_commit_never_reaches_the_server_which_is_told_to_abort(
    mongo: Mongo, client: MongoClient[Any]
) -> None:
    with in_mode() as context:
        _transact(client)
    assert "abortTransaction" in mongo.names
    assert mongo.written == []
    assert effects(context) == [("mongo.insert", Outcome.SUPPRESSED)]
    with in_mode(Mode.LIVE) as live:
        _transact(client)
    assert mongo.written == ["insert", "commitTransaction"]
    assert effects(live) == [("mongo.insert", Outcome.EXECUTED)]


def test_a_transaction_begun_before_the_request_is_not_committed_by_it(
    mongo: Mongo, client: MongoClient[Any]
) -> None:
    with client.start_session() as session:
        session.start_transaction()
        client.shop.orders.insert_one({"_id": 7}, session=session)
        with in_mode():
            session.commit_transaction()
    assert "commitTransaction" not in mongo.names
    assert "abortTransaction" in mongo.names


def test_a_transaction_with_a_write_that_a_rule_allows_is_committed(
    mongo: Mongo, client: MongoClient[Any]
) -> None:
    allow = [{"kind": "mongo.*", "table": "sessions", "action": "allow"}]
    with in_mode(effect_rules=allow) as context:
        _transact(client, "sessions")
    assert mongo.written == ["insert", "commitTransaction"]
    assert effects(context) == [("mongo.insert", Outcome.EXECUTED)]


def test_the_async_client_commits_nothing_either(mongo: Mongo) -> None:
    async def main() -> None:
        async with AsyncMongoClient(mongo.url, server_api=ServerApi("1")) as client:
            with in_mode() as context:
                async with client.start_session() as session, await session.start_transaction():
                    await client.shop.orders.insert_one({"_id": 7}, session=session)
                    await client.shop.orders.find_one({}, session=session)
                async for _ in await client.shop.orders.aggregate([{"$out": "copy"}]):
                    pass
                unheard = client.shop.get_collection("orders", write_concern=WriteConcern(w=0))
                await unheard.bulk_write([UpdateOne({}, {"$set": {"a": 1}})], ordered=False)
                await gridfs.AsyncGridFSBucket(client.shop).upload_from_stream("order", b"order")
        assert mongo.written == []
        assert "abortTransaction" in mongo.names
        kinds = ("insert", "aggregate", "update", "insert", "insert")
        assert effects(context) == [(f"mongo.{kind}", Outcome.SUPPRESSED) for kind in kinds]

    asyncio.run(main())


def test_reads_pass_and_an_allowed_collection_is_written(mongo: Mongo, client: MongoClient[Any]) -> None:
    allow = [{"kind": "mongo.*", "table": "sessions", "action": "allow"}]
    with in_mode(effect_rules=allow) as context:
        assert client.shop.orders.find_one({}) == {"_id": 1, "total": 10}
        assert list(client.shop.orders.aggregate([{"$match": {}}])) == []
        client.shop.sessions.insert_one({"_id": 7})
    assert mongo.written == ["aggregate", "insert"]
    assert effects(context) == [("mongo.insert", Outcome.EXECUTED)]


# -- what the application gets


def test_what_a_rule_returns_is_put_into_the_reply(client: MongoClient[Any]) -> None:
    rule = [{"kind": "mongo.update", "action": "suppress", "returns": {"n": 3, "nModified": 2}}]
    with in_mode(effect_rules=rule):
        done = client.shop.orders.update_many({}, {"$set": {"a": 1}})
    assert (done.matched_count, done.modified_count) == (3, 2)


def test_a_document_comes_in_the_types_that_the_collection_asks_for(client: MongoClient[Any]) -> None:
    key, at = uuid.uuid4(), datetime(2020, 5, 4, tzinfo=UTC)
    codec: CodecOptions[Any] = CodecOptions(tz_aware=True, uuid_representation=4)
    orders = client.shop.get_collection("orders", codec_options=codec)
    with in_mode():
        found = orders.find_one_and_update(
            {}, {"$set": {"key": key, "at": at}}, return_document=ReturnDocument.AFTER
        )
        assert found == {"_id": 1, "total": 10, "key": key, "at": at}
        assert orders.update_one({"_id": key}, {"$set": {"a": key}}, upsert=True).matched_count == 1
        raw = client.shop.get_collection("orders", codec_options=CodecOptions(RawBSONDocument))
        assert isinstance(raw.find_one_and_delete({}), RawBSONDocument)


def test_an_update_that_changes_nothing_has_modified_nothing(client: MongoClient[Any]) -> None:
    with in_mode():
        done = client.shop.orders.update_one({"_id": 1}, {"$set": {"total": 10}})
    assert (done.matched_count, done.modified_count) == (1, 0)


def test_a_filter_that_the_server_does_not_know_is_the_write_error_that_it_would_be(
    mongo: Mongo, client: MongoClient[Any]
) -> None:
    bad = UpdateMany({"$nonsense": 1}, {"$set": {"a": 1}})
    with in_mode():
        with pytest.raises(WriteError, match="nonsense"):
            client.shop.orders.update_many({"$nonsense": 1}, {"$set": {"a": 1}})
        with pytest.raises(BulkWriteError) as raised:
            client.shop.orders.bulk_write([InsertOne({}), bad, InsertOne({})])
        with pytest.raises(OperationFailure, match="nonsense"):
            client.shop.orders.find_one_and_update({"$nonsense": 1}, {"$set": {"a": 1}})
    assert raised.value.details["nInserted"] == 1
    assert mongo.written == []


def test_who_may_write_only_is_told_that_one_document_matched(client: MongoClient[Any]) -> None:
    with in_mode():
        assert client.shop.orders.update_one({"$forbidden": 1}, {"$set": {"a": 1}}).matched_count == 1
        assert client.shop.orders.delete_many({"$forbidden": 1}).deleted_count == 1


def replied(command: dict[str, Any], *found: dict[str, Any]) -> Any:
    """The reply to `command` on a server whose reads find these documents."""
    steps = answer(command, "shop")
    asked: Any = None
    try:
        while True:
            _, read = steps.send(asked)
            few = list(found[: read.get("limit") or None])
            asked = {"n": len(few), "cursor": {"firstBatch": few}}
    except StopIteration as end:
        return end.value


def test_deletes_and_updates_count_what_their_filters_find() -> None:
    orders = [{"_id": 1}, {"_id": 2}]
    deletes = [{"q": {}, "limit": 1}, {"q": {}, "limit": 0}]
    assert replied({"delete": "orders", "deletes": deletes}, *orders)["n"] == 3
    many = [{"q": {}, "u": {"$set": {"a": 1}}, "multi": True}]
    assert replied({"update": "orders", "updates": many}, *orders) == {"n": 2, "nModified": 2, "ok": 1.0}
    assert replied({"update": "orders", "updates": many}) == {"n": 0, "nModified": 0, "ok": 1.0}


def test_an_upsert_that_finds_nothing_tells_the_id_of_its_document() -> None:
    named = replied({"update": "orders", "updates": [{"q": {"_id": 7}, "u": {"a": 1}, "upsert": True}]})
    assert named["upserted"] == [{"index": 0, "_id": 7}]
    unnamed = replied({"update": "orders", "updates": [{"q": {"a": 7}, "u": {"a": 1}, "upsert": True}]})
    assert isinstance(unnamed["upserted"][0]["_id"], ObjectId)
    command = {"findAndModify": "orders", "query": {"a": 7}, "update": {"$set": {"b": 1}}, "upsert": True}
    assert replied(command)["value"] is None
    after = replied(command | {"new": True})["value"]
    assert after == {"_id": after["_id"], "a": 7, "b": 1}


UPDATES: dict[str, tuple[Any, Any]] = {
    "a replacement": ({"b": 2}, {"_id": 1, "b": 2}),
    "$set and $unset": ({"$set": {"b.c": 2}, "$unset": {"a": ""}}, {"_id": 1, "b": {"c": 2}}),
    "$inc": ({"$inc": {"a": 2, "new": 1}}, {"_id": 1, "a": 5, "b": {"c": 1}, "new": 1}),
    "$mul": ({"$mul": {"a": 2}}, {"_id": 1, "a": 6, "b": {"c": 1}}),
    "$min and $max": ({"$min": {"a": 2}, "$max": {"b.c": 9}}, {"_id": 1, "a": 2, "b": {"c": 9}}),
    "$setOnInsert": ({"$setOnInsert": {"a": 9}}, {"_id": 1, "a": 3, "b": {"c": 1}}),
    "$push": ({"$push": {"d": {"$each": [1, 2]}}}, {"_id": 1, "a": 3, "b": {"c": 1}, "d": [1, 2]}),
    "$push with $slice": ({"$push": {"d": {"$each": [1], "$slice": 1}}}, None),
    "a position": ({"$set": {"a.$": 1}}, None),
    "a pipeline": ([{"$set": {"a": 1}}], None),
    "an operator that only the server knows": ({"$bit": {"a": {"and": 1}}}, None),
}


@pytest.mark.parametrize("name", UPDATES)
def test_an_update_is_told_only_where_it_is_known(name: str) -> None:
    update, after = UPDATES[name]
    before = {"_id": 1, "a": 3, "b": {"c": 1}}
    assert updated(before, update) == after
    assert before == {"_id": 1, "a": 3, "b": {"c": 1}}


def test_an_upsert_takes_what_its_filter_says_is_equal() -> None:
    query = {"_id": 7, "a": {"$eq": 1}, "b": {"$gt": 1}, "$or": [], "c.d": 1}
    assert upserted(query, {"$setOnInsert": {"e": 1}}) == {"_id": 7, "a": 1, "e": 1}
    assert upserted(query, {"f": 1}) == {"_id": 7, "f": 1}


def test_a_projection_is_told_only_where_it_is_plain() -> None:
    document = {"_id": 1, "a": 2, "b": 3}
    assert projected(document, {"a": 1}) == {"_id": 1, "a": 2}
    assert projected(document, {"a": 1, "_id": 0}) == {"a": 2}
    assert projected(document, {"a": 0}) == {"_id": 1, "b": 3}
    assert projected(document, {"_id": 0}) == {"a": 2, "b": 3}
    assert projected(document, {"a": {"$slice": 1}}) is None


# -- the ledger


def digest(command: dict[str, Any], database: str = "shop", now: datetime | None = None) -> str:
    now = now or datetime.now(UTC)
    told = described(command, ("host", database), set(drawn_ids(command, now)), (), now)
    assert told is not None
    return told.digest


def test_equal_writes_have_equal_digests_whatever_was_drawn_or_timed() -> None:
    def order(**fields: Any) -> dict[str, Any]:
        made = {"_id": ObjectId(), "key": uuid.uuid4(), "at": datetime.now(UTC), **fields}
        return {"insert": "orders", "documents": [made], "lsid": {"id": uuid.uuid4()}}

    key = uuid.uuid4()
    first = order(key=key)
    assert digest(first) == digest(order(key=key))
    assert digest(first) == digest(order(key=key), "shop_of_v2")
    assert digest(first) != digest(order(key=key, total=1))
    assert digest(first) != digest(order(key=key, at=datetime.now(UTC) - timedelta(days=2)))
    assert digest(first) != digest(order(key=key, at=datetime(2020, 1, 1)))


def test_an_id_that_was_chosen_is_a_part_of_the_digest() -> None:
    old = ObjectId.from_datetime(datetime(2020, 1, 1, tzinfo=UTC))
    assert is_drawn(old)
    deletes = [{"delete": "orders", "deletes": [{"q": {"_id": each}}]} for each in (old, ObjectId())]
    assert digest(deletes[0]) != digest(deletes[1])
    upserts = [
        {"update": "orders", "updates": [{"q": {"_id": each}, "u": {}, "upsert": True}]}
        for each in (old, ObjectId(), ObjectId())
    ]
    assert digest(upserts[0]) != digest(upserts[1]) == digest(upserts[2])


def test_what_is_not_acknowledged_is_told_with_its_documents(client: MongoClient[Any]) -> None:
    with in_mode() as context:
        _without_concern(client).bulk_write([InsertOne({"total": 5})], ordered=False)
        client.bulk_write(
            [InsertOne({"total": 6}, namespace="shop.orders")], ordered=False, write_concern=WriteConcern(w=0)
        )
    first, second = context.ledger
    assert "total=5" in first.summary
    assert (second.target, '"total":6' in second.summary) == ("orders", True)


def test_of_very_many_documents_the_first_and_their_number_are_compared() -> None:
    def orders(*totals: int) -> dict[str, Any]:
        return {"insert": "orders", "documents": [{"total": total} for total in totals]}

    assert digest(orders(*range(5000))) == digest(orders(*range(4999), -1))
    assert digest(orders(*range(5000))) != digest(orders(*range(4999)))
    assert digest(orders(*range(5000))) != digest(orders(-1, *range(4999)))
    items = {"insert": "orders", "documents": [{"items": list(range(500))}]}
    assert digest(items) != digest({"insert": "orders", "documents": [{"items": [*range(499), -1]}]})


def test_the_summary_names_the_database_and_hides_secrets(client: MongoClient[Any]) -> None:
    with in_mode() as context:
        client.shop.users.insert_one({"_id": 7, "password": "geheim"})
        client.shop.users.update_one({"_id": 7}, {"$set": {"password": "geheim"}})
        client.bulk_write([InsertOne({"_id": 8, "password": "geheim"}, namespace="shop.users")])
    assert "INSERT shop.users (_id=7, password=" in next(iter(context.ledger)).summary
    assert not any("geheim" in effect.summary for effect in context.ledger)


# -- a PyMongo that sends elsewhere


def _elsewhere(conn: Any, command: Any) -> None:
    raise AssertionError


PUBLIC: dict[str, Any] = {
    "insert_one": lambda c: c.insert_one({"_id": 7}),
    "update_many": lambda c: c.update_many({}, {"$set": {"a": 1}}),
    "find_one_and_delete": lambda c: c.find_one_and_delete({}),
    "bulk_write": lambda c: c.bulk_write([InsertOne({})]),
    "aggregate with $out": lambda c: list(c.aggregate([{"$out": "copy"}])),
    "drop": lambda c: c.drop(),
    "create_index": lambda c: c.create_index("a"),
    "command": lambda c: c.database.command("insert", "orders", documents=[{"_id": 1}]),
    "command, whole": lambda c: c.database.command({"delete": "orders", "deletes": []}),
    "drop_database": lambda c: c.database.client.drop_database("shop"),
    "GridFS": lambda c: gridfs.GridFS(c.database).put(b"order"),
}


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mongo]:
    server = Mongo()
    runner = pymongo.synchronous.command_runner
    known = runner._run_command
    monkeypatch.setattr(runner, "_run_command", _elsewhere)
    install_guards()
    monkeypatch.setattr(runner, "_run_command", known)
    yield server
    uninstall_guards()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("way", PUBLIC)
def test_what_writes_is_refused_where_pymongo_sends_by_a_way_that_is_not_known(
    unknown: Mongo, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    with MongoClient(unknown.url, server_api=ServerApi("1")) as client:
        orders = client.shop.orders
        with in_mode() as context:
            with pytest.raises(EffectRefusedError, match="mongo"):
                PUBLIC[way](orders)
            assert orders.find_one({}) == {"_id": 1, "total": 10}
            assert list(orders.aggregate([{"$match": {}}])) == []
            assert client.shop.command("ping")["ok"] == 1
        assert unknown.written == ["aggregate"]
        assert {effect.outcome for effect in context.ledger} == {Outcome.BLOCKED}
        with in_mode(Mode.LIVE) as live:
            PUBLIC[way](orders)
        assert len(unknown.written) > 1
        assert live.unobserved


def test_so_is_what_the_async_client_writes(unknown: Mongo) -> None:
    async def main() -> None:
        async with AsyncMongoClient(unknown.url, server_api=ServerApi("1")) as client:
            with in_mode():
                with pytest.raises(EffectRefusedError, match="mongo"):
                    await client.shop.orders.insert_one({"_id": 7})
                assert await client.shop.orders.find_one({}) == {"_id": 1, "total": 10}
        assert unknown.written == []

    asyncio.run(main())


class Heartbeats(monitoring.ServerHeartbeatListener):
    """Remembers whose the monitor is."""

    def __init__(self) -> None:
        self.whose: list[Any] = []
        self.heard = threading.Event()

    def started(self, event: Any) -> None:
        self.whose.append(current())
        self.heard.set()

    def succeeded(self, event: Any) -> None:
        """Nothing."""

    def failed(self, event: Any) -> None:
        """Nothing."""


def test_the_monitor_of_a_client_that_a_mirrored_request_is_the_first_to_use_is_nobodys(mongo: Mongo) -> None:
    listener = Heartbeats()
    with in_mode():
        client: Any = MongoClient(mongo.url, server_api=ServerApi("1"), event_listeners=[listener])
        client.shop.orders.find_one({})
    assert listener.heard.wait(20)
    client.close()
    assert set(listener.whose) == {None}


async def test_the_monitor_of_an_async_client_is_nobodys_either(mongo: Mongo) -> None:
    listener = Heartbeats()
    with in_mode():
        client: Any = AsyncMongoClient(mongo.url, server_api=ServerApi("1"), event_listeners=[listener])
        await client.shop.orders.find_one({})
    await client.close()
    assert set(listener.whose) == {None}


@pytest.mark.parametrize("mode", [Mode.DRY_RUN, Mode.LIVE])
def test_what_a_listener_does_when_it_hears_of_a_command_is_judged_by_itself(
    mongo: Mongo, mode: Mode
) -> None:
    counted: list[str] = []

    class Slow(monitoring.CommandListener):
        def started(self, event: Any) -> None:
            self.count(event.command_name)

        def succeeded(self, event: Any) -> None:
            self.count(event.command_name)

        def failed(self, event: Any) -> None: ...

        @side_effect("statistics.count", "commands")
        def count(self, name: str) -> None:
            counted.append(name)

    with MongoClient(mongo.url, server_api=ServerApi("1"), event_listeners=[Slow()]) as client:
        client.admin.command("ping")
        counted.clear()
        with in_mode(mode) as context:
            client.shop.orders.find_one({})
        assert counted == (["find", "find"] if mode is Mode.LIVE else [])
    outcome = Outcome.EXECUTED if mode is Mode.LIVE else Outcome.SUPPRESSED
    assert [(each.kind, each.outcome) for each in context.ledger] == [("statistics.count", outcome)] * 2
