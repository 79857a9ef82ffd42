"""Every way to write through SQLAlchemy, through every driver: mirrored it leaves nothing, live it does.

Each case is a function that an application could be. It runs three times: mirrored (the database has to
look as before, the application has to see success, the ledger has to name the write), live (the database
has to have changed, so that no case passes by doing nothing), and live once more after a mirrored run
on the same engine (so that nothing of the lease stays behind).
"""

from __future__ import annotations

import asyncio
import contextvars
import io
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.util.concurrency import greenlet_spawn

from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError
from mirrorproof.guards.sqlalchemy import SQLAlchemyGuard

DRIVERS = {
    "sqlite": "sqlite", "aiosqlite": "sqlite+aiosqlite", "psycopg": "postgresql+psycopg",
    "psycopg2": "postgresql+psycopg2", "psycopg_async": "postgresql+psycopg", "asyncpg": "postgresql+asyncpg",
    "pymysql": "mysql+pymysql", "asyncmy": "mysql+asyncmy",
}  # fmt: skip
ASYNC = ("aiosqlite", "psycopg_async", "asyncpg", "asyncmy")
SQLITE = ("sqlite", "aiosqlite")
POSTGRES = ("psycopg", "psycopg2", "psycopg_async", "asyncpg")
MARIADB = ("pymysql", "asyncmy")
BOTH = SQLITE + POSTGRES
SERVERS = POSTGRES + MARIADB
ALL = BOTH + MARIADB


class Base(orm.DeclarativeBase):
    """The application's tables."""


class Customer(Base):
    __tablename__ = "customers"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(50), unique=True)


class Order(Base):
    __tablename__ = "orders"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    customer_id: orm.Mapped[int] = orm.mapped_column(
        sa.ForeignKey("customers.id", deferrable=True, initially="DEFERRED")
    )
    note: orm.Mapped[str] = orm.mapped_column(sa.String(50), default="")


orders, customers = Order.__table__, Customer.__table__
INSERT = "INSERT INTO orders (customer_id, note) VALUES (1, 'text')"

POSTGRES_EXTRAS = """
SET check_function_bodies = off;
CREATE SEQUENCE tickets;
CREATE FUNCTION place_order() RETURNS int LANGUAGE sql AS
  $$ INSERT INTO orders (customer_id, note) VALUES (1, 'by function') RETURNING id $$;
CREATE PROCEDURE place_order_by_call() LANGUAGE sql AS
  $$ INSERT INTO orders (customer_id, note) VALUES (1, 'by call') $$;
"""

MARIADB_SETUP = """
DROP DATABASE IF EXISTS matrix;
CREATE DATABASE matrix;
USE matrix;
CREATE TABLE customers (id int AUTO_INCREMENT PRIMARY KEY, name varchar(50) UNIQUE);
CREATE TABLE orders (id int AUTO_INCREMENT PRIMARY KEY, customer_id int NOT NULL REFERENCES customers (id),
  note varchar(50) NOT NULL DEFAULT '');
CREATE PROCEDURE place_order_by_call() INSERT INTO orders (customer_id, note) VALUES (1, 'by call');
"""


class World:
    """A database with the application's tables, and an unguarded look at it."""

    def __init__(self, driver: str, url: str, file: Path, watch: Any) -> None:
        self.driver = driver
        self.url = url
        self.file = file
        self.watch = watch
        self.postgres = driver in POSTGRES
        self.mariadb = driver in MARIADB
        self.made: list[Any] = []

    def engine(self, **options: Any) -> sa.Engine:
        """A sync engine; behind an async one where the driver is async."""
        if self.driver not in ASYNC:
            made = sa.create_engine(self.url, **options)
            self.made.append(made)
            return made
        made_async = create_async_engine(self.url, **options)
        self.made.append(made_async)
        return made_async.sync_engine

    def async_engine(self) -> Any:
        return next(each for each in self.made if not isinstance(each, sa.Engine))

    def look(self) -> dict[str, Any]:
        """Everything that a write could have changed."""
        if self.mariadb:
            return _look_mariadb(self.watch)
        return _look_postgres(self.watch) if self.postgres else _look_sqlite(self.file)


def _look_postgres(watch: psycopg.Connection) -> dict[str, Any]:
    names = watch.execute(
        "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables "
        "WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
    )
    tables = [row[0] for row in names]
    indexes = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
    return {
        "rows": {table: watch.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in tables},
        "columns": watch.execute(
            "SELECT table_name, column_name, data_type FROM information_schema.columns "
            "WHERE table_schema = 'public' ORDER BY 1, 2"
        ).fetchall(),
        "indexes": watch.execute(indexes).fetchall(),
        "prepared": watch.execute("SELECT gid FROM pg_prepared_xacts").fetchall(),
        "locks": watch.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchall(),
    }


