"""Status, headers and effects."""

from __future__ import annotations

import pytest

from mirrorproof.exchange import EFFECTS_LATE, EFFECTS_UNOBSERVED, YIELDED, Outcome
from mirrorproof_sidecar.compare import (
    DEFAULT_RULES,
    MISSING,
    Cause,
    Context,
    Kind,
    Result,
    Rules,
    compare,
)
from mirrorproof_sidecar.endpoints import endpoint_of

NONE = Rules()
JSON = "application/json"


def values(comparison):
    return [(found.path, found.kind.value, found.primary, found.shadow) for found in comparison.differences]


def test_another_status_is_a_difference(exchange):
    comparison = compare(exchange(status=200), exchange(status=404), NONE)
    assert values(comparison) == [("/status", "status", 200, 404)]


def test_an_error_against_a_response_is_a_difference_of_status(exchange):
    failed = exchange(response=None, error="ValueError")
    comparison = compare(exchange(b"a", "text/plain"), failed, NONE)
    assert values(comparison) == [("/status", "status", 200, {"error": "ValueError"})]
    assert comparison.remarks == (
        "/status: no response on the shadow side: headers and body were not compared",
    )


def test_two_errors_match_if_they_are_the_same_error(exchange):
    one, same, other = (exchange(response=None, error=error) for error in ("A", "A", "B"))
    assert compare(one, same, NONE).result is Result.MATCHED
    assert values(compare(one, other, NONE)) == [("/status", "status", {"error": "A"}, {"error": "B"})]


def test_an_answer_that_broke_off_differs_in_status_and_its_body_counts_as_cut(exchange):
    broke = exchange(b'{"a":', "application/json", error="ConnectionReset")
    comparison = compare(exchange(b'{"a":1}', "application/json"), broke, NONE)
    assert values(comparison) == [
        ("/status", "status", 200, {"status": 200, "error": "ConnectionReset"}),
    ]
    assert comparison.incomparable == ("/body: truncated on the shadow side, digests differ",)


def test_headers_differ_by_name_whatever_their_order_and_case(exchange):
    one = exchange(headers=[("x-a", "1"), ("x-b", "2"), ("a/b~", "")])
    other = exchange(headers=[("X-B", "2"), ("x-a", "9"), ("x-new", "")])
    assert values(compare(one, other, NONE)) == [
        ("/headers/a~1b~0", "header", "", MISSING),
        ("/headers/x-a", "header", "1", "9"),
        ("/headers/x-new", "header", MISSING, ""),
    ]


def test_two_set_cookie_headers_are_two_and_keep_their_order(exchange):
    two = exchange(headers=[("set-cookie", "a=1"), ("set-cookie", "b=2")])
    one = exchange(headers=[("set-cookie", "a=1")])
    turned = exchange(headers=[("set-cookie", "b=2"), ("set-cookie", "a=1")])
    assert values(compare(two, one, NONE)) == [("/headers/set-cookie", "header", ["a=1", "b=2"], "a=1")]
    assert compare(two, turned, NONE).result is Result.DIFFERENT
    assert compare(two, two, NONE).result is Result.MATCHED


def test_the_defaults_hide_what_differs_between_any_two_answers_and_list_it(exchange):
    noisy = [
        "date",
        "server",
        "x-request-id",
        "x-envoy-upstream-service-time",
        "etag",
        "content-length",
        "x-b3-spanid",
    ]
    one = exchange(headers=[(name, "1") for name in noisy] + [("x-kept", "1"), ("xx-envoy-a", "1")])
    other = exchange(headers=[(name, "2") for name in noisy] + [("x-kept", "2"), ("xx-envoy-a", "2")])
    comparison = compare(one, other, DEFAULT_RULES)
    assert [found.path for found in comparison.differences] == ["/headers/x-kept", "/headers/xx-envoy-a"]
    assert sorted(ignored.difference.path for ignored in comparison.ignored) == sorted(
        f"/headers/{name}" for name in noisy
    )
    assert all(ignored.reason for ignored in comparison.ignored)


def test_50_000_headers_are_counted_up_to_a_bound(exchange):
    one = exchange(headers=[(f"x-{number}", "1") for number in range(50_000)])
    other = exchange(b"b", headers=[(f"x-{number}", "2") for number in range(50_000)])
    comparison = compare(one, other, NONE)
    assert (len(comparison.differences), comparison.differences_omitted) == (200, 9_801)
    assert comparison.differences[0].path == "/body"
    assert comparison.incomparable[0].startswith("/headers: more than 10000 differences")
    assert compare(one, one, NONE).result is Result.MATCHED


def test_50_000_headers_of_one_name_are_one_difference(exchange):
    one = exchange(headers=[("x", str(number)) for number in range(50_000)])
    assert len(compare(one, exchange(), NONE).differences) == 1


