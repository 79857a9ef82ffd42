"""State that moved between v1's answer and v2's is told by asking v1 once more."""

from __future__ import annotations

import pytest

from mirrorproof_sidecar.compare import Cause, Result
from mirrorproof_sidecar.compare.moved import without_moved


@pytest.fixture
def settled(json_pair):
    def settled(first, shadow, second):
        found = without_moved(json_pair(first, shadow), json_pair(second, shadow), json_pair(first, second))
        return [d.path for d in found.differences], [
            i.difference.path for i in found.ignored if i.by is Cause.MOVED
        ]

    return settled


def test_what_v1_says_now_as_v2_did_has_moved(settled):
    assert settled('{"n":41}', '{"n":40}', '{"n":40}') == ([], ["/body/n"])
    assert settled('{"a":[]}', '{"a":[1]}', '{"a":[1]}') == ([], ["/body/a/0"])


def test_what_v1_still_says_is_a_difference(settled):
    assert settled('{"n":41}', '{"n":40}', '{"n":41}') == (["/body/n"], [])


def test_what_v1_says_otherwise_than_v2_both_times_is_a_difference(settled):
    assert settled('{"n":41}', '{"n":40}', '{"n":39}') == (["/body/n"], [])


def test_only_what_moved_is_hidden(settled):
    assert settled('{"m":1,"n":41}', '{"m":2,"n":40}', '{"m":1,"n":40}') == (["/body/m"], ["/body/n"])


def test_a_second_answer_that_cannot_be_compared_says_nothing(json_pair, exchange):
    first, cut = json_pair('{"n":41}', '{"n":40}'), json_pair("{" * 600, '{"n":40}')
    assert cut.result is not Result.MATCHED
    assert without_moved(first, cut, json_pair('{"n":41}', '{"n":40}')) == first