def _look_mariadb(peer: Any) -> dict[str, Any]:
    tables = sorted(row[0] for row in peer.ask("SHOW TABLES IN matrix"))
    return {
        "rows": {table: peer.ask(f"SELECT * FROM matrix.{table} ORDER BY 1") for table in tables},
        "tables": [
            peer.ask(f"SHOW CREATE TABLE matrix.{table}")[0][1].split(" AUTO_INC")[0] for table in tables
        ],
        "prepared": peer.ask("XA RECOVER"),
    }


def _look_sqlite(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in sorted(file.parent.glob("*.db")):
        with sqlite3.connect(each) as watch:
            schema = watch.execute("SELECT name, sql FROM sqlite_master ORDER BY 1").fetchall()
            tables = [row[0] for row in watch.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            found[each.name] = (
                schema, {table: watch.execute(f"SELECT * FROM {table}").fetchall() for table in tables},
                watch.execute("PRAGMA user_version").fetchall(),
            )  # fmt: skip
        watch.close()
    return found


@dataclass
class Case:
    """`run` is the application. `kinds` have to be in the ledger. `changes`: live it changes the database."""

    run: Callable[[sa.Engine, World], Any]
    drivers: tuple[str, ...] = ALL
    kinds: tuple[str, ...] = ("sql.insert",)
    changes: bool = True
    refused: type[Exception] | None = None
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.run.__name__


CASES: list[Case] = []


def case(**options: Any) -> Callable[[Any], Any]:
    def register(run: Any) -> Any:
        CASES.append(Case(run, **options))
        return run

    return register


def count(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(orders))


def insert(connection: Any, note: str = "core") -> None:
    connection.execute(orders.insert().values(customer_id=1, note=note))


# -- the ordinary ways


@case()
def orm_flush_and_commit(engine, world):
    with orm.Session(engine) as session:
        order = Order(customer_id=1, note="orm")
        session.add(order)
        session.commit()
        assert order.id is not None
    assert count(engine) == 1


@case()
def orm_sessionmaker_begin(engine, world):
    with orm.sessionmaker(engine).begin() as session:
        session.add_all([Order(customer_id=1, note=str(i)) for i in range(5)])
    assert count(engine) == 5


@case(kinds=("sql.insert", "sql.update", "sql.delete"))
def orm_update_and_delete(engine, world):
    with orm.Session(engine) as session:
        kept, gone = Order(customer_id=1, note="kept"), Order(customer_id=1, note="gone")
        session.add_all([kept, gone])
        session.commit()
        kept.note = "changed"
        session.delete(gone)
        session.commit()
        assert session.scalars(sa.select(Order.note)).all() == ["changed"]


@case()
def core_commit(engine, world):
    with engine.connect() as connection:
        insert(connection)
        connection.commit()
        insert(connection)
        connection.commit()
    assert count(engine) == 2


@case()
def core_engine_begin(engine, world):
    with engine.begin() as connection:
        insert(connection)
    assert count(engine) == 1


@case()
def core_connection_begin(engine, world):
    with engine.connect() as connection, connection.begin():
        insert(connection)
    assert count(engine) == 1


@case(kinds=("sql.update",))
def core_bulk_update(engine, world):
    with engine.begin() as connection:
        assert connection.execute(customers.update().values(name="x" + customers.c.name)).rowcount == 1


@case()
def insert_from_select(engine, world):
    source = sa.select(customers.c.id, customers.c.name)
    with engine.begin() as connection:
        connection.execute(orders.insert().from_select(["customer_id", "note"], source))
    assert count(engine) == 1


@case()
def executemany(engine, world):
    with engine.begin() as connection:
        connection.execute(orders.insert(), [{"customer_id": 1, "note": str(i)} for i in range(20)])
    assert count(engine) == 20


@case()
def insertmanyvalues_returning(engine, world):
    with engine.begin() as connection:
        rows = [{"customer_id": 1, "note": str(i)} for i in range(20)]
        made = connection.execute(orders.insert().returning(orders.c.id), rows).all()
        assert len(made) == 20
    assert count(engine) == 20


@case(drivers=BOTH)
def on_conflict_upsert(engine, world):
    dialect = postgresql if world.postgres else sqlite
    upsert = dialect.insert(customers).values(id=1, name="new")
    with engine.begin() as connection:
        connection.execute(upsert.on_conflict_do_update(index_elements=["id"], set_={"name": "new"}))
        assert connection.scalar(sa.select(customers.c.name)) == "new"


@case()
def text_with_parameters(engine, world):
    with engine.begin() as connection:
        statement = sa.text("INSERT INTO orders (customer_id, note) VALUES (:customer, :note)")
        connection.execute(statement, {"customer": 1, "note": "t"})
    assert count(engine) == 1


@case()
def driver_sql(engine, world):
    with engine.begin() as connection:
        connection.exec_driver_sql(INSERT)
    assert count(engine) == 1


# -- autocommit


@case()
def autocommit_by_execution_option(engine, world):
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        insert(connection)
    assert count(engine) == 1


@case()
def autocommit_by_engine_option(engine, world):
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        insert(connection)
    assert count(engine) == 1


@case()
def autocommit_by_create_engine(engine, world):
    other = world.engine(isolation_level="AUTOCOMMIT")
    with other.connect() as connection:
        insert(connection)
        connection.rollback()
    assert count(other) == 1


@case()
def autocommit_goes_on_after_an_error(engine, world):
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        with pytest.raises(sa.exc.IntegrityError):
            connection.execute(customers.insert().values(id=1, name="taken"))
        insert(connection)
    assert count(engine) == 1


@case()
def serializable(engine, world):
    with engine.connect().execution_options(isolation_level="SERIALIZABLE") as connection:
        insert(connection)
        connection.commit()
    assert count(engine) == 1


# -- schema


@case(drivers=BOTH, kinds=("sql.ddl",))
def create_table(engine, world):
    table = sa.Table("made", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))
    table.create(engine)
    with engine.connect() as connection:
        assert connection.execute(sa.select(table)).all() == []


@case(drivers=BOTH, kinds=("sql.ddl",))
def alter_table(engine, world):
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE orders ADD COLUMN extra INTEGER"))
        assert connection.execute(sa.text("SELECT extra FROM orders")).all() == []


@case(drivers=BOTH, kinds=("sql.ddl",))
def drop_table(engine, world):
    orders.drop(engine)
    assert not sa.inspect(engine).has_table("orders")


@case(drivers=BOTH, kinds=("sql.ddl",))
def create_index(engine, world):
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE INDEX by_note ON orders (note)"))


@case(drivers=POSTGRES, kinds=("sql.delete",))
def truncate(engine, world):
    with engine.begin() as connection:
        connection.execute(sa.text("TRUNCATE customers CASCADE"))
        assert connection.scalar(sa.text("SELECT count(*) FROM customers")) == 0


@case()
def temporary_table(engine, world):
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TEMPORARY TABLE scratch (id INTEGER)"))
        connection.execute(sa.text("INSERT INTO scratch VALUES (1)"))
        insert(connection)
        assert connection.scalar(sa.text("SELECT count(*) FROM scratch")) == 1
    assert count(engine) == 1


# -- transactions by hand


@case()
def raw_connection_commit(engine, world):
    raw = engine.raw_connection()
    cursor = raw.cursor()
    cursor.execute(INSERT)
    cursor.close()
    raw.commit()
    raw.close()
    assert count(engine) == 1


@case(drivers=("sqlite", "psycopg", "psycopg2", "pymysql"))
def the_drivers_own_commit(engine, world):
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        driver.cursor().execute(INSERT)
        driver.commit()
    assert count(engine) == 1


@case(drivers=("sqlite", "psycopg2"))
def the_drivers_own_block(engine, world):
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        with driver:
            driver.cursor().execute(INSERT)
    assert count(engine) == 1


@case(drivers=("psycopg",))
def psycopg_transaction_block(engine, world):
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        with driver.transaction():
            driver.execute(INSERT)
            with suppress(ZeroDivisionError), driver.transaction():
                driver.execute(INSERT)
                raise ZeroDivisionError
    assert count(engine) == 1


@case(drivers=("psycopg", "psycopg2"))
def the_drivers_own_autocommit(engine, world):
    raw = engine.raw_connection()
    raw.driver_connection.autocommit = True
    raw.cursor().execute(INSERT)
    raw.rollback()
    raw.close()
    assert count(engine) == 1


@case()
def text_commit(engine, world):
    with engine.connect() as connection:
        insert(connection)
        connection.execute(sa.text("COMMIT"))
    assert count(engine) == 1


@case()
def text_begin_and_commit(engine, world):
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("BEGIN"))
        insert(connection)
        connection.execute(sa.text("/* the end */ commit -- now"))
        connection.execute(sa.text("BEGIN"))
        insert(connection)
        connection.execute(sa.text("ROLLBACK"))
    assert count(engine) == 1


