"""What is guarded on this machine, and what is not: the facts behind `mirrorproof guards`.

Knows guards and installed distributions. Must not import any client.
"""

from __future__ import annotations

import sys
from fnmatch import fnmatchcase
from importlib.metadata import distributions
from importlib.util import find_spec
from textwrap import wrap
from typing import Any, Final

from mirrorproof.guards import Guard, offered_guards

__all__ = ["UNGUARDED_CLIENTS", "inventory", "render"]

UNGUARDED_CLIENTS: Final = (
    "aiomysql", "aioodbc", "asyncmy", "azure-*", "boto", "cassandra-driver", "clickhouse-connect",
    "clickhouse-driver", "couchbase", "duckdb", "dramatiq", "etcd3", "fabric", "google-cloud-*", "hdfs",
    "hvac", "influxdb", "influxdb-client", "ldap3", "mariadb", "minio", "motor", "mysql-connector-python",
    "mysqlclient", "neo4j", "oracledb", "paho-mqtt", "paramiko", "pulsar-client", "pyhive", "pymemcache",
    "pymssql", "pyodbc", "pysftp", "python-ldap", "python-memcached", "pyzmq", "slack-sdk",
    "snowflake-connector-python", "statsd", "stomp-py", "trino", "twilio", "websocket-client", "websockets",
    "zeep",
)  # fmt: skip
"""Distributions, as globs of their normalised names, that are known ways out. Those with a guard of their
own are left out of what is reported."""
_STATES: Final = {
    "here": "its client is here",
    "untested": "its client is here, in a version that it was not tried with",
    "absent": "its client is not here",
}


def inventory() -> dict[str, Any]:
    """`guards` (name, client, version, tested, state, covers of each) and `not_covered` (name, version)."""
    offered = offered_guards()
    names = {_normalised(kind.distribution) for kind in offered.values()}
    return {
        "guards": [_told(kind()) for _, kind in sorted(offered.items())],
        "not_covered": [
            {"client": name, "version": version}
            for name, version in sorted(_installed().items())
            if name not in names and any(fnmatchcase(name, each) for each in UNGUARDED_CLIENTS)
        ],
    }


def _told(guard: Guard) -> dict[str, Any]:
    try:
        package = guard.module.partition(".")[0]
        present = package in sys.modules or find_spec(package) is not None
    except (ImportError, ValueError):
        present = False
    return {
        "guard": guard.name,
        "client": guard.distribution or "the standard library",
        "version": guard.version,
        "tested": list(guard.tested) if guard.tested[0] else [],
        "state": "absent" if not present else "untested" if guard.untested else "here",
        "covers": guard.covers,
    }


def _installed() -> dict[str, str]:
    return {
        _normalised(each.metadata["Name"]): each.version for each in distributions() if each.metadata["Name"]
    }


def _normalised(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def render(found: dict[str, Any], width: int = 100) -> str:
    """The same as text."""
    rows = [("GUARD", "CLIENT", "HERE", "TRIED WITH", "STATE")]
    for each in found["guards"]:
        tested = " to ".join(dict.fromkeys(each["tested"])) or "-"
        rows.append((each["guard"], each["client"], each["version"] or "-", tested, each["state"]))
    widths = [max(len(row[at]) for row in rows) for at in range(4)]
    lines: list[str] = []
    for at, row in enumerate(rows):
        cells = [cell.ljust(size) for cell, size in zip(row, widths, strict=False)]
        lines.append("  ".join((*cells, row[4])).rstrip())
        if at:
            text = found["guards"][at - 1]["covers"]
            lines += wrap(text, width, initial_indent="    ", subsequent_indent="    ")
    lines += ["", *(f"{state}: {words}" for state, words in _STATES.items()), ""]
    lines += _not_covered(found["not_covered"])
    return "\n".join(lines) + "\n"


def _not_covered(clients: list[dict[str, str]]) -> list[str]:
    if not clients:
        return ["not covered: of the ways out that are known to have no guard, none is installed here"]
    return [
        "not covered: installed here, and without a guard. What they open through Python's own socket and os "
        "is stopped\nin a mirrored request (MIRRORPROOF_UNGUARDED); what they open in C is not.",
        *(f"    {each['client']} {each['version']}" for each in clients),
    ]
