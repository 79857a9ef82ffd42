"""Volatile values compare by shape: both have to be what two answers of one version would differ in."""

from __future__ import annotations

import base64
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorproof_sidecar.compare.shapes import Facts, Moment, recognise

NOW_S = 1_800_000_000.0  # 2027-01-15T08:00:00Z
FACTS = Facts(
    (Moment(NOW_S, NOW_S + 0.05), Moment(NOW_S + 0.2, NOW_S + 0.3)),
    hosts=("shop.example", "shop.example-shadow"),
    traces=("0af7651916cd43dd8448eb211c80319c", "4bf92f3577b34da6a3ce929d0e0e4736"),
    asked="/orders/9f8c1d52-7e0b-4c1c-9f9e-0a1b2c3d4e5f?ref=ab12cd34ef56",
)
U1, U2 = "0b7a5f1e-93b1-4b9d-8a53-6f3f0ad4c1aa", "e2c1d7a4-5b02-4f6e-9a77-1c2d3e4f5a6b"
HEX1, HEX2 = "9f2c4e1ab77d03e5", "03bd91fe6c2a88f1"


def token(**claims):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    head = {"alg": "HS256", "typ": "JWT"}
    return f"{part(head)}.{part(claims)}.{HEX1 if claims.get('sub') == 7 else HEX2}"


def ulid(after_s):
    milliseconds, digits = int((NOW_S + after_s) * 1000), ""
    for _ in range(10):
        milliseconds, digit = divmod(milliseconds, 32)
        digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"[digit] + digits
    return digits + ("93B14B9D8A536F3F" if after_s < 0.1 else "5B024F6E9A771C2D")


def snowflake(after_s):
    return (int((NOW_S + after_s) * 1000) - 1_288_834_974_657 << 22) + 4711


def shape(name, one, other, part="body"):
    found = recognise((part, *name.split("/")), one, other, FACTS)
    return None if found is None else found.name


