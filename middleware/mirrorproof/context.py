"""The request that is being served, as guards see it: one request, one object.

Knows the decision about a request, its ledger and what has to be undone at its end. Must not know how
requests arrive or which clients are guarded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from fnmatch import fnmatchcase
from threading import Lock, current_thread
from typing import Any, Final, NamedTuple, ParamSpec, Protocol, TypeVar
from weakref import ref

from mirrorproof.counters import Counters
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError, LateEffectError, ReadOnlyError
from mirrorproof.exchange import Outcome
from mirrorproof.ledger import Ledger
from mirrorproof.rulings import NOWHERE, EffectRule, RuleAction, Where, first_rule
from mirrorproof.sampling import sampled
from mirrorproof.settings import Settings

__all__ = [
    "Action",
    "MirrorContext",
    "Ruling",
    "Taken",
    "admitted",
    "adopt",
    "afresh",
    "apart",
    "carry",
    "connecting",
    "current",
    "detached",
    "entered",
    "held",
    "in_admitted_call",
    "inside_effect",
    "is_admitted",
    "is_lent",
    "is_mirrored",
    "own_traffic",
    "set_process_context",
    "taken",
]

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger("mirrorproof")


class Action(Enum):
    """What a guard does with an effect."""

    EXECUTE = "execute"  # let it happen, record nothing
    OBSERVE = "observe"  # let it happen, record it as executed
    SUPPRESS = "suppress"  # answer as if it had happened, record it as suppressed
    REFUSE = "refuse"  # raise what `MirrorContext.refuse` raises, which records it as blocked


class Ruling(NamedTuple):
    """What to do with one effect, and the rule that said so or says what it is answered, if one fits."""

    action: Action
    rule: EffectRule | None = None


class MirrorContext:
    """One request in the making: its decision, its ledger, its clean-up.

    `ended` turns true at the response's last body chunk; effects of a mirrored request are refused from
    then on, which `late` remembers. `yielded` says that work was given up so that v1 need not wait.
    """

    __slots__ = (
        "__weakref__", "_cleanups", "_lock", "_observes", "conflicts", "counters", "decision", "ended",
        "late", "ledger", "pair_id", "resources", "settings", "temporary", "unobserved", "yielded",
    )  # fmt: skip

    def __init__(
        self,
        decision: Decision,
        *,
        settings: Settings | None = None,
        counters: Counters | None = None,
        pair_id: str = "",
    ) -> None:
        self.decision = decision
        self.settings = settings or Settings()
        self.counters = counters or Counters()
        self.pair_id = pair_id
        self.ledger = Ledger(self.settings.max_effects)
        self.ended = False
        self.yielded = False
        self.conflicts: set[str] = set()
        """Digests of effects that the database refused, for which v1 may be the reason."""
        self.late = False
        self.unobserved = False
        """Whether a live request wrote by a way that guards its mirror but records nothing of a live one."""
        self.resources: dict[Any, Any] = {}
        """Guards' own state for this request, by a key of theirs (an engine's lease)."""
        self.temporary: dict[str, None] = {}
        """Files and folders that `tempfile` made for this request."""
        self._cleanups: list[Callable[[], None]] = []
        self._lock = Lock()
        self._observes: bool | None = None

    @property
    def mirrored(self) -> bool:
        """Whether the request is a mirror."""
        return self.decision.mirrored

    @property
    def mode(self) -> Mode:
        """How the request is treated."""
        return self.decision.mode

    @property
    def in_request(self) -> bool:
        """Whether there is a request; `False` for a shadow process's own start-up code and workers."""
        return True

    @property
    def observes(self) -> bool:
        """Whether effects that really happen are recorded: switched on, and the pair id is in the sample."""
        if self._observes is None:
            settings = self.settings
            share = settings.observe_sample
            self._observes = settings.observe_effects and (
                share >= 1 or not self.pair_id or sampled(self.pair_id, share)
            )
        return self._observes

    def action(self, kind: str, target: str = "", where: Where = NOWHERE) -> Action:
        """What a guard does with an effect of this kind (`sql.insert`), now."""
        return self.ruling(kind, target, where).action

    def ruling(self, kind: str, target: str = "", where: Where = NOWHERE) -> Ruling:
        """The same, with the rule that fits. A call inside one that a guard admitted is executed."""
        mode = self.decision.mode
        if is_admitted():
            return Ruling(Action.EXECUTE)
        if mode is Mode.LIVE or mode is Mode.OBSERVE:
            observed = self.observes and not _inside_effect.get()
            return Ruling(Action.OBSERVE if observed else Action.EXECUTE)
        rules = self.settings.effect_rules
        rule = first_rule(rules, kind, target, where) if rules else None
        if rule is not None and rule.action is RuleAction.ALLOW:
            return Ruling(Action.OBSERVE, rule)
        blocked = rule is not None and rule.action is RuleAction.BLOCK
        if self.ended or mode is Mode.READ_ONLY or blocked:
            return Ruling(Action.REFUSE, rule)
        return Ruling(Action.SUPPRESS, rule)

    def record(self, kind: str, target: str, summary: str, digest: str, outcome: Outcome) -> None:
        """Write an effect into the ledger."""
        self.ledger.record(kind, target, summary, digest, outcome)

    def refuse(self, kind: str, target: str, summary: str, digest: str) -> None:
        """Record the effect as blocked, then raise.

        Raises `LateEffectError` after the response's end, `ReadOnlyError` in mode `read_only`, else
        `EffectRefusedError`, since a rule blocks it.
        """
        self.record(kind, target, summary, digest, Outcome.BLOCKED)
        if self.ended:
            self.late = True
            self.counters.add("effects_late")
            raise LateEffectError(
                f"{kind} {target}: the mirrored request's response has ended, so its effects are refused"
            )
        if self.mode is Mode.READ_ONLY:
            raise ReadOnlyError(
                f"{kind} {target}: this mirrored request may only read ({summary}){self.way_out(kind)}"
            )
        raise EffectRefusedError(f"{kind} {target}: a rule in `effect_rules` blocks it{self.way_out(kind)}")

    def way_out(self, kind: str) -> str:
        """What the text of a refusal ends with: how to let it happen where nobody is mirrored."""
        return ""

    def give_up(self) -> None:
        """The request's work was given up so that v1 need not wait: its pair is told apart as yielded."""
        self.yielded = True
        self.ledger.yield_all()

    def on_end(self, cleanup: Callable[[], None]) -> None:
        """Call `cleanup` when the request ends, last added first. At once if it has ended already."""
        with self._lock:
            if not self.ended:
                self._cleanups.append(cleanup)
                return
        cleanup()

    def end(self) -> None:
        """The response's last chunk is out: refuse from now on, and clean up. A second call does nothing.

        A clean-up that raises is logged, and the next one still runs.
        """
        with self._lock:
            self.ended = True
            cleanups, self._cleanups = self._cleanups[::-1], []
        for cleanup in cleanups:
            try:
                cleanup()
            except Exception:
                _log.exception("mirrorproof could not clean up after a request")
        self.resources.clear()  # whoever still holds the context, to ship it, holds no connections


