"""The ledger and its digests."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import threading
import uuid
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mirrorproof.exchange import Outcome
from mirrorproof.ledger import Ledger, digest_of


def note(ledger: Ledger, name: str, outcome: Outcome = Outcome.SUPPRESSED) -> None:
    ledger.record("file.write", name, f"write {name}", "d", outcome)


def test_effects_stay_in_the_order_in_which_they_came() -> None:
    ledger = Ledger()
    for name in "abc":
        note(ledger, name)
    assert [effect.target for effect in ledger] == ["a", "b", "c"]
    assert len(ledger) == 3


def test_beyond_the_bound_effects_are_counted_only() -> None:
    ledger = Ledger(limit=2)
    for name in "abcde":
        note(ledger, name)
    assert [effect.target for effect in ledger] == ["a", "b"]
    assert ledger.lost == 3


def test_long_words_are_cut_and_say_so() -> None:
    ledger = Ledger()
    ledger.record("k", "t" * 1000, "s" * 1000, "d", Outcome.EXECUTED)
    (effect,) = ledger
    assert (len(effect.target), len(effect.summary)) == (300, 500)
    assert effect.target.endswith("…")
    assert effect.summary.endswith("…")


def test_words_that_are_no_unicode_do_not_keep_an_exchange_from_being_sent() -> None:
    ledger = Ledger()
    ledger.record("k", "a\ud800b", "é\udcff", "d", Outcome.EXECUTED)
    (effect,) = ledger
    assert (effect.target, effect.summary) == ("a?b", "é?")
    msgspec.msgpack.encode(effect)


def test_yielding_marks_what_was_suppressed_and_nothing_else() -> None:
    ledger = Ledger()
    for outcome in Outcome:
        note(ledger, outcome.value, outcome)
    ledger.yield_all()
    assert {effect.target: effect.outcome.value for effect in ledger} == {
        "executed": "executed", "suppressed": "yielded", "blocked": "blocked", "yielded": "yielded",
    }  # fmt: skip


def test_threads_lose_nothing() -> None:
    ledger = Ledger(limit=3000)
    threads = [threading.Thread(target=lambda: [note(ledger, str(n)) for n in range(1000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(ledger), ledger.lost) == (3000, 1000)


def test_the_list_of_effects_is_a_copy() -> None:
    ledger = Ledger()
    note(ledger, "a")
    ledger.effects.clear()
    assert len(ledger) == 1


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(documents)
def test_equal_payloads_have_equal_digests_in_whatever_order_their_keys_are(payload: Any) -> None:
    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(value[key]) for key in reversed(value)}
        return [turned(item) for item in value] if isinstance(value, list) else value

    assert digest_of("k", "t", payload) == digest_of("k", "t", turned(payload))


def test_kind_target_and_payload_all_count() -> None:
    digests = {digest_of(k, t, p) for k in "ab" for t in "ab" for p in ("a", "b", 1, "1", 1.5, None, [], {})}
    assert len(digests) == 2 * 2 * 8
    assert all(len(digest) == 32 for digest in digests)


@dataclasses.dataclass
class Order:
    number: int


class Client:
    """Has no repr of its own."""


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_values_beyond_json_are_taken_by_what_they_are() -> None:
    moment = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    values = (Order(1), decimal.Decimal("1.10"), uuid.UUID(int=1), moment, {1, 2, 3}, b"x", 1 + 2j)
    for make in [lambda value=value: value for value in values]:
        assert digest_of("k", "t", [make()]) == digest_of("k", "t", [make()])
    assert digest_of("k", "t", Order(1)) == digest_of("k", "t", Order(1)) != digest_of("k", "t", Order(2))


def test_an_object_without_a_repr_of_its_own_counts_by_its_type_not_by_its_address() -> None:
    assert digest_of("k", "t", {"db": Client(), "n": 1}) == digest_of("k", "t", {"db": Client(), "n": 1})
    assert digest_of("k", "t", {"db": Client(), "n": 1}) != digest_of("k", "t", {"db": Client(), "n": 2})


def test_no_payload_makes_a_digest_raise() -> None:
    circle: list[Any] = []
    circle.append(circle)
    for payload in (circle, {(1, 2): 3}, "\ud800", 10**400, Hostile(), [Hostile()], float("nan"), {None: 1}):
        assert len(digest_of("k", "t", payload)) == 32
