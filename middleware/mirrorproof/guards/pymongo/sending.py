"""Where PyMongo sends a command, the sync client and the asyncio one: sent, or answered in its place.

Both clients send everything through `_run_command` of their module `command_runner`. It takes the command as
the driver made it and returns the reply documents, in the types that the collection's codec options ask for.
An answer is made in BSON's plain types: the command is put into them, its reply into the caller's. Its reads
go over the same connection, outside of the request's session.

Knows PyMongo's command runner. Must not know what a command means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from weakref import WeakSet

import bson
from bson.codec_options import CodecOptions, DatetimeConversion

from mirrorproof.context import Action, MirrorContext, admitted, current
from mirrorproof.guards.acting import Write, acting, acting_async
from mirrorproof.guards.pymongo.answers import Reading, answer
from mirrorproof.guards.pymongo.commands import described, drawn_ids, is_write
from mirrorproof.guards.steps import run_steps, run_steps_async

__all__ = ["command_wrapper", "command_wrapper_async"]

_DRAWN: Final = ("mongo", "ids that were drawn")
_ALLOWED: Final = ("mongo", "sessions that hold allowed writes")
_MAX_DRAWN: Final = 10_000
_NO_FACTS: Final[dict[str, Any]] = {"ok": 1.0}
_PLAIN: Final[CodecOptions[Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)


class _Call(NamedTuple):
    """The arguments of `_run_command` that matter here."""

    connection: Any
    command: Mapping[str, Any]
    database: str
    options: dict[str, Any]

    @property
    def session(self) -> Any:
        return self.options.get("session")

    @property
    def answered(self) -> bool:
        return not self.options.get("unacknowledged")


def _call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Call:
    names = ("conn", "cmd", "dbname", "request_id", "msg")
    given = dict(zip(names, args, strict=False)) | kwargs
    command = given["cmd"]
    published = given.get("orig")  # that of an unacknowledged bulk has its documents, the other has not
    return _Call(given["conn"], command if published is None else published, given["dbname"], given)


def _describe(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Write | None:
    call = _call(args, kwargs)
    context = current()
    if context is None or not is_write(call.command):
        return None
    now = datetime.now(UTC)
    drawn: set[Any] = context.resources.setdefault(_DRAWN, set()) if context.in_request else set()
    if len(drawn) < _MAX_DRAWN:
        drawn.update(drawn_ids(call.command, now))
    host = str((call.connection.address or ("",))[0])
    return described(call.command, (host, call.database), drawn, context.settings.redact, now)


def _ends_differently(context: MirrorContext | None, call: _Call) -> bool:
    """Whether a commit must not commit: a mirrored request's, unless a rule allowed what it holds."""
    if context is None or next(iter(call.command)).lower() != "committransaction":
        return False
    if context.ruling("mongo.commit").action in (Action.EXECUTE, Action.OBSERVE):
        return False
    return call.session is None or call.session not in context.resources.get(_ALLOWED, ())


def _aborting(call: _Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments that send `abortTransaction` in the place of this commit."""
    from pymongo import message

    kept = ("lsid", "txnNumber", "autocommit", "$clusterTime", "apiVersion", "apiStrict", "recoveryToken")
    command = {"abortTransaction": 1} | {name: call.command[name] for name in kept if name in call.command}
    number, sent, _, _ = message._op_msg(0, command, call.database, None, call.options["codec_options"])
    options = {name: value for name, value in call.options.items() if name not in ("conn", "cmd", "dbname")}
    options |= {"request_id": number, "msg": sent, "orig": command}
    return (call.connection, command, call.database), options


def _let_through(wrapped: Callable[..., Any], call: _Call) -> Callable[..., Any]:
    """`wrapped`, remembering which transaction of a mirrored request holds a write that a rule allows."""

    def run(*args: Any, **kwargs: Any) -> Any:
        context = current()
        if context is not None and context.mirrored and call.session is not None and is_write(call.command):
            context.resources.setdefault(_ALLOWED, WeakSet()).add(call.session)
        return wrapped(*args, **kwargs)

    return run


def _reply(call: _Call, document: Mapping[str, Any]) -> tuple[list[Any], None, float]:
    """A reply document, as `_run_command` returns it, in the types that its caller asks for."""
    fields, codec = call.options.get("user_fields"), call.options["codec_options"]
    encoded = bson.encode(document, codec_options=_PLAIN)
    return bson._decode_all_selective(encoded, codec, fields), None, 0.0


def _result(call: _Call, given: Any) -> Any:
    """What the client made of it; of what a rule's `returns` says, a reply."""
    return given if isinstance(given, tuple) else _reply(call, _NO_FACTS | (given or {}))


def _steps(call: _Call) -> Reading:
    """The answer in the making."""
    command = call.command
    if next(iter(command)) != "insert":  # whose answer has nothing of its documents
        command = bson.decode(bson.encode(command, codec_options=call.options["codec_options"]), _PLAIN)
    return answer(command, call.database)


def _reading(call: _Call, database: str, command: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of `run_command` for a read on the same connection."""
    call.connection.add_server_api(command)
    size = call.connection.max_bson_size
    options = {"session": None, "client": None, "max_bson_size": size}
    return (call.connection, database, command, None, _PLAIN), options


def command_wrapper(runner: Any) -> Callable[..., Any]:
    """A wrapper (as wrapt's) of the sync `_run_command`."""

    def stub(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = _call(args, kwargs)
        if not call.answered:
            return _reply(call, _NO_FACTS)

        def ask(asked: tuple[str, dict[str, Any]]) -> Any:
            given, options = _reading(call, *asked)
            with admitted():
                return runner.run_command(*given, **options)

        return _reply(call, run_steps(_steps(call), ask))

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        context = current()
        if context is None:
            return wrapped(*args, **kwargs)
        call = _call(args, kwargs)
        if _ends_differently(context, call):
            return _ended(call, wrapped)
        return _result(call, acting(_describe, stub)(_let_through(wrapped, call), instance, args, kwargs))

    def _ended(call: _Call, wrapped: Any) -> Any:
        from pymongo.errors import OperationFailure

        given, options = _aborting(call)
        try:
            with admitted():
                return wrapped(*given, **options)
        except OperationFailure:
            return _reply(call, _NO_FACTS)  # it had ended already

    return wrapper


def command_wrapper_async(runner: Any) -> Callable[..., Any]:
    """The same for the asyncio client's."""

    async def stub(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = _call(args, kwargs)
        if not call.answered:
            return _reply(call, _NO_FACTS)

        async def ask(asked: tuple[str, dict[str, Any]]) -> Any:
            given, options = _reading(call, *asked)
            with admitted():
                return await runner.run_command(*given, **options)

        return _reply(call, await run_steps_async(_steps(call), ask))

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        context = current()
        if context is None:
            return await wrapped(*args, **kwargs)
        call = _call(args, kwargs)
        if _ends_differently(context, call):
            return await _ended(call, wrapped)
        done = await acting_async(_describe, stub)(_let_through(wrapped, call), instance, args, kwargs)
        return _result(call, done)

    async def _ended(call: _Call, wrapped: Any) -> Any:
        from pymongo.errors import OperationFailure

        given, options = _aborting(call)
        try:
            with admitted():
                return await wrapped(*given, **options)
        except OperationFailure:
            return _reply(call, _NO_FACTS)  # it had ended already

    return wrapper