class _ProcessContext(MirrorContext):
    """Everything that a shadow process does outside requests: always dry, never ending."""

    __slots__ = ()

    @property
    def in_request(self) -> bool:
        return False

    def ruling(self, kind: str, target: str = "", where: Where = NOWHERE) -> Ruling:
        if any(fnmatchcase(kind, allowed) for allowed in self.settings.outside_requests):
            return Ruling(Action.EXECUTE)
        return super().ruling(kind, target, where)

    def way_out(self, kind: str) -> str:
        family = kind.partition(".")[0] or "sql"
        return (
            "; this was outside of requests, in a process that serves mirrors only: to let such effects "
            f"happen there, set MIRRORPROOF_OUTSIDE_REQUESTS={family}.*"
        )

    def give_up(self) -> None:
        pass  # outside requests nothing is paired

    def record(self, kind: str, target: str, summary: str, digest: str, outcome: Outcome) -> None:
        self.counters.add("effects_outside")
        super().record(kind, target, summary, digest, outcome)


_current: Final[ContextVar[MirrorContext | None]] = ContextVar("mirrorproof_current", default=None)
_own_traffic: Final[ContextVar[bool]] = ContextVar("mirrorproof_own_traffic", default=False)
_inside_effect: Final[ContextVar[bool]] = ContextVar("mirrorproof_inside_effect", default=False)
_admitted: Final[ContextVar[admitted | None]] = ContextVar("mirrorproof_admitted", default=None)
_lent: Final[ContextVar[bool]] = ContextVar("mirrorproof_lent", default=False)
_taken: Final[ContextVar[Taken | None]] = ContextVar("mirrorproof_taken", default=None)
_process_context: MirrorContext | None = None


