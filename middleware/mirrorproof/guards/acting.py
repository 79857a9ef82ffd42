"""Doing what the context says about one call of a client: let it happen, answer in its place, refuse it.

Theory of operation. A guard *describes* a call: `None` for a read, a `Write` for an effect. `perform` asks
the current context and then calls the client, or the guard's stub, or raises. A call that is let through
is `admitted`, so that the guards of what the client itself uses (boto3 uses urllib3) do not judge it again.
A mirrored call that cannot be described is refused; a live one is made, and the failure is counted.

Knows effects in general. Must not know any one client.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from msgspec import UNSET

from mirrorproof.context import Action, MirrorContext, Ruling, admitted, current, inside_effect
from mirrorproof.errors import EffectRefusedError
from mirrorproof.exchange import Outcome
from mirrorproof.failsafe import failsafe
from mirrorproof.ledger import digest_of
from mirrorproof.redaction import Redactor
from mirrorproof.rulings import NOWHERE, Where
from mirrorproof.wording import readable

__all__ = [
    "CONSUME",
    "Describe",
    "Stub",
    "Write",
    "acting",
    "acting_async",
    "admit",
    "perform",
    "perform_async",
    "refuse_unanswered",
]

T = TypeVar("T")
Describe = Callable[[Any, tuple[Any, ...], dict[str, Any]], "Write | None"]
"""(instance, args, kwargs) of a call → what it would change, `None` for a read. Pure and quick."""
Stub = Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]
"""(instance, args, kwargs) of a suppressed call → what the client's users get on success, in its own types.
For a coroutine function it may be one itself."""

CONSUME: Final = "queue.consume"
"""Kind of taking a message from a queue: an effect, since v1 would miss the message."""

_log = logging.getLogger("mirrorproof")
_announced: set[str] = set()
_MAX_ANNOUNCED: Final = 100


@dataclass(frozen=True, slots=True)
class Write:
    """What a call would change.

    `kind` is dotted (`redis.set`), `target` what would change (`key orders:7`), `payload` anything JSON-like
    that equal effects have in common: the digest is made of these three. `summary`, for the ledger, is made
    of them too unless it is given, redacted. `where` is what rules can name.
    """

    kind: str
    target: str
    payload: Any = None
    summary: str | None = None
    where: Where = NOWHERE

    @property
    def digest(self) -> str:
        """Equal for equal effects."""
        return digest_of(self.kind, self.target, self.payload)

    def line(self, redact: tuple[str, ...]) -> str:
        """The summary."""
        if self.summary is not None:
            return self.summary
        words = readable(self.payload, Redactor.shared(redact))
        return f"{self.kind} {self.target}{f' ({words})' if words else ''}"


def admit(context: MirrorContext | None, write: Write) -> Ruling:
    """Ask and record: `EXECUTE` where the call may happen, `SUPPRESS` where it is answered; raises otherwise.

    Raises `ReadOnlyError`, `LateEffectError` or `EffectRefusedError`. `OBSERVE` is left to the caller to
    record, once the call has succeeded: `perform` does.
    """
    if context is None:
        return Ruling(Action.EXECUTE)
    ruling = context.ruling(write.kind, write.target, write.where)
    if ruling.action is Action.REFUSE:
        context.refuse(write.kind, write.target, write.line(context.settings.redact), write.digest)
    if ruling.action is Action.SUPPRESS:
        _record(context, write, Outcome.SUPPRESSED)
        if write.kind == CONSUME and not context.in_request:
            _announce(write)
    return ruling


def perform(write: Write | None, run: Callable[[], T], stub: Callable[[], T]) -> T:
    """`run()` or `stub()`, as the context says of `write`; `None` is a read. Raises what `admit` raises.

    A rule's `returns` stands in for what the stub would return.
    """
    context = current()
    if context is None:
        return run()
    if write is None:
        with admitted():
            return run()
    ruling = admit(context, write)
    if ruling.action is Action.SUPPRESS:
        return stub() if ruling.rule is None or ruling.rule.returns is UNSET else cast(T, ruling.rule.returns)
    if ruling.action is Action.EXECUTE:
        return run()
    words = _words(context, write)
    with inside_effect(allowed=True):
        result = run()
    _observed(context, words)
    return result


async def perform_async(write: Write | None, run: Callable[[], Awaitable[T]], stub: Callable[[], Any]) -> T:
    """`perform` for a coroutine function; what `stub` returns is awaited where it can be."""
    context = current()
    if context is None:
        return await run()
    if write is None:
        with admitted():
            return await run()
    ruling = admit(context, write)
    if ruling.action is Action.SUPPRESS:
        if ruling.rule is not None and ruling.rule.returns is not UNSET:
            return cast(T, ruling.rule.returns)
        answer = stub()
        return cast(T, await answer if isinstance(answer, Awaitable) else answer)
    if ruling.action is Action.EXECUTE:
        return await run()
    words = _words(context, write)
    with inside_effect(allowed=True):
        result = await run()
    _observed(context, words)
    return result


def acting(describe: Describe, stub: Stub) -> Callable[..., Any]:
    """A wrapper (as wrapt's) of a method: `perform` with what `describe` says of each call."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        context = current()
        if context is None:
            return wrapped(*args, **kwargs)
        understood, write = _described(context, describe, instance, args, kwargs)
        if not understood:
            return wrapped(*args, **kwargs)
        return perform(write, lambda: wrapped(*args, **kwargs), lambda: stub(instance, args, kwargs))

    return wrapper


def acting_async(describe: Describe, stub: Stub) -> Callable[..., Any]:
    """The same for a coroutine function, or a function that returns an awaitable."""

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        context = current()
        if context is None:
            return await wrapped(*args, **kwargs)
        understood, write = _described(context, describe, instance, args, kwargs)
        if not understood:
            return await wrapped(*args, **kwargs)
        return await perform_async(
            write, lambda: wrapped(*args, **kwargs), lambda: stub(instance, args, kwargs)
        )

    return wrapper


def refuse_unanswered(write: Write) -> None:
    """For a client in whose place nothing here can answer: refuse what it would do in a mirrored request.

    Returns where the call may be made: outside a request, in a live one (whose effects are then not whole),
    and where a rule allows it. Raises `EffectRefusedError`, recorded as blocked.
    """
    context = current()
    if context is None:
        return
    ruling = context.ruling(write.kind, write.target, write.where)
    if ruling.action in (Action.EXECUTE, Action.OBSERVE):
        if not context.mirrored:
            context.unobserved = True
        elif ruling.action is Action.OBSERVE:
            _record(context, write, Outcome.EXECUTED)
        return
    if ruling.action is Action.REFUSE:
        context.refuse(write.kind, write.target, write.line(context.settings.redact), write.digest)
    _record(context, write, Outcome.BLOCKED)
    raise EffectRefusedError(
        f"{write.kind} {write.target}: refused in a mirrored request, since mirrorproof cannot answer in "
        "this client's place yet; a rule in `effect_rules` may allow it"
    )


def _described(
    context: MirrorContext, describe: Describe, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[bool, Write | None]:
    """Whether the call is understood, and what it would change."""
    if not context.mirrored:
        told: list[Write | None] = []
        failsafe("describe a call", context.counters, lambda: told.append(describe(instance, args, kwargs)))
        return bool(told), told[0] if told else None
    try:
        return True, describe(instance, args, kwargs)
    except EffectRefusedError:
        raise
    except Exception as error:
        raise EffectRefusedError(
            f"mirrorproof does not understand a call of {type(instance).__qualname__}, so a mirrored request "
            f"may not make it: {error!r}"
        ) from error


def _words(context: MirrorContext, write: Write) -> tuple[str, str, str, str] | None:
    # Before the call: the client may change its arguments.
    return failsafe("describe an effect", context.counters, _told, context, write)


def _told(context: MirrorContext, write: Write) -> tuple[str, str, str, str]:
    if not context.ledger.room:  # it will be counted only
        return write.kind, write.target, "", ""
    return write.kind, write.target, write.line(context.settings.redact), write.digest


def _observed(context: MirrorContext, words: tuple[str, str, str, str] | None) -> None:
    if words is not None:
        context.record(*words, Outcome.EXECUTED)


def _record(context: MirrorContext, write: Write, outcome: Outcome) -> None:
    context.record(*_told(context, write), outcome)


def _announce(write: Write) -> None:
    if write.target not in _announced and len(_announced) < _MAX_ANNOUNCED:
        _announced.add(write.target)
        _log.warning(
            "mirrorproof: this process serves mirrors only, so it takes no messages from %s, which v1 needs; "
            "to let it, add a rule to `effect_rules`: kind = %r, queue = …, action = \"allow\"",
            write.target, write.kind,
        )  # fmt: skip
