"""The last line of defence: a mirrored request's ways out that no other guard covers.

Theory of operation. Python tells an audit hook of every socket that is connected, every file that is opened
and every process that is started, before it happens, and the hook may veto. So one hook looks up what is
current: nothing mirrored, nothing to do. What a guard let through (`admitted`, the tasks and threads that
the call uses included) and what a guarded client connects by itself passes, as do a process's own ways:
byte code, temporary files that `tempfile` made for it (`temporary`), standard streams, log files, name
resolution. All else is stopped.

It sees what goes through Python's own socket, os, subprocess and sqlite3. It does not see what a library in
C opens by itself (libpq, librdkafka, gRPC), nor what is sent on a connection or written to a file that was
opened before the request. What Python tells nobody of, `unheard` does; what uvloop opens, the guard `uvloop`.

Knows audit events. Must not know any client.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from fnmatch import fnmatchcase
from threading import local
from types import FrameType
from typing import Any, Final, NamedTuple

from mirrorproof.context import Action, MirrorContext, current, in_admitted_call
from mirrorproof.decision import Mode
from mirrorproof.errors import UnguardedError
from mirrorproof.exchange import Outcome
from mirrorproof.guards import Guard, guarded_packages
from mirrorproof.guards.temporary import is_own, roots
from mirrorproof.guards.unheard import (
    CONNECTED,
    FORKED,
    MADE,
    SIGNALLED,
    STARTED,
    UNKNOWN,
    folder_of_open,
    wrap_unheard,
)
from mirrorproof.ledger import digest_of
from mirrorproof.rulings import Where
from mirrorproof.settings import Unguarded

__all__ = [
    "FILE",
    "KILL",
    "PROCESS",
    "SOCKET",
    "SQLITE",
    "UnguardedGuard",
    "database_file",
    "judge_database",
    "stop",
    "watching_databases",
]

SOCKET: Final = "socket.connect"
FILE: Final = "file.write"
PROCESS: Final = "process.start"
KILL: Final = "process.kill"
SQLITE: Final = "sql.connection"

_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC
_MAKING: Final = os.O_CREAT | os.O_EXCL
_DEVICES: Final = frozenset({"/dev/full", "/dev/log", "/dev/null", "/dev/tty", "/dev/zero"})
_STANDARD: Final = frozenset({
    "/dev/stdin", "/dev/stdout", "/dev/stderr",
    *(f"{folder}/{number}" for folder in ("/dev/fd", "/proc/self/fd") for number in range(3)),
})  # fmt: skip
_LOG_SOCKETS: Final = ("/dev/log", "/run/systemd/journal/")
_DNS: Final = 53
# What a client's frames may go through on their way to a socket.
_PASSED_THROUGH: Final = frozenset({"anyio", "sniffio", "aiohappyeyeballs", "wrapt", "mirrorproof"})
# What the standard library asks the machine for.
_ASKING: Final = frozenset({"platform", "ctypes.util", "uuid"})
# Talks to its own child; the guard `threads` judges the start.
_STARTING: Final = frozenset({"multiprocessing.forkserver"})
# Starts processes for multiprocessing, which that guard judges too.
_SPAWNING: Final = frozenset({"multiprocessing.util"})


class _Way(NamedTuple):
    """A way out: kind of effect, and what the ledger and `unguarded_allow` call it."""

    kind: str
    target: str
    host: str | None = None


class UnguardedGuard(Guard):
    """Guards what no other guard does."""

    name = "unguarded"
    module = "sys"
    covers = (
        "whatever has no guard of its own: sockets that are connected, files that are written, "
        "processes that are started, through Python's own socket, os, subprocess and sqlite3"
    )

    def install(self) -> None:
        wrap_unheard(self)
        _state.temporary = roots()
        if not _state.hooked:
            _state.hooked = True
            sys.addaudithook(_hook)  # for ever: there is no way to take one out
        _state.on = True

    def uninstall(self) -> None:
        super().uninstall()
        _state.on = False


class _State:
    on = False
    hooked = False
    watches_databases = False
    temporary: tuple[str, ...] = ()


_state: Final = _State()
_here: Final = local()


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event not in _WATCHED or not _state.on:
        return
    context = current()
    if context is None or not context.mirrored or context.mode is Mode.OBSERVE:
        return
    if getattr(_here, "busy", False):  # what judging does itself
        return
    _here.busy = True
    try:
        _judge(context, event, args)
    finally:
        _here.busy = False


def _judge(context: MirrorContext, event: str, args: tuple[Any, ...]) -> None:
    try:
        way = _WATCHED[event](context, *args)
    except Exception as error:
        raise UnguardedError(f"mirrorproof does not understand {event}{args!r}: {error!r}") from error
    if way is not None and not (way.kind == SOCKET and _is_a_clients_own()):
        stop(context, way.kind, way.target, way.host)


def stop(context: MirrorContext, kind: str, target: str, host: str | None = None) -> None:
    """Raise, unless settings or rules let this way out pass; written into the ledger either way.

    Raises `UnguardedError`, or `LateEffectError` after the response's end.
    """
    settings = context.settings
    if settings.unguarded is Unguarded.OFF or (kind in (SOCKET, SQLITE) and in_admitted_call()):
        return
    if any(fnmatchcase(target, allowed) for allowed in settings.unguarded_allow):
        return
    action = context.action(kind, target, Where(host=host))
    if action is Action.EXECUTE:
        return
    caller = _caller()
    words = (kind, target, f"{target}, reached by {caller}", digest_of(kind, target, None))
    if action is Action.OBSERVE or settings.unguarded is Unguarded.RECORD:
        context.record(*words, Outcome.EXECUTED)
        return
    words = (kind, target, f"{target}, reached by {caller}, stopped by the guard `unguarded`", words[3])
    if context.ended:
        context.refuse(*words)
    context.record(*words, Outcome.BLOCKED)
    raise UnguardedError(
        f"{target}: no guard covers this way out, which {caller} took, so a mirrored request may not take "
        "it; to let it pass, list it in MIRRORPROOF_UNGUARDED_ALLOW"
        + ("" if context.in_request else f", or {kind} in MIRRORPROOF_OUTSIDE_REQUESTS: it came outside any")
    )


# -- who is it


def _caller() -> str:
    """The innermost function that is not the standard library's or ours."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "?")
        package = name.partition(".")[0]
        if package == "__main__" or package not in _PASSED_THROUGH | sys.stdlib_module_names:
            return f"{name}.{frame.f_code.co_name}"
        frame = frame.f_back
    return "the standard library"


