"""Interrupts: noted rather than raised, until somebody asks."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from mirrorproof_demo.interrupts import Interrupts


@pytest.fixture(autouse=True)
def _handlers_are_as_before() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    assert [signal.getsignal(number) for number in numbers] == before


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_is_noted_and_raised_where_it_is_asked_for() -> None:
    with Interrupts() as interrupts:
        interrupts.check()
        interrupt()
        assert interrupts.count == 1
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()


def test_what_has_nothing_to_lose_is_interrupted_at_once() -> None:
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt), interrupts.at_once():
            interrupt()
        interrupt()
        assert interrupts.count == 2


def test_what_was_interrupted_before_does_not_begin() -> None:
    with Interrupts() as interrupts:
        interrupt()
        with pytest.raises(KeyboardInterrupt), interrupts.at_once():
            raise AssertionError


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGHUP)
            assert interrupts.count == 0
    finally:
        signal.signal(signal.SIGHUP, before)