@case()
def text_rollback_then_insert(engine, world):
    with engine.connect() as connection:
        insert(connection, "undone")
        connection.execute(sa.text("ROLLBACK"))
        insert(connection, "kept")
        connection.commit()
        assert connection.scalars(sa.select(orders.c.note)).all() == ["kept"]


@case(drivers=("sqlite",))
def executescript(engine, world):
    raw = engine.raw_connection()
    raw.cursor().executescript(f"{INSERT}; BEGIN; {INSERT}; COMMIT;")
    raw.close()
    assert count(engine) == 2


@case(drivers=("psycopg", "psycopg2"))
def script_with_its_own_transaction(engine, world):
    with engine.connect() as connection:
        connection.exec_driver_sql(f"BEGIN; {INSERT}; COMMIT; {INSERT}; COMMIT")
    assert count(engine) == 2


@case(drivers=("psycopg", "psycopg2"))
def script_that_rolls_back_first(engine, world):
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SELECT 1; ROLLBACK; {INSERT}; COMMIT")
    assert count(engine) == 1


@case(drivers=POSTGRES, kinds=("sql.insert",))
def two_phase_commit(engine, world):
    with engine.connect() as connection:
        transaction = connection.begin_twophase()
        insert(connection)
        transaction.prepare()
        transaction.commit()
    assert count(engine) == 1


