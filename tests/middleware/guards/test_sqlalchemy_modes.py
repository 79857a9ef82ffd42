"""How one database is used by mirrored requests: the setting `databases`."""

from __future__ import annotations

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from mirrorproof.context import MirrorContext, entered, own_traffic
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError, ReadOnlyError, SettingsError
from mirrorproof.guards import install_guards
from mirrorproof.guards.sqlalchemy.urls import shown
from mirrorproof.settings import Settings

metadata = sa.MetaData()
items = sa.Table("items", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("note", sa.Text))


@pytest.fixture(autouse=True)
def guards():
    install_guards("sqlalchemy", "psycopg")


@pytest.fixture(params=["sqlite", "psycopg", "pymysql"])
def engine(request, tmp_path):
    url = f"sqlite:///{tmp_path}/shop.db"
    if request.param == "psycopg":
        url = request.getfixturevalue("postgres_url").replace("postgresql:", "postgresql+psycopg:")
    elif request.param == "pymysql":
        url = request.getfixturevalue("mariadb").url()
    made = sa.create_engine(url)
    metadata.drop_all(made)
    metadata.create_all(made)
    yield made
    metadata.drop_all(made)
    made.dispose()


def mirrored(engine, treatment, mode=Mode.DRY_RUN):
    databases = {"nothing://*": "off", f"{engine.dialect.name}://*": treatment, "*": "dry_run"}
    return MirrorContext(Decision(mode), settings=Settings.load({}, databases=databases))


def insert(connection, number=1):
    connection.execute(items.insert().values(id=number, note="x"))


def count(connection):
    return connection.scalar(sa.select(sa.func.count()).select_from(items))


def live(engine):
    with engine.connect() as connection:
        return count(connection)


def outcomes(context):
    return [(effect.kind, effect.outcome.value) for effect in context.ledger]


# Of a row that a mirrored request commits: how many the request then sees, how many there are afterwards, and
# what the ledger says. `None`: the write is refused.
MODES = {
    "dry_run": (1, 0, "suppressed"),
    "rollback_at_commit": (0, 0, "suppressed"),
    "read_only": (None, 0, "blocked"),
    "off": (1, 1, "executed"),
    "snapshot": (1, 0, "suppressed"),
}


@pytest.mark.parametrize("treatment", MODES)
def test_each_mode_does_what_it_says_on_each_engine(engine, treatment):
    seen, left, outcome = MODES[treatment]
    context = mirrored(engine, treatment)
    if treatment == "snapshot" and engine.dialect.name != "sqlite":
        with entered(context), pytest.raises(EffectRefusedError, match="for SQLite only"), engine.connect():
            pass
        return
    with entered(context), engine.connect() as connection:
        assert count(connection) == 0
        if seen is None:
            with pytest.raises(ReadOnlyError):
                insert(connection)
        else:
            insert(connection)
            assert count(connection) == 1
            connection.commit()
            assert count(connection) == seen
        context.end()
    assert live(engine) == left
    assert outcomes(context) == [("sql.insert", outcome)]


def test_a_snapshot_leaves_the_file_to_v1(tmp_path):
    engine = sa.create_engine(f"sqlite:///{tmp_path}/shop.db", connect_args={"timeout": 0})
    metadata.create_all(engine)
    context = mirrored(engine, "snapshot")
    with entered(context), engine.connect() as connection:
        insert(connection)
        with own_traffic(), engine.begin() as v1:  # at once: the file's lock is free
            insert(v1)
        connection.commit()
        context.end()
    assert live(engine) == 1
    engine.dispose()


def test_off_really_writes_and_is_recorded_as_executed(engine):
    context = mirrored(engine, "off")
    with entered(context):
        with engine.begin() as connection:
            insert(connection)
        with engine.connect() as connection, connection.begin() as transaction:
            insert(connection, 2)
            transaction.rollback()
    context.end()
    assert live(engine) == 1
    assert outcomes(context) == [("sql.insert", "executed")]


