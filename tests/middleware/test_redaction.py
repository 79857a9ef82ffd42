"""Redaction: what must not leave is gone, and what may stay is there byte for byte."""

from __future__ import annotations

import gzip
import json
import zlib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mirrorproof.redaction import REDACTED, Redactor, UnreadableBodyError

JSON = "application/json"
REDACTOR = Redactor()
CARD = "4111111111111111"
IBAN = "DE89370400440532013000"


def redact(body: str | bytes, content_type: str = JSON, encoding: str = "", **keys: Any) -> str:
    raw = body.encode() if isinstance(body, str) else body
    return Redactor(**keys).body(raw, content_type, encoding).decode()


@pytest.mark.parametrize(
    "name",
    [
        "Authorization", "proxy-authorization", "Cookie", "Set-Cookie", "X-Api-Key", "x_api_key", "apiKey",
        "X-CSRF-Token", "x-xsrf-token", "X-Auth-Token", "session_id", "PHPSESSIONID", "passwd", "iban",
        "user.password", "Client Secret", "credit_card", "cardNumber", "card-no", "CVV", "cvc2", "ssn",
        "X-Forwarded-Client-Cert", "AWS_SECRET_ACCESS_KEY", "private-key", "credentials",
    ],
)  # fmt: skip
def test_a_name_of_the_default_list_is_sensitive_however_it_is_spelt(name: str) -> None:
    assert REDACTOR.sensitive(name)
    assert REDACTOR.sensitive(name.encode())


@pytest.mark.parametrize(
    "name",
    ["accept", "host", "keyboard", "monkey", "discard", "passenger", "author", "name", "x-request-id", ""],
)
def test_other_names_are_not_sensitive(name: str) -> None:
    assert not REDACTOR.sensitive(name)


def test_header_values_under_sensitive_names_are_replaced_and_the_others_stay() -> None:
    headers = [("set-cookie", "a=1"), ("set-cookie", "b=2"), ("etag", '"x"')]
    assert REDACTOR.headers(headers) == [("set-cookie", REDACTED), ("set-cookie", REDACTED), ("etag", '"x"')]


@pytest.mark.parametrize(
    ("query", "redacted"),
    [
        ("", ""),
        ("a=1&b=2", "a=1&b=2"),
        ("a=1&token=abc&b=2", f"a=1&token={REDACTED}&b=2"),
        ("to%6ben=abc", f"to%6ben={REDACTED}"),
        ("api+key=abc", f"api+key={REDACTED}"),
        ("token=", "token="),
        ("token", "token"),
        ("token=a=b", f"token={REDACTED}"),
        ("&&=&x", "&&=&x"),
        ("q=%zz%ff", "q=%zz%ff"),
        (f"q={CARD}", f"q={REDACTED}"),
        ("q=4111+1111+1111+1111", f"q={REDACTED}"),
        ("q=4111%201111%201111%201111", f"q={REDACTED}"),
        (f"account={IBAN}", f"account={REDACTED}"),
    ],
)
def test_a_query_loses_its_secrets_and_nothing_else(query: str, redacted: str) -> None:
    assert REDACTOR.query(query) == redacted
    assert redact(query, "application/x-www-form-urlencoded; charset=utf-8") == redacted


def test_a_url_loses_the_secrets_of_its_query_and_its_fragment() -> None:
    url = "https://shop/cb?code=1&token=abc#access_token=xyz&state=2"
    assert REDACTOR.url(url) == (f"https://shop/cb?code=1&token={REDACTED}#access_token={REDACTED}&state=2")
    assert REDACTOR.url("https://shop/a?b=1#c") == "https://shop/a?b=1#c"


