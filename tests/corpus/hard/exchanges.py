"""Headers, status and effects: what is wrong beside what changes each time. Tuning part."""

from __future__ import annotations

from ..answers import Act, Answer
from ..environment import Env
from ..labels import Part, Why
from ..marks import Marked, weave
from ..world import World
from .making import Cases, Made, acts, header, lacks, status, write

__all__ = ["CASES"]

CASES = Cases(Part.TUNING)
_add = CASES.add


def _edge(world: World, env: Env) -> Made:
    """An answer that came through a content delivery network."""
    return Answer(
        {"page": 1, "items": [1, 2, 3]},
        headers={
            "cf-ray": weave(env.hex_token(16), "-FRA"),
            "cf-cache-status": Marked("HIT" if env.ahead else "MISS", Why.CACHE),
            "x-cache": Marked("Hit from cloudfront" if env.ahead else "Miss from cloudfront", Why.CACHE),
            "age": env.took_ms().map(str),
            "x-amz-cf-id": env.nonce(56),
            "x-amz-cf-pop": "FRA60-P3",
            "x-timer": env.now("epoch_float").map(lambda at: f"S{at:.6f},VS0,VE1"),
            "x-served-by": env.host("cache-fra"),
            "via": "1.1 varnish",
            "x-amzn-trace-id": weave("Root=1-", env.hex_token(8), "-", env.hex_token(24)),
            "x-cloud-trace-context": weave(env.trace_id(), "/", env.sequence(7), ";o=1"),
            "cache-control": "public, max-age=60",
            "strict-transport-security": "max-age=31536000; includeSubDomains",
            "vary": "Accept-Encoding, Origin",
        },
    )


_add("noise of a network of caches", "feed", "GET /edge", _edge)
_add(
    "no strict transport security",
    "feed",
    "GET /edge",
    _edge,
    header("strict-transport-security", None, "no HSTS"),
)
_add(
    "kept by caches for a day",
    "feed",
    "GET /edge",
    _edge,
    header("cache-control", "public, max-age=86400", "another age"),
)
_add(
    "private answers become public",
    "feed",
    "GET /edge",
    _edge,
    header("cache-control", "private", "another rule"),
)
_add(
    "another point of presence is no noise here",
    "feed",
    "GET /edge",
    _edge,
    header("vary", "Accept-Encoding", "varies by less"),
)


def _signed_in(world: World, env: Env) -> Made:
    return Answer(
        {"ok": True, "at": env.now()},
        headers={
            "set-cookie": weave("sid=", env.nonce(32), "; Path=/; HttpOnly; Secure; SameSite=Lax"),
            "content-security-policy": weave("default-src 'self'; script-src 'nonce-", env.nonce(22), "'"),
            "x-csrf-token": env.hex_token(40),
            "x-ratelimit-limit": "600",
            "x-ratelimit-remaining": env.sequence(7).map(lambda n: str(600 - n)),
        },
    )


_s = "auth", "POST /signin"
_add(
    "a cookie that scripts can read",
    *_s,
    _signed_in,
    header(
        "set-cookie",
        lambda env: weave("sid=", env.nonce(32), "; Path=/; Secure; SameSite=Lax"),
        "HttpOnly is lost",
    ),
    raw=True,
)
_add(
    "a cookie over plain HTTP",
    *_s,
    _signed_in,
    header(
        "set-cookie",
        lambda env: weave("sid=", env.nonce(32), "; Path=/; HttpOnly; SameSite=Lax"),
        "Secure is lost",
    ),
    raw=True,
)
_add(
    "a cookie for one path",
    *_s,
    _signed_in,
    header(
        "set-cookie",
        lambda env: weave("sid=", env.nonce(32), "; Path=/app; HttpOnly; Secure; SameSite=Lax"),
        "another path",
    ),
    raw=True,
)
_add("no cookie", *_s, _signed_in, header("set-cookie", None, "no session"))
_add(
    "an empty cookie",
    *_s,
    _signed_in,
    header("set-cookie", "sid=; Path=/; HttpOnly; Secure; SameSite=Lax", "no session in the cookie"),
    raw=True,
)
_add(
    "a policy that allows inline scripts",
    *_s,
    _signed_in,
    header(
        "content-security-policy",
        lambda env: weave("default-src 'self'; script-src 'unsafe-inline' 'nonce-", env.nonce(22), "'"),
        "a weaker policy",
    ),
    raw=True,
)
_add("a tenth of the rate limit", *_s, _signed_in, header("x-ratelimit-limit", "60", "another limit"))
_add("noise of a sign-in, raw", *_s, _signed_in, raw=True)
_add("noise of a sign-in, redacted", *_s, _signed_in)

