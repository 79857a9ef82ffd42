"""`MirrorWSGIMiddleware` as servers, applications and a recorder see it."""

from __future__ import annotations

import hashlib
import io
import socket
import subprocess
import sys
import threading
import wsgiref.simple_server
import wsgiref.validate
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from clients.servers import free_port, wait_for
from shelf import Shelf

from mirrorproof import MirrorWSGIMiddleware, Settings, current, is_mirrored, side_effect
from mirrorproof.decision import sign
from mirrorproof.errors import LateEffectError
from mirrorproof.exchange import Outcome

MARKED = {"HTTP_X_ISTIO_MIRROR": "true"}
PAIRED = {"HTTP_X_REQUEST_ID": "pair-1"}
GUNICORN = {"SERVER_SOFTWARE": "gunicorn/23.0.0"}
MIRROR = MARKED | PAIRED | GUNICORN


class Server:
    """A WSGI server in memory."""

    def __init__(self, app: Any, *, ships: bool = True, dropped: bool | None = None, **settings: Any) -> None:
        self.shelf = Shelf()
        given = Settings.load(env={}, **{"guards": False, "service": "shop"} | settings)
        self.middleware = MirrorWSGIMiddleware(
            app, settings=given, agent=self.shelf if ships else None,  # type: ignore[arg-type]
            underscores_dropped=dropped,
        )  # fmt: skip
        self.status = ""
        self.written: list[bytes] = []

    def call(self, body: bytes = b"", method: str = "GET", **environ: Any) -> Any:
        given = {
            "REQUEST_METHOD": method, "PATH_INFO": "/orders", "SCRIPT_NAME": "", "QUERY_STRING": "a=1",
            "SERVER_PORT": "80", "wsgi.input": io.BytesIO(body + b"the next request"),
        } | ({"CONTENT_LENGTH": str(len(body))} if body else {}) | environ  # fmt: skip
        self.environ = given

        def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
            self.status, self.headers = status, headers
            return self.written.append

        return self.middleware(given, start_response)

    def serve(self, *args: Any, **environ: Any) -> bytes:
        answer = self.call(*args, **environ)
        try:
            self.written.extend(answer)
        finally:
            if hasattr(answer, "close"):
                answer.close()
        return b"".join(self.written)


def hello(environ: Any, start_response: Any) -> Any:
    with side_effect("mail.send", "smtp", payload={"to": "b"}) as effect:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"sent" if effect.live else b"dry"]


def never(*_: Any) -> Any:
    raise AssertionError("the application was called")


# --- the decision


def test_a_mirror_is_dry_and_captured_and_a_live_request_is_not() -> None:
    server = Server(hello)
    assert server.serve(**MIRROR) == b"dry"
    exchange = server.shelf.exchange
    assert (exchange.pair_id, exchange.request.path, exchange.request.query) == ("pair-1", "/orders", "a=1")
    assert (exchange.response.status, exchange.response.body) == (200, b"dry")
    assert [(each.kind, each.outcome) for each in exchange.effects] == [("mail.send", Outcome.SUPPRESSED)]
    server = Server(hello)
    assert server.serve(**PAIRED) == b"sent"
    assert [each.outcome for each in server.shelf.exchange.effects] == [Outcome.EXECUTED]
    assert current() is None


@pytest.mark.parametrize("value", ["True", "true,true", "true, true", "", "1"])
def test_a_malformed_or_joined_mark_is_refused_and_its_body_is_read(value: str) -> None:
    server = Server(never)
    answer = server.serve(b"x" * 100_000, "POST", **GUNICORN, HTTP_X_ISTIO_MIRROR=value)
    assert (server.status, b"x-istio-mirror" in answer) == ("400 Bad Request", True)
    assert server.environ["wsgi.input"].read() == b"the next request"
    assert server.middleware.counters["refused_malformed"] == 1


def test_a_mark_that_connection_nominates_is_refused() -> None:
    server = Server(never)
    server.serve(**MIRROR, HTTP_CONNECTION="close, x-istio-mirror")
    assert server.status == "400 Bad Request"


