"""opensearch-py, sync and async, with a fake in the server's place."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import opensearchpy
import opensearchpy.helpers
from opensearchpy import AsyncHttpConnection, AsyncOpenSearch, OpenSearch, RequestsHttpConnection

from clients.search_peer import SearchPeer
from clients.table import Case, Client

_numbers = itertools.count()


def _opensearch(peer: SearchPeer) -> OpenSearch:
    return OpenSearch(peer.url)


def _by_requests(peer: SearchPeer) -> OpenSearch:
    return OpenSearch(peer.url, connection_class=RequestsHttpConnection)


def _async_opensearch(peer: SearchPeer) -> AsyncOpenSearch:
    return AsyncOpenSearch(peer.url)


def _async_by_http(peer: SearchPeer) -> AsyncOpenSearch:
    return AsyncOpenSearch(peer.url, connection_class=AsyncHttpConnection)


def _index(client: OpenSearch, peer: SearchPeer) -> None:
    answer = client.index(index="orders", body={"total": 10.01}, params={"refresh": "true"})
    assert (answer["_index"], answer["result"]) == ("orders", "created")
    assert answer["_id"]


def _create(client: OpenSearch, peer: SearchPeer) -> None:
    assert client.create(index="orders", id="new/7", body={"total": 10.01})["_id"] == "new/7"


def _update(client: OpenSearch, peer: SearchPeer) -> None:
    body = {"doc": {"total": 10.01}}
    assert client.update(index="orders", id="old-450", body=body)["result"] == "updated"


def _delete(client: OpenSearch, peer: SearchPeer) -> None:
    name = f"gone-{next(_numbers)}"
    peer.indices["orders"][name] = {"total": 1}  # no change that `look` tells of
    assert client.delete(index="orders", id=name)["result"] == "deleted"


def _bulk(client: OpenSearch, peer: SearchPeer) -> None:
    body = [{"index": {"_index": "orders", "_id": "7"}}, {"total": 10.01}, {"delete": {"_id": "8"}}]
    answer = client.bulk(index="orders", body=body)
    assert not answer["errors"]
    assert [(name, each["_id"]) for item in answer["items"] for name, each in item.items()] == [
        ("index", "7"), ("delete", "8"),
    ]  # fmt: skip


def _actions() -> Iterator[dict[str, Any]]:
    yield {"_index": "orders", "_id": "7", "total": 10.01}
    yield {"_index": "orders", "_op_type": "update", "_id": "old-450", "doc": {"total": 10.01}}


def _helper(client: OpenSearch, peer: SearchPeer) -> None:
    assert opensearchpy.helpers.bulk(client, _actions()) == (2, [])


def _delete_by_query(client: OpenSearch, peer: SearchPeer) -> None:
    answer = client.delete_by_query(index="orders", body={"query": {"match_all": {}}})
    assert answer["deleted"] == answer["total"] > 0


def _update_by_query(client: OpenSearch, peer: SearchPeer) -> None:
    assert client.update_by_query(index="orders", params={"q": "total:7"})["updated"] > 0


def _make_index(client: OpenSearch, peer: SearchPeer) -> None:
    assert client.indices.create(index="made")["index"] == "made"
    assert client.indices.delete(index="made")["acknowledged"]


def _raw(client: OpenSearch, peer: SearchPeer) -> None:
    assert client.transport.perform_request("POST", "/_plugins/_rollup/jobs/1/_start")["acknowledged"]


def _close_all(client: OpenSearch, peer: SearchPeer) -> None:
    assert client.clear_scroll(body={"scroll_id": "_all"})["succeeded"]


class _Order(opensearchpy.Document):  # type: ignore[misc]
    total = opensearchpy.Double()

    class Index:
        name = "orders"


def _document(client: OpenSearch, peer: SearchPeer) -> None:
    assert _Order(total=10.01).save(using=client) == "created"


def _read(client: OpenSearch, peer: SearchPeer) -> None:
    assert client.ping() is True
    assert client.info()["name"] == "fake"
    assert client.get(index="orders", id="old-450")["_source"] == {"total": 450}
    assert client.exists(index="orders", id="nothing") is False
    assert len(client.search(index="orders", body={"query": {"match_all": {}}})["hits"]["hits"]) == 3
    assert client.count(index="orders")["count"] > 0
    assert len(list(opensearchpy.helpers.scan(client, index="orders"))) == 3
    assert client.create_pit(index="orders", keep_alive="1m")["pit_id"] == "a-pit"


async def _index_async(client: AsyncOpenSearch, peer: SearchPeer) -> None:
    answer = await client.index(index="orders", id="7", body={"total": 10.01})
    assert (answer["_id"], answer["result"]) == ("7", "created")


async def _helper_async(client: AsyncOpenSearch, peer: SearchPeer) -> None:
    assert await opensearchpy.helpers.async_bulk(client, _actions()) == (2, [])


async def _delete_by_query_async(client: AsyncOpenSearch, peer: SearchPeer) -> None:
    answer = await client.delete_by_query(index="orders", body={"query": {"match_all": {}}})
    assert answer["deleted"] > 0


async def _read_async(client: AsyncOpenSearch, peer: SearchPeer) -> None:
    assert await client.ping() is True
    assert len((await client.search(index="orders"))["hits"]["hits"]) == 3
    assert len([each async for each in opensearchpy.helpers.async_scan(client, index="orders")]) == 3


INDEX, BULK = ("search.index",), ("search.bulk",)
CLIENTS = [
    Client(
        name="opensearch-py", guard="opensearch", peer="search",
        not_covered=(
            "Searches do not find what was suppressed. A model's predictions, which may cost and need not"
            " change anything, are answered as writes unless a rule lets them through."
            " Administration is answered `acknowledged`, without identifiers and keys that some of it makes;"
            " the task that a call by query starts cannot be looked up. The server was a fake."
        ),
        cases=(
            Case(name="index", client=_opensearch, write=_index, read=_read, kinds=INDEX),
            Case(name="index, by requests", client=_by_requests, write=_index, read=_read, kinds=INDEX),
            Case(name="create", client=_opensearch, write=_create, kinds=INDEX),
            Case(name="update", client=_opensearch, write=_update, kinds=("search.update",)),
            Case(name="delete", client=_opensearch, write=_delete, kinds=("search.delete",)),
            Case(name="bulk", client=_opensearch, write=_bulk, kinds=BULK),
            Case(name="helpers.bulk", client=_opensearch, write=_helper, kinds=BULK),
            Case(name="delete_by_query", client=_opensearch, write=_delete_by_query,
                 kinds=("search.delete",)),
            Case(name="update_by_query", client=_opensearch, write=_update_by_query,
                 kinds=("search.update",)),
            Case(name="indices.create, delete", client=_opensearch, write=_make_index,
                 kinds=("search.manage", "search.manage")),
            Case(name="transport.perform_request", client=_opensearch, write=_raw,
                 kinds=("search.manage",)),
            Case(name="clear_scroll of all", client=_opensearch, write=_close_all,
                 kinds=("search.cursor",)),
            Case(name="Document.save", client=_opensearch, write=_document, kinds=INDEX),
            Case(name="AsyncOpenSearch.index", client=_async_opensearch, write=_index_async,
                 read=_read_async, kinds=INDEX),
            Case(name="AsyncOpenSearch.index, by AsyncHttpConnection", client=_async_by_http,
                 write=_index_async, read=_read_async, kinds=INDEX),
            Case(name="helpers.async_bulk", client=_async_opensearch, write=_helper_async, kinds=BULK),
            Case(name="AsyncOpenSearch.delete_by_query", client=_async_opensearch,
                 write=_delete_by_query_async, kinds=("search.delete",)),
        ),
    ),
]  # fmt: skip
