"""The stack of savepoints: what is run, and which effects have happened, for any order of ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mirrorproof.guards.sql.levels import Levels


def test_one_transaction_is_one_savepoint():
    levels = Levels()
    assert levels.open("a") == ["SAVEPOINT mirrorproof_1"]
    levels.stack[0].effects.append("insert")
    assert levels.release(levels.stack[0]) == (["RELEASE SAVEPOINT mirrorproof_1"], ["insert"])
    assert levels.stack == []


def test_a_rollback_forgets_its_effects():
    levels = Levels()
    levels.open("a")
    level = levels.stack[0]
    level.effects.append("insert")
    assert levels.rollback(level) == [
        "ROLLBACK TO SAVEPOINT mirrorproof_1",
        "RELEASE SAVEPOINT mirrorproof_1",
    ]
    assert level.effects == []


def test_a_savepoint_gives_its_effects_to_the_transaction_when_it_is_released():
    levels = Levels()
    levels.open("a")
    levels.open("a", "inner")
    inner = levels.find("a", "inner")
    inner.effects.append("insert")
    assert levels.release(inner)[1] == []
    assert levels.release(levels.find("a", ""))[1] == ["insert"]


def test_rolling_back_to_a_savepoint_keeps_it():
    levels = Levels()
    levels.open("a")
    levels.open("a", "inner")
    inner = levels.find("a", "inner")
    assert levels.rollback(inner, keep=True) == ["ROLLBACK TO SAVEPOINT mirrorproof_2"]
    assert levels.find("a", "inner") is inner


def test_a_commit_below_another_transaction_waits_for_it():
    levels = Levels()
    levels.open("a")
    levels.open("b")
    lower, upper = levels.stack
    lower.effects.append("insert")
    assert levels.release(lower) == ([], ["insert"])
    assert levels.release(upper)[0] == ["RELEASE SAVEPOINT mirrorproof_1"]


def test_a_reader_that_rolls_back_below_a_writer_disturbs_nobody():
    levels = Levels()
    levels.open("reader")
    levels.open("writer")
    levels.stack[1].wrote = True
    assert levels.rollback(levels.stack[0]) == []
    assert levels.lost == set()


def test_a_writer_that_rolls_back_below_a_reader_opens_the_reader_again():
    levels = Levels()
    levels.open("writer")
    levels.open("reader")
    levels.stack[0].wrote = True
    assert levels.rollback(levels.stack[0]) == [
        "ROLLBACK TO SAVEPOINT mirrorproof_1",
        "RELEASE SAVEPOINT mirrorproof_1",
        "SAVEPOINT mirrorproof_2",
    ]
    assert levels.lost == set()
    assert [level.owner for level in levels.stack] == ["reader"]


def test_a_writer_that_rolls_back_below_a_writer_takes_its_work_along_and_says_so():
    levels = Levels()
    levels.open("a")
    levels.open("b")
    for level in levels.stack:
        level.wrote = True
    levels.rollback(levels.stack[0])
    assert levels.lost == {"b"}


def test_what_failed_is_undone_even_if_it_only_read():
    levels = Levels()
    levels.open("a")
    levels.open("b")
    assert levels.rollback(levels.stack[0], force=True)[0] == "ROLLBACK TO SAVEPOINT mirrorproof_1"


class Server:
    """What a database makes of savepoints: names on a stack, and an error for one that is not there."""

    def __init__(self):
        self.names = []

    def run(self, statements):
        for statement in statements:
            name = statement.rpartition(" ")[2]
            if statement.startswith("SAVEPOINT"):
                self.names.append(name)
                continue
            at = self.names.index(name)
            del self.names[at + (1 if statement.startswith("ROLLBACK") else 0) :]


STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["open", "write", "commit", "rollback"])))


@given(STEPS)
def test_the_servers_stack_and_ours_always_agree(steps):
    levels, server = Levels(), Server()
    for owner, step in steps:
        level = levels.find(owner, "")
        if step == "open" and level is None:
            server.run(levels.open(owner))
        elif step == "write" and level is not None:
            level.wrote = True
        elif step == "commit" and level is not None:
            server.run(levels.release(level)[0])
        elif step == "rollback" and level is not None:
            server.run(levels.rollback(level))
        assert server.names == [each.name for each in levels.stack]
    for owner in "abc":
        if (level := levels.find(owner, "")) is not None:
            server.run(levels.release(level)[0])
    assert server.names == []


@given(STEPS)
def test_an_owner_never_loses_its_transaction_to_another(steps):
    levels, open_now = Levels(), set()
    for owner, step in steps:
        level = levels.find(owner, "")
        assert (level is not None) == (owner in open_now)
        if step == "open" and level is None:
            levels.open(owner)
            open_now.add(owner)
        elif step == "write" and level is not None:
            level.wrote = True
        elif step in ("commit", "rollback") and level is not None:
            levels.release(level) if step == "commit" else levels.rollback(level)
            open_now.discard(owner)