# ---- effects ----


def test_a_suppressed_effect_equals_an_executed_one(exchange, effect):
    for outcome in (Outcome.SUPPRESSED, Outcome.BLOCKED):
        one, other = exchange(effects=[effect("a")]), exchange(effects=[effect("a", outcome)])
        assert compare(one, other, NONE).result is Result.MATCHED


def test_effects_differ_by_kind_target_and_place(exchange, effect):
    pay = {"kind": "http.request", "target": "POST https://pay/x~y"}
    one = exchange(effects=[effect("a"), effect("b"), effect("p", **pay)])
    other = exchange(
        effects=[effect("q", Outcome.SUPPRESSED, **pay), effect("b"), effect("m", target="mails")]
    )
    assert values(compare(one, other, NONE)) == [
        (
            "/effects/http.request/POST https:~1~1pay~1x~0y/0", "effect_changed",
            {"summary": "insert p", "outcome": "executed"}, {"summary": "insert q", "outcome": "suppressed"},
        ),
        (
            "/effects/sql.insert/mails/0", "effect_extra", MISSING,
            {"summary": "insert m", "outcome": "executed"},
        ),
        (
            "/effects/sql.insert/orders/0", "effect_missing",
            {"summary": "insert a", "outcome": "executed"}, MISSING,
        ),
    ]  # fmt: skip


def test_effects_whose_lines_are_equal_show_their_digests(exchange, effect):
    one, other = (exchange(effects=[effect(digest, summary="insert …")]) for digest in "ab")
    (found,) = compare(one, other, NONE).differences
    assert (found.primary["digest"], found.shadow["digest"]) == ("a", "b")


def test_the_order_within_a_target_counts_and_between_targets_does_not(exchange, effect):
    a, b, mail = effect("a"), effect("b"), effect("m", target="mails")
    assert compare(exchange(effects=[a, b]), exchange(effects=[b, a]), NONE).result is Result.DIFFERENT
    assert compare(exchange(effects=[a, mail]), exchange(effects=[mail, a]), NONE).result is Result.MATCHED


@pytest.mark.parametrize("side", ["primary", "shadow"])
def test_effects_that_nobody_observed_are_not_compared_and_it_is_said(exchange, effect, side):
    blind, seen = exchange(notes=[EFFECTS_UNOBSERVED]), exchange(effects=[effect("a")])
    comparison = compare(*((blind, seen) if side == "primary" else (seen, blind)), NONE)
    assert comparison.result is Result.MATCHED
    assert comparison.remarks == (f"/effects: not compared: not observed on the {side} side",)


def test_a_pair_whose_shadow_gave_up_is_incomparable_whatever_it_answered(exchange, effect):
    for more in ({"effects": [effect("b", Outcome.YIELDED)]}, {"notes": [YIELDED]}):
        comparison = compare(exchange(effects=[effect("a")]), exchange(status=500, **more), NONE)
        assert comparison.result is Result.INCOMPARABLE
        assert "/effects: given up on the shadow side, so that v1 need not wait" in comparison.incomparable


def test_a_difference_elsewhere_wins_over_what_cannot_be_compared(exchange):
    primary = exchange(body=b"[" * 1000, content_type="application/json")
    shadow = exchange(status=500, body=b"[" * 999, content_type="application/json")
    comparison = compare(primary, shadow, NONE)
    assert comparison.incomparable
    assert comparison.result is Result.DIFFERENT


def test_effects_that_were_refused_after_the_response_make_the_pair_incomparable(exchange, effect):
    comparison = compare(exchange(effects=[effect("a")]), exchange(notes=[EFFECTS_LATE]), NONE)
    assert comparison.result is Result.INCOMPARABLE
    assert comparison.incomparable == ("/effects: refused after the response on the shadow side",)


def test_what_was_learnt_to_be_noise_is_ignored_and_listed_with_its_reason(exchange):
    one, other = exchange(b'{"a":[{"n":1}],"b":1}', JSON), exchange(b'{"a":[{"n":2}],"b":2}', JSON)
    endpoint = endpoint_of("shop", "GET", "/orders/7", None).id
    noise = {
        (endpoint, "/body/a/*/n", Kind.CHANGED_VALUE): "v1 differs from its control in 9 of 10",
        (endpoint, "/body/b", Kind.CHANGED_TYPE): "another kind",
        ("other", "/body/b", Kind.CHANGED_VALUE): "another endpoint",
    }
    comparison = compare(one, other, NONE, context=Context(noise=noise))
    assert [found.path for found in comparison.differences] == ["/body/b"]
    (hidden,) = comparison.ignored
    assert (hidden.difference.path, hidden.by, hidden.name) == ("/body/a/0/n", Cause.NOISE, "changed_value")
    assert hidden.reason == "v1 differs from its control in 9 of 10"
