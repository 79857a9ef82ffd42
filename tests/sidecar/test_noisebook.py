"""What settling learns of noise: from repeated reads, and from a request's own control."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mirrorproof.exchange import Exchange
from mirrorproof_sidecar.compare import DEFAULT_RULES, compare
from mirrorproof_sidecar.endpoints import endpoint_of
from mirrorproof_sidecar.judge.noise import Tally
from mirrorproof_sidecar.recorder.noisebook import NoiseBook


@pytest.fixture
def answer(make_exchange: Any) -> Any:
    """An answer of v1 with this body, so many seconds after the first."""

    def answer(body: bytes, after_s: float, **more: Any) -> Exchange:
        made: Exchange = make_exchange("primary", f"p{after_s}{body!r}", body=body, **more)
        return msgspec.structs.replace(made, started_unix_ns=int((1000 + after_s) * 1e9))

    return answer


def noise_after(book: NoiseBook, answers: list[Exchange]) -> set[str]:
    for one in answers:
        book.show("e", one, lambda mine, its: compare(mine, its, DEFAULT_RULES))
    book.refresh(1e12, Tally)
    return {pattern for _, pattern, _ in book.known(answers[0])}


def test_reads_that_users_repeat_show_what_is_noise(answer: Any) -> None:
    answers = [answer(b'{"a":%d,"b":1}' % number, number * 0.5) for number in range(4)]
    assert noise_after(NoiseBook(2.0), answers) == {"/body/a"}


@pytest.mark.parametrize(
    ("within_s", "apart_s", "more"),
    [
        (2.0, 5.0, {}),
        (0.0, 0.5, {}),
        (2.0, 0.5, {"request": {"method": "POST"}}),
        (2.0, 0.5, {"request": {"headers": [("authorization", "[redacted]")]}}),
        (2.0, 0.5, {"request": {"headers": [("cookie", "[redacted]")]}}),
    ],
)
def test_reads_far_apart_writes_and_reads_of_somebody_teach_nothing(
    answer: Any, within_s: float, apart_s: float, more: dict[str, Any]
) -> None:
    answers = [answer(b'{"a":%d}' % number, number * apart_s, **more) for number in range(4)]
    assert noise_after(NoiseBook(within_s), answers) == set()


def test_what_a_requests_own_control_differs_in_is_noise_for_it(answer: Any) -> None:
    one, other = answer(b'{"a":1}', 0), answer(b'{"a":2}', 0)
    book = NoiseBook(0.0)
    known = book.known(one, compare(one, other, DEFAULT_RULES))
    endpoint = endpoint_of(one.service, one.request.method, one.request.path, one.request.route)
    assert (endpoint.id, "/body/a", "changed_value") in known
    assert not book.known(one)
