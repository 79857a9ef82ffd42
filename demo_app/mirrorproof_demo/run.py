"""One run of the demo, from nothing to the proof.

Knows the order of things. Must not know how any of them is done.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy.exc import DBAPIError

from mirrorproof_demo.driver import drive
from mirrorproof_demo.envoy import ENDPOINT_VARIABLE
from mirrorproof_demo.proof import Evidence, Proof, prove, unpaired
from mirrorproof_demo.stand import Plan, Stand, start
from mirrorproof_demo.supervisor import StartError, Supervisor
from mirrorproof_demo.web import get_json
from mirrorproof_demo.witness import count_writes, prepare_database

__all__ = ["Teller", "Wish", "WishError", "clean_environment", "run_demo"]

_TRACES_ENDPOINT_VARIABLE: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_DRAIN_S: Final = 30.0
_SETTLE_S: Final = 45.0
_EXPORT_S: Final = 10.0


class WishError(Exception):
    """What the user asked for cannot be done; the text says what can."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked for. `database` is a URL, or `None` for a file of the demo's own."""

    requests: int
    seed: int
    database: str | None = None
    guards: bool = True


@dataclass(frozen=True, slots=True)
class Teller:
    """Who hears how it goes: a sentence for each stage, and the number of requests answered."""

    stage: Callable[[str], None]
    answered: Callable[[int], None]


def clean_environment() -> dict[str, str]:
    """The environment without settings of mirrorproof's: the demo brings its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MIRRORPROOF_")}


def run_demo(wish: Wish, directory: Path, supervisor: Supervisor, tell: Teller) -> tuple[Proof, Stand]:
    """Start everything, send the requests, and prove. Everything still runs afterwards.

    Raises `StartError` where a process does not do its part, `WishError` for a wish that cannot be met.
    """
    begun_s = time.monotonic()
    database = wish.database or f"sqlite:///{directory / 'shop.db'}"
    plan = Plan(directory, database, guards=wish.guards)
    tell.stage("preparing the database")
    try:
        with supervisor.interrupts.at_once():  # a database may not answer, and nothing is started yet
            prepare_database(database)
    except ValueError as error:
        raise WishError(str(error)) from error
    except DBAPIError as error:
        raise StartError(f"the database cannot be used: {error.orig}") from error
    tell.stage("starting payments, recorder, v1, v2 and two Envoys")
    stand = start(supervisor, plan)
    tell.stage(f"sending {wish.requests} requests through {stand.edge}")
    load = drive(supervisor, stand.edge, wish.requests, wish.seed, tell.answered)
    tell.stage("waiting until every mirrored request is accounted for")
    mirrored, summary = _settled(supervisor, stand)
    proof = prove(
        Evidence(
            wanted=wish.requests,
            load=load,
            mirrored=mirrored,
            summary=summary,
            writes=count_writes(database, stand.payments, plan.pick_list),
            spans_exported=summary["spans"]["exported"],
            exporting=bool(os.environ.get(ENDPOINT_VARIABLE) or os.environ.get(_TRACES_ENDPOINT_VARIABLE)),
            guards=wish.guards,
            seconds=time.monotonic() - begun_s,
        )
    )
    return proof, stand


def _settled(supervisor: Supervisor, stand: Stand) -> tuple[int, Mapping[str, Any]]:
    """Envoy's count of mirrored requests, and the summary once it speaks of all of them.

    If it never does, the last summary: the proof then says what is missing.
    """
    supervisor.wait_for(
        "v2 to answer its mirrored requests", lambda: stand.mirrors_open() == 0, timeout_s=_DRAIN_S
    )
    mirrored = stand.mirrored()
    last: dict[str, Any] = {}

    def accounted_for() -> bool:
        last.update(get_json(f"{stand.recorder}/v1/summary"))
        return _accounted_for(last, mirrored)

    def exported() -> bool:
        last.update(get_json(f"{stand.recorder}/v1/summary"))
        spans = last["spans"]
        return bool(spans["made"] == spans["exported"] + spans["failed"] + spans["dropped"])

    for what, condition, timeout_s in (
        ("the recorder to settle", accounted_for, _SETTLE_S),
        ("spans to be exported", exported, _EXPORT_S),
    ):
        try:
            supervisor.wait_for(what, condition, timeout_s=timeout_s)
        except StartError:
            supervisor.check()  # a process that died is told; what is lacking is for the proof to say
    return mirrored, last


def _accounted_for(summary: Mapping[str, Any], mirrored: int) -> bool:
    known = summary["totals"]["pairs"] + sum(unpaired(summary).values())
    waiting = sum(summary["completeness"]["waiting"].values())
    return bool(known >= mirrored and not waiting)
