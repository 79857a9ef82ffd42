"""`python -m mirrorproof_demo.serve shop|payments`: one of the demo's services as a process.

Listens on free ports of the loopback interface and writes them, once it serves, into the file that
`--ready` names. v2 listens twice, as behind Istio: on its usual port, and on its mirror port, where its
Envoy lets in nothing but mirrors. Its role is `mixed` with trust `mirror_port`, the stage of a release in
which v2 serves mirrors and, soon, live canary traffic as well: here the mark decides, and is put to the
test. (A v2 that serves nothing but mirrors is better off with role `shadow`, which is dry whatever the
mark says.)

Knows processes, sockets and uvicorn. Must not know what the services do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn

__all__ = ["main"]

CANNED_PAYMENT = {
    "method": "POST",
    "path": "/payments",
    "answer": {
        "status": 201,
        "headers": {"content-type": "application/json"},
        "body": json.dumps({"id": "pay_mirrored", "status": "approved"}),
    },
}
"""What a mirrored request of v2 gets from the payment service, which is not asked."""


class _Server(uvicorn.Server):
    """Says when it serves."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._on_ready()


def main(arguments: list[str]) -> int:
    """Serve until told to end; returns the exit status."""
    options = _parse(arguments)
    names = ["live", "mirror"] if options.mirror_port else ["live"]
    sockets = {name: _listening_socket() for name in names}
    ports = {name: bound.getsockname()[1] for name, bound in sockets.items()}
    app, finish = _shop(options, ports) if options.what == "shop" else (_payments(), _nothing)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="on", timeout_graceful_shutdown=2
    )
    server = _Server(config, lambda: _write_whole(options.ready, json.dumps(ports)))
    asyncio.run(server.serve(sockets=list(sockets.values())))
    finish()
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mirrorproof_demo.serve")
    parser.add_argument("what", choices=["shop", "payments"])
    parser.add_argument("--ready", type=Path, required=True, help="file to write the ports into")
    parser.add_argument("--version", choices=["v1", "v2"], default="v1")
    parser.add_argument("--role", default="primary")
    parser.add_argument("--mirror-port", action="store_true", help="listen on a mirror port as well")
    parser.add_argument("--database")
    parser.add_argument("--payments", help="URL of the payment service")
    parser.add_argument("--pick-list", type=Path)
    parser.add_argument("--recorder", help="URL of the recorder")
    parser.add_argument("--without-guards", action="store_true", help="let every side effect happen")
    return parser.parse_args(arguments)


def _listening_socket() -> socket.socket:
    # asyncio turns Nagle's algorithm off only where the protocol is named: without it, each answer would
    # wait 40 ms for the peer's delayed acknowledgement.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.bind(("127.0.0.1", 0))
    return bound


def _payments() -> Any:
    from mirrorproof_demo.payments import create_app

    return create_app()


def _shop(options: argparse.Namespace, ports: dict[str, int]) -> tuple[Any, Callable[[], None]]:
    from mirrorproof import MirrorMiddleware
    from mirrorproof_demo.shop.app import Shop, create_app
    from mirrorproof_demo.shop.database import open_app_engine
    from mirrorproof_demo.shop.outside import Payments
    from mirrorproof_demo.shop.releases import RELEASES
    from mirrorproof_demo.telemetry import traced

    release = RELEASES[options.version]
    mirrored = MirrorMiddleware(
        create_app(
            Shop(
                release=release,
                engine=open_app_engine(options.database, release.version),
                payments=Payments(options.payments, release.version),
                pick_list=options.pick_list,
            )
        ),
        settings=_settings(options, ports),
    )
    return traced(mirrored, service="shop", version=release.version, always=options.mirror_port)


def _settings(options: argparse.Namespace, ports: dict[str, int]) -> Any:
    from mirrorproof import Settings

    trust: dict[str, Any] = {}
    if options.mirror_port:
        trust = {"trust": ("mirror_port",), "mirror_port": ports["mirror"]}
    return Settings.load(
        service="shop",
        version=options.version,
        role=options.role,
        recorder=options.recorder,
        guards=not options.without_guards,
        effect_rules=(CANNED_PAYMENT,),
        flush_interval_s=0.2,
        sqlite_writer_limit_ms=500.0,  # a busy machine shall not take pairs out of the demo
        **trust,
    )


def _nothing() -> None:
    pass


def _write_whole(path: Path, text: str) -> None:
    """Write so that a reader sees all of it or nothing."""
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
