"""From a service's endpoint and a seed to a labelled pair.

Knows environments, faults and captures. Must not know any one service.

Four answers are made of the same world: v1's, v2's a few milliseconds later, the control's, and v1's again.
They differ in their environments; v2's is spoilt by zero, one or two faults. What a capture would hold is
made by the product's own `Redactor`, as its middleware does, unless the service is one that is compared from
raw recordings.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from mirrorproof.decision import Mode, Role
from mirrorproof.exchange import Exchange, Outcome, Request, Response
from mirrorproof.redaction import Redactor

from .answers import FORMATS, Answer, sha256
from .environment import HELD_OUT_STYLES, TUNING_STYLES, Env, Style
from .faults import spoil
from .labels import Noise, Pair, Part, Truth, Why, pointer
from .marks import Bag, Marked, plain, strip
from .world import World

__all__ = ["Endpoint", "Service", "build", "decoded", "exchange_of", "noise_of"]

Answering = Callable[[World, Env], Answer]
EPOCH_S = 1_750_000_000
"""Pairs are spread over the year after this moment."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint: `answer` is the service's code, right in any environment."""

    method: str
    route: str
    answer: Answering
    family: str
    raw: bool = False

    @property
    def safe(self) -> bool:
        return self.method in ("GET", "HEAD")


class Service:
    """A family: its endpoints, each added by a decorator."""

    def __init__(self, family: str, *, held_out_only: bool = False, raw: bool = False) -> None:
        self.family = family
        self.held_out_only = held_out_only
        self.raw = raw
        self.endpoints: list[Endpoint] = []

    def on(self, method: str, route: str) -> Callable[[Answering], Answering]:
        """Adds an endpoint."""

        def add(answer: Answering) -> Answering:
            self.endpoints.append(Endpoint(method, route, answer, self.family, self.raw))
            return answer

        return add


def build(endpoint: Endpoint, seed: str, part: Part, *, faults: int, style: Style | None = None) -> Pair:
    """One pair. The same arguments make the same pair."""
    random = Random(f"{part.value}/{endpoint.family}/{endpoint.method} {endpoint.route}/{seed}")
    style = style or random.choice(TUNING_STYLES if part is Part.TUNING else HELD_OUT_STYLES)
    at_s = EPOCH_S + random.uniform(0, 365 * 86_400)
    moves = random.random() < 0.03
    world = str(random.getrandbits(64))
    sides = {
        "primary": (at_s, 0, False),
        "shadow": (at_s + random.uniform(0.002, 0.9), random.choice((1, 1, 2, 3, 14)), moves),
        "control": (
            at_s + random.uniform(0.002, 0.6),
            random.choice((1, 2, 4, 9)),
            moves and random.random() < 0.5,
        ),
        "reread": (at_s + random.uniform(1, 1.4), 0, moves),
    }
    answers: dict[str, Answer] = {}
    times: dict[str, float] = {}
    for side, (its, ahead, moved) in sides.items():
        env = Env(Random(f"{seed}/{side}/{world}"), its, ahead=ahead, moved=moved, style=style)
        answer = endpoint.answer(World(world, at_s), env)
        _common_headers(answer, env, endpoint)
        answer.tree = _recased(answer.tree, style.case) if FORMATS[answer.format].pointers else answer.tree
        answers[side], times[side] = answer, its
    noise = [each for side in sides for each in noise_of(answers[side])]
    shadow = answers["shadow"]
    names, truths = [], []
    for _ in range(faults):
        spoilt = spoil(shadow, random, without=(*names, *(("failed",) if names else ())))
        if spoilt is None:
            continue
        names.append(spoilt[0])
        truths += spoilt[1]
        if spoilt[0] == "failed" or any(len(truth.readings) > 1 for truth in spoilt[1]):
            break
        if any(truth.kind in ("missing", "extra", "order") for truth in spoilt[1]):
            break  # what comes behind would be at another index
    if len(names) > 1 and _overlap(truths):
        return build(endpoint, seed, part, faults=1, style=style)
    build_one = _Building(endpoint, f"{endpoint.family}-{seed}", random, part)
    made = {side: build_one.exchange(answers[side], side, times[side]) for side in sides}
    seen = [truth for truth in truths if _visible(truth, made["primary"], made["shadow"])]
    if len(seen) < len(truths):
        names.append("redacted")
    return Pair(
        name=f"{endpoint.family}/{endpoint.method} {endpoint.route}#{seed}",
        family=endpoint.family,
        part=part,
        primary=made["primary"],
        shadow=made["shadow"],
        control=made["control"],
        reread=made["reread"] if endpoint.safe else None,
        truths=tuple(seen),
        noise=tuple(dict.fromkeys(noise)),
        notes=tuple(names),
    )


@dataclass(slots=True)
class _Building:
    endpoint: Endpoint
    pair_id: str
    random: Random
    part: Part

    def exchange(self, answer: Answer, side: str, at_s: float) -> Exchange:
        return exchange_of(
            answer,
            side,
            at_s,
            method=self.endpoint.method,
            route=self.endpoint.route,
            service=self.endpoint.family,
            pair_id=self.pair_id,
            raw=self.endpoint.raw,
            duration_s=self.random.lognormvariate(-4, 0.6),
        )


