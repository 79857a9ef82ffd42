"""Counting, and the one place where our own errors end."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from mirrorproof.counters import NAMES, Counters
from mirrorproof.failsafe import failsafe


def test_every_name_starts_at_zero_and_a_wrong_one_is_an_error() -> None:
    counters = Counters()
    assert counters.snapshot() == dict.fromkeys(NAMES, 0)
    with pytest.raises(KeyError):
        counters.add("sene")


def test_threads_lose_no_count() -> None:
    counters = Counters()
    threads = [threading.Thread(target=lambda: [counters.add("seen") for _ in range(2000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters["seen"] == 8000


def test_a_snapshot_is_a_copy() -> None:
    counters = Counters()
    counters.snapshot()["seen"] = 5
    assert counters["seen"] == 0


def test_what_works_gives_its_result() -> None:
    counters = Counters()
    assert failsafe("add", counters, lambda a, b: a + b, 1, b=2) == 3
    assert counters["observer_errors"] == 0


def test_what_raises_gives_none_is_counted_each_time_and_logged_once_for_each_place_and_kind(
    caplog: Any,
) -> None:
    counters = Counters()
    with caplog.at_level(logging.ERROR, "mirrorproof"):
        for _ in range(3):
            assert failsafe("divide", counters, lambda: 1 / 0) is None
        assert failsafe("look up", counters, lambda: int("x")) is None
        assert failsafe("divide", counters, lambda: {}["y"]) is None
    assert counters["observer_errors"] == 5
    assert [record.getMessage().split(";")[0] for record in caplog.records] == [
        "mirrorproof could not divide", "mirrorproof could not look up", "mirrorproof could not divide",
    ]  # fmt: skip


def test_an_interrupt_is_no_error_of_ours_and_passes() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failsafe("wait", Counters(), interrupt)