def test_off_leaves_other_databases_dry(engine, tmp_path):
    other = sa.create_engine(f"sqlite:///{tmp_path}/other.db")
    metadata.create_all(other)
    context = MirrorContext(
        Decision(Mode.DRY_RUN), settings=Settings.load({}, databases={"*/other.db": "off"})
    )
    with entered(context):
        for each in (engine, other):
            with each.begin() as connection:
                insert(connection)
    context.end()
    assert (live(engine), live(other)) == (0, 1)
    other.dispose()


def test_read_only_refuses_what_writes_and_names_it(engine):
    context = mirrored(engine, "read_only")
    with entered(context), engine.connect() as connection:
        assert count(connection) == 0
        with pytest.raises(ReadOnlyError, match=r"may only read this database \(INSERT items"):
            insert(connection)
        with pytest.raises(ReadOnlyError, match="UPDATE items"):
            connection.connection.cursor().execute("UPDATE items SET note = 'y'")
    context.end()
    assert outcomes(context) == [("sql.insert", "blocked"), ("sql.update", "blocked")]


def test_rolled_back_at_commit_the_application_does_not_see_its_writes_afterwards(engine):
    context = mirrored(engine, "rollback_at_commit")
    with entered(context), engine.connect() as connection:
        for _ in range(2):
            insert(connection)
            assert count(connection) == 1
            connection.commit()
            assert count(connection) == 0
            connection.rollback()
    context.end()
    assert live(engine) == 0
    assert outcomes(context) == [("sql.insert", "suppressed")] * 2


def test_rolled_back_at_commit_the_locks_are_let_go(postgres_url):
    engine = sa.create_engine(postgres_url.replace("postgresql:", "postgresql+psycopg:"))
    metadata.drop_all(engine)
    metadata.create_all(engine)
    context = mirrored(engine, "rollback_at_commit")
    with entered(context), engine.connect() as connection:
        insert(connection)
        connection.commit()
        with own_traffic(), psycopg.connect(postgres_url, autocommit=True) as v1:
            v1.execute("SET lock_timeout = '10s'")
            v1.execute("INSERT INTO items VALUES (1, 'v1')")
        assert count(connection) == 1
        real = connection.connection.dbapi_connection._real
        with pytest.raises(psycopg.errors.UniqueViolation, match="mirrorproof"):
            real.commit()  # past the shield: the fuse is lit again
    context.end()
    assert not context.yielded
    metadata.drop_all(engine)
    engine.dispose()


async def test_rolled_back_at_commit_beside_asyncpg(postgres_url):
    engine = create_async_engine(postgres_url.replace("postgresql:", "postgresql+asyncpg:"))
    async with engine.begin() as connection:
        await connection.run_sync(metadata.drop_all)
        await connection.run_sync(metadata.create_all)
    context = mirrored(engine, "rollback_at_commit")
    with entered(context):
        for _ in range(2):
            async with engine.begin() as connection:
                await connection.run_sync(insert)
        async with engine.connect() as connection:
            assert await connection.run_sync(count) == 0
    context.end()
    assert outcomes(context) == [("sql.insert", "suppressed")] * 2
    async with engine.begin() as connection:
        await connection.run_sync(metadata.drop_all)
    await engine.dispose()


def test_a_url_is_matched_without_driver_and_credentials():
    url = sa.make_url("postgresql+psycopg://joe:secret@db:5432/shop?sslmode=require")
    assert shown(url) == "postgresql://db:5432/shop"
    assert shown(sa.make_url("postgresql+asyncpg://db/shop")) == "postgresql://db/shop"
    assert shown(sa.make_url("sqlite:////data/shop.db")) == "sqlite:////data/shop.db"


def test_a_mode_that_does_not_exist_is_refused():
    with pytest.raises(SettingsError, match="databases"):
        Settings.load({}, databases={"*": "on"})
