"""`side_effect`, as a decorator and as a context manager, in every mode."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import Any

import pytest

from mirrorproof import Settings, side_effect
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import LateEffectError, ReadOnlyError
from mirrorproof.exchange import Effect, Outcome

SECRET = "hunter2"


def in_mode(mode: Mode, **settings: Any) -> MirrorContext:
    return MirrorContext(Decision(mode), settings=Settings(**settings))


def the_effect(context: MirrorContext) -> Effect:
    (effect,) = context.ledger
    return effect


class Mailer:
    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    @side_effect("mail.send", "smtp", returns="stub")
    def send(self, to: str, subject: str = "hi") -> str:
        """Send a mail."""
        self.sent.append((to, subject))
        return "real"

    @side_effect("mail.send", "smtp", returns=lambda self, to, subject="hi": f"stub for {to}")
    async def send_async(self, to: str, subject: str = "hi") -> str:
        await asyncio.sleep(0)
        self.sent.append((to, subject))
        return "real"


def test_outside_any_request_the_function_just_runs() -> None:
    mailer = Mailer()
    assert mailer.send("a@b") == "real"
    assert mailer.sent == [("a@b", "hi")]
    assert Mailer.send.__doc__ == "Send a mail."


@pytest.mark.parametrize(
    ("mode", "answer", "sent", "outcome"),
    [
        (Mode.LIVE, "real", 1, Outcome.EXECUTED),
        (Mode.OBSERVE, "real", 1, Outcome.EXECUTED),
        (Mode.DRY_RUN, "stub", 0, Outcome.SUPPRESSED),
    ],
)
async def test_a_decorated_function_runs_or_is_answered_for_by_the_mode(
    mode: Mode, answer: str, sent: int, outcome: Outcome
) -> None:
    for is_async in (False, True):
        mailer, context = Mailer(), in_mode(mode)
        with entered(context):
            got = await mailer.send_async("a@b") if is_async else mailer.send("a@b")
        assert got.startswith(answer)
        assert len(mailer.sent) == sent
        assert (the_effect(context).kind, the_effect(context).target) == ("mail.send", "smtp")
        assert the_effect(context).outcome is outcome


async def test_read_only_refuses_and_names_the_effect() -> None:
    mailer, context = Mailer(), in_mode(Mode.READ_ONLY)
    with entered(context):
        with pytest.raises(ReadOnlyError, match=r"mail\.send smtp"):
            mailer.send("a@b")
        with pytest.raises(ReadOnlyError):
            await mailer.send_async("a@b")
        with pytest.raises(ReadOnlyError), side_effect("mail.send", "smtp"):
            raise AssertionError("it ran")
    assert mailer.sent == []
    assert [effect.outcome for effect in context.ledger] == [Outcome.BLOCKED] * 3


async def test_after_the_end_of_a_mirrored_request_an_effect_is_refused() -> None:
    mailer, context = Mailer(), in_mode(Mode.DRY_RUN)
    context.end()
    with entered(context):
        with pytest.raises(LateEffectError):
            mailer.send("a@b")
        with pytest.raises(LateEffectError):
            await mailer.send_async("a@b")
    assert mailer.sent == []
    assert context.counters["effects_late"] == 2


def test_a_live_request_that_has_ended_may_still_act() -> None:
    mailer, context = Mailer(), in_mode(Mode.LIVE)
    context.end()
    with entered(context):
        assert mailer.send("a@b") == "real"


def test_suppressed_and_executed_calls_with_equal_arguments_have_equal_digests() -> None:
    contexts = in_mode(Mode.LIVE), in_mode(Mode.DRY_RUN)
    for context in contexts:
        with entered(context):
            Mailer().send("a@b", subject="hello")
    with entered(in_mode(Mode.DRY_RUN)) as by_position:
        Mailer().send("a@b", "hello")
    with entered(in_mode(Mode.DRY_RUN)) as other:
        Mailer().send("a@b", "bye")
    assert the_effect(contexts[0]).digest == the_effect(contexts[1]).digest
    assert the_effect(by_position).digest == the_effect(contexts[0]).digest
    assert the_effect(other).digest != the_effect(contexts[0]).digest
    assert the_effect(contexts[0]).summary == the_effect(contexts[1]).summary


def test_objects_among_the_arguments_do_not_make_digests_differ() -> None:
    class Session:
        pass

    @side_effect("db.write")
    def write(session: Session, row: int) -> None: ...

    digests = set()
    for _ in range(3):
        with entered(in_mode(Mode.DRY_RUN)) as context:
            write(Session(), 1)
        digests.add(the_effect(context).digest)
        assert " at 0x" not in the_effect(context).summary
    assert len(digests) == 1


def test_the_target_is_the_functions_name_unless_one_is_given() -> None:
    @side_effect("file.append")
    def append() -> None: ...

    with entered(in_mode(Mode.DRY_RUN)) as context:
        append()
    assert the_effect(context).target.endswith("append")


def test_without_returns_a_suppressed_call_answers_none_and_with_one_what_it_says() -> None:
    answers = [None, 0, "", False, {"id": 1}]
    with entered(in_mode(Mode.DRY_RUN)):
        for answer in answers:
            assert side_effect("k", returns=answer)(lambda: "real")() == answer
        assert side_effect("k", returns=lambda n: n + 1)(lambda n: n)(1) == 2


async def test_an_async_stand_in_is_awaited() -> None:
    async def stand_in(n: int) -> int:
        return n + 1

    @side_effect("k", returns=stand_in)
    async def real(n: int) -> int:
        return n

    with entered(in_mode(Mode.DRY_RUN)):
        assert await real(1) == 2


def test_wrong_arguments_are_the_same_error_in_every_mode() -> None:
    for mode in (Mode.LIVE, Mode.DRY_RUN, Mode.READ_ONLY):
        with entered(in_mode(mode)) as context, pytest.raises(TypeError, match="nonsense"):
            Mailer().send("a@b", nonsense=1)  # type: ignore[call-arg]
        assert len(context.ledger) == 0


def test_a_generator_cannot_be_decorated() -> None:
    def numbers() -> Any:
        yield 1

    async def async_numbers() -> Any:
        yield 1

    for function in (numbers, async_numbers):
        with pytest.raises(TypeError, match="with"):
            side_effect("k")(function)


@pytest.mark.parametrize(("mode", "live"), [(Mode.LIVE, True), (Mode.OBSERVE, True), (Mode.DRY_RUN, False)])
async def test_a_with_block_is_told_whether_it_may_act(mode: Mode, live: bool) -> None:
    with entered(in_mode(mode)) as context:
        with side_effect("file.append", "list", payload={"order": 17}) as effect:
            assert effect.live is live
        async with side_effect("file.append", "list", payload={"order": 17}) as effect:
            assert effect.live is live
    first, second = context.ledger
    assert first == second
    assert "order=17" in first.summary


def test_outside_requests_a_with_block_may_act() -> None:
    with side_effect("file.append") as effect:
        assert effect.live


def test_an_effect_that_raised_is_not_recorded_as_executed_and_the_error_passes() -> None:
    with entered(in_mode(Mode.LIVE)) as context:
        with pytest.raises(OSError, match="full"), side_effect("file.append"):
            raise OSError("full")
        with side_effect("file.append", "next"):
            pass
    assert [effect.target for effect in context.ledger] == ["next"]


def test_an_effect_inside_an_effect_is_recorded_once() -> None:
    with entered(in_mode(Mode.LIVE)) as context:
        with side_effect("mail.send", "outer"):
            Mailer().send("a@b")
        Mailer().send("a@b")
    assert [effect.target for effect in context.ledger] == ["outer", "smtp"]


def test_an_effect_of_a_mirror_inside_a_with_block_is_still_suppressed() -> None:
    mailer = Mailer()
    with entered(in_mode(Mode.DRY_RUN)), side_effect("mail.send", "outer"):
        mailer.send("a@b")
    assert mailer.sent == []


def test_unobserved_live_effects_leave_no_trace() -> None:
    with entered(in_mode(Mode.LIVE, observe_effects=False)) as context:
        assert Mailer().send("a@b") == "real"
    assert len(context.ledger) == 0


async def test_tasks_that_act_at_once_do_not_mute_each_other() -> None:
    async def act(n: int) -> None:
        with side_effect("k", str(n)):
            await asyncio.sleep(0)

    with entered(in_mode(Mode.LIVE)) as context:
        await asyncio.gather(*(act(n) for n in range(20)))
    assert sorted(int(effect.target) for effect in context.ledger) == list(range(20))


@dataclasses.dataclass
class Login:
    user: str
    password: str


@pytest.mark.parametrize(
    "payload",
    [
        {"password": SECRET},
        {"login": {"user": "x", "password": SECRET}},
        {"logins": [{"api_key": SECRET}]},
        {"login": Login("x", SECRET)},
        {"pin": SECRET},
        [{"token": SECRET}],
        Login("x", SECRET),
        {"card": "4111 1111 1111 1111"},
        {"note": "pay 4111111111111111"},
    ],
)
def test_secrets_are_in_no_summary_however_deep_they_lie(payload: Any) -> None:
    with entered(in_mode(Mode.DRY_RUN, redact=("pin",))) as context, side_effect("k", payload=payload):
        pass
    assert SECRET not in the_effect(context).summary
    assert "1111" not in the_effect(context).summary
    assert "[redacted]" in the_effect(context).summary


def test_a_summary_of_ones_own_is_taken_as_it_is() -> None:
    with entered(in_mode(Mode.DRY_RUN)) as context, side_effect("k", payload={"a": 1}, summary="as said"):
        pass
    assert the_effect(context).summary == "as said"


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize("mode", [Mode.LIVE, Mode.DRY_RUN])
def test_a_payload_that_cannot_be_shown_breaks_no_request(mode: Mode) -> None:
    circle: list[Any] = []
    circle.append(circle)
    payloads = [Hostile(), {"x": Hostile()}, circle, {(1, 2): 3}, "\ud800", {"x": "\ud800"}, 10**300, b"\xff"]
    with entered(in_mode(mode)) as context:
        for payload in payloads:
            with side_effect("k", "t", payload=payload) as effect:
                assert effect.live is (mode is Mode.LIVE)
    assert len(context.ledger) == len(payloads)


def test_an_error_while_a_live_effect_is_observed_is_swallowed_counted_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr("mirrorproof.effects.digest_of", lambda *_: 1 / 0)
    with entered(in_mode(Mode.LIVE)) as context, caplog.at_level(logging.ERROR, "mirrorproof"):
        assert Mailer().send("a@b") == "real"
    assert context.counters["observer_errors"] == 1
    assert len(caplog.records) == 1


def test_a_function_that_changes_its_argument_has_one_digest_live_and_mirrored() -> None:
    @side_effect("queue.drain", "jobs")
    def drain(jobs: list[str]) -> None:
        jobs.clear()

    digests = set()
    for mode in (Mode.LIVE, Mode.DRY_RUN):
        context = MirrorContext(Decision(mode))
        with entered(context):
            drain(["a", "b"])
        digests |= {effect.digest for effect in context.ledger}
    assert len(digests) == 1


def test_a_function_that_does_not_tell_its_arguments_can_be_named_as_well() -> None:
    highest = side_effect("answer.find", "max", returns=0)(max)
    assert highest(1, 2) == 2
    context = MirrorContext(Decision(Mode.DRY_RUN))
    with entered(context):
        assert highest(1, 2) == 0
    assert [effect.summary for effect in context.ledger] == ["answer.find max (0=1, 1=2)"]
