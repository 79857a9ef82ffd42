"""The labelled corpus: that it can be trusted as a measure."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import pytest
from corpus import Pair, Part, pairs
from corpus.building import decoded
from corpus.generator import pairs as generated
from corpus.labels import fits, pointer, truth_of

from mirrorproof.exchange import Exchange

PARTS = list(Part)
NOTHING = "\0nothing"


@pytest.mark.parametrize("part", PARTS)
def test_the_corpus_is_the_same_each_time(part: Part) -> None:
    first = pairs(part)
    generated.cache_clear()
    assert pairs(part) == first


def test_it_has_at_least_three_hundred_pairs_of_twelve_families() -> None:
    for part in PARTS:
        assert len(pairs(part)) >= 300
        assert len({pair.family for pair in pairs(part)}) >= 12


def _groups(exchange: Exchange) -> dict[str, Any]:
    """What an exchange shows, without the product's own parsing; bodies of JSON only."""
    response = exchange.response
    assert response is not None
    found: dict[str, Any] = {"/status": response.status}
    for name, value in response.headers:
        if name not in ("content-length", "date", "x-request-id"):
            found[pointer("headers", name)] = found.get(pointer("headers", name), "") + value
    counts: Counter[tuple[str, str]] = Counter()
    for effect in exchange.effects:
        number = counts[effect.kind, effect.target]
        counts[effect.kind, effect.target] += 1
        found[pointer("effects", effect.kind, effect.target, number)] = effect.digest
    if re.fullmatch(r"application/(\S+\+)?json.*", dict(response.headers).get("content-type", "")):
        found["/body"] = json.loads(decoded(response))
    return found


def _naive(one: Any, other: Any, at: str = "") -> Iterator[str]:
    """Where two trees differ, arrays by position."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one.keys() | other.keys():
            below = at + pointer(key) if at else str(key)
            yield from _naive(one.get(key, NOTHING), other.get(key, NOTHING), below)
    elif isinstance(one, list) and isinstance(other, list):
        for number, (mine, its) in enumerate(zip_longest(one, other, fillvalue=NOTHING)):
            yield from _naive(mine, its, at + pointer(number))
    elif json.dumps(one) != json.dumps(other):
        yield at


def _differing(one: Exchange, other: Exchange) -> list[str]:
    mine, its = _groups(one), _groups(other)
    if "/body" not in mine or "/body" not in its:
        mine.pop("/body", None)
        its.pop("/body", None)
    return list(_naive(mine, its))


def _noise(pair: Pair, path: str) -> bool:
    return any(fits(each.where, path) for each in pair.noise)


def _true(pair: Pair, path: str) -> bool:
    """Whether a label explains a difference at `path`, or moves what is there to another index."""
    for kind, where in (reading for truth in pair.truths for reading in truth.readings):
        if fits(where, path) or fits(where + "/**", path):
            return True
        array, _, last = where.rpartition("/")
        moves = kind == "order" or (kind != "changed_value" and (last == "*" or last.isdigit()))
        if moves and fits((where if kind == "order" else array) + "/**", path):
            return True
    return False


@pytest.mark.parametrize("part", PARTS)
def test_every_difference_between_v1_and_its_control_is_labelled_as_noise(part: Part) -> None:
    for pair in pairs(part):
        unknown = [path for path in _differing(pair.primary, pair.control) if not _noise(pair, path)]
        assert unknown == [], pair.name


@pytest.mark.parametrize("part", PARTS)
def test_every_difference_between_v1_and_v2_is_labelled(part: Part) -> None:
    for pair in pairs(part):
        differing = _differing(pair.primary, pair.shadow)
        unknown = [path for path in differing if not (_noise(pair, path) or _true(pair, path))]
        assert unknown == [], pair.name


@pytest.mark.parametrize("part", PARTS)
def test_every_labelled_difference_can_be_seen(part: Part) -> None:
    for pair in pairs(part):
        differing = _differing(pair.primary, pair.shadow)
        body = "/body" in _groups(pair.primary) and "/body" in _groups(pair.shadow)
        for truth in pair.truths:
            if truth.where.startswith("/body") and not body:
                continue
            alone = replace(pair, truths=(truth,))
            assert any(_true(alone, path) for path in differing), (pair.name, truth)


@pytest.mark.parametrize("part", PARTS)
def test_no_pair_without_a_true_difference_was_spoilt(part: Part) -> None:
    for pair in pairs(part):
        assert bool(pair.truths) or not pair.notes or "redacted" in pair.notes, pair.name


def test_a_finding_answers_to_a_label_only_where_kind_place_and_values_fit() -> None:
    (truth,) = next(pair.truths for pair in pairs(Part.TUNING) if len(pair.truths) == 1)
    where = truth.where.replace("*", "0")
    assert truth_of([truth], truth.kind, where, truth.primary, truth.shadow) == [truth]
    assert truth_of([truth], truth.kind, where + "/x", truth.primary, truth.shadow) == []
    assert truth_of([truth], "latency", truth.where, truth.primary, truth.shadow) == []


def test_each_pair_has_a_name_of_its_own() -> None:
    names = [pair.name for part in PARTS for pair in pairs(part)]
    assert len(names) == len(set(names))
