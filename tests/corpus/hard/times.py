"""Times that are wrong and look fresh, and fresh times that look wrong. Tuning part."""

from __future__ import annotations

from ..environment import TIMES, Env, Style
from ..labels import Part, Why
from ..marks import Marked, weave
from ..world import World
from .making import Cases, Made, drop, header, put

__all__ = ["CASES"]

CASES = Cases(Part.TUNING)
_add = CASES.add


def _session(world: World, env: Env) -> Made:
    return {
        "id": world.uuid(),
        "owner": world.person(),
        "issued_at": env.now(),
        "expires_at": env.now(plus_s=3600),
        "expires_in": 3600,
        "request_id": env.request_id(),
    }


def _job(world: World, env: Env) -> Made:
    return {
        "job": env.new_id(4_100),
        "queue": world.word(),
        "created_at": env.now(),
        "updated_at": env.now(),
        "scheduled_for": env.stored(world.now_s + 86_400),
        "attempts": 0,
    }


_add(
    "a session that has expired when it is made",
    "auth",
    "POST /sessions",
    _session,
    put("expires_at", lambda env: env.now(), "expires at once instead of in an hour"),
)
_add(
    "a session that lasts a day instead of an hour",
    "auth",
    "POST /sessions/long",
    _session,
    put("expires_at", lambda env: env.now(plus_s=86_400), "expires in a day"),
)
_add(
    "a new job from 1970",
    "admin",
    "POST /jobs",
    _job,
    put("created_at", "1970-01-01T00:00:00.000Z", "the epoch instead of now"),
)
_add(
    "a new job from the year 1",
    "admin",
    "POST /jobs/zero",
    _job,
    put("updated_at", "0001-01-01T00:00:00Z", "Go's zero time instead of now"),
)
_add(
    "milliseconds instead of seconds",
    "feed",
    "POST /marks",
    lambda w, e: {"mark": w.slug(), "at": e.now("epoch"), "by": w.person()},
    put("at", lambda env: env.now("epoch_ms"), "epoch in ms instead of s"),
)
_add(
    "a fresh time that lost its zone",
    "admin",
    "POST /jobs/naive",
    _job,
    put("created_at", lambda env: env.now("iso_naive"), "without a zone, and with another precision"),
)
_add(
    "local time that says it is UTC",
    "admin",
    "POST /jobs/local",
    _job,
    put("created_at", lambda env: env.now(plus_s=7_200), "two hours ahead: a zone applied twice"),
)
_add(
    "an hour of daylight saving",
    "feed",
    "POST /events/dst",
    _job,
    put("updated_at", lambda env: env.now(plus_s=-3_600), "an hour behind"),
)
_add(
    "the time at which the service started",
    "metrics",
    "GET /status/time",
    lambda w, e: {"service": "pricing", "now": e.now(), "region": "eu-1", "leader": w.chance(0.5)},
    put("now", lambda env: env.now(plus_s=-3 * 86_400 - 4_711), "a clock that stands still"),
)
_add(
    "an answer from a cache of yesterday",
    "search",
    "GET /trending",
    lambda w, e: {"generated_at": e.now("iso_z"), "terms": w.tags(4), "window": "1h"},
    put("generated_at", lambda env: env.now("iso_z", -26 * 3_600), "26 hours old"),
)
_add(
    "twelve hours off on a clock with twelve hours",
    "geo",
    "POST /checkins",
    lambda w, e: {"place": w.city()[0], "at": Marked(TIMES["sql"](e.at_s), Why.FRESH_TIME), "ok": True},
    put("at", lambda env: TIMES["sql"](env.at_s - 12 * 3_600), "noon and midnight confused"),
    at_s=1_764_165_000,
)
_add(
    "day and month swapped",
    "shop",
    "POST /returns",
    lambda w, e: {"return": w.slug(), "opened": Marked(TIMES["iso_z"](e.at_s), Why.FRESH_TIME)},
    put("opened", "2025-06-12T09:30:00Z", "6 December written as 12 June"),
    at_s=1_765_013_400,
)
_add(
    "a date that is a day early because of a zone",
    "shop",
    "POST /invoices",
    lambda w, e: {
        "number": "R-1044",
        "date": Marked(TIMES["iso_z"](e.at_s)[:10], Why.FRESH_TIME),
        "net": w.cents(),
    },
    put("date", lambda env: TIMES["iso_z"](env.at_s - 86_400)[:10], "yesterday's date"),
)
_add(
    "a fresh time and null",
    "admin",
    "POST /jobs/null",
    _job,
    put("updated_at", None, "null", "changed_type"),
)
_add("a fresh time and nothing", "admin", "POST /jobs/none", _job, drop("updated_at", "no time at all"))
_add(
    "a fresh time as a number instead of text",
    "admin",
    "POST /jobs/number",
    _job,
    put("created_at", lambda env: env.now("epoch_ms"), "a number instead of text", "changed_type"),
)
_add(
    "a stored time a second off",
    "repos",
    "GET /commits/{sha}",
    lambda w, e: {"sha": w.sha(), "date": "2025-03-02T11:40:07Z", "fetched_at": e.now("iso_z")},
    put("date", "2025-03-02T11:40:08Z", "another second: rounded instead of cut"),
)
_add(
    "a stored time without its milliseconds",
    "repos",
    "GET /tags/{name}",
    lambda w, e: {"name": "v1.2.0", "tagged_at": "2025-03-02T11:40:07.412Z", "fetched_at": e.now("iso_z")},
    put("tagged_at", "2025-03-02T11:40:07Z", "the fraction is lost"),
)
_add(
    "last-modified is now instead of then",
    "html",
    "GET /about",
    lambda w, e: {"title": "About", "text": w.sentence()},
    header("last-modified", lambda env: env.now("rfc1123"), "a header that v1 does not send"),
)
_add(
    "a time that ends a lease too early",
    "geo",
    "POST /reservations",
    lambda w, e: {
        "seat": "12C",
        "held_until": e.now("iso_offset", 900),
        "price": w.cents(),
        "reserved_at": e.now("iso_offset"),
    },
    put("held_until", lambda env: env.now("iso_offset", 90), "90 seconds instead of 900"),
)

