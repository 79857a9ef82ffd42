"""Families of the held-out part only."""

from __future__ import annotations

from typing import Any

from ..answers import Act, Answer
from ..building import Service
from ..environment import Env
from ..labels import Why
from ..marks import Marked, weave
from ..world import World

__all__ = ["SERVICES"]

calendar = Service("calendar", held_out_only=True)
storage = Service("storage", held_out_only=True)
talk = Service("talk", held_out_only=True)
devices = Service("devices", held_out_only=True)
booking = Service("booking", held_out_only=True)
models = Service("models", held_out_only=True)
tickets = Service("tickets", held_out_only=True)
bank = Service("bank", held_out_only=True)
SERVICES = (calendar, storage, talk, devices, booking, models, tickets, bank)


def _ics(tree: dict[str, Any]) -> str:
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", f"PRODID:-//{tree['maker']}//EN"]
    for event in tree["events"]:
        lines += [
            "BEGIN:VEVENT",
            f"UID:{event['uid']}",
            f"DTSTAMP:{event['stamp']}",
            f"DTSTART:{event['start']}",
        ]
        lines += [
            f"SUMMARY:{event['summary']}",
            f"LOCATION:{event['place']}",
            f"SEQUENCE:{event['sequence']}",
        ]
        lines += [f"STATUS:{event['status']}", "END:VEVENT"]
    return "\r\n".join([*lines, "END:VCALENDAR", ""])


@calendar.on("GET", "/calendars/{id}.ics")
def ics(world: World, env: Env) -> Answer:
    """iCalendar (RFC 5545), each event stamped with the time of the answer."""
    events = [
        {
            "uid": f"{world.uuid()}@cal.example",
            "stamp": env.now("compact"),
            "summary": world.sentence(3),
            "start": env.stored(world.past(), "compact"),
            "place": world.city()[0],
            "sequence": world.number(0, 9),
            "status": world.one("CONFIRMED", "TENTATIVE"),
        }
        for _ in range(world.number(1, 5))
    ]
    return Answer(
        {"maker": "Example Calendar 3.1", "events": events},
        "text",
        path="/calendars/7.ics",
        render=_ics,
        content_type="text/calendar; charset=utf-8",
    )


@calendar.on("GET", "/events")
def events(world: World, env: Env) -> Answer:
    """Events with zones, and a token for the next synchronisation."""
    items = [
        {
            "id": world.stored_id(env.style.ids, "evt"),
            "etag": f'"{world.sha()[:16]}"',
            "status": world.one("confirmed", "tentative"),
            "summary": world.sentence(4),
            "start": {"date_time": env.stored(world.past(), "iso_offset"), "time_zone": "Europe/Berlin"},
            "attendees": [
                {"email": world.email(), "response_status": world.one("accepted", "declined")}
                for _ in range(world.number(1, 3))
            ],
            "recurrence": ["RRULE:FREQ=WEEKLY;BYDAY=MO"],
            "sequence": world.number(0, 5),
            "guests_can_modify": world.chance(0.5),
        }
        for _ in range(world.number(2, 6))
    ]
    tree = {
        "kind": "calendar#events",
        "updated": env.now(),
        "time_zone": "Europe/Berlin",
        "items": items,
        "next_sync_token": env.cursor({"c": world.number(1, 900)}),
        "access_role": world.one("owner", "reader"),
    }
    return Answer(
        tree,
        path="/events",
        headers={"cache-control": "private, max-age=0, must-revalidate", "vary": "Origin"},
    )


