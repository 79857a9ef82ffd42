"""`side_effect`: how an application names an effect that no guard can see, and has it stopped.

Knows what to do around one effect of the application's own. Must not know any client library.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast

from mirrorproof.context import Action, MirrorContext, current, inside_effect
from mirrorproof.exchange import Outcome
from mirrorproof.failsafe import failsafe
from mirrorproof.ledger import digest_of
from mirrorproof.redaction import Redactor
from mirrorproof.wording import readable

__all__ = ["EffectScope", "side_effect"]

P = ParamSpec("P")
T = TypeVar("T")


def side_effect(
    kind: str,
    target: str | None = None,
    *,
    payload: Any = None,
    summary: str | None = None,
    returns: Any = None,
) -> EffectScope:
    """An effect of the application's own, as a decorator or a context manager.

    As a decorator (of a plain or an `async` function): inside a mirrored request the function is not
    called, and the caller gets `returns`, or `returns(*args, **kwargs)` where that is callable. The
    ledger's payload is then the call's arguments, unless `payload` is given.

        @side_effect("mail.send", "smtp", returns=True)
        def send_mail(to: str, subject: str) -> bool: ...

    As a context manager (`with` or `async with`): Python cannot skip the body of a `with`, so the body
    asks.

        with side_effect("file.append", "picklist", payload={"order": 17}) as effect:
            if effect.live:
                ...

    `kind` is dotted, `target` names what would change (default: the function's name), `payload` is what
    equal effects have in common (anything JSON-like), `summary` a readable line (default: made of the
    payload). Values under sensitive names are redacted.

    Raises `ReadOnlyError` in mode `read_only` and `LateEffectError` after the response's end.
    """
    return EffectScope(kind, target, payload, summary, returns)


_Words = tuple[str, str, str]
"""Target, summary, digest."""


class EffectScope:
    """What `side_effect` returns. `live` says whether the effect is to happen."""

    def __init__(
        self, kind: str, target: str | None, payload: Any, summary: str | None, returns: Any
    ) -> None:
        self._kind = kind
        self._target = target
        self._payload = payload
        self._summary = summary
        self._returns = returns
        self._observed: tuple[MirrorContext, _Words] | None = None
        self._quiet: AbstractContextManager[None] | None = None
        self.live = True

    def __enter__(self) -> EffectScope:
        context = current()
        target = self._target or self._kind
        action = Action.EXECUTE if context is None else context.action(self._kind, target)
        self.live = action in (Action.EXECUTE, Action.OBSERVE)
        if context is not None and action is Action.REFUSE:
            context.refuse(self._kind, *self._words())
        if context is not None and action is Action.SUPPRESS:
            context.record(self._kind, *self._words(), Outcome.SUPPRESSED)
        if context is not None and action is Action.OBSERVE:
            # Put into words now, as a mirrored one is: what is called may change its arguments.
            words = failsafe("observe an effect", context.counters, self._words)
            self._observed = None if words is None else (context, words)
        if self.live:
            self._quiet = inside_effect(allowed=context is not None and context.mirrored)
            self._quiet.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._quiet is not None:
            self._quiet.__exit__(None, None, None)
            self._quiet = None
        if self._observed is not None and error is None:  # one that raised did not happen as far as we know
            context, words = self._observed
            context.record(self._kind, *words, Outcome.EXECUTED)
        self._observed = None

    async def __aenter__(self) -> EffectScope:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                "side_effect cannot decorate a generator; name the effect inside it, using `with`"
            )
        return self._wrap_async(function) if inspect.iscoroutinefunction(function) else self._wrap(function)

    def _wrap(self, function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            with self._for_call(function, args, kwargs) as effect:
                return function(*args, **kwargs) if effect.live else self._stand_in(args, kwargs)

        return guarded

    def _wrap_async(self, function: Callable[P, Any]) -> Callable[P, Any]:
        @functools.wraps(function)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
            with self._for_call(function, args, kwargs) as effect:
                if effect.live:
                    return await function(*args, **kwargs)
                stand_in = self._stand_in(args, kwargs)
                return await stand_in if inspect.isawaitable(stand_in) else stand_in

        return guarded

    def _for_call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> EffectScope:
        """A scope of one call's own: the decorator itself is shared by all of them."""
        payload = _arguments(function, args, kwargs) if self._payload is None else self._payload
        target = self._target or function.__qualname__
        return EffectScope(self._kind, target, payload, self._summary, None)

    def _stand_in(self, args: Any, kwargs: Any) -> Any:
        return cast(Any, self._returns(*args, **kwargs) if callable(self._returns) else self._returns)

    def _words(self) -> _Words:
        """Target, summary and digest."""
        context = current()
        redactor = Redactor.shared(context.settings.redact if context else ())
        target = self._target or self._kind
        summary = self._summary or f"{self._kind} {target} ({readable(self._payload, redactor)})"
        return target, summary, digest_of(self._kind, target, self._payload)


def _arguments(function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """A call's arguments by name; by position where the function, one in C say, does not tell names."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        return {str(position): value for position, value in enumerate(args)} | kwargs
    named = dict(signature.bind(*args, **kwargs).arguments)
    named.pop("self", None)
    return named
