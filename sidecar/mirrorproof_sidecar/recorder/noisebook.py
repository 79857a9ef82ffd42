"""What is known of noise while pairs are settled: from the store, from repeated reads, from a request's own
control.

Knows the store's counts and the answers that it was shown last. Must not know how a verdict on noise is
reached, or what is done with a difference.

A read that users make twice anyway is a control that costs nothing: v1's two answers, `within_s` of each
other, to one question that nobody's identity is in. (What was redacted cannot be told apart, so a request
with credentials or a cookie is never taken.) Only the last answer to each of a bounded number of questions is
kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mirrorproof.exchange import Exchange
from mirrorproof_sidecar.compare import Cause, Comparison, Kind, NoiseKey
from mirrorproof_sidecar.endpoints import endpoint_asked, path_pattern
from mirrorproof_sidecar.judge.noise import Learnt, Source, Tally, learn, with_own
from mirrorproof_sidecar.recorder.identity import is_personal

__all__ = ["NoiseBook", "fields_of"]

_REFRESH_S: Final = 10.0
_MAX_QUESTIONS: Final = 2000
_MAX_BODY_BYTES: Final = 64 << 10
_NEGOTIATED: Final = frozenset(
    ("accept", "accept-language", "accept-encoding", "range", "if-none-match", "host")
)

Compare = Callable[[Exchange, Exchange], Comparison]


def fields_of(comparison: Comparison) -> set[tuple[str, str]]:
    """Pattern and kind of all that differs, what is hidden as noise included."""
    found = {(path_pattern(one.path), one.kind.value) for one in comparison.differences}
    hidden = (one.difference for one in comparison.ignored if one.by is Cause.NOISE)
    return found | {(path_pattern(one.path), one.kind.value) for one in hidden}


@dataclass(frozen=True, slots=True)
class _Answered:
    exchange: Exchange
    headers: tuple[tuple[str, str], ...]


class NoiseBook:
    """Noise as it is known now. Not safe for two threads."""

    def __init__(self, within_s: float) -> None:
        self._within_ns = int(within_s * 1e9)
        self._repeats = Tally()
        self._learnt = Learnt()
        self._due_s = 0.0
        self._last: OrderedDict[tuple[str, ...], _Answered] = OrderedDict()

    def refresh(self, now_s: float, load: Callable[[], Tally]) -> None:
        """Learn anew, at most every ten seconds."""
        if now_s >= self._due_s:
            self._due_s = now_s + _REFRESH_S
            self._learnt = learn(load() + self._repeats)

    def known(self, primary: Exchange, control: Comparison | None = None) -> Mapping[NoiseKey, str]:
        """Noise for a comparison of this answer with v2's; `control`: what its control said of it."""
        if control is None or not control.differences:
            return self._learnt.noise
        endpoint = endpoint_asked(primary).id
        return with_own(self._learnt, endpoint, fields_of(control))

    def explains(self, primary: Exchange, control: Comparison) -> bool:
        """Whether all that this answer and its control differ in is noise that was known before."""
        if control.differences_omitted:
            return False
        endpoint = endpoint_asked(primary).id
        noise = self._learnt.noise
        return all((endpoint, pattern, Kind(kind)) in noise for pattern, kind in fields_of(control))

    def show(self, endpoint: str, exchange: Exchange, compare: Compare) -> None:
        """Take an answer of v1; if it repeats one, count in what they differ."""
        key = _question(exchange) if self._within_ns else None
        if key is None:
            return
        before = self._last.pop(key, None)
        self._last[key] = now = _Answered(exchange, _negotiated(exchange))
        if len(self._last) > _MAX_QUESTIONS:
            self._last.popitem(last=False)
        if (
            before is None
            or before.headers != now.headers
            or before.exchange.exchange_id == exchange.exchange_id
        ):
            return
        apart_ns = abs(exchange.started_unix_ns - before.exchange.started_unix_ns)
        if apart_ns <= self._within_ns:
            self._repeats.add(endpoint, Source.REPEAT, fields_of(compare(before.exchange, exchange)))


def _question(exchange: Exchange) -> tuple[str, ...] | None:
    """What makes two requests one question; `None` where that cannot be told."""
    request, response = exchange.request, exchange.response
    if request.method.upper() not in ("GET", "HEAD") or response is None or exchange.error is not None:
        return None
    if response.truncated or len(response.body) > _MAX_BODY_BYTES or request.body_bytes:
        return None
    if is_personal(request):
        return None
    return exchange.service, exchange.version, request.method, request.path, request.query


def _negotiated(exchange: Exchange) -> tuple[tuple[str, str], ...]:
    headers: Iterable[tuple[str, str]] = exchange.request.headers
    return tuple(sorted((name.lower(), value) for name, value in headers if name.lower() in _NEGOTIATED))
