"""The recorder as a process: listens, says where, and ends cleanly on SIGTERM and SIGINT.

Knows sockets and signals. Must not know routes.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
from collections.abc import Callable
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
    try:
        await runner.setup()
        host, port = split_listen(settings.listen)
        await _listen(runner, host, port)
        url = _url(host, runner)
        _log.info("the recorder listens on %s, its store is %s", url, _shown(settings.store))
        if listening:
            listening(url)
        await stopping.wait()
        _log.info("the recorder stops")
    finally:
        await runner.cleanup()
        for number in signals:
            loop.remove_signal_handler(number)


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
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
