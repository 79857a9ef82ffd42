"""Guards in general: found by entry point, installed once, asked before each effect."""

from __future__ import annotations

import asyncio
import importlib
import logging
import smtplib  # noqa: F401 - the client of `Mail` is imported already
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from mirrorproof import Guard, Settings, guards, install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, admitted, entered, set_process_context
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError, LateEffectError, ReadOnlyError
from mirrorproof.exchange import Outcome
from mirrorproof.guards import installed_guards
from mirrorproof.guards.acting import CONSUME, Write, perform
from mirrorproof.rulings import Where

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


def test_a_client_is_wrapped_once_it_is_imported_and_not_imported_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "client_of_mirrorproof.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(Mail, "module", "client_of_mirrorproof")
    assert install_guards("mail") == ["mail"]
    assert CALLS == []
    assert "client_of_mirrorproof" not in sys.modules
    importlib.import_module("client_of_mirrorproof")
    assert CALLS == ["install"]
    assert installed_guards()["mail"].active


def test_a_client_that_is_imported_after_its_guard_was_taken_out_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "other_client_of_mirrorproof.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(Mail, "module", "other_client_of_mirrorproof")
    install_guards("mail")
    uninstall_guards()
    importlib.import_module("other_client_of_mirrorproof")
    assert CALLS == []


@pytest.mark.parametrize(
    ("low", "high", "warned"),
    [("8.3", "9", False), ("1.0", "999", False), ("1.0", "2.3", True), ("998", "999", True)],
)
def test_a_version_that_was_never_tried_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, low: str, high: str, warned: bool
) -> None:
    monkeypatch.setattr(Mail, "distribution", "pytest")
    monkeypatch.setattr(Mail, "tested", (low, high))
    with caplog.at_level(logging.WARNING, "mirrorproof"):
        install_guards("mail")
    assert ("the guard mail was tried with pytest" in caplog.text) is warned


def test_a_primary_starts_without_a_guard_that_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    point = EntryPoint("broken", f"{__name__}:Broken", guards.ENTRY_POINT_GROUP)
    monkeypatch.setattr(guards, "entry_points", lambda group: [point])
    assert install_guards(strict=False) == []
    assert "the guard broken does not fit its client" in caplog.text


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


WRITE = Write("k", "t", {"n": 1})


def done_in(context: MirrorContext) -> str:
    """What becomes of a write there."""
    with entered(context):
        return perform(WRITE, lambda: "done", lambda: "stub")


@pytest.mark.parametrize(
    ("mode", "answer", "outcomes"),
    [
        (Mode.LIVE, "done", [Outcome.EXECUTED]),
        (Mode.OBSERVE, "done", [Outcome.EXECUTED]),
        (Mode.DRY_RUN, "stub", [Outcome.SUPPRESSED]),
    ],
)
def test_an_effect_happens_or_is_answered_by_the_mode(
    mode: Mode, answer: str, outcomes: list[Outcome]
) -> None:
    context = in_mode(mode)
    assert done_in(context) == answer
    assert [(effect.outcome, effect.summary) for effect in context.ledger] == [
        (outcome, "k t (n=1)") for outcome in outcomes
    ]