@calendar.on("POST", "/events")
def invite(world: World, env: Env) -> Answer:
    """A new event and its invitations."""
    made = env.new_id(world.number(800, 9_000), "evt")
    guests = [world.email() for _ in range(world.number(1, 3))]
    tree = {
        "id": made,
        "ical_uid": weave(made, "@cal.example"),
        "html_link": weave("https://cal.example/e?eid=", made),
        "created": env.now(),
        "updated": env.now(),
        "summary": world.sentence(4),
        "sequence": 0,
        "creator": {"email": world.email(), "self": True},
        "attendees": [{"email": each, "response_status": "needsAction", "event": made} for each in guests],
        "hangout_link": weave("https://meet.example/", env.nonce(12)),
    }
    effects = [Act("sql.insert", "events", {"id": made, "guests": len(guests)}, frozenset({"id"}))]
    effects += [
        Act("mail.send", each.split("@")[1], {"recipients": 1, "subject": "Invitation"}) for each in guests
    ]
    return Answer(tree, path="/events", effects=effects, headers={"location": weave("/events/", made)})


@storage.on("GET", "/files")
def files(world: World, env: Env) -> Answer:
    """A listing with links that end (HAL)."""
    signer = world.one("gcs", "azure", "cloudfront")
    found = [
        {
            "name": f"{world.slug()}.pdf",
            "size": world.number(900, 9_000_000),
            "md5": world.sha()[:32],
            "modified": env.stored(world.past()),
            "kind": world.one("file", "folder"),
            "_links": {
                "self": {"href": f"/files/{world.slug()}"},
                "content": {"href": env.signed_url(f"https://blob.example/{world.slug()}", signer=signer)},
            },
        }
        for _ in range(world.number(2, 7))
    ]
    tree = {
        "_embedded": {"files": found},
        "_links": {"self": {"href": "/files?page=1"}, "next": {"href": "/files?page=2", "templated": False}},
        "total_count": len(found) + world.number(0, 60),
        "quota": {"used": world.number(10_000, 90_000), "limit": 100_000},
    }
    return Answer(
        tree,
        path="/files",
        content_type="application/hal+json",
        headers={
            "x-ms-request-id": env.uuid(),
            "x-goog-hash": f"md5={world.sha()[:24]}",
            "cache-control": "private, max-age=0",
        },
    )


@storage.on("POST", "/uploads")
def upload(world: World, env: Env) -> Answer:
    """An upload that is opened: a session's URL in a header and in the body."""
    session = env.nonce(40)
    size = world.number(900, 90_000)
    tree = {
        "upload_id": session,
        "upload_url": weave("https://up.example/u/", session),
        "part_size": 5_242_880,
        "size": size,
        "expires": env.now(plus_s=86_400),
        "parts": [
            {"part_number": number, "url": env.signed_url(f"https://up.example/p/{number}")}
            for number in (1, 2)
        ],
        "storage_class": world.one("STANDARD", "COLD"),
    }
    return Answer(
        tree,
        status=200,
        path="/uploads",
        headers={"location": weave("https://up.example/u/", session)},
        effects=[Act("s3.create_multipart", "bucket uploads", {"size": size})],
    )


@talk.on("GET", "/conversations.history")
def history(world: World, env: Env) -> Answer:
    """Messages known by their time."""
    tree = {
        "ok": True,
        "messages": [
            {
                "type": "message",
                "user": f"U{world.number(10_000, 99_999)}",
                "text": world.sentence(7),
                "ts": env.stored(world.past(30), "slack"),
                "team": "T0291",
                "reply_count": world.number(0, 9),
                "reactions": [{"name": world.one("eyes", "tada"), "count": world.number(1, 9)}],
            }
            for _ in range(world.number(2, 8))
        ],
        "has_more": world.chance(0.5),
        "pin_count": world.number(0, 4),
        "latest": env.now("slack"),
        "response_metadata": {"next_cursor": env.cursor({"ts": "1"}), "warnings": []},
    }
    return Answer(
        tree,
        path="/conversations.history",
        headers={
            "x-slack-req-id": env.hex_token(32),
            "x-oauth-scopes": "channels:history",
            "cache-control": "no-store",
        },
    )