@case(drivers=POSTGRES, kinds=(), changes=False)
def two_phase_rollback(engine, world):
    with engine.connect() as connection:
        transaction = connection.begin_twophase()
        insert(connection)
        transaction.prepare()
        transaction.rollback()
    assert count(engine) == 0


@case(drivers=POSTGRES)
def text_prepare_transaction(engine, world):
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("BEGIN"))
        insert(connection)
        connection.execute(sa.text("PREPARE TRANSACTION 'by hand'"))
        connection.execute(sa.text("COMMIT PREPARED 'by hand'"))
    assert count(engine) == 1


@case()
def nested_savepoints(engine, world):
    with engine.begin() as connection:
        insert(connection, "one")
        with connection.begin_nested():
            insert(connection, "two")
            inner = connection.begin_nested()
            insert(connection, "three")
            inner.rollback()
    with engine.connect() as connection:
        assert connection.scalars(sa.select(orders.c.note).order_by(orders.c.id)).all() == ["one", "two"]


@case()
def session_begin_nested_survives_an_error(engine, world):
    with orm.Session(engine) as session:
        session.add(Order(customer_id=1, note="kept"))
        with pytest.raises(sa.exc.IntegrityError), session.begin_nested():
            session.add(Customer(id=1, name="taken"))
        session.commit()
    assert count(engine) == 1


@case()
def error_midway_then_rollback(engine, world):
    with engine.connect() as connection:
        insert(connection, "undone")
        with pytest.raises(sa.exc.IntegrityError):
            connection.execute(customers.insert().values(id=1, name="taken"))
        connection.rollback()
        insert(connection, "kept")
        connection.commit()
        assert connection.scalars(sa.select(orders.c.note)).all() == ["kept"]


@case(kinds=(), changes=False)
def rolled_back(engine, world):
    with orm.Session(engine) as session:
        session.add(Order(customer_id=1))
        session.flush()
        session.rollback()
    assert count(engine) == 0


@case(kinds=(), changes=False)
def left_open(engine, world):
    connection = engine.connect()
    insert(connection)
    world.kept = connection


@case()
def left_open_after_its_commit(engine, world):
    connection = engine.connect()
    insert(connection)
    connection.commit()
    connection.execute(sa.select(orders)).all()
    world.kept = connection


# -- constraints


@case(drivers=POSTGRES, kinds=(), changes=False)
def deferred_violation_surfaces(engine, world):
    with engine.connect() as connection:
        connection.execute(orders.insert().values(customer_id=99, note="nobody's"))
        with pytest.raises(sa.exc.IntegrityError):
            connection.commit()
    assert count(engine) == 0


@case(drivers=POSTGRES, kinds=("sql.insert",))
def deferred_constraint_holds_in_the_end(engine, world):
    with engine.begin() as connection:
        connection.execute(orders.insert().values(customer_id=2, note="early"))
        connection.execute(customers.insert().values(id=2, name="late"))
    assert count(engine) == 1


@case(drivers=POSTGRES)
def set_constraints_all_immediate(engine, world):
    with engine.begin() as connection:
        connection.execute(sa.text("SET CONSTRAINTS ALL IMMEDIATE"))
        insert(connection)
    with engine.begin() as connection:
        connection.execute(sa.text("SET CONSTRAINTS ALL DEFERRED"))
        insert(connection)
    assert count(engine) == 2


# -- several at once


@case()
def several_engines(engine, world):
    other = world.engine()
    with other.connect() as connection:
        connection.execute(sa.select(orders)).all()
    with engine.begin() as connection:
        insert(connection)
    assert count(engine) == 1


@case(drivers=SERVERS)
def several_engines_that_write(engine, world):
    other = world.engine()
    for each in (engine, other, engine):
        with each.begin() as connection:
            insert(connection)
    assert count(other) >= 1


@case(drivers=SQLITE, refused=sa.exc.OperationalError)
def several_engines_that_write_to_one_file(engine, world):
    # A file has one lock for writers, and the first engine's lease keeps it until the request ends.
    for each in (engine, world.engine()):
        with each.begin() as connection:
            insert(connection)