@pytest.mark.parametrize(
    ("body", "redacted"),
    [
        ('{"password": "x", "a": 1}', '{"password": "[redacted]", "a": 1}'),
        ('{"a":{"b":[{"apiKey":"x"}]}}', '{"a":{"b":[{"apiKey":"[redacted]"}]}}'),
        ('{"tokens":["x",["y"],{"z":"]"}],"b":1}', '{"tokens":"[redacted]","b":1}'),
        ('{"secret":{"deep":{"x":"}"}},"b":1}', '{"secret":"[redacted]","b":1}'),
        ('{"token" \n : \t 12.5e3 , "b":1}', '{"token" \n : \t "[redacted]" , "b":1}'),
        (r'{"pass\u0077ord":"x"}', r'{"pass\u0077ord":"[redacted]"}'),
        (r'{"t\u006fke\u006e":"x"}', r'{"t\u006fke\u006e":"[redacted]"}'),
        (r'{"password":"a\"b\\","b":1}', '{"password":"[redacted]","b":1}'),
        ('{"token":null,"secret":true,"cvv":false}', '{"token":null,"secret":true,"cvv":false}'),
        ('{"token":"null"}', '{"token":"[redacted]"}'),
        ('{"a":"token","b":"password: x"}', '{"a":"token","b":"password: x"}'),
        ('["token","x"]', '["token","x"]'),
        ('{"token":"a","token":"b"}', '{"token":"[redacted]","token":"[redacted]"}'),
        ('{"n":1.0,"m":1e400,"k":12345678901234567890}', '{"n":1.0,"m":1e400,"k":12345678901234567890}'),
        ('data: {"token":"x"}\n\ndata: {}\n', 'data: {"token":"[redacted]"}\n\ndata: {}\n'),
        ('said "hi, then {"token":"x"}', 'said "hi, then {"token":"[redacted]"}'),
    ],
)  # fmt: skip
def test_json_loses_its_secrets_and_nothing_else(body: str, redacted: str) -> None:
    assert redact(body) == redacted


@pytest.mark.parametrize(
    "body",
    [
        '{"a":1,"password":"hunter2',
        '{"a":1,"password":"hunter2\\',
        '{"a":1,"password":{"x":"hunter2","y":[',
        '{"a":1,"password":["hunter2",',
        '{"a":1,"password":hunter2',
        '{"password" : "hunter2" "broken}',
        "{'x':'y'} \"password\":\"hunter2\"}}}",
        '{"a":"\n"password":"hunter2"}',
        '\ufeff{"password":"hunter2"}',
        '{"ü":"ä","password":"hunter2"}',
    ],
)
def test_truncated_and_broken_json_loses_its_secrets_as_well(body: str) -> None:
    assert "hunter2" not in redact(body)
    assert REDACTED in redact(body)


def test_keys_of_the_user_are_redacted_and_may_be_of_any_script() -> None:
    keys = ("E-Mail", "straße", "")
    assert redact('{"user_email":"x","name":"y"}', extra=keys) == '{"user_email":"[redacted]","name":"y"}'
    assert redact('{"Straße":"x"}', extra=keys) == '{"Straße":"[redacted]"}'
    assert redact(r'{"Stra\u00dfe":"x"}', extra=keys) == r'{"Stra\u00dfe":"[redacted]"}'
    assert Redactor(keys).query("e_mail=x&stra%C3%9Fe=y") == f"e_mail={REDACTED}&stra%C3%9Fe={REDACTED}"


@pytest.mark.parametrize(
    "text",
    [CARD, "4111 1111 1111 1111", "4111-1111-1111-1111", "378282246310005", "3782 822463 10005",
     "5555555555554444", IBAN, "DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "NO9386011117947"],
)  # fmt: skip
def test_card_numbers_and_ibans_are_found_in_any_text(text: str) -> None:
    assert redact(f"pay with {text}, please", "text/plain") == f"pay with {REDACTED}, please"
    assert redact(f'{{"note":"{text}"}}') == f'{{"note":"{REDACTED}"}}'
    assert redact(f"<p>{text}</p>", "text/html") == f"<p>{REDACTED}</p>"


@pytest.mark.parametrize(
    "text",
    ["1764000000000", "1764000000000000", "4111111111111112", "4111.111111111111", "14111111111111111",
     "4111111111111111e5", "a4111111111111111", "-4111111111111111", "DE88370400440532013000", "ABCD1234",
     "2026-11-23T22:16:42.123456Z", "4f9f1f2e-4111-1111-1111-411111111111"],
)  # fmt: skip
def test_timestamps_and_numbers_that_fail_their_check_digits_stay(text: str) -> None:
    body = f'{{"id": "{text}"}}'
    assert redact(body) == body


def test_a_card_number_that_is_a_bare_json_number_leaves_json_behind() -> None:
    body = f'{{"card": {CARD}, "list": [{CARD},1], "note": "a, {CARD}, \\" {CARD}"}}'
    assert json.loads(redact(body)) == {
        "card": REDACTED,
        "list": [REDACTED, 1],
        "note": f'a, {REDACTED}, " {REDACTED}',
    }


def form(*parts: tuple[str, str], boundary: str = "xYz") -> bytes:
    sections = [f"--{boundary}\r\n{head}\r\n\r\n{content}\r\n" for head, content in parts]
    return ("".join(sections) + f"--{boundary}--\r\n").encode()


def test_multipart_fields_lose_their_secrets_and_files_stay() -> None:
    before = form(
        ('Content-Disposition: form-data; name="password"', "hunter2"),
        ('Content-Disposition: form-data; name="plain"', "stays"),
        ('Content-Disposition: form-data; filename="a.txt"; name="my-token"', "hunter2"),
        ('content-disposition: form-data; name=api_key', "hunter2"),
        ('Content-Disposition: form-data; name="doc"\r\ncontent-type: text/json', '{"token":"hunter2"}'),
        ('Content-Disposition: form-data; name="card"', CARD),
        ('Content-Disposition: form-data; name="upload"; filename="b.bin"', "\0\1"),
    )  # fmt: skip
    after = redact(before, 'multipart/form-data; boundary="xYz"')
    assert "hunter2" not in after
    assert CARD not in after
    assert "stays" in after
    assert "\0\1" in after
    assert after.count("--xYz") == before.count(b"--xYz")


@pytest.mark.parametrize(
    "body",
    [
        b"preamble\r\n--xYz\r\n\r\n",
        b"--\r\n",
        b'--xYz\nContent-Disposition: form-data; name="password"\n\nhunter2\n--xYz--\n',
    ],
)
def test_a_multipart_body_whose_parts_are_not_found_is_not_let_through(body: bytes) -> None:
    with pytest.raises(UnreadableBodyError):
        redact(body, "multipart/form-data; boundary=xYz")


SECRET_JSON = b'{"password":"hunter2","a":"' + b"x" * 5000 + b'"}'


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "deflate"])
def test_compressed_bodies_are_looked_into_and_stay_compressed(coding: str) -> None:
    compress = zlib.compress if coding == "deflate" else gzip.compress
    after = REDACTOR.body(compress(SECRET_JSON), JSON, coding)
    assert json.loads(zlib.decompress(after, 47)) == {"password": REDACTED, "a": "x" * 5000}


