"""The shop's customers: a locustfile, which the demo runs and users may run against any host.

A customer looks around, fills a cart, orders, and looks at the order. Carts are new each time and never
changed after they were read, writes are idempotent, and every choice comes from the seed: v1 and v2, one a
little behind the other on the same database, are asked the same thing.

Knows the shop's HTTP. Must not know mirrorproof: the load is what customers do.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import gevent  # type: ignore[import-untyped]
from locust import FastHttpUser, constant, events, task
from locust.exception import StopUser

__all__ = ["ShopUser"]

PROGRESS_KEY: Final = "shop_progress"
_PROGRESS_EVERY: Final = 10
_OPENING_BASKET: Final = (("tea-01", 1), ("tea-02", 1))
"""Every customer's first basket: its tax comes out differently when it is rounded line by line."""
_WORDS: Final = ("tea", "mug", "glass", "pot", "nothing like it")


@dataclass(slots=True)
class _Quota:
    """How many requests may still be sent, and when, shared by all customers. `left` is `None` for no limit,
    `apart_s` the time between two requests, `next_s` when the next one may leave."""

    left: int | None = None
    apart_s: float = 0.0
    next_s: float = 0.0
    sent: int = 0
    done: int = 0
    answered: int = 0
    wrong: int = 0
    customers: int = 0

    def take(self) -> bool:
        if self.left == 0:
            return False
        if self.left is not None:
            self.left -= 1
        self.sent += 1
        return True

    def wait_for_turn(self) -> None:
        now_s = time.monotonic()
        turn_s = max(now_s, self.next_s)
        self.next_s = turn_s + self.apart_s
        gevent.sleep(turn_s - now_s)


_quota = _Quota()


def _add_options(parser: Any) -> None:
    parser.add_argument(
        "--shop-requests", type=int, default=0, help="Requests in all, exactly; 0 is no limit"
    )
    parser.add_argument("--shop-rate", type=float, default=0, help="Requests a second in all; 0 is no limit")
    parser.add_argument("--shop-seed", type=int, default=1, help="Seed of everything that customers choose")
    parser.add_argument("--shop-progress", action="store_true", help="Print progress as lines of JSON")


def _start(environment: Any, **_: Any) -> None:
    global _quota  # noqa: PLW0603 - Locust makes the users; this is what they share
    options = environment.parsed_options
    _quota = _Quota(
        left=options.shop_requests or None, apart_s=1 / options.shop_rate if options.shop_rate else 0
    )


class ShopUser(FastHttpUser):
    """A customer who goes through the shop again and again."""

    wait_time = constant(0)
    connection_timeout = 30.0
    network_timeout = 30.0

    def on_start(self) -> None:
        """Give the customer a number; with the seed it decides all that follows."""
        self._number = _quota.customers
        self._visits = 0
        _quota.customers += 1

    @task
    def visit(self) -> None:
        """One visit, from the catalogue to the order."""
        seed = self.environment.parsed_options.shop_seed
        choose = random.Random(f"{seed}/{self._number}/{self._visits}")
        cart = f"c{seed}-{self._number}-{self._visits}"
        goods = self._look_around(choose)
        basket: Sequence[tuple[str, int]] = _OPENING_BASKET
        if self._visits:
            basket = [(sku, choose.randint(1, 4)) for sku in choose.sample(goods, 2)]
        self._visits += 1
        for sku, quantity in basket:
            path = f"/carts/{cart}/items/{sku}"
            self._ask("PUT", path, "/carts/{cart}/items/{sku}", json={"quantity": quantity})
        self._ask("GET", f"/carts/{cart}", "/carts/{cart}")
        self._order(cart)

    def _look_around(self, choose: random.Random) -> list[str]:
        listed = self._ask("GET", "/catalogue", "/catalogue")
        goods = [item["sku"] for item in listed.get("items", [])]
        self._ask("GET", f"/catalogue/{choose.choice(goods)}", "/catalogue/{sku}")
        self._ask("GET", f"/search?q={choose.choice(_WORDS)}", "/search")
        if choose.random() < 0.2:
            self._ask("GET", "/catalogue/none-such", "/catalogue/{sku}", expected=404)
        return goods

    def _order(self, cart: str) -> None:
        email = f"customer{self._number}@shop.example"
        order = self._ask("POST", "/orders", "/orders", json={"cart": cart, "email": email}, expected=201)
        if "id" in order:
            self._ask("GET", f"/orders/{order['id']}", "/orders/{order}")

    def _ask(self, method: str, path: str, name: str, *, expected: int = 200, json: Any = None) -> Any:
        """The answer's JSON. Ends this customer where no request is left."""
        if not _quota.take():
            raise StopUser
        _quota.wait_for_turn()
        with self.client.request(method, path, name=name, json=json, catch_response=True) as answer:
            if answer.status_code == expected:
                answer.success()
                shown = answer.json()
            else:
                answer.failure(f"answered {answer.status_code}, not {expected}")
                shown = {}
        self._count(answer.status_code, expected)
        return shown

    def _count(self, status: int, expected: int) -> None:
        _quota.done += 1
        _quota.answered += bool(status)  # a status of 0: the connection broke
        _quota.wrong += status != expected
        if self.environment.parsed_options.shop_progress and _quota.done % _PROGRESS_EVERY == 0:
            _tell()
        if _quota.left == 0 and _quota.done == _quota.sent and self.environment.runner is not None:
            gevent.spawn(self.environment.runner.quit)  # it ends the user that calls it


def _tell() -> None:
    told = {"sent": _quota.sent, "answered": _quota.answered, "wrong": _quota.wrong}
    sys.stdout.write(json.dumps({PROGRESS_KEY: told}) + "\n")
    sys.stdout.flush()


def _end(environment: Any, **_: Any) -> None:
    if environment.parsed_options is not None and environment.parsed_options.shop_progress:
        _tell()


_hooks: Any = events  # Locust's own hooks carry no types
_hooks.init_command_line_parser.add_listener(_add_options)
_hooks.test_start.add_listener(_start)
_hooks.quitting.add_listener(_end)
