"""The labelled corpus: that it can be trusted as a measure."""

from __future__ import annotations

import pytest
from corpus import Part, pairs
from corpus.generator import pairs as generated
from corpus.labels import fits, truth_of

from mirrorproof_sidecar.compare import Rules, compare

PARTS = list(Part)


@pytest.mark.parametrize("part", PARTS)
def test_the_corpus_is_the_same_each_time(part: Part) -> None:
    first = pairs(part)
    generated.cache_clear()
    assert pairs(part) == first


def test_it_has_at_least_three_hundred_pairs_of_twelve_families() -> None:
    for part in PARTS:
        assert len(pairs(part)) >= 300
        assert len({pair.family for pair in pairs(part)}) >= 12


@pytest.mark.parametrize("part", PARTS)
def test_every_difference_between_v1_and_its_control_is_labelled_as_noise(part: Part) -> None:
    for pair in pairs(part):
        for found in compare(pair.primary, pair.control, Rules(), context=None).differences:
            labelled = any(fits(each.where, found.path) for each in pair.noise)
            assert labelled or found.path in ("/body", "/headers/content-length"), (pair.name, found)


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
