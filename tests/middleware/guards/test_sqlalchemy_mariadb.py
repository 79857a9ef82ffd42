"""What only MariaDB makes possible: ways out of a transaction, and what no transaction holds."""

from __future__ import annotations

import threading
import time

import pymysql
import pytest
import sqlalchemy as sa
from pymysql.constants import CLIENT

from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError
from mirrorproof.guards import install_guards
from mirrorproof.guards.sql import lasting, lease, mariadb_fuse
from mirrorproof.guards.sql.mariadb_text import doubts, read
from mirrorproof.guards.sql.statement import Control
from mirrorproof.settings import Settings

INSERT = "INSERT INTO orders (note) VALUES ('v2')"
EXTRAS = """
CREATE SEQUENCE IF NOT EXISTS tickets;
CREATE OR REPLACE TABLE audited (id int PRIMARY KEY);
CREATE OR REPLACE TRIGGER audit AFTER INSERT ON audited FOR EACH ROW
  INSERT INTO log (note) VALUES ('audited');
CREATE OR REPLACE VIEW log_view AS SELECT * FROM log;
CREATE OR REPLACE FUNCTION note_it() RETURNS int BEGIN INSERT INTO log (note) VALUES ('f'); RETURN 1; END;
CREATE OR REPLACE FUNCTION leave_it() RETURNS int BEGIN XA END 'x'; RETURN 1; END;
CREATE OR REPLACE FUNCTION noting_view() RETURNS int BEGIN RETURN note_it(); END;
CREATE OR REPLACE VIEW noting AS SELECT noting_view() AS it;
CREATE OR REPLACE PROCEDURE by_text() EXECUTE IMMEDIATE 'INSERT INTO log (note) VALUES (1)';
CREATE OR REPLACE PROCEDURE that_commits() BEGIN INSERT INTO orders (note) VALUES ('p'); COMMIT; END;
CREATE OR REPLACE PROCEDURE that_leaves() BEGIN XA END 'x'; XA COMMIT 'x' ONE PHASE; END
"""


@pytest.fixture(autouse=True)
def guards():
    install_guards("sqlalchemy")


@pytest.fixture(scope="module")
def peer(mariadb):
    mariadb.ask("USE shop")
    for statement in EXTRAS.strip().split(";\n"):
        mariadb.ask(statement)
    lasting._kept.clear()
    return mariadb


@pytest.fixture
def engine(peer):
    made = sa.create_engine(peer.url(), connect_args={"client_flag": CLIENT.MULTI_STATEMENTS})
    yield made
    made.dispose()


def mirrored(mode=Mode.DRY_RUN, **settings):
    return MirrorContext(Decision(mode), settings=Settings.load({}, **settings))


def notes(connection):
    return connection.exec_driver_sql("SELECT note FROM orders").scalars().all()


BEYOND = [
    "XA END 'x'", "XA COMMIT 'x' ONE PHASE", "XA/**/PREPARE 'x'", "-- x\nXA ROLLBACK 'x'",
    "SET GLOBAL max_connections = 99", "SET@@global.max_connections=99",
    "SET @a = 1, GLOBAL max_connections = 99",
    "SET STATEMENT max_statement_time=1 FOR INSERT INTO log (note) VALUES ('x')", "SET PASSWORD = ''",
    "CREATE TEMPORARY TABLE t (id int) ENGINE = CONNECT", "SET default_tmp_storage_engine = CSV",
    "SET autocommit = 1", "/*! SET GLOBAL max_connections = 99 */",
    "/*M!100000 INSERT INTO log VALUES (9, '') */",
    "SELECT 1 /*!50000 INTO OUTFILE '/tmp/mirrorproof' */", "SELECT 1 INTO/**/DUMPFILE '/tmp/mirrorproof'",
    "SELECT GET_LOCK('a', 0)", "SELECT `get_lock` ('a', 0)", "DO get_lock('a', 0)",
    "PREPARE s FROM 'COMMIT'", "EXECUTE IMMEDIATE 'COMMIT'", "EXECUTE s",
    "LOAD DATA INFILE 'x' INTO TABLE orders",
    "HANDLER orders OPEN", "KILL 1", "FLUSH TABLES", "LOCK TABLES orders WRITE", "UNLOCK TABLES", "USE mysql",
    "SELECT setval(tickets, 100)", "INSERT INTO tickets SELECT 1, 1, 99, 1, 1, 1, 0, 0", "RESET QUERY CACHE",
    "CREATE TABLE made (id int)", "CREATE OR REPLACE SEQUENCE tickets", "ALTER TABLE orders ADD x int",
    "DROP TABLE orders", "DROP TABLE log", "TRUNCATE orders", "RENAME TABLE orders TO o",
    "ANALYZE TABLE orders",
    "GRANT SELECT ON shop.* TO joe", "CHANGE MASTER TO MASTER_HOST='x'", "BEGIN NOT ATOMIC COMMIT; END",
    "BEGIN NOT ATOMIC INSERT INTO log (note) VALUES ('x'); END", f"{INSERT}; COMMIT", f"COMMIT; {INSERT}",
    "SELECT 1; SET GLOBAL max_connections = 99", "SELECT '\\'; SET GLOBAL max_connections = 99; -- '",
    "INSERT INTO log (note) VALUES ('x')", "INSERT INTO `shop`.`log` (note) VALUES ('x')",
    "REPLACE INTO log VALUES (1, 'x')", "UPDATE orders, log SET log.note = 'x'", "DELETE FROM log_view",
    "INSERT INTO audited VALUES (1)", "INSERT INTO mysql.general_log SELECT * FROM mysql.general_log",
    "UPDATE performance_schema.setup_actors SET enabled = 'NO'",
    "SELECT note_it()", "SELECT noting_view()", "SELECT * FROM noting", "DO note_it()",
    "CALL by_text()", "CALL nowhere.unknown()", "(SELECT GET_LOCK('a', 0))",
]  # fmt: skip