@pytest.mark.parametrize(
    ("name", "one", "other", "wanted"),
    [
        ("created_at", "2027-01-15T08:00:00Z", "2027-01-15T08:00:01Z", "timestamp"),
        ("created_at", "2027-01-15T08:00:00.012345+00:00", "2027-01-15T08:00:00.254321+00:00", "timestamp"),
        ("x", "2027-01-15 08:00:00", "2027-01-15 08:00:01", "timestamp"),
        ("x", "Fri, 15 Jan 2027 08:00:00 GMT", "Fri, 15 Jan 2027 08:00:01 GMT", "timestamp"),
        ("local", "2027-01-15T09:00:00+01:00", "2027-01-15T09:00:01+01:00", "timestamp"),
        ("local_naive", "2027-01-15T09:00:00.01", "2027-01-15T09:00:00.23", "timestamp"),
        ("ts", 1_800_000_000, 1_800_000_001, "timestamp"),
        ("ts", 1_800_000_000_012, 1_800_000_000_256, "timestamp"),
        ("ts", "1800000000", "1800000001", "timestamp"),
        ("ts", 1_800_000_000.012, 1_800_000_000.256, "timestamp"),
        ("ts", Decimal("1800000000.0120000001"), Decimal("1800000000.2560000001"), "timestamp"),
        ("expires_at", "2027-01-15T09:00:00.010Z", "2027-01-15T09:00:00.230Z", "timestamp"),
        ("exp", 1_800_003_600, 1_800_003_601, "timestamp"),
        ("request_id", U1, U2, "UUID of version 4"),
        ("nothing_known", U1, U2, "UUID of version 4"),
        ("id", ulid(0.02), ulid(0.25), "ULID"),
        ("id", f"{int(NOW_S):08x}93b14b9d8a536f3f", f"{int(NOW_S):08x}5b024f6e9a771c2d", "ObjectId"),
        ("id", snowflake(0.02), snowflake(0.25), "Snowflake"),
        ("id", str(snowflake(0.02)), str(snowflake(0.25)), "Snowflake"),
        ("nonce", HEX1, HEX2, "token"),
        ("session", "sess_k3J9x0LmQ2", "sess_Zp81aYt7Wd", "token"),
        ("hostname", "shop-v1-7d9f8b6c5d-x2x4z", "shop-v2-5c8b7f9d4-9kq2p", "host"),
        ("pod_ip", "10.0.3.17", "10.0.9.4", "host"),
        ("trace", FACTS.traces[0], FACTS.traces[1], "trace"),
        ("whatever", f"seen in {FACTS.traces[0]}", f"seen in {FACTS.traces[1]}", "trace"),
        ("self", "http://shop.example/orders/7", "http://shop.example-shadow/orders/7", "host"),
        ("took_ms", 12, 48, "duration"),
        ("elapsed", "12ms", "48ms", "duration"),
        (
            "url",
            "https://cdn.example/a.png?X-Amz-Date=20270115T080000Z&X-Amz-Signature=9f2c4e1ab77d03e5",
            "https://cdn.example/a.png?X-Amz-Date=20270115T080001Z&X-Amz-Signature=03bd91fe6c2a88f1",
            "signed URL",
        ),
        ("jwt", token(sub=7, iat=1_800_000_000), token(sub=7, iat=1_800_000_001), "web token"),
        ("html", f'<script nonce="{HEX1}">go()</script>', f'<script nonce="{HEX2}">go()</script>', "token"),
        ("text", "Made 2027-01-15T08:00:00Z for you", "Made 2027-01-15T08:00:01Z for you", "timestamp"),
    ],
)  # fmt: skip
def test_volatile_values_of_one_shape_match(name, one, other, wanted):
    assert shape(name, one, other) == wanted


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        # Times: stale, of another notation or zone, of another distance, or none at all.
        ("created_at", "2027-01-15T08:00:00Z", None),
        ("created_at", "2027-01-15T08:00:00Z", ""),
        ("created_at", "2027-01-15T08:00:00Z", "2027-01-15 08:00:00Z"),
        ("created_at", "2027-01-15T08:00:00Z", "2027-01-15T08:00:00+00:00"),
        ("created_at", "2027-01-15T08:00:00Z", "2027-01-15T08:00:00.123Z"),
        ("created_at", "2027-01-15T08:00:00.123Z", "2027-01-15T08:00:00.123456Z"),
        ("created_at", "2027-01-15T08:00:00Z", "2027-01-15T07:00:00Z"),
        ("created_at", "2027-01-14T08:00:00Z", "2027-01-15T08:00:00Z"),
        ("updated_at", "2026-12-24T18:31:07Z", "2026-12-24T18:31:09Z"),
        ("updated_at", "2026-12-24T18:31:07.104Z", "2026-12-24T18:31:07.304Z"),
        ("date", "2027-01-15", "2027-01-16"),
        ("expires_at", "2027-01-15T09:00:00Z", "2027-01-15T10:00:00Z"),
        ("ts", 1_800_000_000, 1_800_000_000_256),
        ("ts", 1_800_000_000, "1800000001"),
        ("amount", 1_700_000_000, 1_700_000_060),
        # Ids: of another version or notation, made from content, asked for, of something stored.
        ("request_id", U1, U2.upper()),
        ("request_id", U1, U2.replace("-", "")),
        ("request_id", U1, "e2c1d7a4-5b02-7f6e-9a77-1c2d3e4f5a6b"),
        ("request_id", U1.replace("-4b", "-5b"), U2.replace("-4f", "-5f")),
        ("customer_id", U1, U2),
        ("id", ulid(-86_400), ulid(0.25)),
        ("id", ulid(0.02), ulid(0.25).lower()),
        ("id", snowflake(-86_400), snowflake(0.25)),
        ("x", "9f8c1d52-7e0b-4c1c-9f9e-0a1b2c3d4e5f", U2),
        # Random characters: without a name, under a name of contents, of another length or alphabet, words.
        ("image", HEX1, HEX2),
        ("content_hash", HEX1, HEX2),
        ("nonce", HEX1, HEX2 + "00"),
        ("nonce", HEX1, "international-ab"),
        ("token", "premium_access", "limited_access"),
        ("token", "sess_k3J9x0LmQ2", "user_Zp81aYt7Wd"),
        # Machines and durations: words with a meaning, and more than the answer can have waited.
        ("host", "eu.shop.example", "us.shop.example"),
        ("host", "node-1.eu.example", "node-2.us.example"),
        ("took_ms", 12, 4800),
        ("duration", 12, 48),
        ("took_ms", 12, 48.0),
        ("quantity", 2, 3),
        # URLs, tokens and text: what is between the volatile pieces has to be equal.
        ("url", "https://cdn.example/a.png?sig=9f2c4e1ab77d03e5", "https://cdn.example/b.png?sig=03bd91fe6c2a88f1"),
        ("url", "https://cdn.example/a?size=2", "https://cdn.example/a?size=3"),
        ("url", "https://a.example/?sig=9f2c4e1ab77d03e5", "https://b.example/?sig=03bd91fe6c2a88f1"),
        ("url", "https://cdn.example/9f2c4e1ab77d03e5.png", "https://cdn.example/03bd91fe6c2a88f1.png"),
        ("jwt", token(sub=7, iat=1_800_000_000), token(sub=8, iat=1_800_000_001)),
        ("text", "Made 2027-01-15T08:00:00Z for Ann", "Made 2027-01-15T08:00:01Z for Bob"),
    ],
)  # fmt: skip
def test_what_a_version_gets_wrong_is_no_shape(name, one, other):
    assert shape(name, one, other) is None


