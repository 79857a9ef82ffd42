"""The http.client guard: its connections' states, tunnels, keep-alive, and who else builds on it."""

from __future__ import annotations

import http.client
import io
import socket
import threading
import urllib.request
import xmlrpc.client
import xmlrpc.server
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
import urllib3.connection

from mirrorproof import Settings, install_guards
from mirrorproof.context import MirrorContext, entered, own_traffic, set_process_context
from mirrorproof.decision import Decision, Mode, Role
from mirrorproof.errors import EffectRefusedError, ReadOnlyError
from mirrorproof.exchange import Outcome
from mirrorproof.guards.http_messages import Message

LOCAL = ("127.0.0.1",)
CLOSED = "127.0.0.1:1"  # nobody listens, so whoever connects fails


@pytest.fixture(autouse=True)
def _guard() -> None:
    install_guards("http_client", "urllib3", "unguarded")


def in_mode(mode: Mode, **settings: Any) -> MirrorContext:
    return MirrorContext(Decision(mode), settings=Settings.load(env={}, **settings), pair_id="pair-1")


@pytest.fixture
def connection(outside: Any) -> Iterator[http.client.HTTPConnection]:
    made = http.client.HTTPConnection(outside.host)
    yield made
    made.close()


def test_a_suppressed_request_opens_no_connection() -> None:
    for kind in (http.client.HTTPConnection, http.client.HTTPSConnection):
        there = kind(CLOSED)
        with entered(in_mode(Mode.DRY_RUN)) as context:
            there.request("POST", "/a")
            assert there.getresponse().read() == b"{}"
        assert there.sock is None
        assert [each.outcome for each in context.ledger] == [Outcome.SUPPRESSED]
        with pytest.raises(ConnectionRefusedError):
            there.request("POST", "/a")


def test_a_kept_connection_serves_reads_and_live_writes_after_a_suppressed_one(
    outside: Any, connection: Any
) -> None:
    connection.request("GET", "/")
    connection.getresponse().read()
    kept = connection.sock
    with entered(in_mode(Mode.DRY_RUN)):
        for _ in range(2):
            connection.request("POST", "/held", b"x")
            connection.getresponse().read()
            assert connection.sock is kept
        connection.request("GET", "/read")
        assert connection.getresponse().read() == b'{"real": true}'
    connection.request("POST", "/live", b"x")
    assert connection.getresponse().status == 201
    assert connection.sock is kept
    assert [each[:2] for each in outside.requests] == [("GET", "/"), ("GET", "/read"), ("POST", "/live")]


@pytest.mark.parametrize("mode", [Mode.DRY_RUN, Mode.LIVE])
def test_calls_in_the_wrong_order_fail_as_they_do_without_a_guard(connection: Any, mode: Mode) -> None:
    with entered(in_mode(mode)) as context:
        with pytest.raises(http.client.CannotSendHeader):
            connection.endheaders()
        with pytest.raises(http.client.ResponseNotReady):
            connection.getresponse()
        connection.request("POST", "/", b"x")
        with pytest.raises(http.client.CannotSendRequest):
            connection.request("POST", "/")
        with pytest.raises(http.client.CannotSendHeader):
            connection.endheaders()
        first = connection.getresponse()
        connection.request("POST", "/", b"x")
        with pytest.raises(http.client.ResponseNotReady):
            connection.getresponse()
        first.read()
        if mode is Mode.LIVE:  # where the first answer's reader may have taken the second one with it
            return
        assert connection.getresponse().read()
        with pytest.raises(http.client.ResponseNotReady):
            connection.getresponse()
    assert len(context.ledger) == 2


