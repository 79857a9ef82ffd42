"""Clients that are refused in a mirrored request: nothing is written, reads pass, live requests go on.

The MongoDB here is a fake: a server on loopback that speaks just enough of OP_MSG for the real PyMongo (a
real one cannot be installed by name).
"""

from __future__ import annotations

import asyncio
import socketserver
import struct
import threading
from collections.abc import Iterator
from typing import Any

import bson
import pytest
from pymongo import AsyncMongoClient, MongoClient
from pymongo.server_api import ServerApi

from mirrorproof import Settings, install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError, ReadOnlyError
from mirrorproof.exchange import Outcome

HELLO = {
    "ok": 1.0, "isWritablePrimary": True, "maxBsonObjectSize": 1 << 24, "maxMessageSizeBytes": 48000000,
    "maxWriteBatchSize": 100000, "minWireVersion": 0, "maxWireVersion": 21, "readOnly": False,
    "topologyVersion": None,
}  # fmt: skip


class Mongo(socketserver.ThreadingTCPServer):
    """Answers each command with success, and remembers the names of those that came."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        self.commands: list[str] = []
        super().__init__(("127.0.0.1", 0), _Talk)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"mongodb://127.0.0.1:{self.server_address[1]}/?directConnection=true"

    @property
    def written(self) -> list[str]:
        return [
            name
            for name in self.commands
            if name not in ("hello", "ping", "find", "endSessions", "aggregate")
        ]


class _Talk(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server: Any = self.server
        while len(head := self.rfile.read(16)) == 16:
            length, request, _, _ = struct.unpack("<iiii", head)
            body = self.rfile.read(length - 16)
            (size,) = struct.unpack_from("<i", body, 5)
            command = bson.decode(body[5 : 5 + size])
            name = next(iter(command))
            server.commands.append(name)
            answer: dict[str, Any] = {"ok": 1.0, "n": 1, "nModified": 1}
            if name == "hello":
                answer = {key: value for key, value in HELLO.items() if value is not None}
            if name in ("find", "aggregate"):
                answer = {"ok": 1.0, "cursor": {"id": 0, "ns": "shop.orders", "firstBatch": [{"_id": 1}]}}
            encoded = bson.encode(answer)
            payload = struct.pack("<iB", 0, 0) + encoded
            self.wfile.write(struct.pack("<iiii", 16 + len(payload), 0, request, 2013) + payload)


@pytest.fixture
def mongo() -> Iterator[Mongo]:
    server = Mongo()
    install_guards()
    yield server
    uninstall_guards()
    server.shutdown()
    server.server_close()


def in_mode(mode: Mode = Mode.DRY_RUN, **settings: Any) -> Any:
    return entered(MirrorContext(Decision(mode), settings=Settings.load(env={}, **settings)))


WAYS: dict[str, Any] = {
    "insert_one": lambda c: c.insert_one({"_id": 7}),
    "insert_many": lambda c: c.insert_many([{"_id": 7}, {"_id": 8}]),
    "update_one": lambda c: c.update_one({"_id": 1}, {"$set": {"a": 1}}),
    "delete_many": lambda c: c.delete_many({}),
    "find_one_and_delete": lambda c: c.find_one_and_delete({}),
    "aggregate with $out": lambda c: list(c.aggregate([{"$match": {}}, {"$out": "copy"}])),
    "drop": lambda c: c.drop(),
    "create_index": lambda c: c.create_index("a"),
    "run_command": lambda c: c.database.command("insert", "orders", documents=[{"_id": 1}]),
}


@pytest.mark.parametrize("way", WAYS)
def test_mongo_writes_are_refused_and_named_and_live_ones_arrive(mongo: Mongo, way: str) -> None:
    with MongoClient(mongo.url, server_api=ServerApi("1")) as client:
        client.admin.command("ping")
        with in_mode() as context, pytest.raises(EffectRefusedError, match="mongo"):
            WAYS[way](client.shop.orders)
        assert mongo.written == []
        assert "aggregate" not in mongo.commands
        assert {effect.outcome for effect in context.ledger} == {Outcome.BLOCKED}
        with in_mode(Mode.READ_ONLY), pytest.raises(ReadOnlyError):
            WAYS[way](client.shop.orders)
        with in_mode(Mode.LIVE) as live:
            WAYS[way](client.shop.orders)
        assert mongo.written or "aggregate" in mongo.commands
        assert live.unobserved


def test_mongo_reads_pass_and_an_allowed_collection_is_written(mongo: Mongo) -> None:
    allow = [{"kind": "mongo.*", "table": "sessions", "action": "allow"}]
    with MongoClient(mongo.url, server_api=ServerApi("1")) as client, in_mode(effect_rules=allow) as context:
        assert client.shop.orders.find_one({}) == {"_id": 1}
        assert list(client.shop.orders.aggregate([{"$match": {}}])) == [{"_id": 1}]
        client.shop.sessions.insert_one({"_id": 7})
    assert mongo.written == ["insert"]
    assert [effect.outcome for effect in context.ledger] == [Outcome.EXECUTED]


def test_async_mongo_writes_are_refused_and_reads_pass(mongo: Mongo) -> None:
    async def main() -> None:
        async with AsyncMongoClient(mongo.url, server_api=ServerApi("1")) as client:
            await client.admin.command("ping")
            with in_mode():
                with pytest.raises(EffectRefusedError, match=r"mongo\.insert"):
                    await client.shop.orders.insert_one({"_id": 7})
                assert await client.shop.orders.find_one({}) == {"_id": 1}
            assert mongo.written == []
            await client.shop.orders.insert_one({"_id": 7})
        assert mongo.written == ["insert"]

    asyncio.run(main())