@pytest.mark.parametrize(
    ("name", "one", "other", "wanted"),
    [
        ("set-cookie", f"sid={HEX1}; Path=/; HttpOnly", f"sid={HEX2}; Path=/; HttpOnly", "cookie"),
        ("set-cookie", f"sid={HEX1}; Path=/; HttpOnly", f"sid={HEX2}; Path=/", None),
        ("set-cookie", "theme=dark; Path=/", "theme=light; Path=/", None),
        ("set-cookie", [f"sid={HEX1}", "a=1"], [f"sid={HEX2}", "a=1"], "cookie"),
        ("set-cookie", [f"sid={HEX1}", "a=1"], [f"sid={HEX2}", "a=2"], None),
        ("set-cookie", f"sid={HEX1}", [f"sid={HEX2}", "a=1"], None),
        ("content-security-policy", f"script-src 'nonce-{HEX1}'", f"script-src 'nonce-{HEX2}'", "token"),
        ("content-security-policy", f"script-src 'nonce-{HEX1}'", f"script-src 'self' 'nonce-{HEX2}'", None),
        ("x-traceparent", f"00-{'1a' * 16}-{'2b' * 8}-01", f"00-{'3c' * 16}-{'4d' * 8}-01", "trace"),
        ("x-traceparent", f"00-{'1a' * 16}-{'2b' * 8}-01", f"00-{'3c' * 16}-{'4d' * 8}-00", None),
        ("x-ratelimit-remaining", "57", "56", "allowance"),
        ("x-ratelimit-limit", "100", "60", None),
        ("last-modified", "Fri, 15 Jan 2027 08:00:00 GMT", "Fri, 15 Jan 2027 08:00:01 GMT", "timestamp"),
        ("cache-control", "max-age=60", "max-age=600", None),
    ],
)  # fmt: skip
def test_headers_are_compared_by_their_own_grammar(name, one, other, wanted):
    assert shape(name, one, other, "headers") == wanted


VALUES = st.one_of(
    st.text(max_size=40),
    st.integers(),
    st.floats(allow_nan=False),
    st.decimals(),
    st.booleans(),
    st.none(),
    st.sampled_from(
        [U1, U2, HEX1, HEX2, "2027-01-15T08:00:00Z", "eyJ.eyJ.x", "https://a/?b=c", "1800000000"]
    ),
    st.lists(st.text(max_size=5), max_size=3),
)
NAMES = st.sampled_from(
    ["id", "token", "created_at", "host", "took_ms", "", "exp", "0", "traceparent", "url"]
)


@given(NAMES, VALUES, VALUES, st.sampled_from(["body", "headers", "effects"]))
def test_a_recogniser_says_the_same_with_the_sides_swapped_and_never_raises(name, one, other, part):
    if part == "headers" and not all(isinstance(value, str | list) for value in (one, other)):
        return
    swapped = Facts(FACTS.moments[::-1], FACTS.hosts[::-1], FACTS.traces[::-1], FACTS.asked)
    found = recognise((part, name), one, other, FACTS)
    mirrored = recognise((part, name), other, one, swapped)
    assert (found and found.name) == (mirrored and mirrored.name)