def test_a_compressed_body_without_a_secret_stays_as_it_is() -> None:
    body = gzip.compress(b'{"a":1}')
    assert REDACTOR.body(body, JSON, "gzip") is body


def test_a_truncated_compressed_body_is_redacted_as_far_as_it_goes() -> None:
    after = REDACTOR.body(gzip.compress(SECRET_JSON, 0)[:2000], JSON, "gzip")
    assert b'"password":"[redacted]"' in gzip.decompress(after)


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (b"\x0b\x02\x80hi\x03", "br"),
        (b"(\xb5/\xfd", "zstd"),
        (SECRET_JSON, "gzip"),
        (gzip.compress(gzip.compress(SECRET_JSON)), "gzip, gzip"),
        (gzip.compress(b"{}") + gzip.compress(SECRET_JSON), "gzip"),
        (gzip.compress(b"\0" * (5 << 20)), "gzip"),
        (zlib.compress(SECRET_JSON)[2:-4], "deflate"),
        (SECRET_JSON, "x-secret"),
        (SECRET_JSON.decode().encode("utf-16"), ""),
        (SECRET_JSON.decode().encode("utf-16-be"), ""),
        (SECRET_JSON.decode().encode("utf-32-le"), "identity"),
    ],
    ids=[
        "br",
        "zstd",
        "no gzip",
        "twice",
        "two members",
        "bomb",
        "raw deflate",
        "unknown",
        "16",
        "16be",
        "32",
    ],
)
def test_a_body_that_cannot_be_read_is_refused_rather_than_let_through(body: bytes, coding: str) -> None:
    with pytest.raises(UnreadableBodyError):
        REDACTOR.body(body, JSON, coding)


def test_binary_media_stay_untouched() -> None:
    body = b'\x89PNG "password":"x" ' + CARD.encode()
    for media in ("image/png", "application/octet-stream", "video/mp4"):
        assert REDACTOR.body(body, media) is body


def test_a_body_without_a_media_type_and_every_kind_of_text_is_looked_into() -> None:
    for media in ("", " application/problem+json", "text/html; charset=utf-8", "application/x-ndjson"):
        assert "hunter2" not in redact('{"token":"hunter2"}', media)


harmless = st.text(st.characters(codec="utf-8"), max_size=12).filter(
    lambda key: not REDACTOR.sensitive(key) and not any(c.isdigit() for c in key)
)
small_numbers = st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, width=32)
leaves = st.none() | st.booleans() | small_numbers | harmless
harmless_json = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(harmless, inner, max_size=4)
)


@given(harmless_json, st.booleans(), st.sampled_from([None, 1]))
def test_json_without_a_sensitive_key_is_unchanged_byte_for_byte(
    document: Any, ascii_only: bool, indent: int | None
) -> None:
    body = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode()
    assume(not any(run in body for run in (b"0000000000", b"E+")))
    assert REDACTOR.body(body, JSON) == body


