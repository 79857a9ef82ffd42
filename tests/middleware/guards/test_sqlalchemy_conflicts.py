"""A mirrored request that meets what v1 has committed first: noted, and told apart from a difference."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.guards.sqlalchemy import SQLAlchemyGuard
from mirrorproof.settings import Settings

metadata = sa.MetaData()
items = sa.Table(
    "claims", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("note", sa.Text)
)


@pytest.fixture(autouse=True)
def guard():
    made = SQLAlchemyGuard()
    made.install()
    yield made
    made.uninstall()


@pytest.fixture(params=["sqlite", "psycopg", "psycopg2", "pymysql"])
def engine(request, tmp_path):
    url = f"sqlite:///{tmp_path}/shop.db"
    if request.param == "pymysql":
        url = request.getfixturevalue("mariadb").url()
    elif request.param != "sqlite":
        url = request.getfixturevalue("postgres_url").replace("postgresql:", f"postgresql+{request.param}:")
    made = sa.create_engine(url)
    metadata.drop_all(made)
    metadata.create_all(made)
    yield made
    metadata.drop_all(made)
    made.dispose()


def serve(engine, mode, *, text=False):
    context = MirrorContext(Decision(mode), settings=Settings())
    with entered(context), engine.connect() as connection:
        try:
            if text:
                connection.connection.cursor().execute("INSERT INTO claims VALUES (1, 'x')")
            else:
                connection.execute(items.insert().values(id=1, note="x"))
            connection.commit()
        except Exception:
            connection.rollback()
    context.end()
    return context


def test_the_same_insert_that_v1_has_committed_is_noted_by_its_digest(engine):
    v1 = serve(engine, Mode.LIVE)
    v2 = serve(engine, Mode.DRY_RUN)
    (made,) = v1.ledger.effects
    assert v2.conflicts == {made.digest}
    assert v2.ledger.effects == []


def test_past_sqlalchemy_it_is_noted_as_well(engine):
    serve(engine, Mode.LIVE)
    assert len(serve(engine, Mode.DRY_RUN, text=True).conflicts) == 1


def test_without_a_conflict_nothing_is_noted(engine):
    assert serve(engine, Mode.DRY_RUN).conflicts == set()
