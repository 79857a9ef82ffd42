"""The PyMongo guard: below everything that its clients offer, where each command is sent.

`commands` says what a command would change, `values` how its values are told; `answers` says what the server
would have replied, `updates` what a document would have become; `sending` stands where PyMongo sends and
makes the client's own types of the reply. What a transaction would have written was never sent, so a mirrored
request's commit ends the transaction on the server without committing it.

A PyMongo that sends elsewhere is answered by nobody: then `calls` refuses what writes, at its public methods.

Knows where PyMongo sends commands. Must not know what a command means.
"""

from __future__ import annotations

import inspect
import logging
from importlib import import_module
from typing import Any, Final

from mirrorproof.context import connecting
from mirrorproof.guards import Guard
from mirrorproof.guards.callbacks import by_itself
from mirrorproof.guards.housekeeping import unmarked

__all__ = ["PymongoGuard"]

_RUNNERS: Final = ("pymongo.synchronous.command_runner", "pymongo.asynchronous.command_runner")
_FIRST: Final = ["conn", "cmd", "dbname", "request_id", "msg"]
_NAMED: Final = frozenset({"session", "codec_options", "user_fields", "orig", "unacknowledged"})

_log = logging.getLogger("mirrorproof")


class PymongoGuard(Guard):
    """Guards PyMongo's MongoClient and AsyncMongoClient."""

    name = "pymongo"
    module = "pymongo"
    distribution = "pymongo"
    tested = ("4.20", "4.20")
    covers = (
        "every command of MongoClient and AsyncMongoClient that is not known to read: writes, bulk writes, "
        "w=0, findAndModify, $out and $merge, GridFS, indexes, transactions, Database.command"
    )

    def install(self) -> None:
        from mirrorproof.guards.pymongo.calls import refusing, writers
        from mirrorproof.guards.pymongo.sending import command_wrapper, command_wrapper_async

        runners = _runners()
        if runners is not None:
            of_sync, of_async = runners
            self.wrap(of_sync, "_run_command", command_wrapper(of_sync))
            self.wrap(of_async, "_run_command", command_wrapper_async(of_async))
        else:
            _log.warning(
                "mirrorproof: PyMongo %s sends its commands where the guard does not know, so mirrored "
                "requests' writes through it are refused instead of answered", self.version,
            )  # fmt: skip
            for owner, name in writers():
                self.wrap(owner, name, refusing(name))
        pool: Any = import_module("pymongo.asynchronous.pool").Pool
        if hasattr(pool, "connect"):
            self.wrap(pool, "connect", _connect)
        listeners: Any = import_module("pymongo.monitoring")._EventListeners
        for name in ("start", "success", "failure"):
            self.wrap(listeners, f"publish_command_{name}", by_itself)
        executors: Any = import_module("pymongo.periodic_executor")
        for name in ("PeriodicExecutor", "AsyncPeriodicExecutor"):
            if hasattr(executors, name):  # monitors: they serve everybody who uses the client
                self.wrap(getattr(executors, name), "open", unmarked)


def _runners() -> list[Any] | None:
    """The modules that send, sync and async, if they are as they are known."""
    try:
        runners = [import_module(each) for each in _RUNNERS]
        for runner in runners:
            names = list(inspect.signature(runner._run_command).parameters)
            if names[: len(_FIRST)] != _FIRST or not set(names) >= _NAMED or not callable(runner.run_command):
                return None
    except (ImportError, AttributeError):
        return None
    return runners


async def _connect(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with connecting():  # a connection by itself changes nothing; it is made in tasks of asyncio's own
        return await wrapped(*args, **kwargs)