@pytest.mark.parametrize(
    ("software", "dropped", "status"),
    [
        ("gunicorn/22.0.0", None, "200 OK"),
        ("gunicorn/21.2.0", None, "400 Bad Request"),
        ("waitress", None, "200 OK"),
        ("Werkzeug/3.1.9", None, "200 OK"),
        ("WSGIServer/0.2 CPython/3.11", None, "400 Bad Request"),
        ("uWSGI", None, "400 Bad Request"),
        ("", None, "400 Bad Request"),
        ("uWSGI", True, "200 OK"),
        ("gunicorn/23.0.0", False, "400 Bad Request"),
    ],
)
def test_a_mark_that_may_be_folded_is_refused_in_role_mixed(software: str, dropped: Any, status: str) -> None:
    server = Server(hello, dropped=dropped)
    server.serve(**MARKED, SERVER_SOFTWARE=software)
    assert server.status == status


def test_trust_vouches_for_a_mark_that_may_be_folded() -> None:
    server = Server(hello, trust=("mirror_port",), mirror_port=8081)
    assert server.serve(**MARKED, SERVER_PORT="8081") == b"dry"
    server.serve(**MARKED, SERVER_PORT="8080")
    assert server.status == "403 Forbidden"


def test_a_signature_is_of_the_path_as_it_was_sent() -> None:
    import time

    server = Server(hello, trust=("key",), key="k" * 32)
    now = int(time.time())
    signature = sign(b"k" * 32, pair_id="pair-1", method="GET", target="/a%20b", unix_s=now)
    given = MARKED | PAIRED | {"HTTP_X_MIRROR_SIGNATURE": signature}
    assert server.serve(**given, PATH_INFO="/a b") == b"dry"
    server.serve(**given, PATH_INFO="/a b", RAW_URI="/a%20b?x=1")
    assert server.status == "200 OK"
    server.serve(**given, PATH_INFO="/a c")
    assert server.status == "403 Forbidden"


@pytest.mark.parametrize("environ", [{}, MARKED, {"HTTP_X_ISTIO_MIRROR": "true,true"}])
def test_a_shadow_is_dry_and_a_primary_is_live_whatever_the_mark(environ: dict[str, str]) -> None:
    assert Server(hello, role="shadow").serve(**environ) == b"dry"
    assert Server(hello, role="primary").serve(**environ) == b"sent"


# --- the answer


@pytest.mark.parametrize("environ", [MIRROR, PAIRED], ids=["mirrored", "live"])
def test_each_piece_is_passed_on_at_once_within_the_context(environ: dict[str, str]) -> None:
    seen: list[Any] = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        for n in range(3):
            seen.append((n, is_mirrored(), current() is not None))
            yield b"%d" % n

    server = Server(app)
    answer = server.call(**environ)
    for n, piece in enumerate(answer):
        assert piece == b"%d" % n
        assert seen == [(i, environ is MIRROR, True) for i in range(n + 1)]
        assert current() is None, "the server's own code is outside"
    answer.close()
    assert server.shelf.exchange.response.body == b"012"
    assert server.shelf.exchange.error is None


def test_effects_are_refused_from_the_iterables_end_and_its_close_stays_quiet() -> None:
    class Answer:
        def __iter__(self) -> Iterator[bytes]:
            with side_effect("mail.send", "in time"):
                yield b"x"

        def close(self) -> None:
            with side_effect("mail.send", "late"):
                raise AssertionError("it ran")

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return Answer()

    server = Server(app)
    assert server.serve(**MIRROR) == b"x"
    exchange = server.shelf.exchange
    assert [(each.target, each.outcome) for each in exchange.effects] == [
        ("in time", Outcome.SUPPRESSED),
        ("late", Outcome.BLOCKED),
    ]
    assert exchange.error is None
    assert "raised_after_response:LateEffectError" in exchange.notes
    with pytest.raises(AssertionError):
        Server(app).serve(**PAIRED)


def test_the_context_ends_where_the_client_goes_away() -> None:
    contexts: list[Any] = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        contexts.append(current())
        start_response("200 OK", [])
        try:
            yield b"1"
            yield b"2"
        finally:
            with pytest.raises(LateEffectError), side_effect("mail.send", "late"):
                pass

    server = Server(app)
    answer = server.call(**MIRROR)
    next(answer)
    answer.close()
    assert contexts[0].ended
    assert server.shelf.exchange.error == "incomplete response"


