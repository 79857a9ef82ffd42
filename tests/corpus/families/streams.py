"""Server-sent events and newline-delimited JSON: item by item."""

from __future__ import annotations

from typing import Any

from ..answers import Answer
from ..building import Service
from ..environment import Env
from ..world import World

__all__ = ["SERVICES"]

sse = Service("sse")
ndjson = Service("ndjson")
SERVICES = (sse, ndjson)


@sse.on("GET", "/prices/stream")
def prices(world: World, env: Env) -> Answer:
    """A ticker's first events."""
    first = world.number(1_000, 90_000)
    tree: list[dict[str, Any]] = [
        {
            "event": "hello",
            "data": {"stream": world.word(), "server_time": env.now("epoch_ms")},
            "retry": 3000,
        }
    ]
    tree += [
        {
            "event": "price",
            "id": str(first + number),
            "data": {
                "symbol": world.one("EURUSD", "GBPUSD", "EURPLN"),
                "price": world.cents() / 100,
                "size": world.number(1, 900),
                "venue": world.one("XETR", "XPAR"),
            },
        }
        for number in range(world.number(3, 9))
    ]
    return Answer(
        tree, "sse", path="/prices/stream", headers={"cache-control": "no-cache", "x-accel-buffering": "no"}
    )


@sse.on("POST", "/chat/completions")
def chat(world: World, env: Env) -> Answer:
    """A completion in pieces: one id in each."""
    made = env.uuid().map(lambda value: "chatcmpl-" + value.replace("-", ""))
    created = env.now("epoch")
    pieces = world.sentence(world.number(4, 9)).split(" ")
    tree: list[dict[str, Any]] = [
        {
            "data": {
                "id": made,
                "object": "chat.completion.chunk",
                "created": created,
                "model": "small-1",
                "choices": [{"index": 0, "delta": {"content": piece + " "}, "finish_reason": None}],
            }
        }
        for piece in pieces
    ]
    tree += [
        {
            "data": {
                "id": made,
                "object": "chat.completion.chunk",
                "created": created,
                "model": "small-1",
                "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
            }
        },
        {"data": "[DONE]"},
    ]
    return Answer(
        tree,
        "sse",
        path="/chat/completions",
        headers={"cache-control": "no-cache", "x-request-cost": str(len(pieces))},
    )


@sse.on("GET", "/jobs/{id}/events")
def job(world: World, env: Env) -> Answer:
    """A job's progress."""
    steps = world.number(3, 7)
    tree = [
        {
            "event": "progress",
            "id": str(number),
            "data": {
                "step": number,
                "of": steps,
                "label": world.sentence(4),
                "state": world.one("RUNNING", "DONE"),
                "at": env.now(),
            },
        }
        for number in range(1, steps + 1)
    ]
    return Answer(
        tree, "sse", path=f"/jobs/{world.number(1, 900)}/events", headers={"cache-control": "no-cache"}
    )


@ndjson.on("GET", "/export/events")
def events(world: World, env: Env) -> Answer:
    """Stored events, one a line."""
    tree = [
        {
            "event_id": world.uuid(),
            "type": world.one("order_paid", "order_shipped"),
            "at": env.stored(world.past(20)),
            "amount": world.cents(),
            "actor": world.person(),
            "props": {"ip": f"10.0.{world.number(0, 255)}.{world.number(1, 254)}", "beta": world.chance(0.5)},
        }
        for _ in range(world.number(3, 14))
    ]
    return Answer(
        tree, "ndjson", path="/export/events", headers={"cache-control": "no-store", "content-language": "en"}
    )


@ndjson.on("POST", "/_bulk")
def bulk(world: World, env: Env) -> Answer:
    """Results of a bulk write, line by line, with ids made anew."""
    tree = [
        {
            "op": world.one("index", "create"),
            "id": env.new_id(world.number(100, 90_000) + number, "doc"),
            "status": 201,
            "seq_no": world.number(1, 90_000),
            "result": "created",
            "title": world.sentence(3),
        }
        for number in range(world.number(2, 9))
    ]
    return Answer(tree, "ndjson", path="/_bulk", headers={"x-elapsed": env.took_ms().map(str)})


@ndjson.on("GET", "/logs/tail")
def logs(world: World, env: Env) -> Answer:
    """Lines of a log, with a last one that the answer itself adds."""
    tree: list[dict[str, Any]] = [
        {
            "ts": env.stored(world.recent()),
            "level": world.one("info", "warn", "error"),
            "msg": world.sentence(6),
            "request_ms": world.number(1, 900),
            "path": "/" + world.slug(),
        }
        for _ in range(world.number(3, 9))
    ]
    tree.append({"ts": env.now(), "level": "info", "msg": "end of tail", "host": env.host("logs")})
    return Answer(tree, "ndjson", path="/logs/tail", headers={"cache-control": "no-cache"})
