"""What live requests write through PostgreSQL's drivers: recorded when committed, as a mirrored one's is."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import asyncpg
import psycopg
import psycopg2
import psycopg2.extras
import psycopg_pool
import pytest

from mirrorproof import Settings, install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.guards.direct import psycopg as psycopg_guard


@pytest.fixture
def url(postgres_url: str) -> Iterator[str]:
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("CREATE TABLE seen (id int UNIQUE DEFERRABLE INITIALLY DEFERRED, note text)")
        install_guards()
        yield postgres_url
        uninstall_guards()
        admin.execute("DROP TABLE seen")


def rows(url: str) -> int:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT count(*) FROM seen").fetchone()[0]  # type: ignore[index]


def serve(mode: Mode, application: Callable[[str], Any], url: str, **settings: Any) -> MirrorContext:
    context = MirrorContext(Decision(mode), settings=Settings.load({}, **settings), pair_id="pair-1")
    with entered(context):
        application(url)
    context.end()
    return context


# -- one application for each way to write, each with the number of its effects


def ps_plain(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO seen VALUES (%s, 'a')", (1,))
        connection.execute("INSERT INTO seen VALUES (%(id)s, %(note)s)", {"id": 2, "note": "b"})
        connection.execute("UPDATE seen SET note = %s", params=["c"])
        connection.commit()
        connection.execute("INSERT INTO seen VALUES (3, 'gone')")
        connection.rollback()
        connection.execute("SELECT 1")


def ps_many(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.executemany("INSERT INTO seen VALUES (%s, %s)", [(1, "a"), (2, "b")])
        cursor.executemany("INSERT INTO seen VALUES (%s, %s)", ((i, "g") for i in range(3, 5)))
        with cursor.copy("COPY seen FROM STDIN") as copy:
            copy.write_row((9, "copied"))
        assert list(cursor.stream("INSERT INTO seen VALUES (7, 's') RETURNING id")) == [(7,)]
        connection.execute(b"DELETE FROM seen WHERE id = 9")
        connection.execute(
            psycopg.sql.SQL("DELETE FROM {} WHERE id = 7").format(psycopg.sql.Identifier("seen"))
        )


def ps_blocks(url: str) -> None:
    with psycopg.connect(url) as connection:
        with connection.transaction():
            connection.execute("INSERT INTO seen VALUES (1, 'kept')")
            with suppress(psycopg.Error), connection.transaction():
                connection.execute("INSERT INTO seen VALUES (2, 'undone')")
                connection.execute("SELECT 1/0")
            with connection.transaction():
                connection.execute("INSERT INTO seen VALUES (3, 'kept as well')")
        with suppress(psycopg.Error), connection.transaction():
            connection.execute("INSERT INTO seen VALUES (4, 'undone')")
            connection.execute("SELECT 1/0")


def ps_by_text(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO seen VALUES (1, 'kept')")
        connection.execute("SAVEPOINT a")
        connection.execute("INSERT INTO seen VALUES (2, 'undone')")
        connection.execute("ROLLBACK TO a")
        connection.execute("COMMIT")
        connection.execute("BEGIN; INSERT INTO seen VALUES (3, 'kept'); COMMIT")


def ps_aborted(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO seen VALUES (1, 'lost')")
        with suppress(psycopg.Error):
            connection.execute("SELECT 1/0")
        connection.commit()  # which the server turns into a rollback
        connection.execute("INSERT INTO seen VALUES (1, 'refused at the commit'), (1, 'too')")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.commit()
        connection.rollback()
        connection.execute("INSERT INTO seen VALUES (5, 'never committed')")
        connection.rollback()


def ps_pool(url: str) -> None:
    with psycopg_pool.ConnectionPool(url, min_size=1, max_size=1, open=True) as pool:
        with pool.connection() as connection:
            connection.execute("INSERT INTO seen VALUES (1, 'a')")
        connection = pool.getconn()
        connection.execute("INSERT INTO seen VALUES (1, 'given back without a commit')")
        pool.putconn(connection)


def ps_async(url: str) -> None:
    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            await connection.execute("INSERT INTO seen VALUES (%s, 'a')", (1,))
            await connection.commit()
            async with connection.transaction(), connection.cursor() as cursor:
                await cursor.executemany("INSERT INTO seen VALUES (%s, %s)", [(2, "b"), (3, "c")])
                async with cursor.copy("COPY seen FROM STDIN") as copy:
                    await copy.write_row((4, "copied"))
            await connection.execute("INSERT INTO seen VALUES (5, 'gone')")
            await connection.rollback()

    asyncio.run(main())


def p2_plain(url: str) -> None:
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO seen VALUES (%s, 'a')", (1,))
        cursor.execute("UPDATE seen SET note = %(n)s", vars={"n": "b"})
    with connection.cursor(cursor_factory=psycopg2.extras.DictCursor) as cursor:
        cursor.execute("INSERT INTO seen VALUES (2, 'gone')")
        connection.rollback()
        psycopg2.extras.execute_values(cursor, "INSERT INTO seen VALUES %s", [(3, "v"), (4, "w")])
        cursor.executemany("INSERT INTO seen VALUES (%s, %s)", [(5, "v"), (6, "w")])
        cursor.copy_from(io.StringIO("7\tx\n"), "seen")
        cursor.copy_expert("COPY seen FROM STDIN", io.StringIO("8\tx\n"))
        cursor.copy_expert("COPY seen TO STDOUT", io.StringIO())
        cursor.execute("SAVEPOINT a")
        cursor.execute("INSERT INTO seen VALUES (9, 'undone')")
        cursor.execute("ROLLBACK TO SAVEPOINT a")
        connection.commit()
        cursor.execute("INSERT INTO seen VALUES (10, 'lost')")
        with suppress(psycopg2.Error):
            cursor.execute("SELECT 1/0")
        connection.commit()
    connection.autocommit = True
    connection.cursor().execute("DELETE FROM seen WHERE id = 8")
    connection.close()


def apg_plain(url: str) -> None:
    async def main() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute("INSERT INTO seen VALUES ($1, 'a')", 1)
        await connection.execute("INSERT INTO seen VALUES (2, 'a')")
        assert await connection.fetchval("INSERT INTO seen VALUES (3, 'a') RETURNING id") == 3
        await connection.executemany("INSERT INTO seen VALUES ($1, $2)", [(4, "b"), (5, "c")])
        await connection.copy_records_to_table("seen", records=[(6, "copied")])
        prepared = await connection.prepare("INSERT INTO seen VALUES ($1, 'p') RETURNING id")
        assert await prepared.fetchval(7) == 7
        async with connection.transaction():
            await connection.fetch("DELETE FROM seen WHERE id = ANY($1)", [1, 2])
            with suppress(asyncpg.PostgresError):
                async with connection.transaction():
                    await connection.execute("INSERT INTO seen VALUES (8, 'undone')")
                    await connection.execute("SELECT 1/0")
        with suppress(asyncpg.PostgresError):
            async with connection.transaction():
                await connection.execute("INSERT INTO seen VALUES (8, 'undone')")
                await connection.execute("SELECT 1/0")
        await connection.close()

    asyncio.run(main())


def apg_pool(url: str) -> None:
    async def main() -> None:
        async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool:
            await pool.execute("INSERT INTO seen VALUES (1, 'a')")
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute("UPDATE seen SET note = $1", "b")
            connection = await pool.acquire()
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute("UPDATE seen SET note = 'given back without a commit'")
            await pool.release(connection)

    asyncio.run(main())


APPLICATIONS = {
    ps_plain: 3, ps_many: 8, ps_blocks: 2, ps_by_text: 2, ps_aborted: 0, ps_pool: 1, ps_async: 4,
    p2_plain: 8, apg_plain: 8, apg_pool: 2,
}  # fmt: skip


@pytest.mark.parametrize("application", APPLICATIONS, ids=lambda each: each.__name__)
def test_the_effects_of_both_sides_are_equal_and_what_was_rolled_back_is_none(
    url: str, application: Callable[[str], Any]
) -> None:
    mirrored = serve(Mode.DRY_RUN, application, url)
    assert rows(url) == 0
    live = serve(Mode.LIVE, application, url)
    told = [(each.kind, each.target, each.summary, each.digest) for each in live.ledger]
    assert told == [(each.kind, each.target, each.summary, each.digest) for each in mirrored.ledger]
    assert len(told) == APPLICATIONS[application], [each[2] for each in told]
    assert {effect.outcome for effect in live.ledger} <= {"executed"}
    assert {effect.outcome for effect in mirrored.ledger} <= {"suppressed"}
    assert not live.unobserved


@pytest.mark.parametrize("application", [ps_plain, ps_async, p2_plain, apg_plain])
def test_outside_of_the_sample_nothing_is_recorded(url: str, application: Callable[[str], Any]) -> None:
    assert not serve(Mode.LIVE, application, url, observe_sample=0.0).ledger.effects


def test_a_commit_after_the_request_counts_for_the_request_that_wrote(url: str) -> None:
    connection = psycopg.connect(url)
    with entered(MirrorContext(Decision(Mode.LIVE))) as live:
        connection.execute("INSERT INTO seen VALUES (1, 'a')")
    assert not live.ledger.effects
    connection.commit()
    connection.close()
    assert [effect.outcome for effect in live.ledger] == ["executed"]


def test_where_the_end_of_a_transaction_was_not_seen_the_effects_are_unknown(url: str) -> None:
    with psycopg.connect(url) as connection, entered(MirrorContext(Decision(Mode.LIVE))) as live:
        connection.execute("INSERT INTO seen VALUES (1, 'a')")
        connection.pgconn.exec_(b"COMMIT")
        assert not live.unobserved
        connection.execute("SELECT 1")
        assert live.unobserved
    assert not live.ledger.effects


def test_a_write_in_a_pipeline_makes_the_effects_unknown_and_a_read_does_not(url: str) -> None:
    for sql, unknown in (("SELECT 1", False), ("INSERT INTO seen VALUES (1, 'a')", True)):
        live = MirrorContext(Decision(Mode.LIVE))
        with psycopg.connect(url) as connection, entered(live), connection.pipeline():
            connection.execute(sql)  # type: ignore[call-overload]
        assert live.unobserved is unknown


def test_what_goes_wrong_while_observing_stays_there(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("odd")

    monkeypatch.setattr("mirrorproof.guards.direct.observing.statements_in", fail)
    live = serve(Mode.LIVE, ps_plain, url)
    assert rows(url) == 2
    assert live.counters.snapshot()["observer_errors"]


def test_nothing_is_kept_of_connections_that_are_gone(url: str) -> None:
    serve(Mode.LIVE, ps_plain, url)
    serve(Mode.LIVE, ps_aborted, url)
    assert not len(psycopg_guard._observed._notes)


ORDERS = "CREATE TABLE orders (id serial PRIMARY KEY, note text)"


@pytest.fixture
def orders(url: str) -> Iterator[str]:
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("DROP TABLE IF EXISTS orders CASCADE")
        admin.execute(ORDERS)  # whose sequence goes on when a mirrored request is rolled back
        yield url
        admin.execute("DROP TABLE orders")


def fresh_psycopg(url: str, note: str = "a", old: int = 7) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE orders SET note = 'seen' WHERE id = %s", (old,))
        row = connection.execute("INSERT INTO orders (note) VALUES (%s) RETURNING id", (note,)).fetchone()
        assert row is not None
        connection.execute("UPDATE orders SET note = %s WHERE id = %s", ("b", *row))
        connection.execute(f"DELETE FROM orders WHERE id = {row[0]}")  # type: ignore[arg-type]
        connection.execute("INSERT INTO seen (id, note) VALUES (1, %(note)s)", {"note": note})


def fresh_asyncpg(url: str) -> None:
    async def main() -> None:
        connection = await asyncpg.connect(url)
        key = await connection.fetchval("INSERT INTO orders (note) VALUES ($1) RETURNING id", "a")
        await connection.execute("UPDATE orders SET note = $2 WHERE id = $1", key, "b")
        await connection.executemany("INSERT INTO orders (note, order_id) VALUES ('x', $1)", [(key,), (key,)])
        await connection.close()

    asyncio.run(main())


def fresh_psycopg2(url: str) -> None:
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO orders (note) VALUES (%s) RETURNING id", ("a",))
        row = cursor.fetchone()
        cursor.execute("UPDATE orders SET note = %(n)s WHERE id IN (%(i)s)", {"n": "b", "i": row[0]})
    connection.close()


def digests(mode: Mode, application: Callable[[str], Any], url: str) -> list[str]:
    return [effect.digest for effect in serve(mode, application, url).ledger]


@pytest.mark.parametrize("application", [fresh_psycopg, fresh_asyncpg, fresh_psycopg2])
def test_keys_that_the_database_gave_this_request_do_not_make_a_difference(
    orders: str, application: Callable[[str], Any]
) -> None:
    with psycopg.connect(orders, autocommit=True) as admin:
        admin.execute("ALTER TABLE orders ADD COLUMN IF NOT EXISTS order_id int")
    told = digests(Mode.DRY_RUN, application, orders)
    assert len(told) > 1
    assert told == digests(Mode.LIVE, application, orders)


def test_other_keys_and_values_still_do(orders: str) -> None:
    first = digests(Mode.DRY_RUN, fresh_psycopg, orders)
    other = digests(Mode.DRY_RUN, lambda url: fresh_psycopg(url, note="z"), orders)
    old = digests(Mode.DRY_RUN, lambda url: fresh_psycopg(url, old=8), orders)
    assert [a == b for a, b in zip(first, other, strict=True)] == [True, False, True, True, False]
    assert [a == b for a, b in zip(first, old, strict=True)] == [False, True, True, True, True]
