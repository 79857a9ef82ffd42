"""Bodies that are not JSON, bodies that were cut, and bodies in a content coding."""

from __future__ import annotations

import gzip
import hashlib
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from mirrorproof_sidecar.compare import IgnoreRule, Result, Rules, compare
from mirrorproof_sidecar.compare.content import (
    MAX_DECODED_BYTES,
    BrokenContentError,
    ContentTooLargeError,
    UnknownCodingError,
    decode,
)
from mirrorproof_sidecar.compare.media import CharsetError, Sort, decode_text, media
from mirrorproof_sidecar.compare.textdiff import MAX_SHOWN_CHARS, changed_lines

NONE = Rules()
JSON, TEXT, IMAGE = "application/json", "text/plain", "image/png"


def of(line: int, lines: int, text: str) -> dict[str, object]:
    return {"line": line, "lines": lines, "text": text}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("a\nb\nc", "a\nx\nc", (of(2, 1, "b\n"), of(2, 1, "x\n"))),
        ("a\nc\n", "a\nb\nc\n", (of(2, 0, ""), of(2, 1, "b\n"))),
        ("a", "a\n", (of(1, 1, "a"), of(1, 1, "a\n"))),
        ("", "a", (of(1, 0, ""), of(1, 1, "a"))),
        ("x\na\na\n", "x\na\n", (of(3, 1, "a\n"), of(3, 0, ""))),
        ("ab\ncd\nef", "ab\ncX\nXf", (of(2, 2, "cd\nef"), of(2, 2, "cX\nXf"))),
        ("a\r\nb", "a\nb", (of(1, 1, "a\r\n"), of(1, 1, "a\n"))),
    ],
)
def test_texts_differ_in_a_stretch_of_lines(exchange, one, other, expected):
    comparison = compare(exchange(one.encode(), TEXT), exchange(other.encode(), TEXT), NONE)
    (found,) = comparison.differences
    assert (found.path, found.kind) == ("/body", "changed_value")
    assert (found.primary, found.shadow) == expected


def test_a_long_stretch_is_cut_and_marked():
    one, _ = changed_lines("a\n" * 100_000, "b\n" * 100_000)
    assert (one["lines"], len(one["text"]), one["text"][-1]) == (100_000, MAX_SHOWN_CHARS + 1, "…")


def test_a_stretch_is_found_across_the_blocks_that_are_compared_at_once():
    long = "line\n" * 50_000
    assert changed_lines(f"{long}a\n{long}", f"{long}b\n{long}") == (
        of(50_001, 1, "a\n"),
        of(50_001, 1, "b\n"),
    )


lines = st.text("ab\n", max_size=12)


@given(lines, lines, lines, lines)
def test_putting_one_stretch_in_the_place_of_the_other_makes_the_texts_equal(before, one, other, behind):
    texts = before + one + behind, before + other + behind
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(changed_lines.__globals__, "_BLOCK", 3)
        stretches = changed_lines(*texts)
    rests = []
    for text, stretch in zip(texts, stretches, strict=True):
        split = text.splitlines(keepends=True)
        first, last = stretch["line"] - 1, stretch["line"] - 1 + stretch["lines"]
        assert "".join(split[first:last]) == stretch["text"]
        rests.append((split[:first], split[last:]))
    assert rests[0] == rests[1]


def test_text_in_two_charsets_is_compared_as_text(exchange):
    one = exchange("ä".encode("latin-1"), "text/plain; charset=latin1")
    other = exchange("ä".encode(), 'text/plain; charset="UTF-8"')
    assert [found.path for found in compare(one, other, NONE).differences] == ["/headers/content-type"]


@pytest.mark.parametrize(
    "charset", ["nonsense", "zlib", "hex", "punycode", "unicode_escape", "x" * 5000, "\x00"]
)
def test_a_charset_that_is_not_known_is_not_decoded(charset):
    with pytest.raises(CharsetError):
        decode_text(b"abc", charset, whole=True)


