"""The settling worker's side of the store: what is due, what belongs to it, and writing down what came of it.

Knows rows and the order of writes. Must not know how pairs are found or compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, bindparam, delete, func, select, update
from sqlalchemy.sql import ColumnElement

from mirrorproof.exchange import Exchange
from mirrorproof_sidecar.finding import Finding
from mirrorproof_sidecar.pairing import Effects, Match, Seen, Side, State
from mirrorproof_sidecar.store import schema
from mirrorproof_sidecar.store.findings import difference_rows, ignored_rows, pair_row
from mirrorproof_sidecar.store.ingest import digest, upsert
from mirrorproof_sidecar.store.rulebook import count_usage

__all__ = [
    "Claim",
    "KeyState",
    "Outcome",
    "backlog",
    "bump",
    "claim",
    "load",
    "load_exchanges",
    "pair_id_of",
    "record",
]


@dataclass(frozen=True, slots=True)
class Claim:
    """A key to settle; `arrivals` tells later whether something has come meanwhile."""

    key: str
    arrivals: int


@dataclass(slots=True)
class KeyState:
    """What the store holds of a key. `count` may be more than what was `seen`: see `load`."""

    claim: Claim
    count: int = 0
    seen: list[Seen] = field(default_factory=list)
    states: dict[str, State] = field(default_factory=dict)
    endpoints: dict[str, str] = field(default_factory=dict)
    recorded: list[Match] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a key: to be written in one piece. `set_aside`: all of its exchanges are ambiguous."""

    claim: Claim
    effects: Effects
    due_s: float | None
    findings: tuple[Finding, ...] = ()
    set_aside: bool = False


