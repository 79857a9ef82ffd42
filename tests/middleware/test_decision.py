"""The role, the mark and trust: the whole table, and every mark that is nearly one."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorproof.decision import (
    Arrival,
    Decision,
    Mark,
    Mode,
    Policy,
    Role,
    Trust,
    decide,
    pair_id_from,
    read_mark,
    sign,
)

KEY = b"a shared secret"
NOW_S = 1_700_000_000
PORT = 9091


def signed(**changes: object) -> str:
    """A signature over the arrival of `arriving`, but for the `changes`."""
    parts = {"pair_id": "p-1", "method": "POST", "target": "/orders/a%20b", "unix_s": NOW_S} | changes
    return sign(KEY, **parts)  # type: ignore[arg-type]


def arriving(mark: Mark, *, port: int | None = PORT, signature: str | None = None) -> Arrival:
    return Arrival(
        mark=mark, method="POST", path="/orders/a b", target="/orders/a%20b", pair_id="p-1", port=port,
        signature=signature, now_unix_s=NOW_S + 0.5,
    )  # fmt: skip


def by_key(**policy: object) -> Policy:
    return Policy(trust=frozenset({Trust.KEY}), key=KEY, **policy)  # type: ignore[arg-type]


TRUSTS = tuple(map(frozenset, ((), (Trust.MIRROR_PORT,), (Trust.KEY,), tuple(Trust))))


@pytest.mark.parametrize("port", [PORT, 8000, None])
@pytest.mark.parametrize("signature", [signed(), signed(pair_id="another"), None])
@pytest.mark.parametrize(("role", "mark", "trust"), list(product(Role, Mark, TRUSTS)))
def test_every_cell_of_the_table_says_what_the_design_says(
    role: Role, mark: Mark, trust: frozenset[Trust], signature: str | None, port: int | None
) -> None:
    policy = Policy(role=role, trust=trust, mirror_port=PORT, key=KEY)
    decision = decide(policy, arriving(mark, port=port, signature=signature))
    trusted = (Trust.MIRROR_PORT not in trust or port == PORT) and (
        Trust.KEY not in trust or signature == signed()
    )
    said = (decision.mirrored, decision.mode, decision.refusal, decision.counter)
    if role is Role.PRIMARY:
        assert said == (False, Mode.LIVE, None, None if mark is Mark.ABSENT else "mark_ignored")
    elif role in (Role.SHADOW, Role.CONTROL):
        assert said == (True, Mode.DRY_RUN, None, None if mark is Mark.WELL_FORMED else "unmarked")
    elif mark is Mark.ABSENT:
        assert said == (False, Mode.LIVE, None, None)
    elif mark is Mark.MALFORMED:
        assert said == (False, Mode.DRY_RUN, 400, "refused_malformed")
    elif trusted:
        assert said == (True, Mode.DRY_RUN, None, None)
    else:
        assert said == (False, Mode.DRY_RUN, 403, "refused_untrusted")


MARK = b"x-istio-mirror"
MANGLED = {
    "True": [(MARK, b"True")],
    "TRUE": [(MARK, b"TRUE")],
    "a blank before": [(MARK, b" true")],
    "a blank after": [(MARK, b"true ")],
    "1": [(MARK, b"1")],
    "yes": [(MARK, b"yes")],
    "false": [(MARK, b"false")],
    "empty": [(MARK, b"")],
    "NUL after": [(MARK, b"true\0")],
    "doubled": [(MARK, b"true"), (MARK, b"true")],
    "doubled, the other false": [(MARK, b"false"), (MARK, b"true")],
    "doubled, far apart": [(MARK, b"true"), (b"accept", b"*/*"), (MARK.upper(), b"true")],
    "folded into one": [(MARK, b"true, true")],
    "underscores": [(b"x_istio_mirror", b"true")],
    "some underscores": [(b"X-Istio_Mirror", b"true")],
    "underscores beside a good one": [(MARK, b"true"), (b"x_istio_mirror", b"true")],
    "nominated in Connection": [(MARK, b"true"), (b"connection", b"keep-alive, X-Istio-Mirror")],
    "nominated without a mark": [(b"connection", b"x-istio-mirror")],
    "nominated with underscores": [(b"connection", b"x_istio_mirror"), (MARK, b"true")],
}


@pytest.mark.parametrize("headers", MANGLED.values(), ids=list(MANGLED))
def test_a_mangled_mark_is_refused_in_role_mixed_whatever_the_trust(
    headers: list[tuple[bytes, bytes]],
) -> None:
    mark = read_mark(headers)
    assert mark is Mark.MALFORMED
    for trust in TRUSTS:
        policy = Policy(trust=trust, mirror_port=PORT, key=KEY)
        assert decide(policy, arriving(mark, signature=signed())).refusal == 400


@pytest.mark.parametrize("name", [b"x-istio-mirror", b"X-Istio-Mirror", b"X-ISTIO-MIRROR"])
def test_one_true_is_the_mark_however_a_server_spells_its_name(name: bytes) -> None:
    assert read_mark([(b"host", b"shop"), (name, b"true"), (b"connection", b"close")]) is Mark.WELL_FORMED


def test_other_headers_are_no_mark() -> None:
    headers = [
        (b"connection", b"keep-alive, x-request-id"),
        (b"x-istio-attempt", b"true"),
        (b"te", b"mirror"),
    ]
    assert read_mark(headers) is Mark.ABSENT


names = st.sampled_from([MARK, MARK.upper(), b"x_istio_mirror", b"X-istio_mirror"])
values = st.sampled_from([b"true", b"True", b" true", b"true,true", b"", b"0"]) | st.binary(max_size=6)


@given(st.lists(st.tuples(names, values), min_size=1, max_size=4), st.sampled_from(TRUSTS))
def test_role_mixed_never_guesses_that_a_request_with_any_mark_is_live(
    headers: list[tuple[bytes, bytes]], trust: frozenset[Trust]
) -> None:
    decision = decide(Policy(trust=trust, mirror_port=PORT, key=KEY), arriving(read_mark(headers)))
    assert decision.mirrored or decision.refusal in (400, 403)


@given(st.lists(st.tuples(names | st.binary(max_size=16), values), max_size=5), st.sampled_from(list(Role)))
def test_a_shadow_is_dry_and_a_primary_live_whatever_the_headers_say(
    headers: list[tuple[bytes, bytes]], role: Role
) -> None:
    decision = decide(Policy(role=role), Arrival(read_mark(headers)))
    if role is not Role.MIXED:
        assert decision.refusal is None
        assert decision.mirrored is role.always_mirrored


def test_a_mark_that_came_in_on_another_port_is_not_trusted() -> None:
    policy = Policy(trust=frozenset({Trust.MIRROR_PORT}), mirror_port=PORT)
    assert decide(policy, arriving(Mark.WELL_FORMED, port=PORT)).mirrored
    for port in (8000, None):
        assert decide(policy, arriving(Mark.WELL_FORMED, port=port)).refusal == 403


def test_a_mirror_port_that_was_never_set_is_no_port_to_trust() -> None:
    policy = Policy(trust=frozenset({Trust.MIRROR_PORT}))
    assert decide(policy, arriving(Mark.WELL_FORMED, port=None)).refusal == 403


def test_a_signature_is_good_for_the_request_as_it_was_sent_with_its_escapes() -> None:
    assert decide(by_key(), arriving(Mark.WELL_FORMED, signature=signed())).mirrored


FORGED = {
    "another path": signed(target="/orders/b"),
    "the decoded path": signed(target="/orders/a b"),
    "another method": signed(method="GET"),
    "another pair id": signed(pair_id="p-2"),
    "too old": signed(unix_s=NOW_S - 301),
    "from the future": signed(unix_s=NOW_S + 302),
    "another key": sign(b"guess", pair_id="p-1", method="POST", target="/orders/a%20b", unix_s=NOW_S),
    "the time changed": signed().replace(f"t={NOW_S}", f"t={NOW_S + 1}"),
    "the time padded": signed().replace("t=", "t=0"),
    "a tail": signed() + ",v2=x",
    "upper case": signed().upper(),
    "cut": signed()[:-1],
    "empty": "",
    "no time": signed().split(",")[1],
    "a time that is no number": f"t=now,{signed().split(',')[1]}",
    "digits of another script": f"t={chr(0x661) * 10},{signed().split(',')[1]}",
    "a superscript": f"t=²,{signed().split(',')[1]}",
    "a time without end": f"t={'9' * 5000},v1=0",
    "not ASCII": "t=1700000000,v1=é\udcff",
}


@pytest.mark.parametrize("signature", FORGED.values(), ids=list(FORGED))
def test_a_signature_of_anything_else_is_not_trusted(signature: str) -> None:
    assert decide(by_key(), arriving(Mark.WELL_FORMED, signature=signature)).refusal == 403


@given(st.text())
def test_no_garbage_is_a_signature_and_none_of_it_raises(signature: str) -> None:
    assert decide(by_key(), arriving(Mark.WELL_FORMED, signature=signature)).refusal == 403


@given(st.binary(min_size=1, max_size=40), st.text(), st.text(), st.integers(0, 10**11))
def test_what_is_signed_holds_at_that_time_and_with_another_key_it_does_not(
    key: bytes, pair_id: str, target: str, unix_s: int
) -> None:
    signature = sign(key, pair_id=pair_id, method="GET", target=target, unix_s=unix_s)
    arrival = Arrival(
        Mark.WELL_FORMED, target=target, pair_id=pair_id, signature=signature, now_unix_s=float(unix_s)
    )
    assert decide(Policy(trust=frozenset({Trust.KEY}), key=key), arrival).mirrored
    assert not decide(Policy(trust=frozenset({Trust.KEY}), key=key + b"x"), arrival).mirrored


def test_trust_in_a_key_that_is_missing_trusts_nobody() -> None:
    for key in (None, b""):
        policy = Policy(trust=frozenset({Trust.KEY}), key=key)
        assert decide(policy, arriving(Mark.WELL_FORMED, signature=signed())).refusal == 403


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("/admin/users", Mode.OBSERVE),
        ("/admin/reports/1", Mode.OBSERVE),
        ("/reports/1", Mode.READ_ONLY),
        ("/Reports/1", Mode.DRY_RUN),
        ("/", Mode.DRY_RUN),
    ],
)
@pytest.mark.parametrize("role", [Role.SHADOW, Role.MIXED])
def test_the_first_path_glob_that_fits_gives_the_mode(role: Role, path: str, mode: Mode) -> None:
    modes = (("/admin/*", Mode.OBSERVE), ("*reports*", Mode.READ_ONLY))
    decision = decide(Policy(role=role, modes=modes), Arrival(Mark.WELL_FORMED, path=path))
    assert decision == Decision(mode)


def test_modes_do_not_touch_a_live_request() -> None:
    policy = Policy(modes=(("*", Mode.READ_ONLY),))
    assert decide(policy, Arrival(Mark.ABSENT)).mode is Mode.LIVE


@pytest.mark.parametrize(
    ("mirror_id", "request_id", "pair_id"),
    [
        (b"m", b"r", "m"),
        (None, b"r", "r"),
        (b"", b"r", "r"),
        (b"m" * 257, b"r", "r"),
        (b"m" * 256, b"r", "m" * 256),
        (None, None, None),
        (b"", b"", None),
        (b"\xff\x80", None, "\xff\x80"),
    ],
)
def test_the_pair_id_is_the_mirror_id_else_the_request_id(
    mirror_id: bytes | None, request_id: bytes | None, pair_id: str | None
) -> None:
    assert pair_id_from(mirror_id, request_id) == pair_id
