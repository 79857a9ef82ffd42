"""Metrics, admin jobs, webhooks and mail, packed binary answers."""

from __future__ import annotations

from typing import Any

from ..answers import Act, Answer
from ..building import Service
from ..environment import Env
from ..labels import Why
from ..marks import Marked, weave
from ..world import World

__all__ = ["SERVICES"]

metrics = Service("metrics")
admin = Service("admin")
webhook = Service("webhook")
packed = Service("packed")
SERVICES = (metrics, admin, webhook, packed)


def _exposition(tree: dict[str, Any]) -> str:
    lines = []
    for family in tree["families"]:
        lines += [f"# HELP {family['name']} {family['help']}", f"# TYPE {family['name']} {family['type']}"]
        for sample in family["samples"]:
            labels = ",".join(f'{name}="{value}"' for name, value in sample["labels"].items())
            stamp = f" {sample['at']}" if "at" in sample else ""
            lines.append(
                f"{family['name']}{{{labels}}} {sample['value']}{stamp}"
                if labels
                else f"{family['name']} {sample['value']}{stamp}"
            )
    return "\n".join(lines) + "\n"


@metrics.on("GET", "/metrics/business")
def business(world: World, env: Env) -> Answer:
    """Figures from the database in Prometheus' text format; some with a time."""
    stamped = world.chance(0.3)
    families = [
        {
            "name": "shop_orders",
            "help": "Orders by state.",
            "type": "gauge",
            "samples": [
                {"labels": {"state": each, "region": world.one("eu", "us")}, "value": world.number(10, 9_000)}
                for each in ("open", "paid", "shipped")
            ],
        },
        {
            "name": "shop_revenue_cents",
            "help": world.sentence(5),
            "type": "counter",
            "samples": [
                {"labels": {"currency": each}, "value": world.number(10_000, 90_000)}
                for each in ("EUR", "USD")
            ],
        },
        {
            "name": "shop_last_export_timestamp_seconds",
            "help": "When this was made.",
            "type": "gauge",
            "samples": [{"labels": {}, "value": env.now("epoch")}],
        },
    ]
    if stamped:
        for sample in families[0]["samples"]:
            sample["at"] = env.now("epoch_ms")
    if world.chance(0.12):
        families.append(
            {
                "name": "process_resident_memory_bytes",
                "help": "Resident memory size in bytes.",
                "type": "gauge",
                "samples": [
                    {
                        "labels": {},
                        "value": Marked(env.random.randint(40_000_000, 90_000_000), Why.PROCESS, alone=True),
                    }
                ],
            }
        )
    return Answer(
        {"families": families},
        "text",
        path="/metrics/business",
        render=_exposition,
        content_type="text/plain; version=0.0.4; charset=utf-8",
    )


@metrics.on("GET", "/health")
def health(world: World, env: Env) -> Answer:
    """Health with checks, uptime and who answered."""
    tree = {
        "status": "UP",
        "checks": [
            {"name": each, "status": "UP", "latency_ms": env.took_ms(), "critical": world.chance(0.5)}
            for each in ("database", "redis", "queue")
        ],
        "version": "2.11.4",
        "hostname": env.host("api"),
        "time": env.now(),
        "limits": {"connections": world.number(10, 200), "workers": world.number(1, 32)},
    }
    if world.chance(0.1):
        tree["uptime_s"] = Marked(env.random.randint(1_000, 900_000), Why.PROCESS, alone=True)
    return Answer(
        tree, path="/health", content_type="application/health+json", headers={"cache-control": "no-cache"}
    )