def test_text_in_an_unknown_charset_is_compared_by_digest_with_the_reason(exchange, told):
    sides = (exchange(body, "text/plain; charset=martian") for body in (b"a", b"b"))
    comparison = compare(*sides, NONE)
    assert told(comparison) == [("/body", "body")]
    assert "charset 'martian' is not known here" in comparison.remarks[0]


def test_what_a_content_type_says():
    assert media(["Application/JSON ; a=b; Charset='x'"]).sort is Sort.JSON
    assert media(['text/html; charset="Latin1"']).charset == "latin1"
    assert media([";;;=;charset="]).charset == "utf-8"
    assert media([]).sort is media(["application/jsonp"]).sort is media(["xtext/plain"]).sort is Sort.BYTES


def test_other_bodies_are_compared_by_digest_and_length(exchange):
    (found,) = compare(exchange(b"\x00", IMAGE), exchange(b"\x01\x02", IMAGE), NONE).differences
    assert (found.path, found.kind) == ("/body", "body")
    assert found.shadow == {"sha256": hashlib.sha256(b"\x01\x02").hexdigest(), "bytes": 2}


def test_equal_bytes_are_equal_whatever_they_hold(exchange):
    for body, content_type in ((b"{", JSON), (b"\xff", TEXT), (b"\x00", IMAGE)):
        encoding = [("content-encoding", "gzip")]
        side = exchange(body, content_type, headers=encoding)
        assert compare(side, side, NONE).result is Result.MATCHED


def test_json_against_html_is_compared_as_text_and_the_header_tells(exchange, told):
    comparison = compare(exchange(b"{}", JSON), exchange(b"<p>", "text/html"), NONE)
    assert told(comparison) == [("/body", "changed_value"), ("/headers/content-type", "header")]


def test_text_against_an_image_is_compared_by_digest(exchange, told):
    comparison = compare(exchange(b"{}", JSON), exchange(b"<p>", IMAGE), NONE)
    assert told(comparison) == [("/body", "body"), ("/headers/content-type", "header")]


# ---- cut bodies ----


def test_cut_bodies_with_one_digest_are_equal(exchange):
    for content_type in (JSON, TEXT, IMAGE):
        side = exchange(b"0123456789", content_type, kept=b"0123")
        assert compare(side, exchange(b"0123456789", content_type), NONE).result is Result.MATCHED


def test_cut_texts_that_differ_where_both_were_captured_are_different(exchange):
    one = exchange(b"a\nbcd\nrest", TEXT, kept=b"a\nbc")
    other = exchange(b"a\nxcd\nREST", TEXT, kept=b"a\nxcd\n")
    (found,) = compare(one, other, NONE).differences
    assert found.primary == of(2, 1, "bc")


def test_a_text_that_ends_before_the_other_one_was_cut_is_different(exchange):
    one, other = exchange(b"ab", TEXT), exchange(b"abcdef", TEXT, kept=b"abcd")
    assert compare(one, other, NONE).result is compare(other, one, NONE).result is Result.DIFFERENT


def test_cut_texts_that_agree_as_far_as_they_were_captured_cannot_be_compared(exchange):
    comparison = compare(exchange(b"abcd", TEXT), exchange(b"abXd", TEXT, kept=b"ab"), NONE)
    assert comparison.result is Result.INCOMPARABLE
    assert comparison.incomparable == ("/body: truncated on the shadow side, digests differ",)


def test_cut_json_cannot_be_compared_however_it_begins(exchange):
    one, other = exchange(b'{"a":1}', JSON, kept=b'{"a'), exchange(b'{"b":1}', JSON, kept=b'{"b')
    comparison = compare(one, other, NONE)
    assert comparison.incomparable == ("/body: truncated on the primary and the shadow side, digests differ",)


