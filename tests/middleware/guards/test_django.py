"""Django's ORM: what the matrix does not say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pymysql
import pytest
from clients.django_orm import DjangoPeer, OnMariadb, OnPostgres, OnSqlite, Order
from clients.servers import started
from django.db import connections, transaction

from mirrorproof import install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError
from mirrorproof.settings import Settings


@pytest.fixture(scope="module", params=[OnPostgres, OnSqlite, OnMariadb])
def database(request: pytest.FixtureRequest) -> Iterator[Any]:
    made = started(request.param)
    yield made
    made.stop()


@pytest.fixture
def peer(database: Any) -> Iterator[DjangoPeer]:
    install_guards()
    yield database
    database.close()
    uninstall_guards()


def serve(mode: Mode, application: Callable[[Any], None], peer: Any) -> list[tuple[str, str, str]]:
    context = MirrorContext(Decision(mode), pair_id="pair-1")
    with entered(context):
        application(peer)
    context.end()
    return [(each.kind, each.target, each.digest) for each in context.ledger]


def orm(peer: Any) -> None:
    with transaction.atomic(using=peer.alias):
        order = peer.orders.create(note="new")
        order.note = "changed"
        order.save()
        peer.orders.filter(pk__in=[order.pk]).update(note="again")
    peer.orders.bulk_create([Order(note="a"), Order(note="b")])
    order.delete(using=peer.alias)


def cursor(peer: Any) -> None:
    with connections[peer.alias].cursor() as made:
        made.execute("INSERT INTO orders (note) VALUES (%s)", ["by text"])
        made.execute("SELECT max(id) FROM orders")
        (key,) = made.fetchone()
        made.execute("UPDATE orders SET note = %s WHERE id = %s", ["changed", key])
        made.execute(f"DELETE FROM orders WHERE id = {key}")
        made.executemany("INSERT INTO orders (note) VALUES (%s)", [("a",), ("b",)])


@pytest.mark.parametrize("application", [orm, cursor])
def test_the_effects_of_both_sides_are_equal_whatever_keys_the_database_gave(
    peer: Any, application: Callable[[Any], None]
) -> None:
    mirrored = serve(Mode.DRY_RUN, application, peer)
    serve(Mode.LIVE, lambda peer: peer.orders.create(note="between"), peer)
    assert len(mirrored) > 4
    assert serve(Mode.LIVE, application, peer) == mirrored


@pytest.mark.parametrize("own", [True, False])
def test_a_database_of_v2s_own_is_written_and_no_other_is(peer: Any, own: bool) -> None:
    before = peer.orders.count()
    name = connections.settings[peer.alias]["NAME"]
    databases = {f"*/{name}" if own else "*/elsewhere": "off"}
    context = MirrorContext(Decision(Mode.DRY_RUN), settings=Settings.load({}, databases=databases))
    with entered(context):
        peer.orders.create(note="own")
        with connections[peer.alias].cursor() as cursor:
            cursor.execute("INSERT INTO orders (note) VALUES ('own, too')")
    context.end()
    assert peer.orders.count() - before == (2 if own else 0)
    assert bool(context.ledger.effects) is not own


@pytest.mark.parametrize("database", [OnMariadb], indirect=True)
def test_its_mysql_backend_on_any_other_driver_gets_no_connection(
    peer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pymysql, "__name__", "MySQLdb")
    before = peer.look()
    with entered(MirrorContext(Decision(Mode.DRY_RUN))) as context:
        with pytest.raises(EffectRefusedError, match="Django's mysql backend"):
            peer.orders.create(note="refused")
        context.end()
    assert peer.look() == before


ON_PSYCOPG2 = """
import importlib.abc, sys
class Absent(importlib.abc.MetaPathFinder):  # Django prefers it
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "psycopg":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import psycopg2
import django
from django.conf import settings
host = sys.argv[1]
settings.configure(USE_TZ=True, DATABASES={"default": {
    "ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "postgres", "HOST": host,
    "CONN_MAX_AGE": 600,
}})
django.setup()
from django.db import IntegrityError, connection, models, transaction
from mirrorproof import install_guards
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode

class Order(models.Model):
    note = models.TextField()
    class Meta:
        app_label, db_table = "shop", "on_psycopg2"

def write():
    order = Order.objects.create(note="new")
    with transaction.atomic():
        Order.objects.filter(pk=order.pk).update(note="changed")
        try:
            with transaction.atomic():
                Order.objects.create(pk=order.pk, note="twice")
        except IntegrityError:
            pass
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM on_psycopg2 WHERE id = %s", [order.pk])
        cursor.execute("INSERT INTO on_psycopg2 (note) VALUES ('left')")
    assert Order.objects.get().note == "left"

if sys.argv[2] == "guarded":
    install_guards("django", "psycopg2")
    connection.ensure_connection()  # a live one, which the thread keeps
    with entered(MirrorContext(Decision(Mode.DRY_RUN))) as context:
        write()
        kept = [(each.kind, str(each.outcome)) for each in context.ledger]
        context.end()
    print(kept)
    assert Order.objects.count() == 0
    with entered(MirrorContext(Decision(Mode.LIVE))) as context:
        write()
        assert [each.digest for each in context.ledger]
else:
    write()
assert isinstance(connection.connection, psycopg2.extensions.connection)
"""


@pytest.mark.parametrize("how", ["guarded", "unguarded"])
def test_on_psycopg2_it_is_as_on_psycopg(postgres_url: str, how: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("CREATE TABLE on_psycopg2 (id serial PRIMARY KEY, note text)")
        host = admin.info.host
        run = subprocess.run(
            [sys.executable, "-c", ON_PSYCOPG2, host, how], capture_output=True, text=True, check=False
        )
        left = admin.execute("SELECT note FROM on_psycopg2").fetchall()
        admin.execute("DROP TABLE on_psycopg2")
    assert run.returncode == 0, run.stderr
    assert left == [("left",)]  # written by the live one
    if how == "guarded":
        assert run.stdout.count("suppressed") == 4
