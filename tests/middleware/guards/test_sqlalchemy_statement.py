"""Reading SQL: names for the ledger, what steers a transaction, and what is refused in doubt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorproof.guards.sql.statement import Control, doubts, read, read_script


@pytest.mark.parametrize(
    ("text", "kind", "target"),
    [
        ("INSERT INTO orders (id) VALUES (1)", "sql.insert", "orders"),
        ('insert into shop."Orders" values (1)', "sql.insert", "shop.Orders"),
        ("INSERT OR IGNORE INTO orders VALUES (1)", "sql.insert", "orders"),
        ("REPLACE INTO orders VALUES (1)", "sql.insert", "orders"),
        ("-- note\n/* and */ UPDATE ONLY orders SET id = 1", "sql.update", "orders"),
        ("DELETE FROM `orders`", "sql.delete", "orders"),
        ("TRUNCATE TABLE orders", "sql.delete", "orders"),
        ("WITH x AS (SELECT 1) INSERT INTO orders SELECT * FROM x", "sql.insert", "orders"),
        ("WITH x AS (DELETE FROM orders RETURNING *) SELECT * FROM x", "sql.delete", "orders"),
        ("CREATE TABLE IF NOT EXISTS orders (id int)", "sql.ddl", "orders"),
        ("DROP INDEX IF EXISTS by_note", "sql.ddl", "by_note"),
        ("CALL place_order(1)", "sql.call", "place_order"),
        ("DO $$ BEGIN NULL; END $$", "sql.call", "do"),
        ("COPY orders (id) FROM STDIN", "sql.insert", "orders"),
        ("PRAGMA user_version = 1", "sql.other", "pragma user_version"),
        ("NOTIFY jobs, 'x'", "sql.other", "jobs"),
        ("EXECUTE prepared(1)", "sql.other", "prepared"),
    ],
)
def test_writes_are_named(text, kind, target):
    assert (read(text).kind, read(text).target) == (kind, target)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1", "select 'INSERT INTO orders'", "WITH x AS (SELECT 1) SELECT * FROM x FOR UPDATE",
        "SELECT * FROM a FOR NO KEY UPDATE", "COPY orders TO STDOUT", "PRAGMA user_version", "SHOW all",
        "(SELECT 1) UNION (SELECT 2)", "VALUES (1)", "", "  -- nothing", "EXPLAIN SELECT 1",
    ],
)  # fmt: skip
def test_reads_have_no_name(text):
    assert not read(text).writes


@pytest.mark.parametrize(
    ("text", "control", "name"),
    [
        ("BEGIN", Control.BEGIN, ""),
        ("begin immediate", Control.BEGIN, "immediate"),
        ("START TRANSACTION", Control.BEGIN, ""),
        ("/* */ COMMIT -- x", Control.COMMIT, ""),
        ("END TRANSACTION", Control.COMMIT, ""),
        ("ROLLBACK", Control.ROLLBACK, ""),
        ("ABORT WORK", Control.ROLLBACK, ""),
        ("ROLLBACK WORK TO SAVEPOINT a", Control.ROLLBACK_TO, "a"),
        ('ROLLBACK TO "A b"', Control.ROLLBACK_TO, "A b"),
        ("SAVEPOINT a", Control.SAVEPOINT, "a"),
        ("RELEASE a", Control.RELEASE, "a"),
        ("RELEASE SAVEPOINT a", Control.RELEASE, "a"),
        ("PREPARE TRANSACTION 'x y'", Control.PREPARE, "x y"),
        ("COMMIT PREPARED 'x'", Control.COMMIT_PREPARED, "x"),
        ("ROLLBACK PREPARED 'x'", Control.ROLLBACK_PREPARED, "x"),
        ("SET CONSTRAINTS ALL IMMEDIATE", Control.CHECK_ALL, ""),
        ("SET CONSTRAINTS ALL DEFERRED", Control.SETTING, "DEFERRED"),
        ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", Control.SETTING, "ISOLATION"),
        ("VACUUM orders", Control.APART, "orders"),
        ("CREATE INDEX CONCURRENTLY i ON t (a)", Control.APART, "i"),
        ("SELECT 1", Control.NONE, ""),
    ],
)
def test_what_steers_a_transaction_is_found(text, control, name):
    assert (read(text).control, read(text).name) == (control, name)


def test_a_script_is_cut_at_its_semicolons_only():
    script = """
        INSERT INTO a VALUES ('x;y'); -- a; comment
        CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE a SET b = CASE WHEN 1 THEN 2 END; DELETE FROM c; END;
        DO $body$ BEGIN PERFORM 1; END $body$;;
        COMMIT
    """
    assert [part.verb for part in read_script(script)] == ["INSERT", "CREATE", "DO", "COMMIT"]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1; ROLLBACK; INSERT INTO orders VALUES (1)",
        "SELECT 'it''s'; abort; INSERT INTO orders VALUES (1)",
        r"SELECT E'\'; ROLLBACK; INSERT INTO orders VALUES (1); --'",
        "SELECT setval('tickets', 1)",
        "select dblink_exec('dbname=other', 'DELETE FROM orders')",
        "COPY orders TO PROGRAM 'mail boss@example.com'",
        "COPY orders TO '/tmp/orders'",
        "SELECT pg_terminate_backend(1)",
        "SELECT \"setval\"('tickets', 1)",
        "SELECT setval/**/('tickets', 1)",
        "SELECT pg_catalog . setval -- x\n ('tickets', 1)",
        "SELECT U&\"\\0073etval\"('tickets', 1)",
        "SELECT \"pg_create_physical_replication_slot\"('a')",
        "COPY orders FROM PROGRAM 'touch file'",
        "COPY orders FROM '/tmp/orders'",
        "COPY orders TO $$/tmp/orders$$",
        "COPY orders TO/**/'/tmp/orders'",
        "COPY (SELECT 1 FROM stdin) TO E'/tmp/orders'",
        "SELECT 1; copy stdin (a, b) from 'x' with (null stdin)",
        "DO $$ BEGIN COPY orders TO PROGRAM 'x'; END $$",
        "SELECT pg_stat_reset()",
        "SELECT pg_stat_reset_single_table_counters(1)",
        "SELECT pg_stat_statements_reset()",
        "SELECT pg_switch_wal()",
        "SELECT pg_rotate_logfile()",
        "SELECT pg_create_restore_point('a')",
        "SELECT pg_logical_slot_get_changes('s', NULL, NULL)",
        "SELECT pg_replication_origin_advance('a', '0/1')",
        "SELECT pg_backup_start('a')",
        "SELECT pg_promote()",
        "SELECT pg_file_unlink('a')",
        "SELECT brin_summarize_new_values('i')",
        "SELECT content FROM http_post('http://a', 'b', 'c')",
        "CREATE FUNCTION f() RETURNS int LANGUAGE 'c' AS 'lib', 'f'",
        "DO LANGUAGE plpython3u $$ import os $$",
        "ALTER FOREIGN TABLE f OPTIONS (ADD program 'x')",
        "SELECT query_to_xml('select setval(''a'', 1)', true, false, '')",
        "SELECT query_to_xml($$select \"setval\" ('a', 1)$$, true, false, '')",
        "SELECT query_to_xml(%s, true, false, '')",
        "SELECT query_to_xml($1, true, false, '')",
        "SELECT query_to_xml('select set' || 'val(1)', true, false, '')",
        "SELECT \"query_to_xml_and_xmlschema\"(E'\\x73elect 1', true, false, '')",
        "SELECT * FROM crosstab(sql) AS t (a int)",
        "SELECT * FROM ts_stat(:q)",
        "SELECT ts_rewrite(a, q) FROM t",
    ],
)
def test_what_could_get_past_the_lease_is_doubted(text):
    assert doubts(text)


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO a VALUES (1);",
        "ROLLBACK",
        "COPY orders TO STDOUT",
        "SELECT 1; SELECT 2",
        "copy orders (a, b) from stdin with (format csv)",
        "COPY (SELECT a FROM t) TO STDOUT",
        "SELECT copy FROM copies WHERE a = 'COPY b TO'",
        "SELECT pg_notify('a', 'b'), nextval('c'), pg_advisory_lock(1)",
        "SELECT pg_stat_get_db_stat_reset_time(1)",
        "SELECT query_to_xml('select a from b', true, false, '')",
        "SELECT * FROM crosstab('select a, b from c', $$select 1$$) AS t (a int)",
        "SELECT ts_rewrite(a, b, c), ts_stat('select v from t') FROM t",
        "INSERT INTO posts (language) VALUES ('the language C')",
        "SELECT p.language c FROM posts p",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'select 1'",
    ],
)
def test_ordinary_statements_are_not_doubted(text):
    assert not doubts(text)


@given(st.text())
def test_any_text_is_read_without_an_error(text):
    read(text)
    read_script(text)
    doubts(text)


@given(st.text(alphabet="'\"$;/*-abBEGIN \n", max_size=200))
def test_any_mess_of_quotes_is_read_without_an_error(text):
    assert all(part.text for part in read_script(text))
