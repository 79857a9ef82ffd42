"""What a guard puts in a client's place is pickled and copied as what it stands for is."""

from __future__ import annotations

import asyncio
import asyncio.tasks
import copy
import importlib
import pickle
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis
import requests

from mirrorproof import install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.guards import installed_guards, offered_guards
from mirrorproof.guards.wrapping import wrap


@pytest.fixture(autouse=True)
def guards() -> Iterator[None]:
    for guard in offered_guards().values():
        with suppress(ImportError):  # not every version of a client has every module
            importlib.import_module(guard.module)
    install_guards()
    yield
    uninstall_guards()


def works(call: Any, *args: Any) -> bool:
    try:
        call(*args)
    except Exception:
        return False
    return True


def again(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))


def test_whatever_could_be_pickled_and_copied_without_the_guards_can_be_with_them() -> None:
    places = [
        (owner, name)
        for guard in installed_guards().values()
        for owner, name, _ in guard.__dict__.get("_replaced", ())
    ]
    ways = (again, copy.copy, copy.deepcopy)
    guarded = {(way, *place): works(way, getattr(*place)) for place in places for way in ways}
    uninstall_guards()
    lost = [each for each, could in guarded.items() if not could and works(each[0], getattr(*each[1:]))]
    assert lost == []
    assert len(places) > 200


def test_a_bound_method_is_pickled_and_copied_with_its_object_and_guarded_where_it_comes_to() -> None:
    session = requests.Session()
    session.headers["a"] = "b"
    for method in (again(session.send), copy.deepcopy(session.send)):
        assert method.__self__.headers["a"] == "b"
        assert method.__self__ is not session
    assert copy.copy(session.send).__self__ is session
    assert again(session).headers["a"] == "b"
    client = redis.Redis(port=1)
    assert copy.copy(client.execute_command).__self__ is client
    execute = again(redis.Redis.execute_command)
    with entered(MirrorContext(Decision(Mode.DRY_RUN))) as context:
        assert execute(client, "SET", "a", "b") is True
    assert [effect.kind for effect in context.ledger] == ["redis.set"]


def test_what_is_pickled_with_guards_is_the_clients_own_without_them() -> None:
    pickled = [pickle.dumps(each) for each in (asyncio.wait_for, redis.Redis.execute_command)]
    assert b"mirrorproof" not in b"".join(pickled)
    uninstall_guards()
    assert list(map(pickle.loads, pickled)) == [asyncio.wait_for, redis.Redis.execute_command]


class Client:
    """A client with every kind of method."""

    def plain(self) -> str:
        return "plain"

    @classmethod
    def of_class(cls) -> str:
        return "of_class"

    @staticmethod
    def static() -> str:
        return "static"


class Derived(Client):
    """A user's own."""


@pytest.mark.parametrize("name", ["plain", "of_class", "static"])
def test_every_kind_of_method_is_called_through_the_wrapper_after_it_was_pickled(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Client, name, vars(Client)[name])  # put back at the end
    wrap(Client, name, lambda wrapped, instance, args, kwargs: "guarded " + wrapped(*args, **kwargs))
    for method in (getattr(Client(), name), getattr(Derived(), name)):
        assert again(method)() == copy.deepcopy(method)() == copy.copy(method)() == f"guarded {name}"