@pytest.mark.parametrize("chunks", [[b"12345"], [b"1", b"23", b"45"]])
def test_digest_and_summary_are_the_same_live_and_suppressed_however_the_body_was_cut(
    outside: Any, connection: Any, chunks: list[bytes]
) -> None:
    seen = []
    for mode in (Mode.LIVE, Mode.DRY_RUN):
        with entered(in_mode(mode)) as context:
            connection.request("POST", "/a?b=1", iter(chunks))
            connection.getresponse().read()
        seen += list(context.ledger)
    with entered(in_mode(Mode.DRY_RUN)) as context:
        urllib3.request("POST", outside.url + "/a?b=1", body=b"12345")
    seen += list(context.ledger)
    assert len({(each.digest, each.summary, each.target) for each in seen}) == 1
    assert len(seen) == 3
    assert [each[3] for each in outside.requests] == [b"12345"]


def test_files_iterables_and_text_reach_the_live_server_as_without_a_guard(
    outside: Any, connection: Any
) -> None:
    bodies: list[Any] = ["é", io.StringIO("é"), io.BytesIO(b"\xe9"), [b"\xe9"], bytearray(b"\xe9")]
    with entered(in_mode(Mode.LIVE)) as context:
        for body in bodies:
            connection.request("POST", "/", body)
            connection.getresponse().read()
        for body in (io.StringIO("é"), io.BytesIO(b"\xe9"), [b"\xe9"], b"\xe9"):
            connection.putrequest("POST", "/")
            connection.putheader("Content-Length", "1")
            connection.endheaders()
            connection.send(body)
            connection.getresponse().read()
    assert {each[3] for each in outside.requests} == {b"\xe9"}
    assert len({each.digest for each in context.ledger}) == 1
    assert len(context.ledger) == 9


def test_a_canned_answer_is_read_as_any_other(connection: Any) -> None:
    answer = {"status": 402, "headers": {"Connection": "close", "X-Stub": "1"}, "body": "paid"}
    rules = [{"path": "/charge", "answer": answer}]
    with entered(in_mode(Mode.DRY_RUN, effect_rules=rules)):
        connection.request("POST", "/charge")
        got = connection.getresponse()
    assert (got.status, got.reason, got.getheader("x-stub")) == (402, "Payment Required", "1")
    assert (got.read(2), got.read(), connection.sock) == (b"pa", b"id", None)


def test_a_refused_request_is_refused_again_where_its_answer_is_asked_for(connection: Any) -> None:
    with entered(in_mode(Mode.READ_ONLY)) as context:
        with pytest.raises(ReadOnlyError):
            connection.request("POST", "/", b"x")
        with pytest.raises(ReadOnlyError):
            connection.getresponse()
    assert [each.outcome for each in context.ledger] == [Outcome.BLOCKED]
    connection.close()
    connection.request("GET", "/")
    assert connection.getresponse().status == 201


def test_bytes_that_belong_to_no_request_are_refused(outside: Any, connection: Any) -> None:
    raw = b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
    connection.connect()
    with entered(in_mode(Mode.DRY_RUN)) as context:
        with pytest.raises(EffectRefusedError, match="cannot be understood"):
            connection.send(raw)
        connection.request("GET", "/")
        with pytest.raises(EffectRefusedError, match="cannot be understood"):
            connection.send(raw)
        connection.getresponse().read()
        with pytest.raises(EffectRefusedError, match="cannot be understood"):
            connection.send(raw)
    assert outside.methods == ["GET"]
    assert [each.outcome for each in context.ledger] == [Outcome.BLOCKED] * 3


def test_an_upgrade_is_no_read(outside: Any, connection: Any) -> None:
    with entered(in_mode(Mode.DRY_RUN)):
        connection.request("GET", "/", headers={"Upgrade": "x", "Connection": "upgrade"})
        assert connection.getresponse().read() == b"{}"
    assert outside.requests == []


def test_a_live_write_that_fails_on_the_way_is_not_recorded_as_executed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf, entered(in_mode(Mode.LIVE)) as context:
        hanging = http.client.HTTPConnection(*deaf.getsockname())
        hanging.request("POST", "/", b"x")
        deaf.accept()[0].close()
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            hanging.getresponse()
        with pytest.raises(ConnectionRefusedError):
            http.client.HTTPConnection(CLOSED).request("POST", "/")
    assert len(context.ledger) == 0


