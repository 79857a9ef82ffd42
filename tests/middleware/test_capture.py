"""From a served request to an exchange: what is kept, what is cut, what is said about it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mirrorproof import Settings
from mirrorproof.body import BodySample
from mirrorproof.capture import Capture, take_answer, take_headers, take_query
from mirrorproof.context import MirrorContext
from mirrorproof.decision import Decision, Mode
from mirrorproof.exchange import Outcome

SETTINGS = Settings(service="shop", version="v2")


def a_capture(**changes: Any) -> Capture:
    context = MirrorContext(Decision(Mode.DRY_RUN), settings=SETTINGS, pair_id="p")
    given = {
        "context": context, "method": "GET", "path": "/", "query": "", "request_headers": [], "attempt": 1,
        "started_unix_ns": 1, "duration_ns": 1, "error": "no response",
    }  # fmt: skip
    return Capture(**given | changes)


def sample(body: bytes, limit: int = 1000) -> BodySample:
    made = BodySample(limit)
    made.feed(body)
    return made


def test_headers_keep_their_order_their_doubles_and_their_bytes() -> None:
    headers = [(b"b", b"1"), (b"a", b"\xff"), (b"b", b"2"), (b"cookie", b"x")]
    notes: list[str] = []
    assert take_headers(headers, SETTINGS, notes) == [*headers[:3], (b"cookie", b"[redacted]")]
    assert notes == []


@pytest.mark.parametrize(("limit", "kept"), [(0, 0), (3, 0), (4, 1), (7, 1), (8, 2), (100, 3)])
def test_headers_are_kept_whole_up_to_the_bound_and_what_is_cut_is_noted(limit: int, kept: int) -> None:
    notes: list[str] = []
    headers = [(b"a", b"123"), (b"b", b"123"), (b"c", b"123")]
    assert take_headers(headers, Settings(max_header_bytes=limit), notes) == headers[:kept]
    assert notes == ([] if kept == 3 else ["headers_truncated"])


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b"https://a/cb?code=1&token=x", b"https://a/cb?code=1&token=[redacted]"),
        (b"/cb#access_token=x&state=1", b"/cb#access_token=[redacted]&state=1"),
        (b"/a?b=1\xff", b"/a?b=1\xff"),
        (b"max-age=60", b"max-age=60"),
        (b"https://user:pw@host/a?page=2&token=x", b"https://[redacted]@host/a?page=2&token=[redacted]"),
    ],
)
def test_secrets_in_the_urls_of_headers_go(value: bytes, kept: bytes) -> None:
    assert take_headers([(b"location", value)], SETTINGS, []) == [(b"location", kept)]


def test_a_query_is_redacted_and_its_bytes_stay() -> None:
    assert take_query(b"a=\xff&token=x", SETTINGS, []) == "a=\xff&token=[redacted]"


def test_an_endless_query_is_cut_and_it_is_noted() -> None:
    notes: list[str] = []
    assert len(take_query(b"a" * 1_000_000, SETTINGS, notes)) == SETTINGS.max_header_bytes
    assert notes == ["query_truncated"]


def test_an_answer_is_redacted_by_the_media_type_that_it_names() -> None:
    body = b'{"token":"x"}'
    for media, kept in ((b"Application/JSON", b'{"token":"[redacted]"}'), (b"image/png", body)):
        answer = take_answer(200, [(b"Content-Type", media)], sample(body), SETTINGS, [])
        assert (answer.body, answer.body_bytes, answer.truncated) == (kept, len(body), False)


def test_a_body_that_cannot_be_redacted_is_left_out_with_a_note_without_its_content() -> None:
    notes: list[str] = []
    headers = [(b"content-type", b"text/plain"), (b"content-encoding", b"br")]
    answer = take_answer(200, headers, sample(b"secret"), SETTINGS, notes)
    assert (answer.body, answer.truncated, answer.body_bytes) == (b"", True, 6)
    assert notes == ["body_left_out:content coding br"]


def test_losses_and_yielding_are_notes_of_the_exchange() -> None:
    context = MirrorContext(Decision(Mode.DRY_RUN), settings=Settings(max_effects=1), pair_id="p")
    for n in range(3):
        context.record("k", str(n), "s", "d", Outcome.SUPPRESSED)
    context.yielded = True
    exchange = a_capture(context=context, notes=["body_overrun"]).exchange()
    assert exchange.notes == ["body_overrun", "effects_lost:2", "yielded"]


def test_the_size_in_the_queue_grows_with_the_body() -> None:
    answer = take_answer(200, [], sample(b"x" * 500), SETTINGS, [])
    assert a_capture(answer=answer).size - a_capture().size == 500


def test_each_exchange_has_an_id_of_its_own() -> None:
    assert a_capture().exchange().exchange_id != a_capture().exchange().exchange_id


@pytest.mark.parametrize("path", ["/\udcff", "/é", "/%zz", "/a\ud800b"], ids=ascii)
def test_any_path_can_be_encoded(path: str) -> None:
    exchange = a_capture(path=path).exchange()
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(exchange), type=type(exchange)) == exchange
