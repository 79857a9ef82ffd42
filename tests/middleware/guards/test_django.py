"""Django's ORM: what the matrix does not say."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from clients.django_orm import DjangoPeer, OnPostgres, OnSqlite, Order
from clients.servers import Unavailable
from django.db import connections, transaction

from mirrorproof import install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.settings import Settings


@pytest.fixture(scope="module", params=[OnPostgres, OnSqlite])
def started(request: pytest.FixtureRequest) -> Iterator[Any]:
    try:
        made = request.param()
    except Unavailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    yield made
    made.stop()


@pytest.fixture
def peer(started: Any) -> Iterator[DjangoPeer]:
    install_guards()
    yield started
    started.close()
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
    before = len(peer.look())
    name = connections.settings[peer.alias]["NAME"]
    databases = {f"*/{name}" if own else "*/elsewhere": "off"}
    context = MirrorContext(Decision(Mode.DRY_RUN), settings=Settings.load({}, databases=databases))
    with entered(context):
        peer.orders.create(note="own")
        with connections[peer.alias].cursor() as cursor:
            cursor.execute("INSERT INTO orders (note) VALUES ('own, too')")
    context.end()
    assert len(peer.look()) - before == (2 if own else 0)
    assert bool(context.ledger.effects) is not own