def test_a_rule_may_let_it_happen(outside: Any, connection: Any) -> None:
    with entered(in_mode(Mode.DRY_RUN, effect_rules=[{"path": "/search", "action": "allow"}])) as context:
        connection.request("POST", "/search", b"x")
        assert connection.getresponse().read() == b'{"real": true}'
        connection.request("POST", "/orders", b"x")
        assert connection.getresponse().read() == b"{}"
    assert [each[1] for each in outside.requests] == ["/search"]
    assert [each.outcome for each in context.ledger] == [Outcome.EXECUTED, Outcome.SUPPRESSED]


@pytest.mark.parametrize(
    ("mode", "mesh", "mark", "baggage"),
    [
        (Mode.DRY_RUN, LOCAL, "true", "mirrorproof.mirrored=true,mirrorproof.pair_id=pair-1,shop=7"),
        (Mode.DRY_RUN, ("svc.cluster.local",), None, "shop=7"),
        (Mode.LIVE, LOCAL, None, "shop=7"),
        (None, LOCAL, None, "shop=7"),
    ],
)
def test_the_mark_and_its_baggage_go_to_the_mesh_from_mirrored_requests_only(
    outside: Any, connection: Any, mode: Mode | None, mesh: tuple[str, ...], mark: Any, baggage: str
) -> None:
    headers = {"X-Istio-Mirror": "true", "Baggage": "shop=7, mirrorproof.mirrored=true", "A": "b"}
    if mode is None:
        connection.request("GET", "/", headers=headers)
    else:
        with entered(in_mode(mode, mesh_domains=mesh)):
            connection.request("GET", "/", headers=headers)
    connection.getresponse().read()
    sent = outside.requests[0][2]
    assert (sent.get("x-istio-mirror"), sent.get("baggage"), sent["a"]) == (mark, baggage, "b")