@admin.on("POST", "/admin/jobs/close-accounts")
def close_accounts(world: World, env: Env) -> Answer:
    """A batch with many effects and a job of its own."""
    job = env.new_id(world.number(10, 9_000), "job")
    accounts = [world.stored_id(env.style.ids, "acc") for _ in range(world.number(2, 6))]
    fees = [world.cents() for _ in accounts]
    tree = {
        "job_id": job,
        "state": "DONE",
        "started_at": env.now(),
        "finished_at": env.now(plus_s=0.2),
        "took_ms": env.took_ms(),
        "closed": [
            {"account_id": account, "fee": fee, "status": "closed", "job": job}
            for account, fee in zip(accounts, fees, strict=True)
        ],
        "count": len(accounts),
        "skipped": world.number(0, 3),
        "report": weave("https://admin.example/jobs/", job, "/report"),
        "requested_by": world.email(),
    }
    effects = [
        Act(
            "sql.update",
            "accounts",
            {"status": "closed", "id": account, "closed_at": env.now("sql")},
            frozenset({"closed_at"}),
        )
        for account in accounts
    ]
    effects += [
        Act(
            "sql.insert",
            "ledger_entries",
            {"account_id": account, "amount": fee, "job_id": job},
            frozenset({"job_id"}),
        )
        for account, fee in zip(accounts, fees, strict=True)
    ]
    effects += [
        Act("sql.delete", "sessions", {"accounts": len(accounts)}),
        Act("s3.put", weave("reports/", job, ".json"), {"bytes": world.number(400, 9_000)}),
    ]
    return Answer(
        tree, path="/admin/jobs/close-accounts", effects=effects, headers={"cache-control": "no-store"}
    )


@admin.on("PATCH", "/admin/users/{id}")
def change_user(world: World, env: Env) -> Answer:
    """A user changed, with an entry in the audit log."""
    user = world.stored_id(env.style.ids, "usr")
    entry = env.new_id(world.number(1_000, 90_000), "aud")
    role, limit = world.one("admin", "editor", "viewer"), world.number(1, 500)
    tree = {
        "user": {
            "id": user,
            "name": world.person(),
            "role": role,
            "credit_limit": limit,
            "version": world.number(2, 40),
            "created_at": env.stored(world.past()),
            "updated_at": env.now(),
        },
        "audit": {
            "entry_id": entry,
            "actor": world.email(),
            "at": env.now(),
            "changes": [
                {"field": "role", "to": role, "entry": entry},
                {"field": "credit_limit", "to": limit, "entry": entry},
            ],
        },
    }
    effects = [
        Act(
            "sql.update",
            "users",
            {"role": role, "credit_limit": limit, "id": user, "updated_at": env.now("sql")},
            frozenset({"updated_at"}),
        ),
        Act(
            "sql.insert",
            "audit_log",
            {"id": entry, "user_id": user, "field": "role", "at": env.now("sql")},
            frozenset({"id", "at"}),
        ),
        Act("redis.del", f"key user:{user}", {"keys": 1}),
    ]
    return Answer(
        tree,
        path=f"/admin/users/{user}",
        effects=effects,
        headers={"etag": env.etag_of(user, role), "cache-control": "no-store"},
    )


@admin.on("GET", "/admin/ledger")
def ledger(world: World, env: Env) -> Answer:
    """Entries of a ledger with a running balance."""
    balance, entries = world.number(0, 90_000), []
    for _ in range(world.number(3, 12)):
        amount = world.number(-9_000, 9_000)
        balance += amount
        entries.append(
            {
                "entry": world.number(10_000, 99_999),
                "account": f"{world.number(1000, 9999)}",
                "amount": amount,
                "balance": balance,
                "booked_at": env.stored(world.past(60)),
                "memo": world.sentence(3),
                "kind": world.one("debit", "credit"),
            }
        )
    tree = {
        "entries": entries,
        "closing_balance": balance,
        "currency": "EUR",
        "as_of": env.now(),
        "page": {"size": len(entries), "next": None},
    }
    return Answer(
        tree, path="/admin/ledger", headers={"cache-control": "no-store", "x-total-count": str(len(entries))}
    )