@pytest.mark.parametrize("text", BEYOND)
def test_what_no_rollback_takes_back_is_refused_and_recorded(engine, peer, text):
    before = look(peer)
    context = mirrored()
    with entered(context), engine.connect() as connection:
        connection.exec_driver_sql(INSERT)
        with pytest.raises(EffectRefusedError, match="may not run"):
            connection.connection.cursor().execute(text)
        assert "v2" in notes(connection)
    context.end()
    assert look(peer) == before
    assert [effect.outcome for effect in context.ledger] == ["blocked"]


STOPPED = ["SELECT leave_it()", "CALL that_commits()", "CALL that_leaves()"]


@pytest.mark.parametrize("text", STOPPED)
def test_what_a_routine_does_to_the_transaction_the_server_refuses(engine, peer, text):
    before = look(peer)
    with entered(mirrored()) as context, engine.connect() as connection:
        connection.exec_driver_sql(INSERT)
        with pytest.raises(sa.exc.DBAPIError, match="XAER"):
            connection.exec_driver_sql(text)
        connection.commit()
        context.end()
    assert look(peer) == before


@pytest.mark.parametrize(
    "text", ["SELECT * FROM log", "DESCRIBE log", "SET @x = 1", "SET NAMES utf8mb4", "SHOW TABLES"]
)
def test_what_stays_within_the_session_is_let_through(engine, text):
    with entered(mirrored()) as context, engine.connect() as connection:
        connection.exec_driver_sql(text)
        context.end()
    assert list(context.ledger) == []


def test_past_the_shield_nothing_leads_out_of_the_transaction(engine, peer):
    before = look(peer)
    with entered(mirrored()) as context, engine.connect() as connection:
        connection.exec_driver_sql(INSERT)
        real = connection.connection.dbapi_connection._real
        for call in (real.commit, real.rollback, real.begin):
            with pytest.raises(pymysql.err.OperationalError, match="XAER_RMFAIL"):
                call()
        with pytest.raises(pymysql.err.OperationalError, match="XAER_NOTA"):
            real.cursor().execute("XA END 'guessed'")
        context.end()
    assert look(peer) == before


@pytest.mark.parametrize(
    "text", [INSERT, "INSERT INTO log (note) VALUES ('x')", "CREATE TABLE made (id int)"]
)
def test_without_its_transaction_the_session_only_reads(engine, peer, text):
    before = look(peer)
    with entered(mirrored()) as context, engine.connect() as connection:
        real = connection.connection.dbapi_connection._real
        its = connection.connection.dbapi_connection.shield_of.lease
        for statement in its._mariadb_fuse.end():
            real.cursor().execute(statement)
        with pytest.raises(pymysql.err.Error, match="READ ONLY"):
            real.cursor().execute(text)
        with pytest.raises(EffectRefusedError, match="ended by a way"):
            connection.exec_driver_sql(INSERT)
        context.end()
    assert look(peer) == before


def test_listeners_of_the_application_can_set_up_a_connection_but_not_write(engine, peer):
    said = []

    @sa.event.listens_for(engine, "connect")
    def set_up(connection, _):
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION sql_mode = 'ANSI'")
            try:
                cursor.execute(INSERT)
            except pymysql.err.Error as error:
                said.append(error.args[0])

    before = look(peer)
    with entered(mirrored()) as context, engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT @@sql_mode").scalar().endswith("ANSI")
        context.end()
    assert said[-1] == 1792
    assert look(peer) == before


