"""Guards in general: found by entry point, installed once, asked before each effect."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from mirrorproof import Guard, Settings, guards, install_guards, uninstall_guards
from mirrorproof.context import MirrorContext
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import LateEffectError, ReadOnlyError
from mirrorproof.exchange import Outcome
from mirrorproof.guards import admit, installed_guards

CALLS: list[str] = []


class Mail(Guard):
    name, module, covers = "mail", "smtplib", "nothing"

    def install(self) -> None:
        CALLS.append("install")

    def uninstall(self) -> None:
        CALLS.append("uninstall")


class Absent(Mail):
    name, module = "absent", "no_such_client_of_mirrorproof"


class Broken(Mail):
    name = "broken"

    def install(self) -> None:
        raise RuntimeError("client has changed")


@pytest.fixture(autouse=True)
def _points(monkeypatch: pytest.MonkeyPatch) -> None:
    CALLS.clear()
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    points = [
        EntryPoint(kind.name, f"{__name__}:{kind.__name__}", guards.ENTRY_POINT_GROUP) for kind in OFFERED
    ]
    monkeypatch.setattr(guards, "entry_points", lambda group: points)


OFFERED = [Mail, Absent]


def test_every_guard_whose_client_is_there_is_installed_once() -> None:
    assert install_guards() == ["mail"]
    assert install_guards() == install_guards("mail") == ["mail"]
    assert CALLS == ["install"]
    uninstall_guards()
    uninstall_guards()
    assert CALLS == ["install", "uninstall"]
    assert installed_guards() == {}


def test_a_name_that_nobody_offers_is_an_error_that_lists_the_others() -> None:
    with pytest.raises(LookupError, match=r"mial.*absent, mail"):
        install_guards("mail", "mial")
    assert installed_guards() == {}


def test_a_guard_that_cannot_be_installed_fails_loudly_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("broken", f"{__name__}:Broken", guards.ENTRY_POINT_GROUP)
    monkeypatch.setattr(guards, "entry_points", lambda group: [point])
    with pytest.raises(RuntimeError, match="client has changed"):
        install_guards()
    assert installed_guards() == {}


def in_mode(mode: Mode, **settings: Any) -> MirrorContext:
    return MirrorContext(Decision(mode), settings=Settings(**settings))


@pytest.mark.parametrize(
    ("mode", "may", "outcomes"),
    [
        (Mode.LIVE, True, [Outcome.EXECUTED]),
        (Mode.OBSERVE, True, [Outcome.EXECUTED]),
        (Mode.DRY_RUN, False, [Outcome.SUPPRESSED]),
    ],
)
def test_an_effect_is_admitted_and_recorded_by_the_mode(
    mode: Mode, may: bool, outcomes: list[Outcome]
) -> None:
    context = in_mode(mode)
    assert admit(context, "k", "t", "s", "d") is may
    assert [effect.outcome for effect in context.ledger] == outcomes


def test_an_effect_that_is_refused_raises() -> None:
    with pytest.raises(ReadOnlyError):
        admit(in_mode(Mode.READ_ONLY), "k", "t", "s", "d")
    late = in_mode(Mode.DRY_RUN)
    late.end()
    with pytest.raises(LateEffectError):
        admit(late, "k", "t", "s", "d")


def test_without_a_request_or_observing_it_is_admitted_and_nothing_is_recorded() -> None:
    assert admit(None, "k", "t", "s", "d")
    quiet = in_mode(Mode.LIVE, observe_effects=False)
    assert admit(quiet, "k", "t", "s", "d")
    assert len(quiet.ledger) == 0
