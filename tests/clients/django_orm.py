"""Django's ORM, on PostgreSQL, on SQLite, and on MariaDB by PyMySQL."""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import django
import pymysql
from django.conf import settings
from django.db import IntegrityError, connections, models, transaction

from clients.mariadb import MariadbPeer
from clients.postgres import PostgresPeer
from clients.table import Case, Client

if not settings.configured:
    settings.configure(USE_TZ=True, SECRET_KEY="for tests")
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # the matrix calls from inside a task, too
django.setup()


class Order(models.Model):
    """The application's table."""

    note: Any = models.TextField()

    class Meta:
        app_label = "mirrorproof_tests"
        db_table = "orders"


_numbers = itertools.count()


class DjangoPeer:
    """A database behind an alias of Django's, a new one each: threads keep their connections to old ones."""

    def __init__(self, alias: str, database: dict[str, Any]) -> None:
        self.alias = alias = f"{alias}_{next(_numbers)}"
        connections.settings[alias] = connections.configure_settings({"default": database})["default"]

    @property
    def orders(self) -> Any:
        return Order.objects.using(self.alias)

    def close(self) -> None:
        """Close the live connection of this thread."""
        with suppress(Exception):
            connections[self.alias].close()


class OnPostgres(DjangoPeer, PostgresPeer):
    """PostgreSQL, which psycopg 3 reaches."""

    def __init__(self) -> None:
        PostgresPeer.__init__(self)
        url = urlsplit(self.url)
        super().__init__("on_postgres", {
            "ENGINE": "django.db.backends.postgresql", "NAME": url.path.strip("/"), "USER": "postgres",
            "HOST": parse_qs(url.query)["host"][0], "CONN_MAX_AGE": 600,
        })  # fmt: skip

    def stop(self) -> None:
        self.close()
        PostgresPeer.stop(self)


class OnSqlite(DjangoPeer):
    """A file."""

    about = "SQLite (a file)"

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="mirrorproof-django-"))
        self._file = self._directory / "shop.db"
        self._watch = sqlite3.connect(self._file, check_same_thread=False, isolation_level=None)
        self._watch.execute("CREATE TABLE orders (id integer PRIMARY KEY AUTOINCREMENT, note text)")
        self._watch.execute("INSERT INTO orders (note) VALUES ('there')")
        super().__init__("on_sqlite", {"ENGINE": "django.db.backends.sqlite3", "NAME": str(self._file)})

    def look(self) -> Any:
        """The table's rows."""
        return self._watch.execute("SELECT * FROM orders ORDER BY id").fetchall()

    def stop(self) -> None:
        self.close()
        self._watch.close()
        shutil.rmtree(self._directory, ignore_errors=True)


class OnMariadb(DjangoPeer, MariadbPeer):
    """MariaDB, which PyMySQL reaches in mysqlclient's place."""

    def __init__(self) -> None:
        _import_backend_on_pymysql()
        MariadbPeer.__init__(self)
        super().__init__("on_mariadb", {
            "ENGINE": "django.db.backends.mysql", "NAME": "shop", "USER": "root", "HOST": "127.0.0.1",
            "PORT": self.port, "CONN_MAX_AGE": 600,
        })  # fmt: skip

    def stop(self) -> None:
        self.close()
        MariadbPeer.stop(self)


def _import_backend_on_pymysql() -> None:
    """As `pymysql.install_as_MySQLdb()`, but other tests may still use mysqlclient."""
    real = {name: sys.modules.pop(name) for name in [*sys.modules] if _is_mysqldb(name)}
    pymysql.install_as_MySQLdb()
    import django.db.backends.mysql.base

    assert django.db.backends.mysql.base.Database is pymysql
    for name in filter(_is_mysqldb, [*sys.modules]):
        del sys.modules[name]
    sys.modules.update(real)


def _is_mysqldb(name: str) -> bool:
    return name.partition(".")[0] in ("MySQLdb", "_mysql")


@contextmanager
def _thread(peer: DjangoPeer) -> Any:
    """A thread's connection: Django closes it when the thread's work is done."""
    try:
        yield None
    finally:
        peer.close()


def _create(_: Any, peer: DjangoPeer) -> None:
    order = peer.orders.create(note="orm")
    assert peer.orders.get(pk=order.pk).note == "orm"


def _atomic(_: Any, peer: DjangoPeer) -> None:
    with transaction.atomic(using=peer.alias):
        kept = peer.orders.create(note="kept")
        with suppress(IntegrityError), transaction.atomic(using=peer.alias):
            peer.orders.create(pk=kept.pk, note="the same key")
        assert peer.orders.filter(pk=kept.pk).update(note="changed") == 1
    assert peer.orders.get(pk=kept.pk).note == "changed"


def _bulk(_: Any, peer: DjangoPeer) -> None:
    assert len(peer.orders.bulk_create([Order(note="a"), Order(note="b")])) == 2


def _delete(_: Any, peer: DjangoPeer) -> None:
    order = peer.orders.create(note="gone")
    assert order.delete(using=peer.alias)[0] == 1
    peer.orders.create(note="left")


def _cursor(_: Any, peer: DjangoPeer) -> None:
    with connections[peer.alias].cursor() as cursor:
        cursor.execute("INSERT INTO orders (note) VALUES (%s)", ["raw"])
        assert cursor.rowcount == 1


def _read(_: Any, peer: DjangoPeer) -> None:
    assert peer.orders.order_by("pk").first().note == "there"


def _cases() -> tuple[Case, ...]:
    insert, change, gone = "sql.insert", "sql.update", "sql.delete"
    return (
        Case(name="Model.objects.create", client=_thread, write=_create, read=_read, kinds=(insert,)),
        Case(
            name="atomic and an inner one that fails", client=_thread, write=_atomic, kinds=(insert, change)
        ),
        Case(name="bulk_create", client=_thread, write=_bulk, kinds=(insert,)),
        Case(name="delete", client=_thread, write=_delete, kinds=(insert, gone, insert)),
        Case(name="connection.cursor", client=_thread, write=_cursor, kinds=(insert,)),
    )


CLIENTS = [
    Client(name="django (psycopg)", guard="django", peer="django on postgresql", cases=_cases(),
           not_covered="On psycopg2 it is alike (tests/middleware/guards/test_django.py)."),
    Client(name="django (sqlite3)", guard="django", peer="django on sqlite", cases=_cases(),
           not_covered="Its Oracle backend, and mysqlclient, are refused in a mirrored request."),
    Client(name="django (pymysql)", guard="django", peer="django on mariadb", cases=_cases(),
           not_covered="As pymysql with SQLAlchemy: schema changes (a migration, say) are refused."),
]  # fmt: skip
PEERS = {"django on postgresql": OnPostgres, "django on sqlite": OnSqlite, "django on mariadb": OnMariadb}
