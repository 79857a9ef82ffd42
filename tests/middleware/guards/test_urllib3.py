"""The urllib3 guard, under requests and by itself; what of the mark leaves; telemetry on its way out."""

from __future__ import annotations

import io
from typing import Any

import pytest
import requests
import urllib3
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value

from mirrorproof import Settings, install_guards
from mirrorproof.context import MirrorContext, entered, set_process_context
from mirrorproof.decision import Decision, Mode, Role
from mirrorproof.exchange import Outcome
from mirrorproof.guards.http import forwarded_headers

LOCAL = ("127.0.0.1",)


@pytest.fixture(autouse=True)
def _guard() -> None:
    install_guards("urllib3")


def in_mode(mode: Mode, **settings: Any) -> MirrorContext:
    return MirrorContext(Decision(mode), settings=Settings.load(env={}, **settings), pair_id="pair-1")


@pytest.mark.parametrize("body", [b"12345", "12345", [b"123", b"45"]])
def test_a_live_write_has_the_digest_and_the_summary_of_a_suppressed_one(outside: Any, body: Any) -> None:
    url = outside.url + "/a?b=1"
    with entered(in_mode(Mode.LIVE)) as live:
        assert urllib3.request("POST", url, body=body).json() == {"real": True}
    with entered(in_mode(Mode.DRY_RUN)) as dry:
        assert urllib3.request("POST", url, body=body).json() == {}
    (done,), (held,) = live.ledger, dry.ledger
    assert (done.digest, done.summary) == (held.digest, held.summary)
    assert (done.outcome, held.outcome) == (Outcome.EXECUTED, Outcome.SUPPRESSED)
    assert [each[3] for each in outside.requests] == [b"12345"]


def test_a_file_is_sent_whole_and_sampled(outside: Any) -> None:
    whole = b"x" * 200_000
    with entered(in_mode(Mode.LIVE)) as live:
        requests.post(outside.url, data=io.BytesIO(whole))
    with entered(in_mode(Mode.DRY_RUN)) as dry:
        requests.post(outside.url, data=io.BytesIO(whole))
    assert outside.requests[0][3] == whole
    assert outside.requests[0][2]["content-length"] == "200000"
    assert [each.digest for each in live.ledger] == [each.digest for each in dry.ledger]


def test_a_canned_answer_is_what_requests_sees(outside: Any) -> None:
    answer = {"status": 402, "headers": {"Set-Cookie": "a=b", "X-Stub": "1"}, "body": '{"id": "ä"}'}
    with entered(in_mode(Mode.DRY_RUN, effect_rules=[{"path": "/charge", "answer": answer}])):
        got = requests.post(outside.url + "/charge")
    assert (got.status_code, got.reason, got.json()) == (402, "Payment Required", {"id": "ä"})
    assert (got.headers["x-stub"], got.cookies["a"]) == ("1", "b")
    assert isinstance(got.raw, urllib3.HTTPResponse)


def test_a_suppressed_answer_is_neither_retried_nor_followed_by_the_pool(outside: Any) -> None:
    rules = [
        {"path": "/busy", "answer": {"status": 503, "headers": {"Retry-After": "0"}}},
        {"path": "/moved", "answer": {"status": 307, "headers": {"Location": "/orders"}}},
    ]
    retries = urllib3.Retry(3, status_forcelist=[503], allowed_methods=None)
    with (
        entered(in_mode(Mode.DRY_RUN, effect_rules=rules)) as context,
        urllib3.connection_from_url(outside.url) as pool,
    ):
        assert pool.urlopen("POST", "/busy", retries=retries).status == 503
        assert pool.urlopen("POST", "/moved").status == 307
    assert len(context.ledger) == 2


def test_each_hop_of_a_redirect_in_requests_is_judged(outside: Any) -> None:
    rules = [{"path": "/", "answer": {"status": 307, "headers": {"Location": "/next"}}}]
    with entered(in_mode(Mode.DRY_RUN, effect_rules=rules)) as context:
        assert requests.post(outside.url + "/").status_code == 200
    assert [effect.target.rsplit("/", 1)[1] for effect in context.ledger] == ["", "next"]
    assert outside.requests == []


def test_a_proxy_is_no_way_around(outside: Any) -> None:
    with entered(in_mode(Mode.DRY_RUN)) as context:
        for url in ("http://orders.example/a", "https://orders.example/a"):
            requests.post(url, proxies={"http": outside.url, "https": outside.url})
    assert [each.target for each in context.ledger] == [
        "POST http://orders.example/a",
        "POST https://orders.example/a",
    ]
    assert outside.requests == []


