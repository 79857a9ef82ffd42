"""SQLite in mode `snapshot`: a mirrored request works on a copy, and v1 never meets it."""

from __future__ import annotations

import sqlite3

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError
from mirrorproof.guards import install_guards
from mirrorproof.guards.sql import snapshot
from mirrorproof.settings import Settings

INSERT = sa.text("INSERT INTO items (note) VALUES ('v2')")
COUNT = sa.text("SELECT count(*) FROM items")


@pytest.fixture(params=["delete", "wal"])
def file(request, tmp_path):
    install_guards("sqlalchemy")
    made = tmp_path / "shop.db"
    with sqlite3.connect(made) as setup:
        setup.execute(f"PRAGMA journal_mode = {request.param}")
        setup.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, note TEXT)")
        setup.execute("INSERT INTO items (note) VALUES ('there')")
    setup.close()
    return made


def mirrored(treatment="snapshot"):
    return MirrorContext(Decision(Mode.DRY_RUN), settings=Settings.load({}, databases={"*": treatment}))


def impatient(file):
    """v1's connection: it waits for no lock at all."""
    return sqlite3.connect(file, timeout=0, isolation_level=None)


def notes(file):
    connection = impatient(file)
    found = [row[0] for row in connection.execute("SELECT note FROM items ORDER BY id")]
    connection.close()
    return found


def test_v1_writes_at_once_while_a_mirrored_request_has_written(file):
    engine, context, v1 = sa.create_engine(f"sqlite:///{file}"), mirrored(), impatient(file)
    with entered(context), engine.connect() as connection:
        connection.execute(INSERT)
        v1.execute("INSERT INTO items (note) VALUES ('v1')")
        connection.commit()
        assert connection.scalar(COUNT) == 2  # its own, not v1's
    context.end()
    v1.close()
    assert notes(file) == ["there", "v1"]
    assert [(effect.kind, effect.outcome.value) for effect in context.ledger] == [
        ("sql.insert", "suppressed")
    ]
    assert not context.yielded
    engine.dispose()


def test_as_a_dry_run_v1_would_find_the_file_locked(file):
    engine, context, v1 = sa.create_engine(f"sqlite:///{file}"), mirrored("dry_run"), impatient(file)
    with entered(context), engine.connect() as connection:
        connection.execute(INSERT)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            v1.execute("INSERT INTO items (note) VALUES ('v1')")
    context.end()
    v1.close()
    engine.dispose()


async def test_beside_aiosqlite(file):
    engine, context, v1 = create_async_engine(f"sqlite+aiosqlite:///{file}"), mirrored(), impatient(file)
    with entered(context):
        async with engine.begin() as connection:
            await connection.execute(INSERT)
            v1.execute("INSERT INTO items (note) VALUES ('v1')")
    context.end()
    v1.close()
    assert notes(file) == ["there", "v1"]
    await engine.dispose()


def test_past_the_shield_nothing_reaches_the_file(file):
    engine, context = sa.create_engine(f"sqlite:///{file}"), mirrored()
    with entered(context), engine.connect() as connection:
        real = connection.connection.dbapi_connection._real
        real.execute("INSERT INTO items (note) VALUES ('v2')")
        real.commit()
    context.end()
    assert notes(file) == ["there"]
    engine.dispose()


def test_a_file_that_is_too_large_is_refused_in_words(file, monkeypatch):
    monkeypatch.setattr(snapshot, "MAX_BYTES", 4096)
    engine, context = sa.create_engine(f"sqlite:///{file}"), mirrored()
    with entered(context), pytest.raises(EffectRefusedError, match="more than the 4096"):
        engine.connect()
    context.end()
    engine.dispose()


def test_for_another_database_it_is_refused():
    install_guards("sqlalchemy")
    engine, context = sa.create_engine("postgresql+psycopg://nowhere/shop"), mirrored()
    with entered(context), pytest.raises(EffectRefusedError, match="for SQLite only"):
        engine.connect()
    context.end()