def _is_a_clients_own() -> bool:
    """Whether a guarded client connects: what it then sends, its guard judges."""
    return _caller().partition(".")[0] in guarded_packages()


def _called_by(modules: frozenset[str]) -> bool:
    """Whether the innermost module outside of those that open files and processes is one of `modules`."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "?")
        if name.partition(".")[0] not in {"mirrorproof", "os", "io", "subprocess", "shutil", "codecs", "_io"}:
            return name in modules
        frame = frame.f_back
    return False


# -- what is it


def _opened(context: MirrorContext, path: Any, mode: Any, flags: int) -> _Way | None:
    if not flags & _WRITING:
        return None
    folder = folder_of_open()
    if mode is None and folder is UNKNOWN and isinstance(path, str | bytes | os.PathLike):
        name = os.fsdecode(path)  # of posix.open, say, which does not tell the folder that it is opened in
        if not os.path.isabs(name):
            return _Way(FILE, f"file {name}, in a folder that is not told")
    return _file(context, path, folder, makes=flags & _MAKING == _MAKING, opens=True)


def _made(context: MirrorContext, path: Any, *more: Any) -> _Way | None:
    """A folder that is made."""
    return _file(context, path, _last(more), itself=True, makes=True)


def _removed(context: MirrorContext, path: Any, *more: Any) -> _Way | None:
    return _file(context, path, _last(more), itself=True)


def _changed(context: MirrorContext, path: Any, *more: Any) -> _Way | None:
    """A file of which more than the content changes, or that of a link: which of them is not told."""
    folder = _last(more)
    return _file(context, path, folder) or _file(context, path, folder, itself=True)


def _last(more: tuple[Any, ...]) -> Any:
    return more[-1] if more else None


def _truncated(context: MirrorContext, path: Any, *more: Any) -> _Way | None:
    return _file(context, path)


def _attributed(context: MirrorContext, path: Any, *more: Any) -> _Way | None:
    return _file(context, path)


def _attributed_in(context: MirrorContext, path: Any, folder: Any) -> _Way | None:
    return _file(context, path, folder)


def _pointed(context: MirrorContext, source: Any, made: Any, *more: Any) -> _Way | None:
    return _file(context, made, _last(more), itself=True)


def _linked(
    context: MirrorContext, source: Any, made: Any, source_in: Any = None, made_in: Any = None
) -> _Way | None:
    # A file is written to by any of its names.
    return _file(context, made, made_in, itself=True) or _file(context, source, source_in)


def _renamed(
    context: MirrorContext, source: Any, made: Any, source_in: Any = None, made_in: Any = None
) -> _Way | None:
    return _file(context, source, source_in, itself=True) or _file(context, made, made_in, itself=True)


def _is_byte_code(name: str) -> bool:
    stem, _, suffix = name.rpartition(".")  # Python writes `x.pyc.140…` first, and renames it
    return suffix == "pyc" or (suffix.isdigit() and stem.endswith(".pyc"))


def _file(
    context: MirrorContext,
    path: Any,
    folder: Any = None,
    *,
    itself: bool = False,
    makes: bool = False,
    opens: bool = False,
) -> _Way | None:
    """A file that would be changed, or `None` for one that is a process's own.

    `itself`: of a link, the link and not what it leads to. `makes`: it fails if there is one.
    """
    if isinstance(path, int) or path is None:  # it was opened before
        return None
    name = os.fsdecode(path)
    if isinstance(folder, int) and folder >= 0 and not os.path.isabs(name):
        name = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), name)
    if os.path.abspath(name) in _STANDARD:
        return None
    name = _resolved(name, itself)
    if name in _DEVICES or name.startswith(("/dev/pts/", f"/proc/{os.getpid()}/")) or _is_byte_code(name):
        return None
    below = any(name == each or name.startswith(each + os.sep) for each in _state.temporary)
    # A folder is opened for a file without a name, or cannot be opened for writing.
    if below and ((opens and os.path.isdir(name)) or is_own(context, name, makes=makes)):
        return None
    return None if _called_by(frozenset({"logging", "logging.handlers"})) else _Way(FILE, f"file {name}")


def _resolved(name: str, itself: bool) -> str:
    """Where it leads: out of /proc/self/cwd, and of a file that is open."""
    head, tail = os.path.split(name)
    if itself and tail not in ("", os.curdir, os.pardir):
        return os.path.join(os.path.realpath(head), tail)
    return os.path.realpath(name)


def _connected(_: MirrorContext, its: socket.socket, address: Any) -> _Way | None:
    if address is None:  # sendmsg on a connected one
        return None
    if isinstance(address, tuple) and len(address) >= 2:
        host, port = str(address[0]), address[1]
        if port == _DNS:
            return None
        return _Way(SOCKET, f"socket [{host}]:{port}" if ":" in host else f"socket {host}:{port}", host)
    name = os.fsdecode(address) if isinstance(address, str | bytes) else repr(address)
    if name.startswith(_LOG_SOCKETS) or _called_by(_STARTING):
        return None
    return _Way(SOCKET, f"socket {name}")


def _bound(context: MirrorContext, its: socket.socket, address: Any) -> _Way | None:
    named = isinstance(address, str | bytes) and bool(address) and address[0] not in (0, "\0")
    return _file(context, address) if named else None


def _started_bare(_: MirrorContext, program: Any, arguments: Any) -> _Way | None:
    return None if _called_by(_SPAWNING) else _started(_, program, arguments)


def _started(_: MirrorContext, program: Any, arguments: Any = None, *more: Any) -> _Way | None:
    if program is None:
        first = arguments if isinstance(arguments, str | bytes | os.PathLike) else arguments[0]
        program = first
    return None if _called_by(_ASKING) else _Way(PROCESS, f"process {os.fsdecode(program)}")


def _spawned_in_terminal(context: MirrorContext, arguments: Any) -> _Way | None:
    return _started(context, None, arguments)


def _killed(context: MirrorContext, process: int, signal: int) -> _Way | None:
    # Outside requests a server's supervisor looks after its workers.
    if process == os.getpid() or not signal or not context.in_request:
        return None
    return _Way(KILL, f"process {process}")


def _database(context: MirrorContext, name: Any) -> _Way | None:
    if not isinstance(name, str | bytes | os.PathLike):
        return None
    text = os.fsdecode(name)
    way = _database_file(context, text)
    if way is None and _state.watches_databases and not getattr(_here, "watched", False):
        return _Way(SQLITE, f"database {text}, opened past sqlite3.connect")
    return way


def _database_file(context: MirrorContext, text: str) -> _Way | None:
    if text in ("", ":memory:"):
        return None
    if text.startswith("file:"):
        path, _sep, query = text.removeprefix("file:").partition("#")[0].partition("?")
        if path == ":memory:" or _cannot_write(query.split("&")):
            return None
        text = path
    way = _file(context, text)
    return way and _Way(SQLITE, way.target)


def _cannot_write(options: list[str]) -> bool:
    """Whether a URI's options say so, each of them once: SQLite lets one of two win."""
    said = [each for each in options if each.startswith(("mode", "immutable"))]
    return len(said) == 1 and said[0] in ("mode=memory", "mode=ro", "immutable=1")


