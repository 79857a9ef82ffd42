"""Bodies by their format: which places differ, and what is not read."""

from __future__ import annotations

import gzip
from decimal import Decimal

import msgspec
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from mirrorproof_sidecar.compare import Context, DuplicateKeys, LongNumber, Result, Rules, compare
from mirrorproof_sidecar.compare.formats import Content, Schemas, UnreadableError, format_of, read
from mirrorproof_sidecar.compare.formats.reading import MAX_NODES
from mirrorproof_sidecar.compare.media import media

NONE = Rules(shapes=False, correspond=False)
FORM, XML, HTML, CSV = "application/x-www-form-urlencoded", "application/xml", "text/html", "text/csv"
LINES, EVENTS, PACKED = "application/x-ndjson", "text/event-stream", "application/msgpack"
PARTS = "multipart/form-data; boundary=XX"
GRPC = "application/grpc"


def parts(*each: tuple[str, str]) -> bytes:
    return (
        b"".join(
            f'--XX\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in each
        )
        + b"--XX--\r\n"
    )


@pytest.mark.parametrize(
    ("kind", "one", "other", "expected"),
    [
        (FORM, "a=1&b=2", "b=2&a=1", []),
        (FORM, "a=1&b=2", "a=1&b=3", [("/body/b", "changed_value")]),
        (FORM, "a=1&a=2", "a=2&a=1", [("/body/a", "order")]),
        (FORM, "a=%20x", "a=+x", []),
        (XML, "<o><id>1</id><t a='1' b='2'/></o>", "<o>\n <id>1</id>\n <t b='2' a='1'></t></o>", []),
        (XML, "<o><id>1</id></o>", "<o><id>2</id></o>", [("/body/o/id", "changed_value")]),
        (XML, "<o><i>1</i><i>3</i></o>", "<o><i>1</i><i>2</i><i>3</i></o>", [("/body/o/i/1", "extra")]),
        (XML, "<o a='1'/>", "<o/>", [("/body/o", "changed_type")]),
        (XML, "<o a='1'>t</o>", "<o a='2'>t</o>", [("/body/o/@a", "changed_value")]),
        (XML, "<p>a <b>x</b> c</p>", "<p>a <b>y</b> c</p>", [("/body/p/#/1/b", "changed_value")]),
        ("application/atom+xml", "<f><u>1</u></f>", "<f><u>2</u></f>", [("/body/f/u", "changed_value")]),
        (HTML, "<p class=a>Hi</p>", "<html><body><P CLASS='a'> Hi </P></body></html>", []),
        (HTML, "<p>Hi<input value=1></p>", "<p>Hi<input value=2></p>",
         [("/body/html/#/0/body/#/0/p/#/1/input/@value", "changed_value")]),
        (HTML, "<ul><li>1<li>3</ul>", "<ul><li>1<li>2<li>3</ul>",
         [("/body/html/#/0/body/#/0/ul/#/1", "extra")]),
        (HTML, "<!-- a --><p>x", "<!-- b --><p>x", []),
        (CSV, "id,n\n1,a\n2,b\n", 'id,n\r\n1,"a"\r\n2,b', []),
        (CSV, "id,n\n1,a\n2,b", "id,n\n1,a\n2,c", [("/body/rows/1/n", "changed_value")]),
        (CSV, "id,n\n1,a\n3,c", "id,n\n1,a\n2,b\n3,c", [("/body/rows/1", "extra")]),
        (CSV, "id,n\n1,a\n2,b", "id,n,x\n1,a,7\n2,b,8", [("/body/header/2", "extra")]),
        (CSV, "1;2\n3;4", "1;2\n3;5", [("/body/rows/1/1", "changed_value")]),
        (LINES, '{"a":1}\n{"b":2}\n', '{"a": 1}\n\n{"b":3}', [("/body/1/b", "changed_value")]),
        (EVENTS, "id: 1\ndata: {\"a\":1}\n\n", "data:{\"a\": 2}\nid:1\n: still here\n\n",
         [("/body/0/data/a", "changed_value")]),
        (EVENTS, "data: a\ndata: b\n\n", "data: a\r\ndata: b\r\n\r\n", []),
        (EVENTS, "event: x\ndata: 1\n\n", "event: y\ndata: 1\n\n", [("/body/0/event", "changed_value")]),
        (PARTS, parts(("a", "1"), ("b", "2")).decode(), parts(("b", "3"), ("a", "1")).decode(),
         [("/body/b", "changed_value")]),
    ],
)  # fmt: skip
def test_bodies_differ_where_their_trees_do(exchange, told, kind, one, other, expected):
    comparison = compare(exchange(one.encode(), kind), exchange(other.encode(), kind), NONE)
    assert told(comparison) == expected
    assert comparison.remarks == ()