def test_a_connection_that_is_lost_is_rolled_back_and_never_made_anew(engine, peer):
    before = look(peer)
    with entered(mirrored()) as context:
        connection = engine.connect()
        connection.exec_driver_sql(INSERT)
        shield = connection.connection.dbapi_connection
        peer.ask(f"KILL {shield.shield_of.lease.backend[0]}")
        with pytest.raises(pymysql.err.Error):
            shield.ping(reconnect=True)
        with pytest.raises(EffectRefusedError, match="others need not wait"):
            connection.exec_driver_sql(INSERT)
        connection.close()
        with pytest.raises(EffectRefusedError):
            engine.connect().exec_driver_sql(INSERT)
        context.end()
    assert context.yielded
    assert look(peer) == before


@pytest.mark.parametrize("name", ["query", "kill", "select_db", "connect", "next_result", "_execute_command"])
def test_commands_past_the_cursor_are_refused(engine, name):
    with entered(mirrored()) as context, engine.connect() as connection:
        with pytest.raises(EffectRefusedError, match=name):
            getattr(connection.connection.dbapi_connection, name)
        context.end()


def test_the_response_s_end_lets_the_locks_go(engine, peer):
    with entered(mirrored()) as context, engine.connect() as connection:
        connection.exec_driver_sql("UPDATE orders SET note = 'v2'")
        context.end()
    peer.ask("SET SESSION innodb_lock_wait_timeout = 20")
    peer.ask("UPDATE orders SET note = note")


def test_a_lock_of_v1_s_is_not_waited_for_long_and_the_pair_yields(engine, peer, monkeypatch):
    monkeypatch.setattr(mariadb_fuse, "LOCK_LIMIT_S", 0)
    with peer.connect(autocommit=False) as v1, v1.cursor() as cursor:
        cursor.execute("UPDATE orders SET note = note")
        with entered(mirrored()) as context, engine.connect() as connection:
            with pytest.raises(sa.exc.OperationalError, match="1205"):
                connection.exec_driver_sql("UPDATE orders SET note = 'v2'")
            context.end()
    assert context.yielded


def test_of_a_deadlock_nothing_goes_on(engine, peer):
    peer.ask("INSERT INTO orders (id, note) VALUES (901, 'a'), (902, 'b'), (903, 'c')")
    before = look(peer)
    with peer.connect(autocommit=False) as v1, v1.cursor() as cursor:
        # The one with less to undo is the victim.
        cursor.execute("UPDATE orders SET note = CONCAT(note, '!') WHERE id > 901")
        with entered(mirrored(yield_poll_ms=0)) as context, engine.connect() as connection:
            connection.exec_driver_sql("UPDATE orders SET note = 'v2' WHERE id = 901")
            waits = threading.Thread(target=cursor.execute, args=("DELETE FROM orders WHERE id = 901",))
            waits.start()
            until_somebody_waits(peer)
            with pytest.raises(sa.exc.OperationalError, match="1213"):
                connection.exec_driver_sql("UPDATE orders SET note = 'v2' WHERE id = 902")
            with pytest.raises(EffectRefusedError):
                connection.exec_driver_sql(INSERT)
            context.end()
        waits.join()
        v1.rollback()
    assert context.yielded
    assert look(peer) == before
    peer.ask("DELETE FROM orders WHERE id > 900")


def until_somebody_waits(peer):
    deadline = time.monotonic() + 20
    while not peer.ask("SELECT 1 FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"):
        assert time.monotonic() < deadline
        time.sleep(0.11)  # InnoDB keeps what it tells for 0.1 s after each look


