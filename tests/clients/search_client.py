"""elasticsearch-py, sync and async, with a fake in the server's place."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import elasticsearch
import elasticsearch.dsl
import elasticsearch.helpers
from elasticsearch import AsyncElasticsearch, Elasticsearch

from clients.search_peer import SearchPeer
from clients.table import Case, Client

_numbers = itertools.count()


def _old() -> str:
    """A document that is there, and that no other case asks for."""
    return f"old-{next(_numbers) % 400}"


def _elasticsearch(peer: SearchPeer) -> Elasticsearch:
    return Elasticsearch(peer.url)


def _by_requests(peer: SearchPeer) -> Elasticsearch:
    return Elasticsearch(peer.url, node_class="requests")


def _async_elasticsearch(peer: SearchPeer) -> AsyncElasticsearch:
    return AsyncElasticsearch(peer.url)


def _async_by_httpx(peer: SearchPeer) -> AsyncElasticsearch:
    return AsyncElasticsearch(peer.url, node_class="httpxasync")


def _index(client: Elasticsearch, peer: SearchPeer) -> None:
    answer = client.index(index="orders", document={"total": 10.01})
    assert (answer["_index"], answer["result"]) == ("orders", "created")
    assert answer["_id"]
    assert answer.meta.status == 201


def _create(client: Elasticsearch, peer: SearchPeer) -> None:
    assert client.create(index="orders", id="new/7", document={"total": 10.01})["_id"] == "new/7"


def _update(client: Elasticsearch, peer: SearchPeer) -> None:
    assert client.update(index="orders", id="old-450", doc={"total": 10.01})["result"] == "updated"


def _delete(client: Elasticsearch, peer: SearchPeer) -> None:
    assert client.delete(index="orders", id=_old())["result"] == "deleted"


def _bulk(client: Elasticsearch, peer: SearchPeer) -> None:
    operations = [{"index": {"_index": "orders", "_id": "7"}}, {"total": 10.01}, {"delete": {"_id": "8"}}]
    answer = client.bulk(index="orders", operations=operations)
    assert not answer["errors"]
    assert [(name, each["_id"]) for item in answer["items"] for name, each in item.items()] == [
        ("index", "7"), ("delete", "8"),
    ]  # fmt: skip


def _actions() -> Iterator[dict[str, Any]]:
    yield {"_index": "orders", "_id": "7", "total": 10.01}
    yield {"_index": "orders", "_op_type": "update", "_id": "old-450", "doc": {"total": 10.01}}


def _helper(client: Elasticsearch, peer: SearchPeer) -> None:
    assert elasticsearch.helpers.bulk(client, _actions()) == (2, [])


def _parallel(client: Elasticsearch, peer: SearchPeer) -> None:
    done = elasticsearch.helpers.parallel_bulk(client, _actions(), thread_count=2)
    assert [ok for ok, _ in done] == [True, True]


def _delete_by_query(client: Elasticsearch, peer: SearchPeer) -> None:
    answer = client.delete_by_query(index="orders", query={"match_all": {}})
    assert answer["deleted"] == answer["total"] > 0


def _update_by_query(client: Elasticsearch, peer: SearchPeer) -> None:
    assert client.update_by_query(index="orders", q="total:7")["updated"] > 0


def _reindex(client: Elasticsearch, peer: SearchPeer) -> None:
    assert client.reindex(source={"index": "orders"}, dest={"index": "copies"})["failures"] == []


def _make_index(client: Elasticsearch, peer: SearchPeer) -> None:
    assert client.indices.create(index="made")["index"] == "made"
    assert client.indices.put_alias(index="made", name="alias")["acknowledged"]
    client.indices.refresh(index="made")


def _scroll(client: Elasticsearch, peer: SearchPeer) -> None:
    assert client.scroll(scroll_id="v1")["hits"]["hits"] == []


class _Order(elasticsearch.dsl.Document):
    total = elasticsearch.dsl.Double()

    class Index:
        name = "orders"


def _document(client: Elasticsearch, peer: SearchPeer) -> None:
    assert _Order(total=10.01).save(using=client) == "created"


def _read(client: Elasticsearch, peer: SearchPeer) -> None:
    assert client.ping()
    assert client.info()["name"] == "fake"
    assert client.get(index="orders", id="old-450")["_source"] == {"total": 450}
    assert not client.exists(index="orders", id="nothing")
    assert len(client.search(index="orders", query={"match_all": {}})["hits"]["hits"]) == 3
    assert client.count(index="orders")["count"] > 0
    assert len(list(elasticsearch.helpers.scan(client, index="orders"))) == 3
    assert client.open_point_in_time(index="orders", keep_alive="1m")["id"] == "a-pit"


async def _index_async(client: AsyncElasticsearch, peer: SearchPeer) -> None:
    answer = await client.index(index="orders", id="7", document={"total": 10.01})
    assert (answer["_id"], answer["result"], answer.meta.status) == ("7", "created", 201)


async def _helper_async(client: AsyncElasticsearch, peer: SearchPeer) -> None:
    assert await elasticsearch.helpers.async_bulk(client, _actions()) == (2, [])


async def _delete_by_query_async(client: AsyncElasticsearch, peer: SearchPeer) -> None:
    answer = await client.delete_by_query(index="orders", query={"match_all": {}})
    assert answer["deleted"] > 0


async def _read_async(client: AsyncElasticsearch, peer: SearchPeer) -> None:
    assert await client.ping()
    assert len((await client.search(index="orders"))["hits"]["hits"]) == 3
    assert len([each async for each in elasticsearch.helpers.async_scan(client, index="orders")]) == 3


INDEX, BULK = ("search.index",), ("search.bulk",)
CLIENTS = [
    Client(
        name="elasticsearch", guard="elasticsearch", peer="search",
        not_covered=(
            "elasticsearch-py before 8, which has a transport of its own (the urllib3 guard holds it back,"
            " its searches too). Searches do not find what was suppressed. Inference, which may cost and need"
            " not change anything, is answered as a write unless a rule lets it through."
            " Administration is answered `acknowledged`, without identifiers and keys that some of it makes;"
            " the task that a call by query starts cannot be looked up. The server was a fake."
        ),
        cases=(
            Case(name="index", client=_elasticsearch, write=_index, read=_read, kinds=INDEX),
            Case(name="index, by requests", client=_by_requests, write=_index, read=_read, kinds=INDEX),
            Case(name="create", client=_elasticsearch, write=_create, kinds=INDEX),
            Case(name="update", client=_elasticsearch, write=_update, kinds=("search.update",)),
            Case(name="delete", client=_elasticsearch, write=_delete, kinds=("search.delete",)),
            Case(name="bulk", client=_elasticsearch, write=_bulk, kinds=BULK),
            Case(name="helpers.bulk", client=_elasticsearch, write=_helper, kinds=BULK),
            Case(name="helpers.parallel_bulk", client=_elasticsearch, write=_parallel, kinds=BULK),
            Case(name="delete_by_query", client=_elasticsearch, write=_delete_by_query,
                 kinds=("search.delete",)),
            Case(name="update_by_query", client=_elasticsearch, write=_update_by_query,
                 kinds=("search.update",)),
            Case(name="reindex", client=_elasticsearch, write=_reindex, kinds=INDEX),
            Case(name="indices.create, put_alias, refresh", client=_elasticsearch, write=_make_index,
                 kinds=("search.manage", "search.manage", "search.refresh")),
            Case(name="scroll by a cursor from elsewhere", client=_elasticsearch, write=_scroll,
                 kinds=("search.cursor",)),
            Case(name="dsl.Document.save", client=_elasticsearch, write=_document, kinds=INDEX),
            Case(name="AsyncElasticsearch.index", client=_async_elasticsearch, write=_index_async,
                 read=_read_async, kinds=INDEX),
            Case(name="AsyncElasticsearch.index, by httpx", client=_async_by_httpx, write=_index_async,
                 read=_read_async, kinds=INDEX),
            Case(name="helpers.async_bulk", client=_async_elasticsearch, write=_helper_async, kinds=BULK),
            Case(name="AsyncElasticsearch.delete_by_query", client=_async_elasticsearch,
                 write=_delete_by_query_async, kinds=("search.delete",)),
        ),
    ),
]  # fmt: skip