@given(st.binary(max_size=200))
def test_any_bytes_are_answered_with_bytes_or_with_a_refusal(body: bytes) -> None:
    for media in (JSON, "text/plain", "multipart/mixed; boundary=x", "application/x-www-form-urlencoded"):
        for coding in ("", "gzip", "deflate"):
            with suppress(UnreadableBodyError):
                assert isinstance(REDACTOR.body(body, media, coding), bytes)


MARKER = "HUNTER"
spelt = st.sampled_from(
    [
        "password",
        "user_password",
        "API-Key",
        "accessToken",
        "Set-Cookie",
        "client secret",
        "CVV",
        "iban",
        "csrf_x",
    ]
)
any_leaf = st.just(f'{MARKER}"\\') | st.just(MARKER) | st.just(f"]}}{MARKER}\n\u00e9") | st.just([MARKER])
secrets = st.recursive(
    any_leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(harmless, inner, max_size=3)
)
with_secrets = st.recursive(
    leaves | st.dictionaries(spelt, secrets, min_size=1, max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(harmless, inner, max_size=4), max_leaves=12,
)  # fmt: skip


def blanked(document: Any) -> Any:
    """The document with each sensitive value replaced, as a reader of JSON would do it."""
    if isinstance(document, list):
        return [blanked(item) for item in document]
    if isinstance(document, dict):
        return {
            key: REDACTED if REDACTOR.sensitive(key) else blanked(value) for key, value in document.items()
        }
    return document


@given(with_secrets, st.booleans(), st.sampled_from([None, 2]))
def test_secrets_are_gone_from_nested_json_and_the_rest_reads_as_before(
    document: Any, ascii_only: bool, indent: int | None
) -> None:
    after = REDACTOR.body(json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode(), JSON)
    assert MARKER.encode() not in after
    assert json.loads(after) == blanked(document)


@given(with_secrets, st.integers(0, 400))
def test_secrets_are_gone_wherever_the_body_was_cut(document: Any, cut: int) -> None:
    body = json.dumps(document).encode()[:cut]
    assert MARKER.encode() not in REDACTOR.body(body, JSON)


@given(with_secrets)
def test_redacting_twice_is_redacting_once(document: Any) -> None:
    once = REDACTOR.body(json.dumps(document).encode(), JSON)
    assert REDACTOR.body(once, JSON) == once


HOSTILE = {
    "quotes": '"',
    "escaped quotes": '\\"',
    "backslashes": "\\",
    "open brackets": '{"token":[',
    "open strings": '"token":"',
    "keys without values": '"token":',
    "blanks before a colon": '"token"' + " " * 50,
    "cards": f"{CARD} ",
    "cards in strings": f'"{CARD}",',
    "nearly cards": "4111 1111 1111 ",
    "digits": "4",
    "nearly ibans": "DE89 3704 ",
    "long ibans": "DE89" + "A" * 40,
    "escaped keys": '"\\u0074oken":1,',
}


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=list(HOSTILE))
@pytest.mark.timeout(20)
def test_a_hostile_body_of_the_largest_size_is_done_with_in_linear_time(piece: str) -> None:
    body = (piece * (262_144 // len(piece))).encode()  # quadratic time would take hours
    for media in (JSON, "text/plain", "application/x-www-form-urlencoded"):
        REDACTOR.body(body, media)


JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ('{"note": "Bearer abcdefgh12345"}', '{"note": "Bearer [redacted]"}'),
        (f'{{"note": "{JWT}"}}', '{"note": "[redacted]"}'),
        ('{"dsn": "postgres://user:hunter2@db/shop"}', '{"dsn": "postgres://[redacted]@db/shop"}'),
        ('{"next": "/a?page=2&token=abc"}', '{"next": "/a?page=2&token=[redacted]"}'),
        ('{"pin": 1234, "shipping": 5}', '{"pin": "[redacted]", "shipping": 5}'),
        ('{"pwd": "x", "pass": "y", "passenger": "z"}',
         '{"pwd": "[redacted]", "pass": "[redacted]", "passenger": "z"}'),
    ],
)  # fmt: skip
def test_secrets_go_by_their_looks_and_by_short_names(body: str, kept: str) -> None:
    assert Redactor().body(body.encode(), "application/json").decode() == kept


def test_a_form_without_its_media_type_is_redacted() -> None:
    assert Redactor().body(b"user=a&password=b", "") == b"user=a&password=[redacted]"


def test_settings_in_a_plain_text_are_redacted() -> None:
    assert Redactor().body(b"A=1\nAPI_KEY=abc\n", "text/plain") == b"A=1\nAPI_KEY=[redacted]\n"
