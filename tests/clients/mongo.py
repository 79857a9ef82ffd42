"""MongoDB's client, PyMongo, on a server that speaks MongoDB's protocol over SQLite."""

from __future__ import annotations

import itertools
import sys
import threading
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from bson import ObjectId
from pymongo import AsyncMongoClient, DeleteOne, InsertOne, MongoClient, ReturnDocument, UpdateOne

from clients.servers import Process, Unavailable, free_port, wait_for
from clients.table import Case, Client
from mirrorproof.context import own_traffic

SPARES = 60
NO_SUCH = "nothing has this id"


class MongoPeer:
    """A server in memory. `shop.orders` holds orders; spare collections and databases are there to drop.

    Empty collections are overlooked: this server makes one when a client reads.
    """

    about = "NX-27017 0.8, a server that speaks MongoDB's protocol over SQLite (PyPI nx-27017)"

    def __init__(self) -> None:
        program = Path(sys.executable).parent / "nx-27017"
        if not program.exists():
            raise Unavailable("a MongoDB server is not here; `pip install nx-27017` brings one")
        port = free_port()
        self.url = f"mongodb://127.0.0.1:{port}/?directConnection=true"
        self._server = Process([
            str(program), "--db", "memory", "-p", str(port), "--log-file", "nx.log", "--pid-file", "nx.pid",
        ])  # fmt: skip
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._spares = iter(range(SPARES))
        try:
            with own_traffic():
                self._client: MongoClient[Any] = MongoClient(self.url, serverSelectionTimeoutMS=2000)
                wait_for(lambda: self._client.admin.command("ping"), "NX-27017")
                self._fill()
        except BaseException:
            self._server.stop()
            raise

    def _fill(self) -> None:
        self._client.shop.orders.insert_many([{"_id": 1, "total": 10}, {"_id": 2, "total": 20}])
        for number in range(SPARES):
            self._client.shop[f"spare_{number}"].insert_one({"_id": 1})

    def look(self) -> Any:
        """Every document and every index, as the server tells."""
        with self._lock, own_traffic():
            shop, told = self._client.shop, {}
            for name in sorted(shop.list_collection_names()):
                if documents := sorted(map(repr, shop[name].find())):
                    told[name] = documents, sorted(shop[name].index_information())
            return told

    def number(self) -> int:
        """A number that nothing has yet."""
        return 1000 + next(self._numbers)

    def spare(self) -> str:
        """A collection of one document that nobody used yet."""
        return f"spare_{next(self._spares)}"

    def stop(self) -> None:
        self._client.close()
        self._server.stop()


@contextmanager
def _sync(peer: MongoPeer) -> Any:
    with MongoClient(peer.url, serverSelectionTimeoutMS=5000) as client:
        yield client


@asynccontextmanager
async def _async(peer: MongoPeer) -> Any:
    async with AsyncMongoClient(peer.url, serverSelectionTimeoutMS=5000) as client:
        yield client


# -- MongoClient


def _find(client: Any, peer: MongoPeer) -> None:
    assert client.shop.orders.find_one({"_id": 1})["_id"] == 1
    assert [each["_id"] for each in client.shop.orders.find({"_id": {"$in": [1, 2]}}).sort("_id")] == [1, 2]
    assert list(client.shop.orders.aggregate([{"$match": {"_id": 1}}, {"$project": {"_id": 1}}]))
    assert client.shop.orders.count_documents({"_id": 1}) == 1


def _insert_one(client: Any, peer: MongoPeer) -> None:
    assert isinstance(client.shop.orders.insert_one({"total": 5}).inserted_id, ObjectId)


def _insert_many(client: Any, peer: MongoPeer) -> None:
    number = peer.number()
    made = client.shop.orders.insert_many([{"_id": f"{number}-{each}"} for each in "ab"])
    assert made.inserted_ids == [f"{number}-a", f"{number}-b"]


def _update_one(client: Any, peer: MongoPeer) -> None:
    done = client.shop.orders.update_one({"_id": 1}, {"$set": {"total": peer.number()}})
    assert (done.matched_count, done.modified_count, done.upserted_id) == (1, 1, None)