def test_messagepack_is_compared_as_a_tree_with_its_own_types(exchange, told):
    one, other = ({"a": b"\x00", 1: [1, value]} for value in (2, 3))
    packed = [exchange(msgspec.msgpack.encode(each), PACKED) for each in (one, other)]
    assert told(compare(*packed, NONE)) == [("/body/(int) 1/1", "changed_value")]


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        (XML, b"<a><b></a>", "not well-formed"),
        (XML, b'<!DOCTYPE a [<!ENTITY e "' + b"x" * 99 + b'">]><a b="&e;">&e;</a>', ""),
        (LINES, b"{}\n{", "no JSON"),
        (PACKED, b"\xc1", "no MessagePack"),
        (PACKED, b"\x91" * 5000, "no MessagePack"),
        (FORM, b"&a=" * (MAX_NODES + 2), "too many fields"),
        (CSV, b"," * (MAX_NODES + 2), "cells"),
        (HTML, b"<p " + b"a " * 9000 + b">", "a very long tag"),
        (HTML, b"<p>" + b"x" * (1 << 20), "bytes of HTML"),
        (XML, b"<a>" * 400 + b"</a>" * 400, "not well-formed"),
        (PARTS.partition(";")[0], b"--XX--", "without a boundary"),
        (GRPC, b"\x00\x00\x00\x00\x01x", "MIRRORPROOF_DESCRIPTORS"),
    ],
)
def test_what_is_not_read_is_compared_as_before_and_the_remark_says_why(exchange, kind, body, words):
    comparison = compare(exchange(body, kind), exchange(body + b" ", kind), NONE)
    assert any(words in remark for remark in comparison.remarks) or not words
    assert words in str(comparison.remarks)


def test_entities_are_not_expanded():
    bomb = b'<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;">]><a>&y;</a>'
    assert read(format_of(media([XML])), Content(bomb, media([XML]))) == {"a": {"&y;": "&y;"}}
    outside = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'
    assert "root:" not in str(read(format_of(media([XML])), Content(outside, media([XML]))))


def test_a_stream_that_was_cut_is_compared_as_far_as_both_were_captured(exchange, told):
    one = exchange(b'{"a":1}\n{"a":2}\n{"a":', LINES, truncated=True)
    other = exchange(b'{"a":1}\n{"a":9}\n{"a":3}\n', LINES)
    comparison = compare(one, other, NONE)
    assert told(comparison) == [("/body/1/a", "changed_value")]
    assert "truncated on the primary side" in comparison.incomparable[0]


# -- protobuf


def _set() -> descriptor_pb2.FileDescriptorSet:
    made = descriptor_pb2.FileDescriptorSet()
    file = made.file.add(name="shop.proto", package="shop", syntax="proto3")
    order = file.message_type.add(name="Order")
    order.field.add(name="id", number=1, type=3, label=1)
    order.field.add(name="unit_price", number=2, type=9, label=1)
    file.service.add(name="Orders").method.add(
        name="Get", input_type=".shop.Order", output_type=".shop.Order"
    )
    return made