def current() -> MirrorContext | None:
    """The request being served here; in a shadow process outside requests its process-wide context.

    `None` in a live process outside requests, and for mirrorproof's own shipping.
    """
    if _own_traffic.get():
        return None
    context = _current.get()
    if context is None or (context.ended and _lent.get() and _is_nobodys(context)):
        return _process_context
    return context


def _is_nobodys(ended: MirrorContext) -> bool:
    if not ended.mirrored:
        return True
    taken = _taken.get()
    return taken is not None and taken.is_over()


def is_mirrored() -> bool:
    """Whether what runs here must do no harm: a mirrored request, or anything in a shadow process."""
    context = current()
    return context is not None and context.mirrored


class entered:  # noqa: N801 - reads as a verb in `with entered(context):`
    """Makes `context` the current one for the length of a `with`. Does not end it."""

    __slots__ = ("_context", "_tokens")

    def __init__(self, context: MirrorContext) -> None:
        self._context = context

    def __enter__(self) -> MirrorContext:
        self._tokens = _enter(self._context)
        return self._context

    def __exit__(self, *error: object) -> None:
        _leave(self._tokens)


def _enter(context: MirrorContext | None) -> tuple[Any, Any, Any]:
    return _current.set(context), _taken.set(None), _lent.set(False)


def _leave(tokens: tuple[Any, Any, Any]) -> None:
    _lent.reset(tokens[2])
    _taken.reset(tokens[1])
    _current.reset(tokens[0])


def carry(function: Callable[P, T], *, lent: bool = False) -> Callable[P, T]:
    """`function`, to run elsewhere as a part of the request served here; as it is outside requests.

    `lent`: it may run for long, so it is nobody's once a live request has ended.
    """
    context, inside, call = held(), _inside_effect.get(), _admitted.get()
    if context is None:
        return function

    def carried(*args: P.args, **kwargs: P.kwargs) -> T:
        token, call_token = _inside_effect.set(inside), _admitted.set(call)
        try:
            with entered(context):
                _lent.set(lent)
                return function(*args, **kwargs)
        finally:
            _admitted.reset(call_token)
            _inside_effect.reset(token)

    return carried


def apart(function: Callable[P, T]) -> Callable[P, T]:
    """`carry` for a thread that is shared: whose the job becomes, by what it takes, the thread forgets."""
    carried = carry(function)

    def job(*args: P.args, **kwargs: P.kwargs) -> T:
        tokens = _enter(None)
        try:
            return carried(*args, **kwargs)
        finally:
            _leave(tokens)

    return job


class Taken(Protocol):
    """What a worker took from a queue, and so belongs to whoever put it there."""

    def is_over(self) -> bool:
        """Whether the worker, whose request has ended, is nobody's again."""


def adopt(context: MirrorContext | None, taken: Taken | None) -> None:
    """From here on, what runs in this thread or task belongs to `context`, until it adopts another."""
    _current.set(context)
    _lent.set(True)
    _taken.set(taken)