def test_a_live_write_that_fails_on_the_way_is_not_recorded_as_executed() -> None:
    with entered(in_mode(Mode.LIVE)) as context, pytest.raises(requests.ConnectionError):
        requests.post("http://127.0.0.1:1/")
    assert len(context.ledger) == 0


@pytest.mark.parametrize(
    ("mode", "mesh", "mark", "baggage"),
    [
        (Mode.DRY_RUN, LOCAL, "true", "mirrorproof.mirrored=true,mirrorproof.pair_id=pair-1,shop=7"),
        (Mode.DRY_RUN, ("svc.cluster.local",), None, "shop=7"),
        (Mode.LIVE, LOCAL, None, "shop=7"),
    ],
)
def test_the_mark_and_its_baggage_go_to_the_mesh_from_mirrored_requests_only(
    outside: Any, mode: Mode, mesh: tuple[str, ...], mark: Any, baggage: str
) -> None:
    given = {"X-Istio-Mirror": "true", "Baggage": "shop=7, mirrorproof.mirrored=true"}
    with entered(in_mode(mode, mesh_domains=mesh)), requests.Session() as session:
        session.headers.update(given)
        session.get(outside.url)
    assert outside.requests[0][2].get("x-istio-mirror") == mark
    assert outside.requests[0][2].get("baggage") == baggage
    assert given == {"X-Istio-Mirror": "true", "Baggage": "shop=7, mirrorproof.mirrored=true"}


def test_baggage_stays_within_its_bound_and_keeps_ours() -> None:
    context = in_mode(Mode.DRY_RUN, mesh_domains=LOCAL)
    given = [(b"baggage", b"a=" + b"x" * 4000), (b"Baggage", b"b=" + b"x" * 4200 + b",c=1")]
    (value,) = [v for n, v in forwarded_headers(context, "127.0.0.1", given) if n == b"baggage"]
    assert len(value) <= 8192
    assert value.split(b",")[:2] == [b"mirrorproof.mirrored=true", b"mirrorproof.pair_id=pair-1"]
    assert value.split(b",")[2].startswith(b"a=x")


def test_baggage_without_a_mark_passes_as_it_is() -> None:
    given = [(b"Baggage", b"a=1 ,b=2;p")]
    assert forwarded_headers(None, "127.0.0.1", given) == given


def test_telemetry_on_its_way_out_passes_a_dry_process_unrecorded(outside: Any) -> None:
    set_process_context(Settings(role=Role.SHADOW))
    assert requests.post(outside.url + "/v1/traces").json() == {}  # not from an exporter
    token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
    try:
        for signal in ("traces", "metrics", "logs"):
            assert requests.post(f"{outside.url}/otel/v1/{signal}").status_code == 201
        assert requests.post(outside.url + "/orders").json() == {}  # an exporter's, but no telemetry
        with entered(in_mode(Mode.READ_ONLY)) as context:
            assert requests.post(outside.url + "/v1/traces").status_code == 201
        assert len(context.ledger) == 0
    finally:
        detach(token)
    assert len(outside.requests) == 4


def test_a_live_body_of_pieces_is_sent_whole_again_on_a_retry(outside: Any) -> None:
    again = urllib3.Retry(1, status_forcelist=[201], allowed_methods=None, raise_on_status=False)
    with entered(in_mode(Mode.LIVE)):
        urllib3.request("POST", outside.url, body=[b"ab", b"cd"], retries=again)
    assert [body for *_, body in outside.requests] == [b"abcd", b"abcd"]


def test_an_upgrade_is_no_read(outside: Any) -> None:
    headers = {"Upgrade": "x", "Connection": "upgrade"}
    with entered(in_mode(Mode.DRY_RUN)) as context:
        urllib3.request("GET", outside.url, headers=headers)
    assert outside.requests == []
    assert [effect.outcome for effect in context.ledger] == [Outcome.SUPPRESSED]


def test_a_redirect_out_of_what_a_rule_allows_is_judged_anew(outside: Any) -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    seen: list[str] = []

    class Moves(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(self.path)
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(307 if self.path == "/search" else 201)
            self.send_header("location", "/orders")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Moves) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        rules = [{"path": "/search", "action": "allow"}]
        for send in (urllib3.connection_from_url(url).urlopen, urllib3.PoolManager().request):
            with entered(in_mode(Mode.DRY_RUN, effect_rules=rules)) as context:
                target = "/search" if send.__name__ == "urlopen" else url + "/search"
                assert send("POST", target, body=b"x").data == b"{}"
            assert {each.target.rsplit("/", 1)[1]: each.outcome for each in context.ledger} == {
                "orders": Outcome.SUPPRESSED,
                "search": Outcome.EXECUTED,
            }
        server.shutdown()
    assert seen == ["/search", "/search"]
