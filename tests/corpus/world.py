"""What is in the database: the same for both versions, made from a seed.

Knows names, goods, places. Must not know the time of an answer or which version gives it.
"""

from __future__ import annotations

from random import Random
from typing import Any

__all__ = ["World"]

_FIRST = (
    "Ada",
    "Grace",
    "Linus",
    "Zoë",
    "José",
    "Mei",
    "Priya",
    "Søren",
    "Łukasz",
    "Yuki",
    "Amina",
    "Noah",
    "Olga",
    "Chidi",
    "Björn",
    "Inês",
)
_LAST = (
    "Lovelace",
    "Hopper",
    "Torvalds",
    "García",
    "Müller",
    "Nguyễn",
    "Okafor",
    "Andersen",
    "Kowalski",
    "Tanaka",
    "O'Brien",
    "Silva",
    "Novák",
    "van Dijk",
)
_GOODS = (
    "Espresso cups",
    "Linen shirt",
    "Desk lamp",
    "Trail shoes",
    "Notebook A5",
    "Wool blanket",
    "Bike light",
    "Chef’s knife",  # noqa: RUF001 - as shops write it
    "Yoga mat",
    "Rain jacket",
    "Water bottle",
    "Headphones",
    "Café press",
    "Wall clock",
    "Backpack 22 l",
    "Garden shears",
)
_WORDS = (
    "release",
    "shadow",
    "traffic",
    "ledger",
    "compare",
    "rollout",
    "cache",
    "index",
    "queue",
    "schema",
    "river",
    "mountain",
    "coffee",
    "winter",
    "signal",
    "paper",
    "orange",
    "quiet",
    "window",
    "harbour",
)
_CITIES = (
    ("Berlin", "DE", 52.520008, 13.404954),
    ("Lyon", "FR", 45.764043, 4.835659),
    ("Porto", "PT", 41.157944, -8.629105),
    ("Kraków", "PL", 50.064651, 19.944981),
    ("Osaka", "JP", 34.693725, 135.502254),
    ("Quito", "EC", -0.180653, -78.467834),
    ("Oslo", "NO", 59.913868, 10.752245),
    ("Austin", "US", 30.267153, -97.743057),
    ("Zürich", "CH", 47.376887, 8.541694),
)
_TAGS = (
    "new",
    "sale",
    "eco",
    "gift",
    "outdoor",
    "kitchen",
    "limited",
    "bestseller",
    "handmade",
    "refurbished",
)


class World:
    """Draws the same content for the same seed. `now_s` is when the request comes in."""

    def __init__(self, seed: str, now_s: float) -> None:
        self.random = Random(seed)
        self.now_s = now_s

    def one(self, *choices: Any) -> Any:
        """One of the choices."""
        return self.random.choice(choices)

    def number(self, low: int, high: int) -> int:
        """An integer in the range, both ends included."""
        return self.random.randint(low, high)

    def chance(self, share: float) -> bool:
        """True for this share of the requests."""
        return self.random.random() < share

    def person(self) -> str:
        """A name."""
        return f"{self.one(*_FIRST)} {self.one(*_LAST)}"

    def email(self) -> str:
        """An address."""
        name = f"{self.one(*_WORDS)}.{self.one(*_WORDS)}{self.number(1, 99)}"
        return f"{name}@example.{self.one('com', 'org', 'net')}"

    def product(self) -> str:
        """A product's name."""
        return str(self.one(*_GOODS))

    def word(self) -> str:
        """A word."""
        return str(self.one(*_WORDS))

    def sentence(self, words: int = 9) -> str:
        """A sentence of so many words."""
        return " ".join(self.word() for _ in range(words)).capitalize() + "."

    def slug(self) -> str:
        """Two words and a number, as in a URL."""
        return f"{self.word()}-{self.word()}-{self.number(10, 99)}"

    def city(self) -> tuple[str, str, float, float]:
        """Name, country, latitude, longitude."""
        found: tuple[str, str, float, float] = self.one(*_CITIES)
        return found

    def tags(self, count: int = 3) -> list[str]:
        """Different tags."""
        return self.random.sample(_TAGS, count)

    def cents(self, low: int = 199, high: int = 49_999) -> int:
        """A price in cents."""
        return self.number(low, high)

    def past(self, days: int = 400) -> float:
        """A time, at least two days and at most so many days ago."""
        return self.now_s - self.random.uniform(2 * 86_400, days * 86_400)

    def recent(self) -> float:
        """A time in the last hours, at least ten minutes ago."""
        return self.now_s - self.random.uniform(600, 6 * 3600)

    def sha(self) -> str:
        """A stored digest, 40 hex digits."""
        return f"{self.random.getrandbits(160):040x}"

    def uuid(self) -> str:
        """A stored UUID."""
        import uuid

        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def stored_id(self, scheme: str, prefix: str = "obj") -> Any:
        """The id of an object that has long been there."""
        from .environment import Env, Style

        past = Env(self.random, self.past(), ahead=0, moved=False, style=Style())
        return past.id_by(scheme, self.number(1_000, 90_000), prefix)