def test_left_idle_the_server_ends_it(engine, peer):
    with entered(mirrored()) as context, engine.connect() as connection:
        connection.exec_driver_sql(INSERT)
        its = connection.connection.dbapi_connection.shield_of.lease.backend[0]
        deadline = time.monotonic() + 20
        while peer.ask(f"SELECT 1 FROM information_schema.processlist WHERE id = {its}"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with pytest.raises(EffectRefusedError, match="others need not wait"):
            connection.exec_driver_sql(INSERT)
        context.end()
    assert context.yielded


def test_a_later_transaction_sees_what_v1_has_committed_meanwhile(engine, peer):
    with entered(mirrored()) as context:
        for expected in (False, True):
            with engine.connect() as connection:
                assert ("meanwhile" in notes(connection)) is expected
            peer.ask("INSERT INTO orders (note) VALUES ('meanwhile')")
        context.end()
    peer.ask("DELETE FROM orders WHERE note = 'meanwhile'")


def test_rolled_back_at_commit_the_locks_are_let_go(engine, peer):
    with entered(mirrored(databases={"mysql://*": "rollback_at_commit"})) as context:
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE orders SET note = 'v2'")
        peer.ask("SET SESSION innodb_lock_wait_timeout = 20")
        peer.ask("UPDATE orders SET note = note")
        with engine.connect() as connection:
            assert "v2" not in notes(connection)
        context.end()
    assert [effect.outcome for effect in context.ledger] == ["suppressed"]


def test_read_only_the_server_itself_refuses_writes(engine, peer):
    before = look(peer)
    with entered(mirrored(Mode.READ_ONLY)) as context, engine.connect() as connection:
        for text in (INSERT, "INSERT INTO log (note) VALUES ('x')", "SELECT nextval(tickets)"):
            with pytest.raises(pymysql.err.Error, match="READ ONLY"):
                connection.connection.dbapi_connection._real.cursor().execute(text)
        context.end()
    assert look(peer) == before


@pytest.mark.parametrize("privileges", ["INSERT, SELECT", "INSERT, SELECT, TRIGGER"])
def test_a_user_who_may_not_see_triggers_may_not_write(peer, privileges):
    peer.ask("CREATE OR REPLACE USER 'crud'@'%'")
    peer.ask(f"GRANT {privileges} ON shop.* TO 'crud'@'%'")
    lasting._kept.clear()
    engine = sa.create_engine(peer.url().replace("root@", "crud@"))
    with entered(mirrored()) as context, engine.connect() as connection:
        assert "there" in notes(connection)
        if "TRIGGER" in privileges:
            connection.exec_driver_sql(INSERT)
        else:
            with pytest.raises(EffectRefusedError, match="GRANT TRIGGER"):
                connection.exec_driver_sql(INSERT)
        context.end()
    engine.dispose()


def test_a_procedure_is_called_by_its_name(engine, peer):
    before = look(peer)
    with entered(mirrored()) as context, engine.connect() as connection:
        connection.connection.cursor().callproc("place_order")
        with pytest.raises(EffectRefusedError, match="by_text"):
            connection.connection.cursor().callproc("by_text")
        assert "by call" in notes(connection)
        connection.commit()
        context.end()
    assert [(effect.kind, effect.outcome) for effect in context.ledger] == [
        ("sql.call", "blocked"), ("sql.call", "suppressed")
    ]  # fmt: skip
    assert look(peer) == before


def test_a_server_that_is_not_mariadb_gets_no_lease(engine, monkeypatch):
    monkeypatch.setattr(lease, "ABOUT", mariadb_fuse.ABOUT.replace("VERSION()", "'8.4.2'"))
    with entered(mirrored()) as context:
        with pytest.raises(EffectRefusedError, match="MariaDB only"):
            engine.connect()
        context.end()


def look(peer):
    return peer.look(), peer.ask("SELECT next_not_cached_value FROM tickets")


@pytest.mark.parametrize(("text", "control"), [
    ("begin", Control.BEGIN), ("BEGIN WORK;", Control.BEGIN), ("START TRANSACTION READ ONLY", Control.BEGIN),
    ("/* x */ commit", Control.COMMIT), ("END", Control.NONE), ("ABORT", Control.NONE),
    ("ROLLBACK TO SAVEPOINT a", Control.ROLLBACK_TO), ("VACUUM", Control.NONE),
    ("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE", Control.SETTING),
    ("SET SESSION tx_read_only = 0", Control.SETTING), ("SET @@session.`tx_read_only` = 0", Control.SETTING),
    ("SET @a = 1, @@transaction_read_only = 0", Control.SETTING), ("SET @transaction = 1", Control.NONE),
    ("SET innodb_lock_wait_timeout = 50", Control.SETTING),
    ("SET GLOBAL TRANSACTION READ WRITE", Control.NONE),
    ("COMMIT; SELECT 1", Control.NONE),
])  # fmt: skip
def test_what_steers_a_transaction_is_read_as_mariadb_reads_it(text, control):
    assert read(text).control is control


@pytest.mark.parametrize("text", [
    "", "-- nothing", "SELECT 'it''s; fine'", "SELECT \"a;b\"", "INSERT INTO t VALUES ('/*! x */')",
    "SELECT 1 -- ; DROP TABLE t", "SELECT 1 # ; DROP", "SELECT 1;", "(SELECT 1)",
    "WITH a AS (SELECT 1) SELECT * FROM a",
    "CREATE TEMPORARY TABLE t (id int)", "DROP TEMPORARY TABLE t",
    "CREATE OR REPLACE TEMPORARY TABLE t (id int)",
    "SELECT `a;b` FROM t", "SELECT 5--1", "SELECT /*+ BKA(t) */ 1",
])  # fmt: skip
def test_harmless_texts_are_let_through(text):
    assert doubts(text) == ""
