"""For users' own tests: what the code under test would do inside a mirrored request.

Knows how to make a context without a server. Must not behave differently from a real mirrored request.
"""

from __future__ import annotations

from contextlib import ExitStack
from threading import Lock
from types import TracebackType
from typing import Any
from weakref import ref

from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.guards import install_guards, installed_guards, uninstall_guards
from mirrorproof.ledger import Ledger
from mirrorproof.settings import Settings

__all__ = ["mirrored_request"]


_lock = Lock()
_inside = 0
_added: set[str] = set()
_contexts: list[ref[MirrorContext]] = []


def _install() -> None:
    """Install the guards that are missing: once for all mirrored requests that overlap."""
    global _inside  # noqa: PLW0603 - guards are installed for the whole process
    with _lock:
        before = set(installed_guards())
        _added.update(name for name in install_guards() if name not in before)
        _inside += 1


def _uninstall() -> None:
    """Take them out again, unless something (a timer, a task) may still run as a part of an ended one."""
    global _inside  # noqa: PLW0603
    with _lock:
        _inside -= 1
        _contexts[:] = [each for each in _contexts if each() is not None]
        if not _inside and not _contexts and _added:
            uninstall_guards(*_added)
            _added.clear()


class mirrored_request:  # noqa: N801 - reads as a verb in `with mirrored_request():`
    """A mirrored request, for `with` and `async with`; yields its ledger.

        with mirrored_request() as ledger:
            place_order(session)
        assert [effect.kind for effect in ledger] == ["sql.insert"]

    Guards are installed for its length, and that of others that overlap it, unless they are already. At its
    end everything is undone as it is at the end of a mirrored response, and effects after that are refused:
    the guards stay while something that it started, or an error that came of it, is still there; the end of
    a later one takes them out.
    `mode` is `dry_run`, `read_only` or `observe`; further settings as for `Settings`.

    Raises `ValueError` for mode `live`, `SettingsError` for a setting that does not exist.
    """

    def __init__(self, mode: Mode | str = Mode.DRY_RUN, **settings: Any) -> None:
        self._settings = Settings.load(env={}, mode=mode, **settings)
        self._stack = ExitStack()

    def __enter__(self) -> Ledger:
        _install()
        with ExitStack() as stack:
            stack.callback(_uninstall)
            context = MirrorContext(Decision(self._settings.mode), settings=self._settings, pair_id="test")
            _contexts.append(ref(context))
            stack.enter_context(entered(context))
            stack.callback(context.end)
            self._stack = stack.pop_all()
        return context.ledger

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    async def __aenter__(self) -> Ledger:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)
