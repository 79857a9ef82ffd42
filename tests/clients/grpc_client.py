"""grpcio, sync and asyncio, on a real gRPC server that counts calls."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue
from grpc import aio

from clients.table import Case, Client

ORDER = StringValue(value="10.01")


class GrpcPeer:
    """A gRPC server on loopback with one method of each shape; notes calls and their metadata."""

    about = "a grpcio server on loopback that counts calls"

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        real, coding = StringValue(value="real"), (StringValue.FromString, StringValue.SerializeToString)

        def note(context: Any, name: str) -> None:
            self.calls.append((name, dict(context.invocation_metadata())))

        def one(request: Any, context: Any) -> Any:
            list(request) if hasattr(request, "__next__") else None
            note(context, "one")
            return real

        def many(request: Any, context: Any) -> Any:
            yield one(request, context)

        handlers = {
            "Place": grpc.unary_unary_rpc_method_handler(one, *coding),
            "Watch": grpc.unary_stream_rpc_method_handler(many, *coding),
            "Upload": grpc.stream_unary_rpc_method_handler(one, *coding),
            "Chat": grpc.stream_stream_rpc_method_handler(many, *coding),
        }
        self._server = grpc.server(ThreadPoolExecutor(4))
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("shop.Orders", handlers),)
        )
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def look(self) -> int:
        return len(self.calls)

    def stop(self) -> None:
        self._server.stop(None).wait()


def method(channel: Any, shape: str, name: str) -> Any:
    """A stub's method."""
    make = getattr(channel, shape)
    return make(f"/shop.Orders/{name}", StringValue.SerializeToString, StringValue.FromString)


def right(answer: Any) -> None:
    assert isinstance(answer, StringValue)
    assert answer.value in ("real", "")


def _place(channel: Any, peer: GrpcPeer) -> None:
    right(method(channel, "unary_unary", "Place")(ORDER, timeout=10))


def _with_call(channel: Any, peer: GrpcPeer) -> None:
    answer, call = method(channel, "unary_unary", "Place").with_call(ORDER, timeout=10)
    right(answer)
    assert call.code() is grpc.StatusCode.OK


def _future(channel: Any, peer: GrpcPeer) -> None:
    right(method(channel, "unary_unary", "Place").future(ORDER, timeout=10).result())


def _watch(channel: Any, peer: GrpcPeer) -> None:
    for answer in method(channel, "unary_stream", "Watch")(ORDER, timeout=10):
        right(answer)


def _upload(channel: Any, peer: GrpcPeer) -> None:
    right(method(channel, "stream_unary", "Upload")(iter([ORDER, ORDER]), timeout=10))


def _chat(channel: Any, peer: GrpcPeer) -> None:
    for answer in method(channel, "stream_stream", "Chat")(iter([ORDER]), timeout=10):
        right(answer)


async def _place_aio(channel: Any, peer: GrpcPeer) -> None:
    right(await method(channel, "unary_unary", "Place")(ORDER, timeout=10))


async def _watch_aio(channel: Any, peer: GrpcPeer) -> None:
    async for answer in method(channel, "unary_stream", "Watch")(ORDER, timeout=10):
        right(answer)


async def _upload_aio(channel: Any, peer: GrpcPeer) -> None:
    call = method(channel, "stream_unary", "Upload")(timeout=10)
    await call.write(ORDER)
    await call.done_writing()
    right(await call)


async def _chat_aio(channel: Any, peer: GrpcPeer) -> None:
    call = method(channel, "stream_stream", "Chat")(timeout=10)
    await call.write(ORDER)
    await call.done_writing()
    while (answer := await call.read()) is not aio.EOF:
        right(answer)


class Passing(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    """An interceptor of the application's."""

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(details, request)


def _sync(peer: GrpcPeer) -> Any:
    return grpc.insecure_channel(peer.target)


def _intercepted(peer: GrpcPeer) -> Any:
    return grpc.intercept_channel(_sync(peer), Passing())


def _aio(peer: GrpcPeer) -> Any:
    return aio.insecure_channel(peer.target)


CALL = ("grpc.call",)
BIDIRECTIONAL = "a suppressed call that streams both ways does not read what the application streams"
HOSTLESS = (
    "; before grpcio 1.81 a call does not tell its host: no rule by host fits it, and the mark is not added"
)
PEERS = {"grpc": GrpcPeer}
CLIENTS = [
    Client(name="grpcio", guard="grpc", peer="grpc", not_covered=BIDIRECTIONAL, cases=(
        Case(name="unary-unary", client=_sync, write=_place, kinds=CALL),
        Case(name="unary-unary with_call", client=_sync, write=_with_call, kinds=CALL),
        Case(name="unary-unary future", client=_sync, write=_future, kinds=CALL),
        Case(name="unary-unary intercepted", client=_intercepted, write=_place, kinds=CALL),
        Case(name="unary-stream", client=_sync, write=_watch, kinds=CALL),
        Case(name="stream-unary", client=_sync, write=_upload, kinds=CALL),
        Case(name="stream-stream", client=_sync, write=_chat, kinds=CALL),
    )),
    Client(name="grpcio", guard="grpc_aio", peer="grpc", not_covered=BIDIRECTIONAL + HOSTLESS, cases=(
        Case(name="aio unary-unary", client=_aio, write=_place_aio, kinds=CALL),
        Case(name="aio unary-stream", client=_aio, write=_watch_aio, kinds=CALL),
        Case(name="aio stream-unary", client=_aio, write=_upload_aio, kinds=CALL),
        Case(name="aio stream-stream", client=_aio, write=_chat_aio, kinds=CALL),
    )),
]  # fmt: skip