def exchange_of(
    answer: Answer,
    side: str,
    at_s: float,
    *,
    method: str,
    route: str | None,
    service: str,
    pair_id: str,
    raw: bool = False,
    duration_s: float = 0.02,
) -> Exchange:
    """The exchange that a capture of this answer would be; `raw` leaves out redaction."""
    form = FORMATS[answer.format]
    body = form.write(answer, plain(answer.tree))
    redactor = Redactor.shared(())
    content_type = answer.content_type or form.content_type
    if answer.format == "multipart":
        content_type += f"; boundary={plain(answer.tree['boundary'])}"
    headers = [("content-type", content_type)] if content_type else []
    encoding = str(plain(answer.headers.get("content-encoding", "")))
    if encoding == "gzip":
        body = gzip.compress(body, mtime=0)
    for name, value in answer.headers.items():
        values = plain(value)
        headers += [(name, str(each)) for each in (values if isinstance(values, list) else [values])]
    headers.append(("content-length", str(len(body))))
    kept = body if raw else redactor.body(body, content_type, encoding)
    dry = side == "shadow"
    effects = [act.effect(Outcome.SUPPRESSED if dry else Outcome.EXECUTED) for act in answer.effects]
    return Exchange(
        exchange_id=f"{pair_id}-{side}",
        pair_id=pair_id,
        service=service,
        version="2" if dry else "1",
        role={"shadow": Role.SHADOW, "control": Role.CONTROL}.get(side, Role.PRIMARY),
        mode=Mode.DRY_RUN,
        started_unix_ns=int((at_s - 0.004) * 1e9),
        duration_ns=int((duration_s + 0.004) * 1e9),
        request=Request(method=method, path=answer.path, query=answer.query, route=route),
        response=Response(
            status=answer.status,
            headers=headers if raw else redactor.headers(headers),
            body=kept,
            body_bytes=len(body),
            sha256=sha256(body),
        ),
        effects=effects,
    )


def _common_headers(answer: Answer, env: Env, endpoint: Endpoint) -> None:
    """What a proxy and a framework add."""
    answer.headers.setdefault("date", env.now("rfc1123"))
    answer.headers.setdefault("server", "istio-envoy")
    answer.headers.setdefault("x-request-id", env.uuid())
    answer.headers.setdefault("x-envoy-upstream-service-time", env.took_ms())


def noise_of(answer: Answer) -> list[Noise]:
    """The labels of what is marked in an answer."""
    form = FORMATS[answer.format]
    _, found = strip(answer.tree, "body")
    if not form.pointers:
        found = list(dict.fromkeys(Noise("/body/**", each.why, each.alone) for each in found))
    for name, value in answer.headers.items():
        if isinstance(value, Marked):
            found.append(Noise(pointer("headers", name), value.why, value.alone))
    if answer.format == "multipart" and isinstance(answer.tree["boundary"], Marked):
        found.append(Noise("/headers/content-type", Why.NONCE))
    for act in answer.effects:
        marked = [
            each for name, each in act.fields.items() if isinstance(each, Marked) and name not in act.drawn
        ]
        target = act.target if isinstance(act.target, Marked) else None
        for each in [target] if target else marked:
            name = "*" if target else plain(act.target)
            found.append(Noise(pointer("effects", act.kind, name, "*"), each.why))
    return found


def decoded(response: Response) -> bytes:
    """A body without its content coding."""
    zipped = ("content-encoding", "gzip") in response.headers
    return gzip.decompress(response.body) if zipped else response.body


def _overlap(truths: list[Truth]) -> bool:
    """Whether one place is inside of another."""
    places = [truth.where + "/" for truth in truths]
    return any(
        one is not other and (one.startswith(other) or "*" in one)
        for number, one in enumerate(places)
        for other in places[:number] + places[number + 1 :]
    )


def _visible(truth: Truth, primary: Exchange, shadow: Exchange) -> bool:
    """Whether redaction left anything to be seen of a difference in a JSON body."""
    kind, where = truth.readings[0]
    if kind not in ("changed_value", "changed_type") or not where.startswith("/body/") or "*" in where:
        return True
    assert primary.response is not None
    assert shadow.response is not None
    one, other = (json.loads(decoded(each)) for each in (primary.response, shadow.response))
    for segment in where.split("/")[2:]:
        name = segment.replace("~1", "/").replace("~0", "~")
        one, other = (each[int(name) if isinstance(each, list) else name] for each in (one, other))
    return bool(json.dumps(one) != json.dumps(other))


def _recased(tree: Any, case: str) -> Any:
    if case == "snake":
        return tree
    if isinstance(tree, Bag):
        return Bag([_recased(each, case) for each in tree.items], tree.alone)
    if isinstance(tree, list):
        return [_recased(each, case) for each in tree]
    if isinstance(tree, dict):
        return {_name(key, case): _recased(value, case) for key, value in tree.items()}
    return tree


def _name(key: str, case: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", key):
        return key
    head, *rest = key.split("_")
    if case == "kebab":
        return key.replace("_", "-")
    words = "".join(each.capitalize() for each in rest)
    return (head.capitalize() if case == "pascal" else head) + words