@case(drivers=("sqlite", "psycopg", "psycopg2", "pymysql"))
def threads(engine, world):
    errors = []

    def work():
        try:
            for _ in range(3):
                with orm.Session(engine) as session:
                    session.add(Order(customer_id=1, note="thread"))
                    session.commit()
        except Exception as error:
            errors.append(error)

    workers = [threading.Thread(target=contextvars.copy_context().run, args=(work,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert errors == []
    assert count(engine) == 12


@case(drivers=SERVERS)
def two_open_transactions(engine, world):
    with engine.connect() as outer, engine.connect() as inner:
        insert(outer, "outer")
        insert(inner, "inner")
        outer.commit()
        insert(inner, "inner again")
        inner.commit()
    assert count(engine) == 3


@case(drivers=SERVERS)
def a_failure_beside_an_open_transaction(engine, world):
    with engine.connect() as outer, engine.connect() as inner:
        insert(outer, "outer")
        with pytest.raises(sa.exc.DBAPIError):
            inner.execute(sa.text("SELECT * FROM nowhere"))
        inner.rollback()
        outer.commit()
    assert count(engine) == 1


@case(drivers=SERVERS)
def a_reader_closes_below_a_writer(engine, world):
    with engine.connect() as reader:
        reader.execute(sa.select(orders)).all()
        with engine.connect() as writer:
            insert(writer)
            reader.rollback()
            writer.commit()
    assert count(engine) == 1


@case(drivers=SERVERS, kinds=(), refused=EffectRefusedError)
def the_outer_writer_rolls_back_first(engine, world):
    # The one case that a dry run fails: it has one connection only.
    with engine.connect() as outer, engine.connect() as inner:
        insert(outer, "outer")
        insert(inner, "inner")
        outer.rollback()
        insert(inner, "inner")
        inner.commit()
    assert count(engine) == 2


# -- ways around


@case()
def the_pool_itself(engine, world):
    raw = engine.pool.connect()
    raw.cursor().execute(INSERT)
    raw.commit()
    raw.close()
    assert count(engine) == 1


@case()
def detached(engine, world):
    connection = engine.connect()
    connection.detach()
    insert(connection)
    connection.commit()
    connection.close()
    assert count(engine) == 1


@case()
def disposed_midway(engine, world):
    with engine.begin() as connection:
        insert(connection)
    engine.dispose()
    with engine.begin() as connection:
        insert(connection)
    assert count(engine) == 2


@case()
def invalidated_midway(engine, world):
    with engine.connect() as connection:
        insert(connection, "lost")
        connection.invalidate()
        connection.rollback()
        insert(connection, "kept")
        connection.commit()
    assert count(engine) == 1


@case(drivers=SQLITE, kinds=())
def past_the_shield_a_commit_does_nothing(engine, world):
    commit_past_the_shield(engine)


@case(drivers=SERVERS, kinds=(), refused=Exception)
def past_the_shield_a_commit_fails(engine, world):
    commit_past_the_shield(engine)


def commit_past_the_shield(engine):
    with engine.connect() as connection:
        insert(connection)
        dbapi = connection.connection.dbapi_connection
        getattr(dbapi, "_real", dbapi).commit()


@case(drivers=("psycopg", "psycopg2", "psycopg_async"), kinds=(), refused=Exception)
def past_the_shield_a_new_transaction_only_reads(engine, world):
    with engine.connect() as connection:
        dbapi = connection.connection.dbapi_connection
        real = getattr(dbapi, "_real", dbapi)
        real.rollback()
        real.cursor().execute(INSERT)
        real.commit()


@case(drivers=("asyncpg",), kinds=(), refused=EffectRefusedError)
async def a_prepared_rollback(engine, world):
    async with world.async_engine().connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        await driver.execute("BEGIN")
        await (await driver.prepare("ROLLBACK")).fetch()
        await (await driver.prepare(INSERT)).fetch()


@case(drivers=SQLITE, refused=EffectRefusedError)
def the_database_rolls_back_by_itself(engine, world):
    with engine.connect() as connection:
        insert(connection)
        connection.commit()
        with pytest.raises(sa.exc.IntegrityError):
            connection.execute(sa.text("INSERT OR ROLLBACK INTO customers VALUES (1, 'taken')"))
        insert(connection)
        connection.commit()


@case()
def streaming_while_writing(engine, world):
    with engine.begin() as connection:
        connection.execute(orders.insert(), [{"customer_id": 1, "note": str(i)} for i in range(30)])
    with engine.connect().execution_options(stream_results=True, yield_per=5) as reader:
        seen = [row.id for row in reader.execute(sa.select(orders.c.id).order_by(orders.c.id))]
    with engine.begin() as connection:
        connection.execute(orders.update().where(orders.c.id.in_(seen)).values(note="seen"))
    assert len(seen) == 30


# -- what only MariaDB has


@case(drivers=MARIADB, kinds=("sql.ddl",), refused=EffectRefusedError)
def create_a_table_on_mariadb(engine, world):
    sa.Table("made", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True)).create(engine)


@case(drivers=MARIADB, kinds=("sql.delete",), refused=EffectRefusedError)
def truncate_on_mariadb(engine, world):
    with engine.begin() as connection:
        insert(connection)
        connection.execute(sa.text("TRUNCATE orders"))
        connection.execute(sa.text("INSERT INTO orders (customer_id) VALUES (1)"))


@case(drivers=MARIADB)
def begin_commits_what_is_open(engine, world):
    with engine.connect() as connection:
        insert(connection)
        connection.execute(sa.text("START TRANSACTION"))
        insert(connection)
        connection.execute(sa.text("ROLLBACK"))
    assert count(engine) == 1


@case(drivers=MARIADB)
def upsert_on_mariadb(engine, world):
    upsert = mysql.insert(customers).values(id=1, name="new").on_duplicate_key_update(name="new")
    with engine.begin() as connection:
        connection.execute(upsert)
        assert connection.scalar(sa.select(customers.c.name)) == "new"


# -- what only PostgreSQL has


@case(drivers=SERVERS, kinds=("sql.update",))
def select_for_update(engine, world):
    with engine.begin() as connection:
        row = connection.execute(sa.select(customers).with_for_update()).one()
        connection.execute(customers.update().where(customers.c.id == row.id).values(name="locked"))


@case(drivers=POSTGRES, kinds=())
def select_that_calls_a_writing_function(engine, world):
    with engine.begin() as connection:
        assert connection.scalar(sa.select(sa.func.place_order())) is not None
    assert count(engine) == 1


@case(drivers=SERVERS, kinds=("sql.call",))
def call_a_procedure(engine, world):
    with engine.begin() as connection:
        connection.execute(sa.text("CALL place_order_by_call()"))
    assert count(engine) == 1


@case(drivers=POSTGRES, kinds=("sql.call",))
def do_block(engine, world):
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DO $$ BEGIN {INSERT}; END $$")
    assert count(engine) == 1


@case(drivers=POSTGRES)
def writing_cte(engine, world):
    with engine.begin() as connection:
        connection.execute(sa.text(f"WITH made AS ({INSERT} RETURNING id) SELECT id FROM made"))
    assert count(engine) == 1


@case(drivers=POSTGRES, kinds=(), changes=False)
def next_value(engine, world):
    with engine.begin() as connection:
        assert connection.scalar(sa.select(sa.func.nextval("tickets"))) >= 1


@case(drivers=POSTGRES)
def advisory_lock_of_the_session(engine, world):
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT pg_advisory_lock(7)"))
        insert(connection)
        connection.commit()
        connection.execute(sa.text("SELECT pg_advisory_unlock(7)"))
        connection.commit()
    assert count(engine) == 1


@case(drivers=POSTGRES, kinds=("sql.other",), changes=False)
def vacuum(engine, world):
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM orders"))


@case(drivers=POSTGRES, kinds=("sql.ddl",))
def create_index_concurrently(engine, world):
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("CREATE INDEX CONCURRENTLY by_note ON orders (note)"))


@case(drivers=("psycopg",))
def psycopg_copy(engine, world):
    raw = engine.raw_connection()
    with raw.cursor() as cursor, cursor.copy("COPY orders (customer_id, note) FROM STDIN") as copy:
        copy.write_row((1, "copied"))
    raw.commit()
    raw.close()
    assert count(engine) == 1


@case(drivers=("psycopg2",))
def psycopg2_copy(engine, world):
    raw = engine.raw_connection()
    cursor = raw.cursor()
    cursor.copy_expert("COPY orders (customer_id, note) FROM STDIN", io.StringIO("1\tcopied\n"))
    cursor.copy_from(io.StringIO("1\tcopied\n"), "orders", columns=("customer_id", "note"))
    raw.commit()
    raw.close()
    assert count(engine) == 2


@case(drivers=("psycopg2",))
def psycopg2_execute_values(engine, world):
    from psycopg2.extras import execute_values

    raw = engine.raw_connection()
    execute_values(raw.cursor(), "INSERT INTO orders (customer_id, note) VALUES %s", [(1, "a"), (1, "b")])
    raw.commit()
    raw.close()
    assert count(engine) == 2


# -- what only SQLite has


@case(drivers=SQLITE)
def attached_database(engine, world):
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(f"ATTACH '{world.file.parent / 'second.db'}' AS second"))
        connection.execute(sa.text("INSERT INTO second.notes VALUES ('attached')"))
        assert connection.scalar(sa.text("SELECT count(*) FROM second.notes")) == 1


