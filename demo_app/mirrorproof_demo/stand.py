"""The stand: every process of the demo, started in order and ready.

    Locust → Envoy, the edge ──→ v1, the shop ──→ payments, database, pick list
                    └ mirror → Envoy, v2's sidecar → v2's mirror port ─ ✕
                               v1 and v2 → recorder → OTLP

Knows commands, ports and readiness. Must not know what is proven with it.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mirrorproof_demo.envoy import (
    EDGE,
    ENDPOINT_VARIABLE,
    MIRROR_CLUSTER,
    PROTOCOL_VARIABLE,
    SIDECAR,
    Collector,
    edge_config,
    sidecar_config,
)
from mirrorproof_demo.envoy_process import start_envoy
from mirrorproof_demo.supervisor import Supervisor
from mirrorproof_demo.web import get_json, is_up, loopback, port_of

__all__ = ["RULES_FILE", "Plan", "Stand", "start"]

RULES_FILE: Final = Path(__file__).with_name("rules.toml")
_START_S: Final = 60.0
_TOLD_URL: Final = re.compile(r"http://127\.0\.0\.1:[1-9][0-9]*")
_CLEAN: Final = {"PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start. `directory` takes logs, configuration and the recorder's store."""

    directory: Path
    database: str
    guards: bool = True

    @property
    def pick_list(self) -> Path:
        """The file that both versions append to."""
        return self.directory / "picklist.jsonl"


@dataclass(frozen=True, slots=True)
class Stand:
    """Where everything is, as URLs."""

    edge: str
    edge_admin: str
    sidecar: str
    v1: str
    v2: str
    v2_mirror_port: str
    payments: str
    recorder: str

    def mirrored(self) -> int:
        """How many requests the edge has mirrored so far, by its own count."""
        return self._stat("upstream_rq_total")

    def mirrors_open(self) -> int:
        """How many mirrored requests v2 has not answered yet."""
        return self._stat("upstream_rq_active")

    def _stat(self, name: str) -> int:
        full = f"cluster.{MIRROR_CLUSTER}.{name}"
        found = get_json(f"{self.edge_admin}/stats?format=json&filter=^{full}$")["stats"]
        return sum(stat["value"] for stat in found if stat.get("name") == full)


def start(supervisor: Supervisor, plan: Plan) -> Stand:
    """Start everything and wait until it serves. Raises `StartError`."""
    payments = _Service(supervisor, plan, "payments", ["payments"])
    recorder = _start_recorder(supervisor, plan)
    payments_url = payments.ports()["live"]
    shop = ["shop", "--database", plan.database, "--payments", payments_url, "--recorder", recorder]
    shop += ["--pick-list", str(plan.pick_list)]
    v1 = _Service(supervisor, plan, "v1", [*shop, "--version", "v1", "--role", "primary"])
    shadow = ["--version", "v2", "--role", "mixed", "--mirror-port"]
    v2 = _Service(supervisor, plan, "v2", [*shop, *shadow, *([] if plan.guards else ["--without-guards"])])
    v1_ports, v2_ports = v1.ports(), v2.ports()
    sidecar = start_envoy(
        supervisor, plan.directory, SIDECAR, sidecar_config(app_port=port_of(v2_ports["mirror"]))
    )
    collector = Collector.from_endpoint(os.environ.get(ENDPOINT_VARIABLE), os.environ.get(PROTOCOL_VARIABLE))
    ports = {"live_port": port_of(v1_ports["live"]), "mirror_port": port_of(sidecar.url)}
    edge = start_envoy(supervisor, plan.directory, EDGE, edge_config(**ports, collector=collector))
    return Stand(
        edge=edge.url,
        edge_admin=edge.admin,
        sidecar=sidecar.url,
        v1=v1_ports["live"],
        v2=v2_ports["live"],
        v2_mirror_port=v2_ports["mirror"],
        payments=payments_url,
        recorder=recorder,
    )


def _start_recorder(supervisor: Supervisor, plan: Plan) -> str:
    """Start `mirrorproof recorder` on a free port; returns its URL, which it tells in its log."""
    settings = {
        "MIRRORPROOF_LISTEN": "127.0.0.1:0",
        "MIRRORPROOF_STORE": f"sqlite:///{plan.directory / 'recorder.db'}",
        "MIRRORPROOF_RULES": str(RULES_FILE),
        "MIRRORPROOF_SETTLE_S": "0.3",
        "MIRRORPROOF_EXPIRE_AFTER_S": "10",
    }
    command = [sys.executable, "-c", "from mirrorproof.cli import main; main()", "recorder"]
    child = supervisor.start("recorder", command, env=_CLEAN | settings)

    def url() -> str | None:
        told = _TOLD_URL.search(child.log.read_text(encoding="utf-8"))
        return told[0] if told else None

    found = supervisor.wait_for("the recorder to start", url, timeout_s=_START_S)
    supervisor.wait_for("the recorder to be ready", lambda: is_up(f"{found}/readyz"), timeout_s=_START_S)
    return found


class _Service:
    """One of our own services, starting."""

    def __init__(self, supervisor: Supervisor, plan: Plan, name: str, arguments: list[str]) -> None:
        self._supervisor = supervisor
        self._name = name
        self._ready = plan.directory / f"{name}.ready"
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "mirrorproof_demo.serve",
            *arguments,
            "--ready",
            self._ready,
        ]
        supervisor.start(name, command, env=_CLEAN)

    def ports(self) -> Mapping[str, str]:
        """Its URLs, once it serves."""
        return self._supervisor.wait_for(f"{self._name} to serve", self._read, timeout_s=_START_S)

    def _read(self) -> dict[str, str] | None:
        if not self._ready.exists():
            return None
        ports: dict[str, int] = json.loads(self._ready.read_text(encoding="utf-8"))
        return {name: loopback(port) for name, port in ports.items()}