def _upsert(client: Any, peer: MongoPeer) -> None:
    number = peer.number()
    done = client.shop.orders.update_one({"_id": number}, {"$set": {"total": 1}}, upsert=True)
    assert (done.matched_count, done.upserted_id) == (0, number)


def _update_many(client: Any, peer: MongoPeer) -> None:
    done = client.shop.orders.update_many({"_id": {"$in": [1, 2, NO_SUCH]}}, {"$inc": {"total": 1}})
    assert (done.matched_count, done.modified_count) == (2, 2)


def _replace_one(client: Any, peer: MongoPeer) -> None:
    assert client.shop.orders.replace_one({"_id": 1}, {"total": peer.number()}).modified_count == 1


def _delete(client: Any, peer: MongoPeer) -> None:
    found = client.shop[peer.spare()]
    assert (found.delete_one({"_id": NO_SUCH}).deleted_count, found.delete_many({}).deleted_count) == (0, 1)


def _find_one_and_update(client: Any, peer: MongoPeer) -> None:
    number = peer.number()
    found = client.shop.orders.find_one_and_update(
        {"_id": 1}, {"$set": {"total": number}}, return_document=ReturnDocument.AFTER
    )
    assert (found["_id"], found["total"]) == (1, number)


def _find_one_and_delete(client: Any, peer: MongoPeer) -> None:
    assert client.shop[peer.spare()].find_one_and_delete({"_id": 1}) == {"_id": 1}


def _bulk_write(client: Any, peer: MongoPeer) -> None:
    number = peer.number()
    done = client.shop.orders.bulk_write([
        InsertOne({"_id": number}), UpdateOne({"_id": 1}, {"$set": {"total": number}}),
        DeleteOne({"_id": NO_SUCH}),
    ])  # fmt: skip
    assert (done.inserted_count, done.modified_count, done.deleted_count) == (1, 1, 0)


def _client_bulk_write(client: Any, peer: MongoPeer) -> None:
    number = peer.number()
    done = client.bulk_write([
        InsertOne({"_id": number}, namespace="shop.orders"),
        UpdateOne({"_id": 1}, {"$set": {"total": number}}, namespace="shop.orders"),
    ], verbose_results=True)  # fmt: skip
    assert (done.inserted_count, done.modified_count) == (1, 1)
    assert done.insert_results[0].inserted_id == number


def _command(client: Any, peer: MongoPeer) -> None:
    assert client.shop.command("insert", "orders", documents=[{"_id": peer.number()}])["n"] == 1


def _create_index(client: Any, peer: MongoPeer) -> None:
    field = f"field{peer.number()}"
    assert client.shop.orders.create_index(field) == f"{field}_1"


def _drop(client: Any, peer: MongoPeer) -> None:
    assert client.shop[peer.spare()].drop() is None


def _transaction(client: Any, peer: MongoPeer) -> None:
    number = peer.number()
    with client.start_session() as session, session.start_transaction():
        client.shop.orders.insert_one({"_id": number}, session=session)
        assert client.shop.orders.find_one({"_id": 1}, session=session)["_id"] == 1


# -- AsyncMongoClient


async def _find_async(client: Any, peer: MongoPeer) -> None:
    assert (await client.shop.orders.find_one({"_id": 1}))["_id"] == 1
    found = [each["_id"] async for each in client.shop.orders.find({"_id": {"$in": [1, 2]}}).sort("_id")]
    assert found == [1, 2]


async def _insert_one_async(client: Any, peer: MongoPeer) -> None:
    assert isinstance((await client.shop.orders.insert_one({"total": 5})).inserted_id, ObjectId)


async def _update_one_async(client: Any, peer: MongoPeer) -> None:
    done = await client.shop.orders.update_one({"_id": 1}, {"$set": {"total": peer.number()}})
    assert (done.matched_count, done.modified_count) == (1, 1)


async def _delete_async(client: Any, peer: MongoPeer) -> None:
    assert (await client.shop[peer.spare()].delete_many({})).deleted_count == 1


async def _find_one_and_update_async(client: Any, peer: MongoPeer) -> None:
    number = peer.number()
    found = await client.shop.orders.find_one_and_update(
        {"_id": 1}, {"$set": {"total": number}}, return_document=ReturnDocument.AFTER
    )
    assert (found["_id"], found["total"]) == (1, number)