def test_cut_bytes_are_compared_by_digest_where_digests_are_known(exchange, told):
    one, other = exchange(b"abc", IMAGE, kept=b"a"), exchange(b"abd", IMAGE, kept=b"a")
    assert told(compare(one, other, NONE)) == [("/body", "body")]
    blind = exchange(b"abd", IMAGE, kept=b"a", sha256="")
    assert compare(one, blind, NONE).incomparable[0].endswith("digests are not known")


def test_cut_bytes_in_a_content_coding_cannot_be_compared(exchange):
    more = {"headers": [("content-encoding", "gzip")]}
    bodies = [gzip.compress(b"a" * 99, mtime=time) for time in (1, 2)]
    one, other = exchange(bodies[0], IMAGE, kept=bodies[0][:20], **more), exchange(bodies[1], IMAGE, **more)
    assert compare(one, other, NONE).result is Result.INCOMPARABLE


def test_a_body_that_was_not_kept_at_all_counts_as_cut(exchange):
    one = exchange(b'{"a":1}', JSON, kept=b"", truncated=False)
    assert compare(one, exchange(b'{"a": 1}', JSON), NONE).result is Result.INCOMPARABLE


def test_a_text_cut_inside_a_character_is_still_text(exchange):
    one = exchange("ää".encode(), TEXT, kept="ää".encode()[:3])
    assert compare(one, exchange("äö".encode(), TEXT), NONE).result is Result.INCOMPARABLE
    assert compare(one, exchange("öä".encode(), TEXT), NONE).result is Result.DIFFERENT


def test_a_rule_that_hides_all_of_the_body_hides_that_it_cannot_be_compared(exchange):
    sides = exchange(b"{}", JSON, kept=b"{"), exchange(b"[]", JSON, kept=b"[")
    for path, result in (("/body/**", Result.MATCHED), ("/body", Result.INCOMPARABLE)):
        comparison = compare(*sides, Rules((IgnoreRule(path),)))
        assert comparison.result is result
    assert "ignored by the rule /body/**" in compare(*sides, Rules((IgnoreRule("/body/**"),))).remarks[0]


# ---- content codings ----

ENCODERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
}


@pytest.mark.parametrize("coding", ENCODERS)
def test_each_coding_is_undone_whole_and_cut(coding):
    body = b"hello " * 1000
    encoded = ENCODERS[coding](body)
    assert decode(encoded, (coding,), whole=True) == body
    assert body.startswith(decode(encoded[:-3], (coding,), whole=False))
    for broken in (encoded[:-3], b"\xff" * 20, encoded + b"\xffgarbage"):
        with pytest.raises(BrokenContentError):
            decode(broken, (coding,), whole=True)
    assert decode(b"", (coding,), whole=True) == b""


def test_raw_deflate_and_several_members_are_undone():
    raw = zlib.compressobj(wbits=-15)
    assert decode(raw.compress(b"abc") + raw.flush(), ("deflate",), whole=True) == b"abc"
    assert (
        decode(gzip.compress(b"a" * 5000) + gzip.compress(b"b"), ("gzip",), whole=True) == b"a" * 5000 + b"b"
    )
    assert decode(zstandard.compress(b"a") + zstandard.compress(b"b"), ("zstd",), whole=True) == b"ab"


def test_codings_in_sequence_are_undone_from_the_last():
    body = brotli.compress(gzip.compress(b"abc"))
    assert decode(body, ("gzip", "br"), whole=True) == b"abc"
    with pytest.raises(BrokenContentError):
        decode(body, ("br", "gzip"), whole=True)


def _gzip_bomb() -> bytes:
    stream = zlib.compressobj(9, wbits=31)
    piece = b"\0" * (1 << 20)
    return b"".join([stream.compress(piece) for _ in range(256)] + [stream.flush()])