def claim(
    connection: Connection, *, now_s: float, limit: int, lease_s: float, everything: bool = False
) -> list[Claim]:
    """Up to `limit` keys that are due, or fresh if `everything`; nobody else gets them for `lease_s`."""
    table = schema.pending
    wanted: ColumnElement[bool] = table.c.due_s <= now_s
    if everything:
        wanted = wanted | table.c.fresh
    chosen = connection.execute(
        select(table.c.key, table.c.arrivals)
        .where(wanted)
        .order_by(table.c.due_s)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    if chosen:
        keys = [row.key for row in chosen]
        connection.execute(update(table).where(table.c.key.in_(keys)).values(due_s=now_s + lease_s))
    return [Claim(row.key, row.arrivals) for row in chosen]


def backlog(connection: Connection) -> int:
    """How many keys have something new that is not settled."""
    table = schema.pending
    return connection.execute(select(func.count()).select_from(table).where(table.c.fresh)).scalar_one()


def load(connection: Connection, claims: Sequence[Claim], max_per_key: int) -> list[KeyState]:
    """What is known of the claimed keys. Of a key with more than `max_per_key` exchanges only the number."""
    states = {one.key: KeyState(one) for one in claims}
    table = schema.exchanges
    counted = select(table.c.key, func.count()).where(table.c.key.in_(states)).group_by(table.c.key)
    for key, count in connection.execute(counted):
        states[key].count = count
    small = [key for key, state in states.items() if state.count <= max_per_key]
    columns = [
        table.c.uid, table.c.key, table.c.side, table.c.state, table.c.endpoint, table.c.attempt,
        table.c.started_ns, table.c.received_s, table.c.query_digest, table.c.body_digest,
    ]  # fmt: skip
    for row in connection.execute(select(*columns).where(table.c.key.in_(small))):
        state = states[row.key]
        state.seen.append(
            Seen(
                row.uid, Side(row.side), row.started_ns, row.received_s, row.attempt, row.query_digest,
                row.body_digest,
            )
        )  # fmt: skip
        state.states[row.uid] = State(row.state)
        state.endpoints[row.uid] = row.endpoint
    pairs = schema.pairs
    found = select(pairs.c.key, pairs.c.primary_uid, pairs.c.other_uid, pairs.c.against)
    for row in connection.execute(found.where(pairs.c.key.in_(states))):
        states[row.key].recorded.append(Match(row.primary_uid, row.other_uid, Side(row.against)))
    return list(states.values())


def load_exchanges(connection: Connection, uids: Iterable[str]) -> dict[str, Exchange]:
    """Whole exchanges by uid; one that was deleted meanwhile is missing."""
    table = schema.exchanges
    rows = connection.execute(select(table.c.uid, table.c.blob).where(table.c.uid.in_(sorted(set(uids)))))
    return {row.uid: msgspec.msgpack.decode(row.blob, type=Exchange) for row in rows}


def pair_id_of(match: Match) -> str:
    """The pair's key in the store: the same for the same two exchanges, whoever finds them."""
    return digest("pair", match.primary, match.other)


def record(
    connection: Connection, outcomes: Sequence[Outcome], *, now_s: float, rules_number: int = 0
) -> list[Finding]:
    """Write down what came of the keys, except those that something arrived for meanwhile.

    `rules_number` is the set of rules that the pairs were compared by. Returns the findings that are new: two
    recorders on one store never report the same pair twice.
    """
    current = _still_current(connection, outcomes)
    for outcome in current:
        if outcome.set_aside:
            _set_aside(connection, outcome.claim.key)
    _revoke(connection, [pair_id_of(match) for one in current for match in one.effects.revoke])
    _restate(connection, [item for one in current for item in one.effects.restate.items()])
    fresh = _insert(connection, [finding for one in current for finding in one.findings])
    _reschedule(connection, current)
    count_usage(connection, rules_number, [finding.comparison.used for finding in fresh])
    bump(connection, "revised", sum(one.effects.revised for one in current))
    bump(connection, "revoked", sum(len(one.effects.revoke) for one in current))
    return fresh


def bump(connection: Connection, name: str, amount: int) -> None:
    """Add to one of the recorder's own counters."""
    if amount:
        statement = upsert(connection, schema.counters)
        statement = statement.on_conflict_do_update(
            index_elements=["name"], set_={"value": schema.counters.c.value + statement.excluded.value}
        )
        connection.execute(statement, [{"name": name, "value": amount}])


def _still_current(connection: Connection, outcomes: Sequence[Outcome]) -> list[Outcome]:
    table = schema.pending
    keys = [one.claim.key for one in outcomes]
    rows = connection.execute(
        select(table.c.key, table.c.arrivals)
        .where(table.c.key.in_(keys))
        .order_by(table.c.key)
        .with_for_update()
    )
    arrivals = {row.key: row.arrivals for row in rows}
    return [one for one in outcomes if arrivals.get(one.claim.key) == one.claim.arrivals]


def _set_aside(connection: Connection, key: str) -> None:
    table, pairs = schema.exchanges, schema.pairs
    mine = and_(table.c.key == key, table.c.state != State.AMBIGUOUS.value)
    connection.execute(update(table).where(mine).values(state=State.AMBIGUOUS.value))
    _revoke(connection, list(connection.execute(select(pairs.c.id).where(pairs.c.key == key)).scalars()))


def _revoke(connection: Connection, ids: Sequence[str]) -> None:
    if ids:
        connection.execute(delete(schema.differences).where(schema.differences.c.pair.in_(ids)))
        connection.execute(delete(schema.ignored).where(schema.ignored.c.pair.in_(ids)))
        connection.execute(delete(schema.pairs).where(schema.pairs.c.id.in_(ids)))


def _restate(connection: Connection, states: Sequence[tuple[str, State]]) -> None:
    if states:
        table = schema.exchanges
        statement = update(table).where(table.c.uid == bindparam("b_uid")).values(state=bindparam("b_state"))
        connection.execute(
            statement, [{"b_uid": uid, "b_state": state.value} for uid, state in sorted(states)]
        )


def _insert(connection: Connection, findings: Sequence[Finding]) -> list[Finding]:
    by_id = {pair_id_of(finding.match): finding for finding in findings}
    rows: list[dict[str, Any]] = [pair_row(key, finding) for key, finding in sorted(by_id.items())]
    if not rows:
        return []
    statement = upsert(connection, schema.pairs).on_conflict_do_nothing().returning(schema.pairs.c.id)
    new = sorted(connection.execute(statement, rows).scalars())
    for table, make in ((schema.differences, difference_rows), (schema.ignored, ignored_rows)):
        more = [row for key in new for row in make(key, by_id[key])]
        if more:
            connection.execute(table.insert(), more)
    # Both sides count at one endpoint, the primary's, even if v2 names its route otherwise.
    moved = _moved(by_id[key] for key in new)
    for endpoint, uids in moved.items():
        table = schema.exchanges
        connection.execute(update(table).where(table.c.uid.in_(uids)).values(endpoint=endpoint))
    return [by_id[key] for key in new]


def _moved(findings: Iterable[Finding]) -> Mapping[str, list[str]]:
    moved: dict[str, list[str]] = defaultdict(list)
    for finding in findings:
        if finding.other_endpoint != finding.endpoint:
            moved[finding.endpoint].append(finding.match.other)
    return moved


def _reschedule(connection: Connection, outcomes: Sequence[Outcome]) -> None:
    table = schema.pending
    done = [one.claim.key for one in outcomes if one.due_s is None]
    if done:
        connection.execute(delete(table).where(table.c.key.in_(done)))
    later = [{"b_key": one.claim.key, "b_due": one.due_s} for one in outcomes if one.due_s is not None]
    if later:
        statement = update(table).where(table.c.key == bindparam("b_key"))
        connection.execute(statement.values(fresh=False, due_s=bindparam("b_due")), later)
