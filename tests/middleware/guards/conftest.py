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