def bombs() -> dict[str, tuple[bytes, str]]:
    """256 MiB each, made without ever holding them."""
    gzipped = _gzip_bomb()
    piece = b"\0" * (1 << 20)
    br = brotli.Compressor()
    broth = b"".join([br.process(piece) for _ in range(256)] + [br.finish()])
    zstd = zstandard.ZstdCompressor().compressobj()
    frame = b"".join([zstd.compress(piece) for _ in range(256)] + [zstd.flush()])
    return {
        "gzip": (gzipped, "gzip"),
        "gzip twice": (gzip.compress(gzipped, 9), "gzip, gzip"),
        "br": (broth, "br"),
        "zstd": (frame, "zstd"),
    }


BOMBS = bombs()


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_stops_at_the_bound_and_cannot_be_compared(exchange, name):
    body, coding = BOMBS[name]
    more = {"headers": [("content-encoding", coding)]}
    for content_type in (JSON, TEXT, IMAGE):
        comparison = compare(exchange(body, content_type, **more), exchange(b"", content_type, **more), NONE)
        assert comparison.result is Result.INCOMPARABLE
        assert "decodes to more than 4194304 bytes on the primary side" in comparison.incomparable[0]


@pytest.mark.parametrize("name", ["gzip", "br", "zstd"])
def test_a_bomb_is_not_decoded_much_beyond_the_bound(monkeypatch, name):
    body, coding = BOMBS[name]
    pieces: list[int] = []
    gather = decode.__globals__["_gather"]

    def counting(stream, limit):
        return gather((pieces.append(len(piece)) or piece for piece in stream), limit)

    monkeypatch.setitem(decode.__globals__, "_gather", counting)
    with pytest.raises(ContentTooLargeError):
        decode(body, (coding,), whole=True)
    assert sum(pieces) < 5 * MAX_DECODED_BYTES


def test_too_many_members_and_codings_are_refused():
    with pytest.raises(BrokenContentError):
        decode(gzip.compress(b"") * 2000, ("gzip",), whole=True)
    with pytest.raises(UnknownCodingError):
        decode(b"x", ("gzip",) * 6, whole=True)
    with pytest.raises(UnknownCodingError):
        decode(b"x", ("compress",), whole=True)


def test_a_window_over_the_bound_is_too_large_rather_than_broken():
    wide = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    ).compressobj()
    body = wide.compress(b"abc" * 1000) + wide.flush()
    with pytest.raises(ContentTooLargeError):
        decode(body, ("zstd",), whole=True)


def test_one_document_in_two_codings_differs_in_the_header_only(exchange):
    one = exchange(gzip.compress(b'{"a":1}'), JSON, headers=[("content-encoding", "gzip")])
    other = exchange(b'{"a": 1}', JSON)
    assert [found.path for found in compare(one, other, NONE).differences] == ["/headers/content-encoding"]


def test_the_time_in_a_gzip_header_is_no_difference(exchange):
    sides = (
        exchange(gzip.compress(b"x", mtime=m), IMAGE, headers=[("content-encoding", "gzip")]) for m in (1, 2)
    )
    assert compare(*sides, NONE).result is Result.MATCHED


def test_a_broken_coding_on_one_side_is_a_difference_and_on_both_incomparable(exchange, told):
    more = {"headers": [("content-encoding", "gzip")]}
    good, bad, worse = (exchange(body, JSON, **more) for body in (gzip.compress(b"{}"), b"{}", b"[]"))
    comparison = compare(good, bad, NONE)
    assert told(comparison) == [("/body", "body")]
    assert "no gzip" in comparison.remarks[0]
    assert "on the shadow side" in comparison.remarks[0]
    assert compare(bad, worse, NONE).result is Result.INCOMPARABLE


def test_an_empty_body_is_empty_in_any_coding(exchange):
    one = exchange(b"", JSON, headers=[("content-encoding", "gzip")], status=304)
    assert (
        compare(
            one, exchange(b"", JSON, headers=[("content-encoding", "gzip")], sha256="", status=304), NONE
        ).result
        is Result.MATCHED
    )
