"""A mirrored request that v1 forestalled is told apart; one that would have failed anyway is a difference."""

from __future__ import annotations

import pytest

from mirrorproof.exchange import Outcome
from mirrorproof_sidecar.compare import Rules, compare


def pair(exchange, effect, *, v1, noted, v2=()):
    def made(digests, outcome):
        return [
            effect(
                kind="sql.insert", target="claims", summary="INSERT claims", digest=digest, outcome=outcome
            )
            for digest in digests
        ]

    return (
        exchange(status=201, effects=made(v1, Outcome.EXECUTED)),
        exchange(
            status=409, effects=made(v2, Outcome.SUPPRESSED), notes=[f"conflicted:{each}" for each in noted]
        ),
    )


def test_where_v1_made_the_same_change_nothing_is_compared(exchange, effect):
    found = compare(*pair(exchange, effect, v1=["a"], noted=["a"]), Rules())
    assert not found.differences
    assert found.incomparable
    assert all("conflict_with_primary" in note for note in found.incomparable)


@pytest.mark.parametrize(
    ("v1", "v2"), [((), ()), (("b",), ()), (("a",), ("a",))], ids=["nothing", "another", "made here before"]
)
def test_where_it_did_not_the_refusal_is_v2s_own(exchange, effect, v1, v2):
    found = compare(*pair(exchange, effect, v1=v1, noted=["a"], v2=v2), Rules())
    assert found.differences