def test_what_is_written_through_write_is_captured() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])(b"one ")
        return [b"two"]

    server = Server(app)
    assert server.serve(**MIRROR) == b"one two"
    assert server.shelf.exchange.response.body == b"one two"


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("environ", [MIRROR, PAIRED], ids=["mirrored", "live"])
def test_an_error_reaches_the_server_and_the_exchange(environ: dict[str, str], started: bool) -> None:
    contexts: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        contexts.append(current())
        if started:
            start_response("200 OK", [])
        raise ZeroDivisionError

    server = Server(app)
    with pytest.raises(ZeroDivisionError):
        server.serve(**environ)
    assert server.shelf.exchange.error == "ZeroDivisionError"
    assert (server.shelf.exchange.response is not None) is started
    assert contexts[0].ended
    assert current() is None


def test_an_error_while_the_answer_is_made_reaches_the_server_and_the_exchange_once() -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"x"
        raise ZeroDivisionError

    server = Server(app)
    with pytest.raises(ZeroDivisionError):
        server.serve(**MIRROR)
    exchange = server.shelf.exchange
    assert (exchange.error, exchange.response.body) == ("ZeroDivisionError", b"x")


def test_exc_info_replaces_the_answer_that_had_started() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            start_response("500 Oh", [("X", "y")], sys.exc_info())
        return [b"sorry"]

    server = Server(app)
    assert server.serve(**MIRROR) == b"sorry"
    assert (server.status, server.shelf.exchange.response.status) == ("500 Oh", 500)


def test_a_head_request_whose_answer_is_not_asked_for_is_complete() -> None:
    server = Server(hello)
    server.call(method="HEAD", **MIRROR).close()
    assert server.shelf.exchange.error is None


def test_the_number_of_pieces_is_told_where_the_application_tells_it() -> None:
    assert len(Server(hello).call(**MIRROR)) == 1
    app = Server(lambda environ, start_response: iter([b""])).call(**MIRROR)
    assert not hasattr(app, "__len__")


def test_a_file_that_the_server_sends_itself_stays_the_servers() -> None:
    class Wrapper:
        def __init__(self, file: Any) -> None:
            self.file = file

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"x"))

    server = Server(app)
    assert isinstance(server.call(**PAIRED, **{"wsgi.file_wrapper": Wrapper}), Wrapper)
    assert server.shelf.exchange.notes == ["body_left_out:sent by the server"]


# --- the request's body


READERS: dict[str, Callable[[Any], bytes]] = {
    "whole": lambda stream: stream.read(11),
    "pieces": lambda stream: b"".join(iter(lambda: stream.read(3), b""))[:11],
    "lines": lambda stream: stream.readline() + stream.read(6),
}


@pytest.mark.parametrize("environ", [MIRROR, PAIRED], ids=["mirrored", "live"])
@pytest.mark.parametrize("reader", ["whole", "lines"])
def test_the_body_is_counted_and_digested(environ: dict[str, str], reader: str) -> None:
    read: list[bytes] = []

    def app(environ: Any, start_response: Any) -> Any:
        read.append(READERS[reader](environ["wsgi.input"]))
        return hello(environ, start_response)

    server = Server(app)
    server.serve(b"some\nthings", "POST", **environ)
    asked = server.shelf.exchange.request
    assert read == [b"some\nthings"]
    assert (asked.body_bytes, asked.body_sha256) == (11, hashlib.sha256(b"some\nthings").hexdigest())


@pytest.mark.parametrize("size", [10, 65_536, 300_000])
def test_a_mirrors_body_is_read_to_its_end_and_no_further_though_the_application_does_not(size: int) -> None:
    server = Server(hello, max_unread_bytes=65_536)
    source = io.BytesIO(b"x" * size + b"the next request")
    server.serve(method="POST", **MIRROR, **{"wsgi.input": source, "CONTENT_LENGTH": str(size)})
    assert source.read() == b"the next request"
    assert server.shelf.exchange.request.body_sha256 == hashlib.sha256(b"x" * size).hexdigest()


def test_a_mirrors_body_over_the_bound_reaches_the_application_whole() -> None:
    read: list[bytes] = []

    def app(environ: Any, start_response: Any) -> Any:
        read.append(environ["wsgi.input"].read())
        return hello(environ, start_response)

    Server(app, max_unread_bytes=65_536).serve(b"y" * 300_000, "POST", **MIRROR)
    assert read == [b"y" * 300_000]