def database_file(context: MirrorContext, name: str) -> str | None:
    """What the ledger calls a database's file; `None` for memory, and for a file that is a process's own."""
    way = _database_file(context, name)
    return way and way.target


def judge_database(context: MirrorContext, name: str | None) -> None:
    """A database that another one attaches; `None` where a parameter names it. Raises what `stop` raises."""
    way = _Way(SQLITE, "a file that a parameter names") if name is None else _database_file(context, name)
    if way is not None:
        stop(context, way.kind, way.target)


class watching_databases:  # noqa: N801 - reads as a verb in `with watching_databases():`
    """In here `sqlite3.connect` is called by its guard, which looks after what is opened. `installed` says
    that there is such a guard, so a database that is opened past it is stopped."""

    def __init__(self, *, installed: bool | None = None) -> None:
        if installed is not None:
            _state.watches_databases = installed

    def __enter__(self) -> None:
        _here.watched = True

    def __exit__(self, *error: object) -> None:
        _here.watched = False


def _extended(_: MirrorContext, connection: Any, path: Any = None) -> _Way | None:
    return _Way(SQLITE, f"extension {os.fsdecode(path)}" if isinstance(path, str) else "extensions")


_WATCHED: Final[dict[str, Callable[..., _Way | None]]] = {
    "open": _opened,
    "os.remove": _removed, "os.rmdir": _removed, "os.mkdir": _made, "os.chmod": _changed,
    "os.chown": _changed, "os.utime": _changed, "os.truncate": _truncated,
    "os.setxattr": _attributed, "os.removexattr": _attributed,
    "os.rename": _renamed, "os.link": _linked, "os.symlink": _pointed,
    "socket.bind": _bound, MADE: _attributed_in, SIGNALLED: _killed, FORKED: _started_bare,
    CONNECTED: _connected, STARTED: _started,
    "socket.connect": _connected, "socket.sendto": _connected, "socket.sendmsg": _connected,
    "subprocess.Popen": _started, "os.system": _started, "os.exec": _started, "os.posix_spawn": _started,
    "os.spawn": lambda context, mode, *more: _started(context, *more), "pty.spawn": _spawned_in_terminal,
    "os.kill": _killed, "os.killpg": _killed,
    "sqlite3.connect": _database,
    "sqlite3.load_extension": _extended,
    "sqlite3.enable_load_extension": lambda _, its, on: _extended(_, its) if on else None,
}  # fmt: skip