@talk.on("POST", "/chat.postMessage")
def say(world: World, env: Env) -> Answer:
    """A message said: its time is its id, in three places."""
    stamp = env.now("slack")
    text = world.sentence(6)
    tree = {
        "ok": True,
        "channel": "C0471",
        "ts": stamp,
        "message": {
            "type": "message",
            "text": text,
            "user": "U771",
            "ts": stamp,
            "bot_id": None,
            "blocks": [
                {"type": "rich_text", "block_id": env.nonce(5), "elements": [{"type": "text", "text": text}]}
            ],
        },
        "permalink": stamp.map(lambda ts: "https://talk.example/archives/C0471/p" + ts.replace(".", "")),
    }
    return Answer(
        tree,
        path="/chat.postMessage",
        effects=[
            Act("sql.insert", "messages", {"text": text, "channel": "C0471"}),
            Act("redis.publish", "channel C0471", {"ts": stamp, "text": text}),
        ],
        headers={"x-slack-req-id": env.hex_token(32)},
    )


@devices.on("GET", "/devices/{id}/readings")
def readings(world: World, env: Env) -> Answer:
    """Readings of sensors, means computed on the way."""
    values = [round(world.random.uniform(-20, 90), 2) for _ in range(world.number(3, 12))]
    tree = {
        "device": f"dev-{world.number(100, 999)}",
        "unit": world.one("celsius", "percent"),
        "readings": [
            {"at": env.stored(world.recent()), "value": value, "quality": world.one("good", "suspect")}
            for value in values
        ],
        "statistics": {
            "mean": env.jitter(sum(values) / len(values)),
            "count": len(values),
            "max": max(values),
            "stddev": env.jitter(world.random.uniform(1, 9)),
        },
        "online": world.chance(0.8),
        "last_seen": env.now(plus_s=-0.5),
        "battery": world.number(1, 100),
        "gateway": env.host("gw"),
    }
    return Answer(
        tree, path="/devices/7/readings", headers={"cache-control": "no-cache", "x-runtime": env.took_s()}
    )


@devices.on("POST", "/commands")
def command(world: World, env: Env) -> Answer:
    """A command that is sent to a device."""
    made = env.new_id(world.number(9_990, 9_999), "cmd")
    target, level = f"dev-{world.number(100, 999)}", world.number(1, 100)
    tree = {
        "command_id": made,
        "device": target,
        "action": world.one("dim", "lock", "reboot"),
        "level": level,
        "state": "QUEUED",
        "queued_at": env.now(),
        "deadline": env.now(plus_s=30),
        "trace": {"id": env.trace_id(), "command": made},
        "status_url": weave("/commands/", made),
    }
    return Answer(
        tree,
        status=202,
        path="/commands",
        headers={"location": weave("/commands/", made), "retry-after": "1"},
        effects=[
            Act("queue.publish", f"topic devices/{target}", {"command": made, "level": level}),
            Act("sql.insert", "commands", {"id": made, "device": target}, frozenset({"id"})),
        ],
    )


@booking.on("GET", "/offers")
def offers(world: World, env: Env) -> Answer:
    """Offers as JSON:API, each with an id made for this search and a time at which it ends."""
    search = env.uuid()
    data: list[dict[str, Any]] = [
        {
            "type": "offers",
            "id": weave(search, f"-{number}"),
            "attributes": {
                "carrier": world.one("LH", "AF", "LO"),
                "price": f"{world.cents() / 100:.2f}",
                "currency": world.one("EUR", "PLN"),
                "departs_at": env.stored(world.now_s + world.number(2, 90) * 86_400, "iso_offset"),
                "stops": world.number(0, 2),
                "refundable": world.chance(0.4),
                "seats_left": world.number(1, 9),
                "expires_at": env.now(plus_s=1_200),
            },
            "relationships": {"search": {"data": {"type": "searches", "id": search}}},
        }
        for number in range(world.number(2, 6))
    ]
    tree = {
        "jsonapi": {"version": "1.1"},
        "data": data,
        "meta": {"total": len(data), "elapsed": env.took_ms()},
        "links": {"self": weave("https://api.fly.example/searches/", search)},
    }
    return Answer(
        tree, path="/offers", content_type="application/vnd.api+json", headers={"cache-control": "no-store"}
    )