@pytest.mark.parametrize("mode", [Mode.LIVE, Mode.DRY_RUN])
def test_effects_beyond_the_ledger_are_counted_and_not_put_into_words(
    mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = in_mode(mode, max_effects=2)
    for _ in range(2):
        done_in(context)
    monkeypatch.setattr(Write, "line", lambda *_: pytest.fail("was put into words"))
    for _ in range(3):
        done_in(context)
    assert (len(context.ledger), context.ledger.lost) == (2, 3)


def test_an_effect_that_is_refused_raises() -> None:
    with pytest.raises(ReadOnlyError):
        done_in(in_mode(Mode.READ_ONLY))
    late = in_mode(Mode.DRY_RUN)
    late.end()
    with pytest.raises(LateEffectError):
        done_in(late)


def test_without_a_request_or_observing_it_happens_and_nothing_is_recorded() -> None:
    assert perform(WRITE, lambda: "done", lambda: "stub") == "done"
    quiet = in_mode(Mode.LIVE, observe_effects=False)
    assert done_in(quiet) == "done"
    assert len(quiet.ledger) == 0


RULES: list[dict[str, Any]] = [
    {"kind": "queue.*", "queue": "audit", "action": "allow"},
    {"table": "orders", "action": "block"},
    {"kind": "k", "target": "canned", "returns": {"id": 7}},
]


def with_rules(write: Write, mode: Mode = Mode.DRY_RUN) -> tuple[MirrorContext, Any]:
    context = MirrorContext(Decision(mode), settings=Settings.load(env={}, effect_rules=RULES))
    with entered(context):
        return context, perform(write, lambda: "done", lambda: "stub")


def test_an_allowed_effect_happens_and_is_recorded_as_executed() -> None:
    for mode in (Mode.DRY_RUN, Mode.READ_ONLY):
        context, answer = with_rules(Write("queue.publish", "audit", where=Where(queue="audit")), mode)
        assert (answer, [e.outcome for e in context.ledger]) == ("done", [Outcome.EXECUTED])
    assert with_rules(Write("queue.publish", "orders", where=Where(queue="orders")))[1] == "stub"


def test_a_blocked_effect_raises_and_is_recorded_as_blocked() -> None:
    with pytest.raises(EffectRefusedError, match="a rule"):
        with_rules(Write("sql.insert", "orders", where=Where(table="orders")))


def test_a_rule_says_what_a_suppressed_call_returns() -> None:
    context, answer = with_rules(Write("k", "canned"))
    assert (answer, [e.outcome for e in context.ledger]) == ({"id": 7}, [Outcome.SUPPRESSED])


def test_what_an_admitted_call_uses_is_not_judged_again_and_what_it_starts_is() -> None:
    context = in_mode(Mode.DRY_RUN)
    seen: list[str] = []

    async def main() -> None:
        async def callback() -> None:
            seen.append(perform(WRITE, lambda: "done", lambda: "stub"))

        with entered(context), admitted():
            await callback()
            await asyncio.create_task(callback())
            await asyncio.to_thread(lambda: seen.append(perform(WRITE, lambda: "done", lambda: "stub")))
        with entered(context):
            await callback()

    asyncio.run(main())
    assert seen == ["done", "stub", "stub", "stub"]


class Client:
    """A client library."""

    def send(self, text: str) -> str:
        return "sent " + text

    async def send_async(self, text: str) -> str:
        return "sent " + text


class OfClient(Mail):
    def install(self) -> None:
        def describe(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Write | None:
            return None if args[0] == "read" else Write("client.send", args[0].lower())

        self.guard(Client, "send", describe, lambda *_: "stub")
        self.guard(Client, "send_async", describe, lambda *_: "stub")


@pytest.fixture
def client() -> Iterator[Client]:
    guard = OfClient()
    guard.install()
    yield Client()
    Guard.uninstall(guard)


def test_a_guarded_method_reads_writes_or_is_answered(client: Client) -> None:
    assert client.send("a") == "sent a"
    with entered(in_mode(Mode.DRY_RUN)) as context:
        assert [client.send("a"), client.send("read")] == ["stub", "sent read"]
        assert asyncio.run(client.send_async("a")) == "stub"
    assert [effect.target for effect in context.ledger] == ["a", "a"]


def test_a_guarded_coroutine_function_reads_writes_or_is_answered(client: Client) -> None:
    async def main() -> list[str]:
        with entered(in_mode(Mode.DRY_RUN)):
            return [await client.send_async("a"), await client.send_async("read")]

    assert asyncio.run(main()) == ["stub", "sent read"]


def test_a_mirrored_call_that_cannot_be_described_is_refused_and_a_live_one_is_made(client: Client) -> None:
    class Odd:
        def __add__(self, other: str) -> str:
            return "odd"

        __radd__ = __add__

    with entered(in_mode(Mode.DRY_RUN)), pytest.raises(EffectRefusedError, match="does not understand"):
        client.send(Odd())  # type: ignore[arg-type]
    with entered(in_mode(Mode.LIVE)) as live:
        assert client.send(Odd()) == "odd"  # type: ignore[arg-type]
    assert live.counters["observer_errors"] == 1


def test_a_shadow_says_once_which_queue_it_does_not_consume(caplog: pytest.LogCaptureFixture) -> None:
    set_process_context(Settings.load(env={}, role="shadow"))
    with caplog.at_level(logging.WARNING, "mirrorproof"):
        for _ in range(3):
            assert perform(Write(CONSUME, "jobs of this test"), lambda: "message", lambda: None) is None
    assert caplog.text.count("takes no messages from jobs of this test") == 1


class Heir(Client):
    """Has the method from its base class."""


def test_an_inherited_method_is_wrapped_on_its_heir_and_unwrapped_again() -> None:
    guard = OfClient()
    guard.wrap(Heir, "send", lambda wrapped, *_: "wrapped")
    assert (Heir().send("a"), Client().send("a")) == ("wrapped", "sent a")
    Guard.uninstall(guard)
    assert Heir().send("a") == "sent a"
    assert "send" not in vars(Heir)


IMPORTED = (
    "aiohttp", "aiokafka", "aio_pika", "aiosmtplib", "amqp", "asyncpg", "boto3", "celery", "confluent_kafka",
    "django.db", "grpc", "httpx", "kombu", "nats", "pika", "psycopg", "psycopg2", "psycopg_pool", "pymongo",
    "redis", "requests", "smtplib", "sqlalchemy",
)  # fmt: skip


@pytest.mark.parametrize("client", IMPORTED)
def test_a_client_can_be_imported_after_the_guards_in_a_new_process(client: str) -> None:
    program = f"from mirrorproof import install_guards; install_guards(); import {client}"
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
