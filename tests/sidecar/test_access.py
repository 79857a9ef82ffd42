"""Who may do what."""

from __future__ import annotations

import pytest

from mirrorproof_sidecar.recorder.access import Access, Right

TOKENS = Access("all", "read")
OPEN = Access()


def status(access: Access, right: Right, **headers: str) -> int | None:
    given = {name: headers.get(name) for name in ("authorization", "host", "origin")}
    denial = access.denial(right, **given)
    return denial.status if denial else None


@pytest.mark.parametrize(
    ("authorization", "read", "write"),
    [
        ("Bearer all", None, None),
        ("bearer  all ", None, None),
        ("Bearer read", None, 403),
        ("Bearer ALL", 401, 401),
        ("Bearer al", 401, 401),
        ("Bearer all2", 401, 401),
        ("Bearer \xe4", 401, 401),
        ("Bearer ", 401, 401),
        ("Basic all", 401, 401),
        ("all", 401, 401),
        ("", 401, 401),
    ],
)
def test_a_token_opens_what_it_is_for(authorization: str, read: int | None, write: int | None) -> None:
    assert status(TOKENS, Right.READ, authorization=authorization) == read
    assert status(TOKENS, Right.WRITE, authorization=authorization) == write


def test_probes_need_no_token() -> None:
    assert status(TOKENS, Right.NONE) is None


def test_a_token_is_good_from_every_host() -> None:
    assert status(TOKENS, Right.READ, authorization="Bearer all", host="recorder:9600") is None


@pytest.mark.parametrize("host", ["localhost", "localhost:9600", "127.0.0.1:1", "127.1.2.3", "[::1]:9600"])
def test_without_a_token_loopback_is_let_in(host: str) -> None:
    assert status(OPEN, Right.WRITE, host=host) is None
    assert status(OPEN, Right.WRITE, host=host, origin=f"http://{host}") is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "",
        "[",
        "a@evil",
        "[::2]",
    ],
)
def test_without_a_token_other_hosts_are_not(host: str) -> None:
    assert status(OPEN, Right.READ, host=host) == 403
    assert status(OPEN, Right.READ, host="localhost", origin=f"http://{host}") == 403


def test_without_a_token_a_sandboxed_page_is_not_let_in() -> None:
    assert status(OPEN, Right.READ, host="localhost", origin="null") == 403
    assert status(OPEN, Right.READ) == 403
