"""The recorder as a process: listens, says where, and ends cleanly on SIGTERM and SIGINT.

Knows sockets and signals. Must not know routes.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import web

from mirrorproof.errors import SettingsError
from mirrorproof_sidecar.recorder.app import make_app
from mirrorproof_sidecar.recorder.service import Recorder
from mirrorproof_sidecar.settings import RecorderSettings, split_listen

__all__ = ["serve"]

_log = logging.getLogger("mirrorproof.recorder")
_SHUTDOWN_S: Final = 3.0
"""Seconds that requests under way may take at the end; a post that gets no answer is sent again."""


async def serve(
    settings: RecorderSettings,
    *,
    listening: Callable[[str], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Run a recorder until SIGTERM, SIGINT or `stop`. `listening` hears its URL, with the real port.

    Raises `SettingsError` where it cannot listen.
    """
    stopping = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = () if stop else (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, stopping.set)
    runner = web.AppRunner(
        make_app(Recorder(settings)),
        shutdown_timeout=_SHUTDOWN_S,
        access_log=None,
        handle_signals=False,
        auto_decompress=False,  # done by the handler, off the event loop and bounded
    )
    host, port = split_listen(settings.listen)
    sockets: list[socket.socket] = []
    try:
        with _mendable(host, port):  # before a store is made in vain
            sockets += await _bound(host, port)
        await runner.setup()
        with _mendable(host, port):
            for each in sockets:
                await web.SockSite(runner, each).start()
        url = _url(host, runner)
        _log.info("the recorder listens on %s, its store is %s", url, _shown(settings.store))
        if listening:
            listening(url)
        await stopping.wait()
        _log.info("the recorder stops")
    finally:
        await runner.cleanup()
        for each in sockets:
            each.close()
        for number in signals:
            loop.remove_signal_handler(number)


async def _bound(host: str, port: int) -> list[socket.socket]:
    """Sockets that are bound to each address of `host`'s and do not listen yet."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    made: list[socket.socket] = []
    try:
        for family, kind, protocol, _name, address in dict.fromkeys(found):
            its = socket.socket(family, kind, protocol)
            made.append(its)
            if os.name == "posix":  # elsewhere it lets two listen on one port
                its.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)
            if family == socket.AF_INET6:
                its.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, True)
            its.bind(address)
    except BaseException:
        for each in made:
            each.close()
        raise
    return made


@contextmanager
def _mendable(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        taken = number == errno.EADDRINUSE
        words = os.strerror(number).lower() if number > 0 else error.strerror or str(error)
        why = "another process listens there, perhaps another recorder" if taken else words
        raise SettingsError(
            f"cannot listen on {host}:{port} ({why}): name another address or port with --listen or "
            "MIRRORPROOF_LISTEN"
        ) from error


def _url(host: str, runner: web.AppRunner) -> str:
    port = runner.addresses[0][1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _shown(store: str) -> str:
    from sqlalchemy import make_url

    return make_url(store).render_as_string(hide_password=True)