# Noise that looks like a difference

_add(
    "a year ends between the two answers",
    "feed",
    "POST /posts/newyear",
    lambda w, e: {
        "id": e.new_id(9_999),
        "at": e.now("iso_z"),
        "day": Marked(TIMES["iso_z"](e.at_s)[:10], Why.FRESH_TIME),
        "text": w.sentence(),
    },
    at_s=1_767_225_599.6,
    later_s=0.6,
)
_add(
    "a slow second version: eleven seconds later",
    "admin",
    "POST /jobs/slow",
    _job,
    later_s=11.4,
)
_add(
    "a fresh time inside of a sentence",
    "webhook",
    "POST /audits",
    lambda w, e: {
        "message": weave("Order 55 was exported at ", e.now("iso_z"), " by the nightly job."),
        "rows": 31,
    },
)
_add(
    "a cache buster in a URL",
    "html",
    "GET /assets.json",
    lambda w, e: {"script": weave("https://cdn.example/app.js?v=41&_=", e.now("epoch_ms")), "hash": w.sha()},
)
_add(
    "fractions of a second of different lengths",
    "feed",
    "POST /ticks",
    lambda w, e: {
        "tick": Marked(TIMES["iso_micro"](e.at_s).rstrip("0+:").rstrip("0") + "Z", Why.FRESH_TIME),
        "source": "a",
    },
    style=Style(times="iso_z"),
)
_add(
    "what is left of a token's life",
    "auth",
    "GET /token/info",
    lambda w, e: {
        "active": True,
        "scope": "read",
        "exp": 1_790_000_000,
        "expires_in": Marked(int(1_790_000_000 - e.at_s), Why.FRESH_TIME),
    },
    at_s=1_789_998_800.9,
)
_add(
    "how long ago, in words",
    "feed",
    "GET /posts/{id}/header",
    lambda w, e: {
        "author": w.person(),
        "ago": Marked(f"{int(e.at_s - 1_770_000_000)} seconds ago", Why.FRESH_TIME, alone=True),
    },
    at_s=1_770_000_042.9,
)