def test_a_body_that_breaks_off_is_told_to_the_application_where_it_reads() -> None:
    class Broken(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise ConnectionResetError

    def app(environ: Any, start_response: Any) -> Any:
        with pytest.raises(ConnectionResetError):
            environ["wsgi.input"].read()
        return hello(environ, start_response)

    server = Server(app)
    assert server.serve(b"abc", "POST", **MIRROR, **{"wsgi.input": Broken()}) == b"dry"
    assert server.shelf.exchange.request.body_sha256 is None


def test_without_a_recorder_a_live_application_gets_the_servers_own_input() -> None:
    server = Server(hello, ships=False)
    source = io.BytesIO()
    server.serve(**PAIRED, **{"wsgi.input": source})
    assert server.environ["wsgi.input"] is source


def test_errors_of_observing_never_reach_a_live_application(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        return 1 / 0

    monkeypatch.setattr("mirrorproof.observation.take_headers", broken)
    server = Server(hello)
    assert server.serve(**PAIRED) == b"sent"
    assert server.middleware.counters["observer_errors"] == 1


# --- on real servers


def asked(port: int, *headers: str) -> tuple[int, bytes]:
    """The status and body of one request, its headers sent as they are."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        lines = ["GET /orders HTTP/1.0", "Host: x", "x-request-id: pair-1", *headers, "", ""]
        connection.sendall("\r\n".join(lines).encode())
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


SERVED = """
from mirrorproof import MirrorWSGIMiddleware, Settings, side_effect
def inner(environ, start_response):
    with side_effect("mail.send", "smtp") as effect:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"sent" if effect.live else b"dry"]
app = MirrorWSGIMiddleware(inner, settings=Settings(service="shop", guards=False))
"""
COMMANDS = {
    "gunicorn": ["-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--log-level", "error", "served:app"],
    "werkzeug": ["-c", "from werkzeug.serving import run_simple; import served; "
                 "run_simple('127.0.0.1', {port}, served.app)"],
    "wsgiref": ["-c", "from wsgiref.simple_server import make_server; import served; "
                "make_server('127.0.0.1', {port}, served.app).serve_forever()"],
}  # fmt: skip


@contextmanager
def serving(name: str, folder: Any) -> Iterator[int]:
    (folder / "served.py").write_text(SERVED)
    port = free_port()
    command = [sys.executable, *(each.format(port=port) for each in COMMANDS[name])]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: socket.create_connection(("127.0.0.1", port), timeout=1).close() or True, name)
            yield port
        finally:
            process.terminate()


@pytest.mark.parametrize("name", ["gunicorn", "werkzeug"])
def test_a_server_that_drops_underscored_names_never_takes_one_for_the_mark(name: str, tmp_path: Any) -> None:
    with serving(name, tmp_path) as port:
        assert asked(port) == (200, b"sent")
        assert asked(port, "x-istio-mirror: true") == (200, b"dry")
        assert asked(port, "x_istio_mirror: true") == (200, b"sent")
        assert asked(port, "x-istio-mirror: true", "x_istio_mirror: true") == (200, b"dry")
        assert asked(port, "x-istio-mirror: true", "x-istio-mirror: true")[0] == 400
        assert asked(port, "x-istio-mirror: True")[0] == 400


def test_on_a_server_that_folds_every_mark_is_refused_in_role_mixed(tmp_path: Any) -> None:
    with serving("wsgiref", tmp_path) as port:
        assert asked(port) == (200, b"sent")
        assert asked(port, "x-istio-mirror: true")[0] == 400
        assert asked(port, "x_istio_mirror: true")[0] == 400
        assert asked(port, "x-istio-mirror: true", "x_istio_mirror: true")[0] == 400


def test_what_it_does_towards_server_and_application_is_valid_wsgi() -> None:
    class Quiet(wsgiref.simple_server.WSGIRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    def app(environ: Any, start_response: Any) -> Any:
        environ["wsgi.input"].read(0)
        return hello(environ, start_response)

    server = Server(wsgiref.validate.validator(app), dropped=True)
    checked = wsgiref.validate.validator(server.middleware)
    httpd = wsgiref.simple_server.make_server("127.0.0.1", 0, checked, handler_class=Quiet)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        assert asked(httpd.server_port, "x-istio-mirror: true") == (200, b"dry")
        assert asked(httpd.server_port) == (200, b"sent")
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()
    assert len(server.shelf.captures) == 2