async def _bulk_write_async(client: Any, peer: MongoPeer) -> None:
    done = await client.shop.orders.bulk_write([InsertOne({"_id": peer.number()})])
    assert done.inserted_count == 1


async def _client_bulk_write_async(client: Any, peer: MongoPeer) -> None:
    done = await client.bulk_write([InsertOne({"_id": peer.number()}, namespace="shop.orders")])
    assert done.inserted_count == 1


async def _transaction_async(client: Any, peer: MongoPeer) -> None:
    number = peer.number()
    async with client.start_session() as session, await session.start_transaction():
        await client.shop.orders.insert_one({"_id": number}, session=session)


async def _create_index_async(client: Any, peer: MongoPeer) -> None:
    field = f"field{peer.number()}"
    assert await client.shop.orders.create_index(field) == f"{field}_1"


INSERTED, UPDATED, DELETED, COMMAND = (("mongo.insert",), ("mongo.update",), ("mongo.delete",),
                                       ("mongo.command",))  # fmt: skip
ALL_THREE = ("mongo.insert", "mongo.update", "mongo.delete")
PEERS = {"mongo": MongoPeer}
CLIENTS = [
    Client(name="pymongo", guard="pymongo", peer="mongo", cases=(
        Case(name="insert_one", client=_sync, write=_insert_one, read=_find, kinds=INSERTED),
        Case(name="insert_many", client=_sync, write=_insert_many, kinds=INSERTED),
        Case(name="update_one", client=_sync, write=_update_one, kinds=UPDATED),
        Case(name="update_one, upsert", client=_sync, write=_upsert, kinds=UPDATED),
        Case(name="update_many", client=_sync, write=_update_many, kinds=UPDATED),
        Case(name="replace_one", client=_sync, write=_replace_one, kinds=UPDATED),
        Case(name="delete_one and delete_many", client=_sync, write=_delete, kinds=DELETED * 2),
        Case(name="find_one_and_update", client=_sync, write=_find_one_and_update, kinds=UPDATED),
        Case(name="find_one_and_delete", client=_sync, write=_find_one_and_delete, kinds=DELETED),
        Case(name="bulk_write", client=_sync, write=_bulk_write, kinds=ALL_THREE),
        Case(name="bulk_write of a client", client=_sync, write=_client_bulk_write,
             kinds=("mongo.bulk_write",)),
        Case(name="command", client=_sync, write=_command, kinds=INSERTED),
        Case(name="create_index", client=_sync, write=_create_index, kinds=COMMAND),
        Case(name="drop", client=_sync, write=_drop, kinds=COMMAND),
        Case(name="a transaction", client=_sync, write=_transaction, kinds=INSERTED),
        Case(name="insert_one, async", client=_async, write=_insert_one_async, read=_find_async,
             kinds=INSERTED),
        Case(name="update_one, async", client=_async, write=_update_one_async, kinds=UPDATED),
        Case(name="delete_many, async", client=_async, write=_delete_async, kinds=DELETED),
        Case(name="find_one_and_update, async", client=_async, write=_find_one_and_update_async,
             kinds=UPDATED),
        Case(name="bulk_write, async", client=_async, write=_bulk_write_async, kinds=INSERTED),
        Case(name="bulk_write of a client, async", client=_async, write=_client_bulk_write_async,
             kinds=("mongo.bulk_write",)),
        Case(name="create_index, async", client=_async, write=_create_index_async, kinds=COMMAND),
        Case(name="a transaction, async", client=_async, write=_transaction_async, kinds=INSERTED),
    ), not_covered="a mirrored request does not find its own writes; unique keys, validators and the "
       "server's other checks of a suppressed write are not made; update_many is said to have modified what "
       "it matched; after an update by a pipeline or of array positions, find_one_and_update returns the "
       "document as it was; commands that are not known are answered with no more than success; "
       "automatic encryption was not tried: equal writes do not compare as equal, and what mongocryptd is "
       "asked about a write is taken for one; a client's bulk_write is one ledger entry, and of a command "
       "only the first hundred documents are compared; a live transaction's writes are recorded whether or "
       "not it is committed; $out, $merge, rename, w=0, create_collection and GridFS were tried on a fake "
       "server only"),
]  # fmt: skip
