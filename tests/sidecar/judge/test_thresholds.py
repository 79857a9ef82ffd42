"""Thresholds: what is left out is inherited, what is wrong is named."""

from __future__ import annotations

import math
import tomllib

import pytest

from mirrorproof.errors import SettingsError
from mirrorproof_sidecar.judge import Limits, Thresholds


def read(text: str) -> Thresholds:
    return Thresholds.from_dict(tomllib.loads(text))


def test_the_first_fitting_endpoint_overrides_what_holds_for_each() -> None:
    thresholds = read("""
        [each]
        max_unpaired = 0.2
        [[endpoint]]
        match = "GET /search*"
        max_difference_rate = 0.3
        [[endpoint]]
        match = "*"
        max_difference_rate = 0.4
    """)

    assert thresholds.of("GET /search/a").number("max_difference_rate") == 0.3
    assert thresholds.of("GET /search/a").number("max_unpaired") == 0.2
    assert thresholds.of("POST /search").number("max_difference_rate") == 0.4


def test_all_together_do_not_follow_what_holds_for_each() -> None:
    thresholds = read("[each]\nmax_difference_rate = 0.5")

    assert thresholds.together.number("max_difference_rate") == 0.001
    assert read("[all]\nmax_difference_rate = 0.5").together.number("max_difference_rate") == 0.5


def test_nothing_is_left_open_by_the_defaults() -> None:
    for limits in (Thresholds().together, Thresholds().of("GET /")):
        assert all(math.isfinite(limits.number(name)) for name in Limits.__struct_fields__)


def test_signs_in_routes_stand_for_themselves() -> None:
    thresholds = read('[[endpoint]]\nmatch = "GET /a[b]?"\nmax_difference_rate = 0.5')

    assert thresholds.of("GET /a[b]?").number("max_difference_rate") == 0.5
    assert thresholds.of("GET /abc").number("max_difference_rate") == 0.01


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("alhpa = 0.1", "alhpa"),
        ("alpha = 0", "alpha"),
        ("[all]\nmax_unpaird = 1", "max_unpaird"),
        ("[all]\nmax_unpaired = -1", "max_unpaired"),
        ("[all]\nmax_unpaired = nan", "max_unpaired"),
        ("[each]\nmirrored_share = 0", "mirrored_share"),
        ("[[endpoint]]\nmax_unpaired = 1", "match"),
        ("[all]\nmirrored_share = 0.5", "mirrored_share"),
    ],
)
def test_a_mistake_is_named(text: str, names: str) -> None:
    with pytest.raises(SettingsError, match=names):
        read(text)


def test_what_is_read_is_what_was_written() -> None:
    thresholds = read('[all]\nmax_p95_slowdown = inf\n[[endpoint]]\nmatch = "GET /"\nmirrored_share = 0.1')

    assert Thresholds.from_dict(thresholds.to_dict()) == thresholds