@pytest.fixture(scope="module")
def schemas():
    return Schemas(_set().SerializeToString())


@pytest.fixture(scope="module")
def order():
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_set().file[0])
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Order"))


def frames(*messages: bytes, flag: int = 0) -> bytes:
    return b"".join(bytes([flag]) + len(each).to_bytes(4) + each for each in messages)


def grpc(exchange, body):
    made = exchange(body, GRPC)
    return msgspec.structs.replace(
        made, request=msgspec.structs.replace(made.request, path="/shop.Orders/Get")
    )


def test_grpc_messages_are_compared_by_the_names_of_their_fields(exchange, told, schemas, order):
    one, other = (order(id=7, unit_price=price).SerializeToString() for price in ("1.0", "1.1"))
    packed = frames(gzip.compress(other), flag=1)
    comparison = compare(
        grpc(exchange, frames(one)), grpc(exchange, packed), NONE, context=Context(schemas=schemas)
    )
    assert told(comparison) == [("/body/0/unit_price", "changed_value")]


def test_fields_that_are_not_described_are_told_by_number(schemas, order):
    data = order(id=7).SerializeToString() + b"\x1a\x01x"
    kind = media(["application/x-protobuf; messageType=shop.Order"])
    assert read(format_of(kind), Content(data, kind, schemas=schemas)) == {"id": "7", "#3": ["78"]}


def test_a_method_that_is_not_described_is_said_so(exchange, schemas):
    one, other = (exchange(frames(each), GRPC) for each in (b"\x08\x01", b"\x08\x02"))
    (remark,) = compare(one, other, NONE, context=Context(schemas=schemas)).remarks
    assert "does not name this method" in remark


@pytest.mark.parametrize("data", [b"nonsense", b"\x0a\x03abc"])
def test_a_file_that_is_no_descriptor_set_is_refused(data):
    with pytest.raises(ValueError, match=r"protoc|include_imports"):
        Schemas(data)


# -- whatever comes

KINDS = [FORM, XML, HTML, CSV, LINES, EVENTS, PACKED, PARTS, GRPC, "text/plain", "application/json",
         "image/png", "application/json-seq", "text/tab-separated-values", "multipart/mixed; boundary=b",
         "application/x-protobuf; messageType=shop.Order", "text/xml; charset=nonsense",
         "text/csv; charset=utf-16", "image/svg+xml"]  # fmt: skip
PLAIN = (dict, list, str, int, float, bool, type(None), Decimal, LongNumber, DuplicateKeys)
BYTES = st.binary(max_size=200) | st.text("<>/&;=\"' \n\r{}[]:,ab1-X!?\ufeff", max_size=200).map(
    lambda text: text.encode()
)


@given(BYTES, BYTES, st.sampled_from(KINDS), st.sampled_from(KINDS), st.booleans(), st.booleans())
def test_any_two_bodies_of_any_types_are_compared_alike_from_both_sides(
    exchange, schemas, one, other, kind, its_kind, cut, same_kind
):
    kind = its_kind if same_kind else kind
    first, second = exchange(one, kind, truncated=cut), exchange(other, its_kind)
    context = Context(schemas=schemas)
    found = compare(first, second, NONE, context=context)
    back = compare(second, first, NONE, context=context)
    assert [each.path for each in found.differences] == [each.path for each in back.differences]
    assert compare(second, second, NONE, context=context).result is Result.MATCHED


@given(BYTES, st.sampled_from([kind for kind in KINDS if format_of(media([kind]))]), st.booleans())
def test_a_reader_makes_plain_values_of_any_bytes_or_says_that_it_cannot(schemas, data, kind, whole):
    content = Content(data, media([kind]), whole, schemas, "/shop.Orders/Get")
    try:
        tree = read(format_of(content.media), content)
    except UnreadableError:
        return
    waiting = [tree]
    while waiting:
        value = waiting.pop()
        assert type(value) in PLAIN
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
