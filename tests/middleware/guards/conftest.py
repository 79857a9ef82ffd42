"""What the tests of several guards share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clients.search_peer import SearchPeer

from mirrorproof import install_guards


@pytest.fixture
def search_peer() -> Iterator[SearchPeer]:
    """A fake of a search server; the guards are installed before clients are made."""
    install_guards()
    started = SearchPeer()
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def writer_limit_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease that keeps an SQLite file is cut short after some milliseconds: not where a test is slow."""
    monkeypatch.setattr("mirrorproof.guards.sqlalchemy.granting.limit_writing", lambda *_: None)
