"""The wire format: what is sent is what is read, and what does not fit is named."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorproof.decision import Mode, Role
from mirrorproof.errors import WireError
from mirrorproof.exchange import (
    Batch,
    Effect,
    Exchange,
    Outcome,
    Request,
    Response,
    SourceReport,
    decode_batch,
    encode_batch,
)

MSGPACK, JSON = "application/msgpack", "application/json"


def an_exchange(**changes: Any) -> Exchange:
    return Exchange(
        **{
            "exchange_id": "e1", "pair_id": "p1", "service": "shop", "version": "v1", "role": Role.PRIMARY,
            "mode": Mode.LIVE, "started_unix_ns": 1, "duration_ns": 2,
            "request": Request(method="GET", path="/"), "response": Response(status=200),
        } | changes
    )  # fmt: skip


def as_json(**changes: Any) -> dict[str, Any]:
    raw: dict[str, Any] = json.loads(msgspec.json.encode(an_exchange()))
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = raw
        for key in parents:
            place = place[key]
        place[last] = value
    return raw


ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
texts = st.text(st.characters(codec="utf-8"), max_size=20)
headers = st.lists(st.tuples(texts, texts), max_size=3)
counts = st.integers(0, 2**63 - 1)
exchanges = st.builds(
    Exchange,
    exchange_id=ids, pair_id=ids, attempt=st.integers(1, 10**6), service=ids, version=texts,
    role=st.sampled_from(Role), mode=st.sampled_from(Mode), started_unix_ns=counts, duration_ns=counts,
    request=st.builds(
        Request, method=ids, route=st.none() | texts, path=texts, query=texts, headers=headers,
        body_sha256=st.none() | texts, body_bytes=counts,
    ),
    response=st.builds(
        Response, status=st.integers(100, 999), headers=headers, body=st.binary(max_size=30),
        body_bytes=counts, truncated=st.booleans(), sha256=texts,
    ),
    error=st.none() | texts,
    effects=st.lists(
        st.builds(
            Effect, kind=texts, target=texts, summary=texts, digest=texts, outcome=st.sampled_from(Outcome)
        ),
        max_size=2,
    ),
    trace_id=st.none() | texts, span_id=st.none() | texts, notes=st.lists(texts, max_size=2),
)  # fmt: skip
reports = st.builds(
    SourceReport, source_id=ids, service=ids, version=texts, role=st.sampled_from(Role),
    counters=st.dictionaries(texts, counts, max_size=3),
)  # fmt: skip
batches = st.builds(Batch, exchanges=st.lists(exchanges, max_size=3), source=st.none() | reports)


@given(batches)
def test_what_was_encoded_is_decoded_in_both_encodings(batch: Batch) -> None:
    assert decode_batch(encode_batch(batch), MSGPACK) == batch
    assert decode_batch(msgspec.json.encode(batch), JSON) == batch


@given(st.lists(exchanges, max_size=2))
def test_a_bare_array_is_a_batch_without_a_source(items: list[Exchange]) -> None:
    assert decode_batch(msgspec.json.encode(items), JSON) == Batch(exchanges=items)
    assert decode_batch(msgspec.msgpack.encode(items), MSGPACK) == Batch(exchanges=items)


def test_fields_come_in_the_order_of_the_design() -> None:
    assert list(as_json()) == [
        "schema", "exchange_id", "pair_id", "attempt", "service", "version", "role", "mode",
        "started_unix_ns", "duration_ns", "request", "response", "error", "effects", "trace_id",
        "span_id", "notes",
    ]  # fmt: skip
    assert Request.__struct_fields__ == (
        "method", "route", "path", "query", "headers", "body_sha256", "body_bytes",
    )  # fmt: skip
    assert Response.__struct_fields__ == ("status", "headers", "body", "body_bytes", "truncated", "sha256")
    assert Effect.__struct_fields__ == ("kind", "target", "summary", "digest", "outcome")


def test_bytes_are_base64_in_json_and_bytes_in_msgpack() -> None:
    batch = Batch(exchanges=[an_exchange(response=Response(status=200, body=b"\xff\0"))])
    assert json.loads(msgspec.json.encode(batch))["exchanges"][0]["response"]["body"] == "/wA="
    assert b"\xff\0" in encode_batch(batch)


def test_a_field_that_a_later_writer_adds_is_passed_over() -> None:
    raw = as_json(news={"deep": [1]}, request__news=1)
    assert decode_batch(json.dumps([raw]).encode(), JSON).exchanges == [an_exchange()]


BAD = {
    "no number": ("duration_ns", "soon", "$.duration_ns"),
    "too large for a database": ("duration_ns", 2**63, "$.duration_ns"),
    "negative": ("started_unix_ns", -1, "$.started_unix_ns"),
    "empty id": ("pair_id", "", "$.pair_id"),
    "long id": ("exchange_id", "x" * 257, "$.exchange_id"),
    "null id": ("pair_id", None, "$.pair_id"),
    "no role": ("role", "boss", "$.role"),
    "attempt": ("attempt", 0, "$.attempt"),
    "status": ("response__status", 99, "$.response.status"),
    "large status": ("response__status", 1000, "$.response.status"),
    "body": ("response__body", "no base64!", "$.response.body"),
    "header": ("request__headers", [["a"]], "$.request.headers[0]"),
    "method": ("request__method", "", "$.request.method"),
    "bytes": ("request__body_bytes", 2**64, "$.request.body_bytes"),
    "effects": ("effects", [{"kind": "x"}], "$.effects[0]"),
    "schema": ("schema", 2, "schema 2"),
    "no answer": ("response", None, "`response` or `error`"),
}


@pytest.mark.parametrize(("field", "value", "named"), BAD.values(), ids=list(BAD))
def test_an_error_names_the_item_and_the_field(field: str, value: Any, named: str) -> None:
    items = [as_json(), as_json(), as_json(**{field: value})]
    with pytest.raises(WireError) as caught:
        decode_batch(json.dumps(items).encode(), JSON)
    assert caught.value.index == 2
    assert str(caught.value).startswith("exchange 2: ")
    assert named in str(caught.value)


def test_numbers_up_to_the_largest_of_a_database_are_taken() -> None:
    largest = 2**63 - 1
    body = json.dumps([as_json(duration_ns=largest, request__body_bytes=largest)]).encode()
    assert decode_batch(body, JSON).exchanges[0].duration_ns == largest


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", JSON),
        (b"", MSGPACK),
        (b"null", JSON),
        (b'"x"', JSON),
        (b"{", JSON),
        (b'{"exchanges": 1}', JSON),
        (b'{"exchange": []}', JSON),
        (b'{"exchanges": [], "source": {"source_id": ""}}', JSON),
        (b"\xff\xfe", JSON),
        (b"\xc1", MSGPACK),
        (b"\x91", MSGPACK),
        (b"\xdd\xff\xff\xff\xff", MSGPACK),
        (b"{}", "text/plain"),
        (b"{}", ""),
    ],
)
def test_a_batch_that_is_none_is_refused_without_an_index(body: bytes, content_type: str) -> None:
    with pytest.raises(WireError) as caught:
        decode_batch(body, content_type)
    assert caught.value.index is None


@pytest.mark.parametrize("depth", [1_500, 100_000, 3_000_000])
def test_depth_bombs_are_refused(depth: int) -> None:
    deep = b"[" * depth
    item = json.dumps(as_json()).encode()[:-1] + b', "bomb": ' + deep + b"]" * depth + b"}"
    for body in (deep, b"[" + item + b"]", b'{"exchanges": ' + deep + b"}", b'{"a": ' * depth):
        with pytest.raises(WireError):
            decode_batch(body, JSON)
    for body in (b"\x91" * depth, b"\x91\x81\xa4bomb" + b"\x91" * depth, b"\x81\xa1a" * depth):
        with pytest.raises(WireError):
            decode_batch(body, MSGPACK)


@given(st.binary(max_size=100), st.sampled_from([JSON, MSGPACK]))
def test_any_bytes_are_a_batch_or_a_wire_error(body: bytes, content_type: str) -> None:
    with suppress(WireError):
        assert isinstance(decode_batch(body, content_type), Batch)


def test_an_exchange_needs_an_answer_or_an_error() -> None:
    with pytest.raises(ValueError, match="either"):
        an_exchange(response=None)
    assert an_exchange(response=None, error="ValueError").response is None
