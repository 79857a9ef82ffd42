"""The calls of the HTTP contract, one function each.

Knows requests, their parameters and the recorder. Must not know SQL or who may call.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from typing import Final, TypeVar

from aiohttp import web

from mirrorproof.errors import SettingsError, WireError
from mirrorproof.exchange import Batch, decode_batch
from mirrorproof_sidecar.compare import Kind, Result, Rules
from mirrorproof_sidecar.recorder.answers import ProblemError, json_answer, problem
from mirrorproof_sidecar.recorder.metrics import CONTENT_TYPE
from mirrorproof_sidecar.recorder.service import Recorder
from mirrorproof_sidecar.store.browsing import PairFilter, one_pair, page_of_pairs
from mirrorproof_sidecar.store.retention import forget
from mirrorproof_sidecar.store.rulebook import current_rules, put_rules, usage
from mirrorproof_sidecar.store.summary import fields
from mirrorproof_sidecar.store.trends import trends

__all__ = ["RECORDER", "ROUTES", "unpack"]

RECORDER: Final = web.AppKey("recorder", Recorder)

_MAX_PAGE: Final = 500
_MAX_RULES_BYTES: Final = 1 << 20
_RETRY_AFTER_S: Final = 2
_READY_TIMEOUT_S: Final = 5.0
_FIELD: Final = re.compile(r"at `\$\.?([^`]*)`")
_MISSING_FIELD: Final = re.compile(r"missing required field `([^`]+)`")
_PAIR_FILTERS: Final = ("endpoint", "result", "path", "kind", "pair_id", "against", "cursor", "limit")
_CLOSED_FILTERS: Final = {
    "result": tuple(map(str, Result)), "kind": tuple(map(str, Kind)), "against": ("shadow", "control"),
}  # fmt: skip
_SECONDS: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?", re.ASCII)
_GATE: Final = {"pass": 200, "fail": 417, "undecided": 425}
"""For hooks that look at the status only."""
_OFF: Final = ("0", "false")
_ON: Final = ("", "1", "true")
V = TypeVar("V")


async def post_exchanges(request: web.Request) -> web.Response:
    """Take a batch; 202 once it is durable."""
    recorder = request.app[RECORDER]
    if recorder.overloaded:
        recorder.metrics.rejected.labels("overloaded").inc()
        return problem(
            429, "more waits to be compared than MIRRORPROOF_MAX_BACKLOG allows; send it again later",
            headers={"Retry-After": str(_RETRY_AFTER_S)},
        )  # fmt: skip
    try:
        batch = await _batch(request)
    except web.HTTPRequestEntityTooLarge:
        recorder.metrics.rejected.labels("too_large").inc()
        raise
    except WireError as error:
        recorder.metrics.rejected.labels("malformed").inc()
        return problem(400, str(error), index=error.index, field=_field_of(error))
    taken = await recorder.take(batch)
    return json_answer({"accepted": taken.accepted, "duplicates": taken.duplicates}, 202)


async def get_summary(request: web.Request) -> web.Response:
    """The summary; with `?settle=1`, once everything that has arrived is settled."""
    recorder = request.app[RECORDER]
    _refuse_unknown(request, ("settle",))
    if request.query.get("settle", "0") not in ("", "0", "false"):
        await recorder.settle_now()
    return json_answer(await recorder.summary())


async def get_verdict(request: web.Request) -> web.Response:
    """The verdict. 200 always, or with `?gate=1` a status that tells it."""
    recorder = request.app[RECORDER]
    _refuse_unknown(request, ("gate", "settle", "since"))
    since_s = _seconds(request, "since")
    settle = _switch(request, "settle")
    if settle:
        await recorder.settle_now()
    found = await recorder.verdict(since_s, fresh=settle)
    return json_answer(found, _GATE[found["verdict"]] if _switch(request, "gate") else 200)


async def get_fields(request: web.Request) -> web.Response:
    """The differences of one endpoint, by field."""
    found = await request.app[RECORDER].read(fields, request.match_info["id"])
    return json_answer(_or_404(found, "endpoint"))


async def get_trends(request: web.Request) -> web.Response:
    """Results over time and durations; with `?endpoint=` of one endpoint, by its id."""
    _refuse_unknown(request, ("endpoint",))
    return json_answer(await request.app[RECORDER].read(trends, request.query.get("endpoint")))


async def get_pairs(request: web.Request) -> web.Response:
    """A page of pairs."""
    _refuse_unknown(request, _PAIR_FILTERS)
    query = dict(request.query)
    limit = query.pop("limit", "50")
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit) <= _MAX_PAGE):
        return problem(400, f"`limit` has to be a number from 1 to {_MAX_PAGE}")
    for name, allowed in _CLOSED_FILTERS.items():
        if name in query and query[name] not in allowed:
            return problem(400, f"`{name}` has to be one of {', '.join(allowed)}")
    try:
        wanted = PairFilter(**query, limit=int(limit))
    except ValueError as error:
        return problem(400, str(error))
    return json_answer(await request.app[RECORDER].read(page_of_pairs, wanted))


async def get_pair(request: web.Request) -> web.Response:
    """One pair: both sides and their differences."""
    found = await request.app[RECORDER].read(one_pair, request.match_info["id"])
    return json_answer(_or_404(found, "pair"))


async def delete_pair(request: web.Request) -> web.Response:
    """Forget a pair and every exchange that has its pair id."""
    exchanges, pairs = await request.app[RECORDER].write(forget, request.match_info["id"])
    _or_404((exchanges or pairs) or None, "pair")
    return json_answer({"deleted": {"exchanges": exchanges, "pairs": pairs}})


async def get_rules(request: web.Request) -> web.Response:
    """The rules that hold, the default ones among them; with `?usage=1` in how many pairs each was of use."""
    _refuse_unknown(request, ("usage",))
    if request.query.get("usage", "0") in _ON:
        return json_answer(await request.app[RECORDER].read(usage))
    rules = await request.app[RECORDER].read(current_rules)
    return web.Response(body=rules.to_json(), content_type="application/json")


async def put_new_rules(request: web.Request) -> web.Response:
    """Replace the rules, for what is compared from now on. The default ones stay unless `?defaults=0`."""
    recorder = request.app[RECORDER]
    _refuse_unknown(request, ("defaults",))
    defaults = request.query.get("defaults", "1")
    if defaults not in _OFF + _ON:
        return problem(400, "`defaults` has to be 1 (keep the default rules) or 0 (replace them too)")
    body = await request.read()
    if len(body) > _MAX_RULES_BYTES:
        raise web.HTTPRequestEntityTooLarge(max_size=_MAX_RULES_BYTES, actual_size=len(body))
    try:
        own = Rules.from_json(body)
        rules = own if defaults in _OFF else own.with_defaults()
    except SettingsError as error:
        return problem(400, str(error))
    await recorder.write(put_rules, rules, now_s=recorder.clock())
    return web.Response(body=rules.to_json(), content_type="application/json")


async def healthz(_request: web.Request) -> web.Response:
    """The process answers."""
    return json_answer({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """The store answers; its migrations are done before the recorder listens."""
    try:
        async with asyncio.timeout(_READY_TIMEOUT_S):
            await request.app[RECORDER].ping()
    except Exception as error:
        return problem(503, f"the store does not answer: {type(error).__name__}")
    return json_answer({"status": "ready"})


async def get_metrics(request: web.Request) -> web.Response:
    """Prometheus."""
    recorder = request.app[RECORDER]
    recorder.metrics.count_spans(recorder.telemetry.counts)
    return web.Response(body=recorder.metrics.render(), headers={"Content-Type": CONTENT_TYPE})


ROUTES: Final = (
    web.post("/v1/exchanges", post_exchanges),
    web.get("/v1/summary", get_summary),
    web.get("/v1/verdict", get_verdict),
    web.get("/v1/endpoints/{id}/fields", get_fields),
    web.get("/v1/trends", get_trends),
    web.get("/v1/pairs", get_pairs),
    web.get("/v1/pairs/{id}", get_pair),
    web.delete("/v1/pairs/{id}", delete_pair),
    web.get("/v1/rules", get_rules),
    web.put("/v1/rules", put_new_rules),
    web.get("/healthz", healthz),
    web.get("/readyz", readyz),
    web.get("/metrics", get_metrics),
)


async def _batch(request: web.Request) -> Batch:
    """The posted batch. Unpacking and decoding can take a while, so they leave the event loop alone."""
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise ProblemError(415, f"Content-Encoding {encoding!r} is not taken; send gzip or none")
    recorder = request.app[RECORDER]
    body = await request.read()
    if encoding == "gzip":
        body = await asyncio.to_thread(unpack, body, recorder.settings.max_post_bytes)
    return await asyncio.to_thread(decode_batch, body, request.content_type)


def unpack(packed: bytes, max_bytes: int) -> bytes:
    """The content of a gzip body. Raises `WireError`, or 413 if it is larger than `max_bytes`."""
    inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        body = inflater.decompress(packed, max_bytes + 1)
    except zlib.error as error:
        raise WireError(f"the body is no gzip, as its Content-Encoding says: {error}") from error
    if len(body) > max_bytes:
        raise web.HTTPRequestEntityTooLarge(max_size=max_bytes, actual_size=len(body))
    if not inflater.eof:
        raise WireError("the gzip body ends too early")
    return body


def _field_of(error: WireError) -> str | None:
    """The field that the error's words name, as a dotted path."""
    where, missing = _FIELD.search(str(error)), _MISSING_FIELD.search(str(error))
    parts = [found[1] for found in (where, missing) if found and found[1]]
    return ".".join(parts) or None


def _refuse_unknown(request: web.Request, known: tuple[str, ...]) -> None:
    for name in request.query:
        if name not in known:
            raise ProblemError(400, f"{name!r} is no parameter here; there are {', '.join(known)}")


def _switch(request: web.Request, name: str) -> bool:
    value = request.query.get(name, "0")
    if value not in _OFF + _ON:
        raise ProblemError(400, f"`{name}` has to be 1 or 0")
    return value in _ON


def _seconds(request: web.Request, name: str) -> float | None:
    text = request.query.get(name)
    if text is None:
        return None
    if not _SECONDS.fullmatch(text):
        raise ProblemError(400, f"`{name}` has to be seconds since 1970, such as 1700000000")
    return float(text)


def _or_404(found: V | None, what: str) -> V:
    if found is None:
        raise ProblemError(404, f"no {what} has this id; it may have been deleted by age")
    return found