@webhook.on("POST", "/hooks/payment")
def hook(world: World, env: Env) -> Answer:
    """A webhook taken: a short answer, many effects."""
    delivery = env.uuid()
    amount, invoice = world.cents(), world.number(1_000, 9_000)
    tree = {
        "received": True,
        "delivery_id": delivery,
        "processed_at": env.now(),
        "actions": [
            {"action": "invoice_paid", "invoice": invoice, "delivery": delivery},
            {"action": "receipt_sent", "to": world.email(), "delivery": delivery},
        ],
    }
    effects = [
        Act(
            "sql.update",
            "invoices",
            {"status": "paid", "id": invoice, "paid_at": env.now("sql")},
            frozenset({"paid_at"}),
        ),
        Act("mail.send", "example.com", {"recipients": 1, "subject": f"Receipt for invoice {invoice}"}),
        Act(
            "http.request",
            "POST https://books.example/entries",
            {"invoice": invoice, "amount": amount, "delivery": delivery},
        ),
        Act("queue.publish", "queue receipts", {"invoice": invoice, "sent_at": env.now("iso_z")}),
    ]
    return Answer(tree, path="/hooks/payment", effects=effects)


@webhook.on("POST", "/messages")
def send(world: World, env: Env) -> Answer:
    """A mail handed in, the way of a mail service."""
    made = env.uuid().map(lambda value: f"<{value.replace('-', '')}@mail.example>")
    people = [world.email() for _ in range(world.number(1, 4))]
    subject = world.sentence(4)
    tree = {
        "id": made,
        "message": "Queued. Thank you.",
        "to": people,
        "queued_at": env.now("rfc1123"),
        "count": len(people),
        "tracking": {
            "opens": world.chance(0.5),
            "clicks": world.chance(0.5),
            "message_id": made,
            "pixel": weave("https://t.mail.example/o/", env.nonce(30), ".gif"),
        },
    }
    effects = [Act("mail.send", each.split("@")[1], {"recipients": 1, "subject": subject}) for each in people]
    return Answer(
        tree,
        status=202,
        path="/messages",
        effects=effects,
        headers={"x-message-id": made, "retry-after": "30"},
    )


@webhook.on("GET", "/deliveries")
def deliveries(world: World, env: Env) -> Answer:
    """Deliveries and their results."""
    tree = {
        "deliveries": [
            {
                "id": world.stored_id(env.style.ids, "whd"),
                "event": world.one("push", "issues"),
                "status_code": world.one(200, 500, 404),
                "duration": world.number(1, 90) / 100,
                "redelivery": world.chance(0.2),
                "delivered_at": env.stored(world.recent()),
                "url": f"https://ci.example/hooks/{world.slug()}",
            }
            for _ in range(world.number(2, 8))
        ],
        "next_page": env.cursor({"o": world.number(1, 90)}),
        "request": env.request_id(),
    }
    return Answer(tree, path="/deliveries", headers={"cache-control": "private", "vary": "Authorization"})


@packed.on("GET", "/msgpack/profile")
def profile(world: World, env: Env) -> Answer:
    """MessagePack."""
    tree = {
        "id": world.number(1, 90_000),
        "name": world.person(),
        "level": world.number(1, 60),
        "coins": world.number(0, 9_000),
        "mode": world.one("ranked", "casual"),
        "items": [{"sku": world.slug(), "count": world.number(1, 9)} for _ in range(world.number(2, 6))],
        "server_time": env.now("epoch_ms"),
        "session": env.uuid(),
        "premium": world.chance(0.5),
        "rank_score": world.random.random() * 100,
    }
    return Answer(tree, "msgpack", path="/msgpack/profile", headers={"cache-control": "no-store"})


@packed.on("POST", "/inventory.v1.Inventory/Get")
def inventory(world: World, env: Env) -> Answer:
    """A protobuf message without volatile fields: without its schema there is nothing but a digest."""
    tree = {
        "sku": world.slug(),
        "quantity": world.number(1, 900),
        "price": world.cents(),
        "location": {"row": world.number(1, 40), "bin": world.word()},
        "batches": [
            {"code": world.sha()[:8], "left": world.number(1, 90)} for _ in range(world.number(1, 4))
        ],
        "name": world.product(),
    }
    return Answer(tree, "protobuf", path="/inventory.v1.Inventory/Get")