@booking.on("POST", "/bookings")
def book(world: World, env: Env) -> Answer:
    """A booking with a record locator of six letters."""
    made = env.new_id(world.number(700, 90_000), "bkg")
    locator = Marked(
        "".join(env.random.choice("ABCDEFGHJKLMNPQRSTUVWXYZ23456789") for _ in range(6)), Why.RANDOM_ID
    )
    total, people = f"{world.cents() / 100:.2f}", [world.person() for _ in range(world.number(1, 3))]
    tree = {
        "data": {
            "type": "bookings",
            "id": made,
            "attributes": {
                "locator": locator,
                "status": "HELD",
                "total": total,
                "currency": "EUR",
                "hold_until": env.now(plus_s=7_200),
                "created_at": env.now(),
                "passengers": [
                    {"name": each, "type": "ADT", "seat": f"{world.number(1, 30)}A"} for each in people
                ],
                "ticket_url": weave("https://fly.example/t/", locator),
            },
            "links": {"self": weave("/bookings/", made)},
        },
        "included": [{"type": "payments", "id": "1", "attributes": {"booking": made, "amount": total}}],
    }
    return Answer(
        tree,
        status=201,
        path="/bookings",
        content_type="application/vnd.api+json",
        headers={"location": weave("/bookings/", made)},
        effects=[
            Act(
                "sql.insert",
                "bookings",
                {"id": made, "total": total, "locator": locator},
                frozenset({"id", "locator"}),
            ),
            Act(
                "http.request",
                "POST https://gds.example/holds",
                {"total": total, "passengers": len(people), "reference": locator},
            ),
            Act("mail.send", "example.com", {"recipients": 1, "subject": "Your booking is held"}),
        ],
    )


@models.on("POST", "/v1/chat/completions")
def completion(world: World, env: Env) -> Answer:
    """A completion that is deterministic but for its ids and figures."""
    made = env.nonce(29).map(lambda value: "chatcmpl-" + value)
    tokens, used = world.number(5, 90), world.number(5, 90)
    tree = {
        "id": made,
        "object": "chat.completion",
        "created": env.now("epoch"),
        "model": "small-1-0613",
        "system_fingerprint": "fp_44709d6fcb",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": world.sentence(12), "refusal": None},
                "logprobs": None,
                "finish_reason": world.one("stop", "length"),
            }
        ],
        "usage": {"prompt_tokens": tokens, "completion_tokens": used, "total_tokens": tokens + used},
    }
    return Answer(
        tree,
        path="/v1/chat/completions",
        headers={
            "openai-processing-ms": env.took_ms().map(str),
            "x-ratelimit-remaining-tokens": env.sequence(300).map(lambda n: str(90_000 - 17 * n)),
            "x-ratelimit-reset-tokens": env.took_ms().map(lambda ms: f"{ms}ms"),
            "openai-version": "2020-10-01",
            "cf-ray": weave(env.hex_token(16), "-WAW"),
        },
    )


@models.on("POST", "/v1/embeddings")
def embedding(world: World, env: Env) -> Answer:
    """Vectors, computed in parallel: the last digits vary."""
    tree = {
        "object": "list",
        "model": "embed-2",
        "data": [
            {
                "object": "embedding",
                "index": number,
                "embedding": [env.jitter(round(world.random.uniform(-1, 1), 9)) for _ in range(4)],
            }
            for number in range(world.number(1, 3))
        ],
        "usage": {"prompt_tokens": world.number(2, 40)},
        "request": env.request_id(),
    }
    return Answer(tree, path="/v1/embeddings", headers={"cache-control": "no-store"})