class Proxy:
    """Notes what it is asked for, and refuses tunnels."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = self._server.getsockname()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                there, _ = self._server.accept()
            except OSError:
                return
            with there:
                self.asked.append(there.recv(65536).partition(b"\r\n")[0])
                there.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                if self.asked[-1].startswith(b"CONNECT"):
                    self.asked.append(there.recv(65536).partition(b"\r\n")[0])
                    there.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def stop(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy()
    yield made
    made.stop()


@pytest.mark.parametrize("kind", [http.client.HTTPConnection, urllib3.connection.HTTPConnection])
def test_through_a_tunnel_reads_pass_and_writes_do_not_even_open_it(proxy: Proxy, kind: Any) -> None:
    def tunnelled() -> Any:
        made = kind(*proxy.address)
        made.set_tunnel("orders.example", 80)
        return made

    def content(answer: Any) -> bytes:
        return answer.data if isinstance(answer, urllib3.HTTPResponse) else answer.read()

    with entered(in_mode(Mode.DRY_RUN)) as context:
        there = tunnelled()
        there.request("POST", "/a", b"x")
        assert content(there.getresponse()) == b"{}"
        assert proxy.asked == []
        for connect_first in (False, True):
            there = tunnelled()
            if connect_first:
                there.connect()
            there.request("GET", "/a")
            assert content(there.getresponse()) == b"ok"
            there.close()
    assert [each.target for each in context.ledger] == ["POST http://orders.example/a"]
    assert [each.split()[0] for each in proxy.asked] == [b"CONNECT", b"GET"] * 2
    with entered(in_mode(Mode.LIVE)) as context:
        there = tunnelled()
        there.request("POST", "/a", b"x")
        assert content(there.getresponse()) == b"ok"
        there.close()
    assert [each.target for each in context.ledger] == ["POST http://orders.example/a"]


def test_through_a_forwarding_proxy_the_target_is_the_urls(proxy: Proxy) -> None:
    handler = urllib.request.ProxyHandler({"http": f"http://{proxy.address[0]}:{proxy.address[1]}"})
    opener = urllib.request.build_opener(handler)
    with entered(in_mode(Mode.DRY_RUN)) as context, opener.open("http://orders.example/a", b"x") as answer:
        assert answer.read() == b"{}"
    assert [each.target for each in context.ledger] == ["POST http://orders.example/a"]
    assert proxy.asked == []


def test_a_suppressed_redirect_is_followed_and_judged_anew(outside: Any) -> None:
    rules = [{"path": "/a", "answer": {"status": 302, "headers": {"Location": outside.url + "/b"}}}]
    with (
        entered(in_mode(Mode.DRY_RUN, effect_rules=rules)) as context,
        urllib.request.urlopen(outside.url + "/a", b"x") as answer,
    ):
        assert answer.read() == b'{"real": true}'
    assert [each[:2] for each in outside.requests] == [("GET", "/b")]
    assert len(context.ledger) == 1


def test_xml_rpc_calls_are_writes_that_succeed() -> None:
    calls: list[int] = []
    with xmlrpc.server.SimpleXMLRPCServer(("127.0.0.1", 0), logRequests=False) as server:
        server.register_function(lambda n: calls.append(n) or 7, "order")  # type: ignore[func-returns-value]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{server.server_address[1]}") as client:
            with entered(in_mode(Mode.DRY_RUN)) as context:
                assert client.order(1) is True
            assert calls == []
            with entered(in_mode(Mode.LIVE)):
                assert client.order(1) == 7
        server.shutdown()
    assert calls == [1]
    assert len(context.ledger) == 1


def test_a_shadow_process_is_dry_outside_requests_and_our_own_traffic_is_not(
    outside: Any, connection: Any
) -> None:
    set_process_context(Settings(role=Role.SHADOW))
    connection.request("POST", "/", b"x")
    assert connection.getresponse().read() == b"{}"
    with own_traffic():
        connection.request("POST", "/", b"x")
        assert connection.getresponse().read() == b'{"real": true}'
    assert outside.methods == ["POST"]


@pytest.mark.parametrize("mode", [Mode.DRY_RUN, Mode.LIVE])
def test_what_passes_a_pool_is_judged_there_and_once(outside: Any, mode: Mode) -> None:
    with entered(in_mode(mode, mesh_domains=LOCAL)) as context:
        urllib3.request("POST", outside.url, body=b"x")
        urllib3.request("GET", outside.url)
    assert len(context.ledger) == 1
    marked = outside.requests[-1][2]
    assert marked.get("x-istio-mirror") == ("true" if mode is Mode.DRY_RUN else None)


@pytest.mark.parametrize("step", [1, 2, 3, 1000])
@pytest.mark.parametrize(
    ("headers", "raw", "body", "complete"),
    [
        ([(b"Content-Length", b"3")], b"P / H\r\nContent-Length: 3\r\n\r\nabc", b"abc", True),
        ([(b"content-length", b"3")], b"P / H\r\ncontent-length: 3\r\n\r\nab", b"ab", False),
        ([(b"Transfer-Encoding", b"chunked")], b"P / H\r\n\r\n1;x=y\r\na\r\nB\r\nbcdefghijkl\r\n0\r\n\r\n",
         b"abcdefghijkl", True),
        ([(b"Transfer-Encoding", b"chunked")], b"P / H\r\n\r\n1\r\na\r\n0\r\nT: v\r\n\r\n", b"a", True),
        ([(b"Transfer-Encoding", b"chunked")], b"P / H\r\n\r\n1\r\na\r\n0\r\n", b"a", False),
        ([], b"P / H\r\n\r\n", b"", True),
        ([], b"P / H\r\nA: b\r\n", b"", False),
    ],
)  # fmt: skip
def test_a_message_is_read_whatever_its_pieces(
    headers: Any, raw: bytes, body: bytes, complete: bool, step: int
) -> None:
    message = Message(headers, 100)
    for at in range(0, len(raw), step):
        message.feed(raw[at : at + step])
    assert (message.body.kept, message.complete) == (body, complete)
