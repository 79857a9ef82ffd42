"""The fuses alone: whatever is sent, the connection does not commit."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress

import psycopg
import pytest

from mirrorproof.guards.sql.fuse import CHECK_CONSTRAINTS, Phase, SqliteFuse, postgres_setup


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "shop.db"
    with closing(sqlite3.connect(made)) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
        connection.execute("INSERT INTO orders VALUES (1)")
        connection.commit()
    return made


def fused(file, **options):
    connection = sqlite3.connect(file, **options)
    fuse = SqliteFuse(connection)
    fuse.phase = Phase.BEGINNING
    connection.execute("BEGIN")
    fuse.phase = Phase.LIT
    return connection


def rows(file):
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute("SELECT * FROM orders").fetchall()


SQLITE_WAYS_OUT = [
    "COMMIT", "END", "ROLLBACK", "BEGIN", "SAVEPOINT a; RELEASE a", "PRAGMA journal_mode = OFF",
    "PRAGMA locking_mode = EXCLUSIVE", "PRAGMA writable_schema = ON", "VACUUM", "VACUUM INTO 'copy.db'",
    "INSERT OR ROLLBACK INTO orders VALUES (1)", "ATTACH 'fresh.db' AS fresh", "PRAGMA user_version = 5",
    "CREATE TABLE made (id)", "DROP TABLE orders", "PRAGMA wal_checkpoint", "DETACH main",
]  # fmt: skip


@pytest.mark.parametrize("way_out", SQLITE_WAYS_OUT)
@pytest.mark.parametrize("isolation_level", ["", None, "IMMEDIATE"])
def test_sqlite_does_not_commit(file, way_out, isolation_level, monkeypatch):
    monkeypatch.chdir(file.parent)
    connection = fused(file, isolation_level=isolation_level)
    connection.execute("INSERT INTO orders VALUES (2)")
    for step in (
        lambda: connection.executescript(way_out),
        lambda: connection.execute(way_out.partition(";")[0]),
        lambda: connection.execute("INSERT INTO orders VALUES (3)"),
        connection.commit,
        lambda: connection.execute("INSERT INTO orders VALUES (4)"),
        connection.commit,
        lambda: connection.executescript("INSERT INTO orders VALUES (5); COMMIT"),
    ):
        with suppress(sqlite3.Error):
            step()
    connection.close()
    assert rows(file) == [(1,)]
    assert sorted(each.name for each in file.parent.iterdir()) == ["shop.db"]


def test_sqlite_writes_nothing_while_the_applications_listeners_set_it_up(file):
    connection = sqlite3.connect(file)
    SqliteFuse(connection)
    connection.execute("PRAGMA foreign_keys = ON")
    for statement in ("INSERT INTO orders VALUES (2)", "CREATE TABLE made (id)", "SAVEPOINT a"):
        with pytest.raises(sqlite3.DatabaseError):
            connection.execute(statement)
    connection.close()
    assert rows(file) == [(1,)]


POSTGRES_WAYS_OUT = [
    "COMMIT", "END", "COMMIT AND CHAIN", "PREPARE TRANSACTION 'x'", "SET CONSTRAINTS ALL IMMEDIATE",
    "DROP TABLE mirrorproof_fuse", "TRUNCATE mirrorproof_fuse", "DISCARD TEMP", "DISCARD ALL",
    "ALTER TABLE mirrorproof_fuse DROP CONSTRAINT mirrorproof_never_commits",
    "COMMIT; INSERT INTO fuse_orders VALUES (3); COMMIT", "SET session_replication_role = replica",
    "DO $$ BEGIN COMMIT; END $$",
]  # fmt: skip


@pytest.mark.parametrize("way_out", POSTGRES_WAYS_OUT)
def test_postgresql_does_not_commit(postgres_url, way_out):
    with psycopg.connect(postgres_url, autocommit=True) as watch:
        watch.execute("CREATE TABLE IF NOT EXISTS fuse_orders (id int)")
        with closing(psycopg.connect(postgres_url)) as connection:
            for statement in postgres_setup(read_only=False):
                connection.execute(statement)
            connection.execute("INSERT INTO fuse_orders VALUES (2)")
            with suppress(psycopg.Error):
                connection.execute(way_out)
            with suppress(psycopg.Error):
                connection.commit()
            assert watch.execute("SELECT * FROM fuse_orders").fetchall() == []
        assert watch.execute("SELECT gid FROM pg_prepared_xacts").fetchall() == []
        watch.execute("DROP TABLE fuse_orders")


def test_postgresql_proves_the_fuse_and_refuses_where_it_does_not_hold(postgres_url):
    # Under this setting constraint triggers do not fire, so the fuse would be a dud.
    with closing(psycopg.connect(postgres_url, options="-c session_replication_role=replica")) as connection:
        limits, fuse = postgres_setup(read_only=False)
        connection.execute(limits)
        with pytest.raises(psycopg.Error, match="the fuse does not hold"):
            connection.execute(fuse)


def test_postgresql_checks_the_applications_constraints_and_leaves_the_fuse_lit(postgres_url):
    with closing(psycopg.connect(postgres_url)) as connection:
        for statement in postgres_setup(read_only=False):
            connection.execute(statement)
        connection.execute(
            "CREATE TABLE keyed (id int CONSTRAINT one_each UNIQUE DEFERRABLE INITIALLY DEFERRED)"
        )
        connection.execute("INSERT INTO keyed VALUES (1)")
        connection.execute(CHECK_CONSTRAINTS)
        connection.execute("INSERT INTO keyed VALUES (1)")  # deferred again
        with pytest.raises(psycopg.errors.UniqueViolation, match="one_each"):
            connection.execute(CHECK_CONSTRAINTS)
        connection.rollback()
    with psycopg.connect(postgres_url) as watch:
        assert watch.execute("SELECT to_regclass('keyed')").fetchone() == (None,)


def test_postgresql_keeps_its_settings_to_the_transaction(postgres_url):
    with closing(psycopg.connect(postgres_url)) as connection:
        before = connection.execute("SHOW lock_timeout").fetchone()
        connection.rollback()
        for statement in postgres_setup(read_only=True):
            connection.execute(statement)
        assert connection.execute("SHOW lock_timeout").fetchone() == ("100ms",)
        connection.rollback()
        assert connection.execute("SHOW lock_timeout").fetchone() == before
        assert connection.execute("SHOW transaction_read_only").fetchone() == ("off",)