@tickets.on("POST", "/rest/issues")
def ticket(world: World, env: Env) -> Answer:
    """A ticket with a key of the project and a number."""
    number = env.sequence(world.number(1_000, 9_000))
    key = number.map(lambda value: f"OPS-{value}")
    tree = {
        "id": number.map(lambda value: str(value + 10_000)),
        "key": key,
        "self": weave("https://tickets.example/rest/issues/", key),
        "fields": {
            "summary": world.sentence(6),
            "status": {"name": "To Do", "id": "10000"},
            "priority": {"name": world.one("High", "Low")},
            "created": env.now(),
            "reporter": {"account_id": world.sha()[:24], "display_name": world.person(), "active": True},
            "watches": {"watch_count": 1, "is_watching": True},
        },
        "changelog": {"total": 0, "histories": []},
        "transitions": [{"id": str(each), "name": name} for each, name in ((11, "Start"), (21, "Close"))],
    }
    return Answer(
        tree,
        status=201,
        path="/rest/issues",
        headers={"location": weave("/rest/issues/", key), "x-arequestid": env.hex_token(12)},
        effects=[
            Act("sql.insert", "issues", {"key": key, "summary": world.sentence(3)}, frozenset({"key"})),
            Act("http.request", "POST https://hooks.example/jira", {"issue": key, "event": "created"}),
        ],
    )


@tickets.on("GET", "/rest/search")
def find(world: World, env: Env) -> Answer:
    """Tickets found; the order is the ranking."""
    issues = [
        {
            "key": f"OPS-{world.number(100, 999)}",
            "summary": world.sentence(5),
            "status": world.one("Open", "Done"),
            "votes": world.number(0, 40),
            "updated": env.stored(world.past()),
            "labels": world.tags(2),
        }
        for _ in range(world.number(2, 8))
    ]
    tree = {
        "start_at": 0,
        "max_results": 50,
        "total": len(issues) + world.number(0, 90),
        "issues": issues,
        "expand": "names,schema",
        "warning_messages": [],
    }
    return Answer(
        tree,
        path="/rest/search",
        headers={
            "x-arequestid": env.hex_token(12),
            "x-seraph-loginreason": "OK",
            "cache-control": "no-cache",
        },
    )


@bank.on("POST", "/pain001")
def transfer(world: World, env: Env) -> Answer:
    """A status report in XML (the way of ISO 20022)."""
    message = env.hex_token(20).map(lambda value: "MSG" + value.upper())
    amount = f"{world.cents() / 100:.2f}"
    tree = {
        "Document": {
            "@xmlns": "urn:iso:std:iso:20022:tech:xsd:pain.002.001.10",
            "CstmrPmtStsRpt": {
                "GrpHdr": {
                    "MsgId": message,
                    "CreDtTm": env.now("iso_milli"),
                    "InitgPty": {"Nm": world.person()},
                },
                "OrgnlGrpInfAndSts": {
                    "OrgnlMsgId": world.uuid().replace("-", ""),
                    "GrpSts": world.one("ACCP", "RJCT", "PDNG"),
                    "OrgnlNbOfTxs": world.number(1, 40),
                },
                "TxInfAndSts": [
                    {
                        "StsId": f"{number}",
                        "OrgnlEndToEndId": f"E2E-{world.number(100, 999)}-{number}",
                        "TxSts": world.one("ACSC", "RJCT"),
                        "InstdAmt": {"@Ccy": world.one("EUR", "CHF"), "#": amount},
                    }
                    for number in range(1, world.number(2, 5))
                ],
            },
        }
    }
    return Answer(
        tree, "xml", path="/pain001", effects=[Act("queue.publish", "queue PAYMENTS.IN", {"amount": amount})]
    )


@bank.on("GET", "/accounts/{id}/statement.csv")
def statement(world: World, env: Env) -> Answer:
    """A statement as CSV."""
    tree = [
        {
            "Booking date": env.stored(world.past(), "iso_z")[:10],
            "Payee": world.person(),
            "Purpose": world.sentence(4),
            "Amount": f"{world.number(-90_000, 90_000) / 100:.2f}",
            "Currency": world.one("EUR", "CHF"),
            "Balance": f"{world.number(100, 900_000) / 100:.2f}",
        }
        for _ in range(world.number(3, 12))
    ]
    return Answer(
        tree,
        "csv",
        path="/accounts/7/statement.csv",
        headers={
            "content-disposition": weave('attachment; filename="statement_', env.now("compact"), '.csv"'),
            "cache-control": "no-store",
        },
    )
