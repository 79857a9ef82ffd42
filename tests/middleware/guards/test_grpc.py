"""The gRPC guard, on a real server: what the matrix cannot say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from clients.grpc_client import ORDER, GrpcPeer, method
from grpc import aio

from mirrorproof import Settings, install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.exchange import Outcome

ALLOW = {"kind": "grpc.call", "method": "/shop.Orders/Place", "action": "allow"}


@pytest.fixture
def peer() -> Iterator[GrpcPeer]:
    started = GrpcPeer()
    install_guards("grpc", "grpc_aio")
    yield started
    uninstall_guards()
    started.stop()


def request(mode: Mode = Mode.DRY_RUN, **settings: Any) -> MirrorContext:
    made = Settings.load(env={}, role="mixed", **({"mesh_domains": ("127.0.0.1",)} | settings))
    return MirrorContext(Decision(mode), settings=made, pair_id="pair-1")


def place(peer: GrpcPeer, metadata: Any = None) -> Any:
    with grpc.insecure_channel(peer.target) as channel:
        return method(channel, "unary_unary", "Place")(ORDER, timeout=10, metadata=metadata)


def test_a_rule_lets_a_method_through_with_the_mark(peer: GrpcPeer) -> None:
    with entered(request(effect_rules=(ALLOW,))) as context:
        assert place(peer, [("x-app", "1")]).value == "real"
    (_, metadata), (effect,) = peer.calls[0], context.ledger
    assert (metadata["x-istio-mirror"], metadata["x-mirror-id"], metadata["x-app"]) == ("true", "pair-1", "1")
    assert effect.outcome is Outcome.EXECUTED


async def test_so_does_it_for_asyncio(peer: GrpcPeer) -> None:
    with entered(request(effect_rules=(ALLOW,))):
        async with aio.insecure_channel(peer.target) as channel:
            assert (await method(channel, "unary_unary", "Place")(ORDER, timeout=10)).value == "real"
    assert peer.calls[0][1]["x-istio-mirror"] == "true"


def test_the_mark_goes_to_no_host_outside_the_mesh(peer: GrpcPeer) -> None:
    with entered(request(effect_rules=(ALLOW,), mesh_domains=("shop.svc",))):
        place(peer, [("x-istio-mirror", "true")])
    assert "x-istio-mirror" not in peer.calls[0][1]


def test_a_live_request_bears_no_mark(peer: GrpcPeer) -> None:
    with entered(request(Mode.LIVE)):
        place(peer)
    assert "x-istio-mirror" not in peer.calls[0][1]


def test_another_method_is_held_back_all_the_same(peer: GrpcPeer) -> None:
    with (
        entered(request(effect_rules=(ALLOW,))),
        grpc.insecure_channel(peer.target) as channel,
    ):
        assert list(method(channel, "unary_stream", "Watch")(ORDER, timeout=10)) == []
    assert peer.calls == []


def test_a_rule_fits_by_host(peer: GrpcPeer) -> None:
    rule = {"kind": "grpc.call", "host": "127.0.0.1", "action": "block"}
    with entered(request(effect_rules=(rule,))), pytest.raises(Exception, match="a rule in `effect_rules`"):
        place(peer)
    assert peer.calls == []


def test_a_rule_says_what_is_answered_in_the_response_s_own_type(peer: GrpcPeer) -> None:
    rule = {"kind": "grpc.call", "method": "/shop.Orders/*", "returns": "order 7"}
    with entered(request(effect_rules=(rule,))):
        assert place(peer).value == "order 7"
    assert peer.calls == []


def test_a_suppressed_call_reads_what_the_application_streams(peer: GrpcPeer) -> None:
    left = iter([ORDER, ORDER])
    with entered(request()), grpc.insecure_channel(peer.target) as channel:
        assert method(channel, "stream_unary", "Upload")(left, timeout=10).value == ""
    assert list(left) == []


def test_exporters_of_telemetry_are_not_held_back(peer: GrpcPeer) -> None:
    name = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    with (
        entered(request()) as context,
        grpc.insecure_channel(peer.target) as channel,
        pytest.raises(grpc.RpcError) as raised,
    ):
        channel.unary_unary(name)(b"", timeout=10)
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED  # the server was asked
    assert list(context.ledger) == []


def test_equal_calls_have_equal_digests_live_and_mirrored(peer: GrpcPeer) -> None:
    digests = []
    for mode in (Mode.LIVE, Mode.DRY_RUN):
        with entered(request(mode)) as context:
            place(peer)
        digests += [effect.digest for effect in context.ledger]
    assert digests[0] == digests[1]