@case(drivers=SQLITE, kinds=("sql.other",))
def pragma_user_version(engine, world):
    with engine.connect() as connection:
        connection.execute(sa.text("PRAGMA user_version = 7"))
        connection.commit()
        assert connection.scalar(sa.text("PRAGMA user_version")) == 7


@case(drivers=SQLITE, kinds=("sql.other",), changes=False)
def vacuum_file(engine, world):
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM"))


@case(drivers=SQLITE)
def insert_or_rollback(engine, world):
    with engine.connect() as connection:
        insert(connection)
        connection.execute(sa.text("INSERT OR ROLLBACK INTO customers VALUES (5, 'new')"))
        connection.commit()
    assert count(engine) == 1


# -- what only asyncio has


@case(drivers=ASYNC)
async def async_session(engine, world):
    async with AsyncSession(world.async_engine()) as session:
        session.add(Order(customer_id=1, note="async"))
        await session.commit()
        assert await session.scalar(sa.select(sa.func.count()).select_from(Order)) == 1


@case(drivers=ASYNC)
async def gather(engine, world):
    async def work(note):
        async with AsyncSession(world.async_engine()) as session:
            session.add(Order(customer_id=1, note=note))
            await session.flush()
            await asyncio.sleep(0)
            session.add(Order(customer_id=1, note=note))
            await session.commit()

    if world.postgres or world.mariadb:
        await asyncio.gather(*(work(str(i)) for i in range(5)))
    else:  # one writer at a time: the file has one lock
        await asyncio.gather(work("0"))
    async with world.async_engine().connect() as connection:
        assert await connection.scalar(sa.select(sa.func.count()).select_from(orders)) in (2, 10)