_add(
    "found instead of created",
    "shop",
    "POST /wishes",
    lambda w, e: Answer({"id": e.new_id(5), "at": e.now()}, status=201),
    status(200, "200 instead of 201"),
)
_add(
    "gone instead of not found",
    "shop",
    "GET /wishes/{id}",
    lambda w, e: Answer({"error": "not_found", "trace": e.trace_id()}, status=404),
    status(410, "410 instead of 404"),
)
_add(
    "an error as a success",
    "shop",
    "GET /wishes/{id}/bad",
    lambda w, e: Answer({"error": "not_found", "trace": e.trace_id()}, status=404),
    status(200, "200 instead of 404"),
)
_add(
    "a redirect to http",
    "html",
    "GET /old",
    lambda w, e: Answer(None, "empty", status=301, headers={"location": "https://www.example/new"}),
    header("location", "http://www.example/new", "another scheme"),
)
_add(
    "a redirect that carries a fresh state",
    "auth",
    "GET /authorize",
    lambda w, e: Answer(
        None,
        "empty",
        status=302,
        headers={
            "location": weave(
                "https://id.example/login?client_id=web&state=", e.nonce(24), "&nonce=", e.nonce(24)
            )
        },
    ),
)
_add(
    "a redirect with a fresh state to another client",
    "auth",
    "GET /authorize",
    lambda w, e: Answer(
        None,
        "empty",
        status=302,
        headers={"location": weave("https://id.example/login?client_id=web&state=", e.nonce(24))},
    ),
    header(
        "location",
        lambda env: weave("https://id.example/login?client_id=admin&state=", env.nonce(24)),
        "another client",
    ),
)
_add(
    "later by ten times",
    "feed",
    "GET /busy",
    lambda w, e: Answer(
        {"error": "slow_down", "id": e.request_id()}, status=429, headers={"retry-after": "30"}
    ),
    header("retry-after", "300", "another wait"),
)
_add(
    "no charset",
    "html",
    "GET /plain",
    lambda w, e: Answer({"t": "Grüße"}, "html", render=lambda tree: tree["t"]),
    header("content-language", "de", "a header more"),
)


def _payout(world: World, env: Env) -> Made:
    payout = env.new_id(310)
    return Answer(
        {"payout": payout, "amount": 12_500, "currency": "EUR", "arrives": env.now(plus_s=172_800)},
        status=201,
        effects=[
            Act(
                "sql.insert",
                "payouts",
                {"id": payout, "amount": 12_500, "created_at": env.now("sql")},
                frozenset({"id", "created_at"}),
            ),
            Act(
                "http.request",
                "POST https://bank.example/transfers",
                {"amount": 12_500, "currency": "EUR", "key": env.uuid(), "at": env.now("iso_z")},
            ),
            Act("mail.send", "example.org", {"recipients": 1, "subject": "Your payout is on its way"}),
            Act("queue.publish", "topic payouts", {"payout": payout, "amount": 12_500}),
        ],
    )


_p = "payments", "POST /payouts"
_bank = "http.request/POST https:~1~1bank.example~1transfers"
_add("noise of a payout", *_p, _payout)
_add("another amount at the bank", *_p, _payout, write(1, "amount", 12_499, "a cent less is sent", _bank))
_add("another currency at the bank", *_p, _payout, write(1, "currency", "USD", "dollars are sent", _bank))
_add("no key at the bank", *_p, _payout, write(1, "key", None, "no idempotency key", _bank))
_add(
    "a transfer dated yesterday",
    *_p,
    _payout,
    write(1, "at", lambda env: env.now("iso_z", -86_400), "yesterday's date", _bank),
)
_add("no transfer", *_p, _payout, lacks(1, "the bank is not asked", _bank))
_add(
    "two transfers",
    *_p,
    _payout,
    acts(
        "the bank is asked twice", lambda effects, env: effects.insert(2, effects[1]), "effect_extra", _bank
    ),
)
_add("no mail", *_p, _payout, lacks(2, "nobody is told", "mail.send/example.org"))
_add(
    "a mail with another subject",
    *_p,
    _payout,
    write(2, "subject", "TEST", "a mail that says TEST", "mail.send/example.org"),
)
_add(
    "a mail to another domain",
    *_p,
    _payout,
    acts(
        "a mail is missing",
        lambda effects, env: effects.__setitem__(2, Act("mail.send", "example.net", effects[2].fields)),
        "effect_missing",
        "mail.send/example.org",
    ),
    acts("a mail to somebody else", lambda effects, env: None, "effect_extra", "mail.send/example.net"),
)
_add(
    "an event about another payout",
    *_p,
    _payout,
    write(3, "payout", 309, "an event about an older payout", "queue.publish/topic payouts"),
)
_add(
    "an update that v1 does not make",
    *_p,
    _payout,
    acts(
        "a balance is changed",
        lambda effects, env: effects.append(Act("sql.update", "balances", {"id": 7, "amount": 0})),
        "effect_extra",
        "sql.update/balances",
    ),
)


def _two_mails(world: World, env: Env) -> Made:
    mail = {"recipients": 1, "subject": "A reminder"}
    return Answer(
        {"reminded": 2, "at": env.now()},
        effects=[Act("mail.send", "example.org", dict(mail)), Act("mail.send", "example.org", dict(mail))],
    )


_add(
    "the second of two equal mails has another subject",
    "webhook",
    "POST /reminders",
    _two_mails,
    write(1, "subject", "A last reminder", "another subject", "mail.send/example.org"),
)
_add(
    "the first of two equal mails has another subject",
    "webhook",
    "POST /reminders",
    _two_mails,
    write(0, "subject", "A last reminder", "another subject", "mail.send/example.org"),
)