def held() -> MirrorContext | None:
    """The request that what runs here belongs to, ended or not; `None` for one that is nobody's any more."""
    context = _current.get()
    return None if context is not None and context.ended and _lent.get() and _is_nobodys(context) else context


def taken() -> Taken | None:
    """What made that which runs here another request's: see `adopt`."""
    return _taken.get()


def is_lent() -> bool:
    """Whether a request started this thread."""
    return _lent.get()


@contextmanager
def detached() -> Iterator[None]:
    """What is started or done in here belongs to no request."""
    tokens = _enter(None)
    try:
        yield
    finally:
        _leave(tokens)


@contextmanager
def own_traffic() -> Iterator[None]:
    """What mirrorproof itself sends is no effect of the application's."""
    token = _own_traffic.set(True)
    try:
        yield
    finally:
        _own_traffic.reset(token)


class admitted:  # noqa: N801 - reads as a verb in `with admitted():`
    """A guard let this call through: the guards of what the client itself uses let it pass, unrecorded.

    Holds in this very task (or thread, where none runs) only. What a client starts meanwhile, and callbacks
    of the application that inherit its context, are judged by themselves; `in_admitted_call` knows them.
    """

    __slots__ = ("_token", "open", "owner")

    owner: Callable[[], Any]

    def __enter__(self) -> None:
        self.owner = ref(_who_runs())
        self.open = True
        self._token = _admitted.set(self)

    def __exit__(self, *error: object) -> None:
        self.open = False
        _admitted.reset(self._token)


class inside_effect:  # noqa: N801 - and a class, since a live request waits for it
    """What happens in here is part of an effect that is recorded already: observe nothing of it again.

    `allowed`: a rule lets a mirrored request's effect happen, so what it consists of is `admitted`.
    """

    __slots__ = ("_admitted", "_token")

    def __init__(self, *, allowed: bool = False) -> None:
        self._admitted = admitted() if allowed else None

    def __enter__(self) -> None:
        self._token = _inside_effect.set(True)
        if self._admitted is not None:
            self._admitted.__enter__()

    def __exit__(self, *error: object) -> None:
        if self._admitted is not None:
            self._admitted.__exit__()
        _inside_effect.reset(self._token)


@contextmanager
def afresh() -> Iterator[None]:
    """What happens in here is judged by itself, though a guard let the call around it through."""
    token, call_token = _inside_effect.set(False), _admitted.set(None)
    try:
        yield
    finally:
        _admitted.reset(call_token)
        _inside_effect.reset(token)


class connecting(admitted):  # noqa: N801
    """mirrorproof opens a connection for the application: the last line of defence lets that pass. All
    other guards judge what happens meanwhile (an application listens) as ever."""

    __slots__ = ()

    def __enter__(self) -> None:
        outer = _admitted.get()
        super().__enter__()
        self.owner = outer.owner if outer is not None else _nobody


def _nobody() -> None:
    return None


def in_admitted_call() -> bool:
    """Whether a call that a guard let through is under way, here or in the task or thread that started this
    one: clients connect in tasks and threads of their own."""
    call = _admitted.get()
    return call is not None and call.open


def is_admitted() -> bool:
    """Whether this very task or thread makes a call that a guard let through."""
    call = _admitted.get()
    return call is not None and call.owner() is _who_runs()


def _who_runs() -> Any:
    try:
        return asyncio.current_task() or current_thread()
    except RuntimeError:
        return current_thread()


def set_process_context(settings: Settings | None, counters: Counters | None = None) -> None:
    """Make the whole process dry if the role says so; `None` takes it back."""
    global _process_context  # noqa: PLW0603 - the role is a fact about the process
    if settings is None or not settings.role.always_mirrored:
        _process_context = None
        return
    _process_context = _ProcessContext(Decision(settings.mode), settings=settings, counters=counters)