@case(drivers=("psycopg_async", "asyncpg"))
async def cancelled_midway(engine, world):
    made = world.async_engine()
    async with made.connect() as connection:
        await connection.execute(orders.insert().values(customer_id=1, note="cancelled"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await connection.execute(sa.text("SELECT pg_sleep(30)"))
    async with made.begin() as connection:
        await connection.execute(orders.insert().values(customer_id=1, note="kept"))
    async with made.connect() as connection:
        assert (await connection.scalars(sa.select(orders.c.note))).all() == ["kept"]


@case(drivers=ASYNC)
async def async_stream(engine, world):
    made = world.async_engine()
    async with made.begin() as connection:
        await connection.execute(orders.insert(), [{"customer_id": 1, "note": str(i)} for i in range(10)])
    async with made.connect() as connection:
        seen = [row async for row in await connection.stream(sa.select(orders))]
    assert len(seen) == 10


@case(drivers=("asyncpg",))
async def asyncpg_driver_connection(engine, world):
    async with world.async_engine().connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        await driver.execute(INSERT)
        many = "INSERT INTO orders (customer_id, note) VALUES ($1, $2)"
        await driver.executemany(many, [(1, "a"), (1, "b")])
        await driver.copy_records_to_table("orders", records=[(1, "c")], columns=["customer_id", "note"])
        async with driver.transaction():
            await driver.execute(INSERT)
        with suppress(ZeroDivisionError):
            async with driver.transaction():
                await driver.execute(INSERT)
                raise ZeroDivisionError
        assert await driver.fetchval("SELECT count(*) FROM orders") == 5


@case(drivers=("psycopg_async",))
async def psycopg_driver_connection(engine, world):
    async with world.async_engine().connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        await driver.execute(INSERT)
        await driver.commit()
        async with driver.cursor() as cursor:
            await cursor.execute(INSERT)
            async with cursor.copy("COPY orders (customer_id, note) FROM STDIN") as copy:
                await copy.write_row((1, "copied"))
        await driver.commit()
        await driver.execute(INSERT)
        await driver.rollback()
        async with driver.transaction():
            await driver.execute(INSERT)
        assert (await (await driver.execute("SELECT count(*) FROM orders")).fetchone())[0] == 4
        await driver.commit()


@case(drivers=("aiosqlite",))
async def aiosqlite_driver_connection(engine, world):
    async with world.async_engine().connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        await driver.execute(INSERT)
        await driver.commit()
        async with driver.execute(INSERT) as cursor:
            assert cursor.rowcount == 1
        await driver.rollback()
        await driver.executescript(f"{INSERT}; {INSERT};")
        async with driver.execute("SELECT count(*) FROM orders") as cursor:
            assert (await cursor.fetchone())[0] == 3


@case(drivers=("asyncmy",))
async def asyncmy_driver_connection(engine, world):
    async with world.async_engine().connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        async with driver.cursor() as cursor:
            assert await cursor.execute(INSERT) == 1
            await driver.commit()
            await driver.begin()
            await cursor.executemany("INSERT INTO orders (customer_id, note) VALUES (%s, %s)", [(1, "a")] * 2)
            await driver.rollback()
            await driver.autocommit(True)
            await cursor.execute(INSERT)
            await driver.rollback()
            await driver.autocommit(False)
            await driver.ping()
            await cursor.execute("SELECT count(*) FROM orders")
            assert (await cursor.fetchone())[0] == 2
        await driver.commit()


@case(drivers=("asyncmy",), kinds=(), refused=EffectRefusedError)
async def asyncmy_past_its_cursor(engine, world):
    async with world.async_engine().connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        await driver.query(INSERT)
        await driver.query("COMMIT")


# -- the matrix

MATRIX = [pytest.param(each, driver, id=f"{driver}-{each.name}") for each in CASES for driver in each.drivers]
LEFT_OPEN_LIVE = ("left_open", "left_open_after_its_commit")


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    driver = request.param
    if driver in SQLITE:
        file = tmp_path / "shop.db"
        sqlite3.connect(tmp_path / "second.db").executescript("CREATE TABLE notes (note)")
        setup = sa.create_engine(f"sqlite:///{file}")
        yield from _furnished(World(driver, f"{DRIVERS[driver]}:///{file}", file, None), setup)
        return
    if driver in MARIADB:
        yield from _on_mariadb(driver, request.getfixturevalue("mariadb"), tmp_path)
        return
    url = request.getfixturevalue("postgres_url")
    with psycopg.connect(url, autocommit=True) as watch:
        watch.execute("DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public")
        watch.execute(POSTGRES_EXTRAS)
        setup = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        yield from _furnished(
            World(driver, url.replace("postgresql:", DRIVERS[driver] + ":"), tmp_path, watch), setup
        )


def _on_mariadb(driver: str, peer: Any, tmp_path: Path) -> Iterator[World]:
    for statement in MARIADB_SETUP.strip().rstrip(";").split(";\n"):
        peer.ask(statement)
    peer.ask("INSERT INTO customers VALUES (1, 'first')")
    url = peer.url(driver).replace("/shop", "/matrix")
    world = World(driver, url, tmp_path, peer)
    world.kept = None
    yield world


def _furnished(world: World, setup: sa.Engine) -> Iterator[World]:
    Base.metadata.create_all(setup)
    with setup.begin() as connection:
        connection.execute(customers.insert().values(id=1, name="first"))
    setup.dispose()
    world.kept = None
    yield world


@pytest.fixture
def guard() -> Iterator[SQLAlchemyGuard]:
    made = SQLAlchemyGuard()
    made.install()
    yield made
    made.uninstall()


async def run(application: Case, engine: sa.Engine, world: World) -> None:
    if asyncio.iscoroutinefunction(application.run):
        await application.run(engine, world)
    elif world.driver in ASYNC:
        await greenlet_spawn(application.run, engine, world)
    else:
        application.run(engine, world)


async def close(world: World) -> None:
    if world.kept is not None:
        await greenlet_spawn(world.kept.close)
    for made in world.made:
        await (asyncio.sleep(0) if isinstance(made, sa.Engine) else made.dispose())
        if isinstance(made, sa.Engine):
            made.dispose()


@pytest.mark.parametrize(("application", "world"), MATRIX, indirect=["world"])
async def test_mirrored_it_leaves_no_trace_and_sees_success(application, world, guard):
    before = world.look()
    engine = world.engine()
    context = MirrorContext(Decision(Mode.DRY_RUN))
    with entered(context):
        if application.refused:
            with pytest.raises(application.refused):
                await run(application, engine, world)
        else:
            await run(application, engine, world)
    context.end()
    await asyncio.sleep(0)
    await settled(world, before)
    yielded = {"yielded"} if application.refused else set()
    assert {effect.outcome for effect in context.ledger} <= {"suppressed", "blocked"} | yielded
    assert set(application.kinds) <= {effect.kind for effect in context.ledger}
    if not application.kinds:
        assert [effect for effect in context.ledger if effect.kind != "sql.ddl"] == []
    assert context.counters["observer_errors"] == 0
    await writes_for_real(engine, world)
    await close(world)


async def settled(world: World, before: dict[str, Any]) -> None:
    """An async driver's connection is cut, and the server notices a moment later."""
    for _ in range(200):
        if world.look() == before:
            return
        await asyncio.sleep(0.01)
    assert world.look() == before


async def writes_for_real(engine: sa.Engine, world: World) -> None:
    def write() -> None:
        with engine.begin() as connection:
            insert(connection, "really")

    before = world.look()
    with entered(MirrorContext(Decision(Mode.LIVE))) as context:
        await greenlet_spawn(write)
    assert world.look() != before
    assert [effect.outcome for effect in context.ledger] == ["executed"]


@pytest.mark.parametrize(("application", "world"), MATRIX, indirect=["world"])
async def test_live_the_same_code_really_writes(application, world, guard):
    before = world.look()
    engine = world.engine()
    with entered(MirrorContext(Decision(Mode.LIVE))):
        await run(application, engine, world)
    if application.name in LEFT_OPEN_LIVE:
        await greenlet_spawn(world.kept.close)
        world.kept = None
    assert (world.look() != before) is application.changes
    await close(world)
