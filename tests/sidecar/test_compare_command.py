"""`mirrorproof compare A B`: two recordings, offline."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from mirrorproof.exchange import Batch, Exchange, encode_batch
from mirrorproof_sidecar.commands import compare
from mirrorproof_sidecar.progress import shown_steps

Make = Callable[..., Exchange]


def lines(path: Path, exchanges: list[Exchange]) -> str:
    path.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in exchanges))
    return str(path)


def run(*arguments: str, **more: Any) -> Any:
    return CliRunner().invoke(compare, list(arguments), **more)


@pytest.mark.parametrize(
    ("v2", "status", "says"),
    [
        ([b'{"a":1}', b'{"a":1}'], 0, "2 matched, 0 different"),
        ([b'{"a":1}', b'{"a":2}'], 1, "/body/a"),
        ([b'{"a":1}'], 2, "1 exchanges without a partner"),
        ([b'{"a":2}'], 1, "/body/a"),
        ([], 2, "nothing has been compared yet"),
    ],
)
def test_the_exit_status_says_same_different_or_undecided(
    tmp_path: Path, make_exchange: Make, v2: list[bytes], status: int, says: str
) -> None:
    one = lines(tmp_path / "a.ndjson", [make_exchange("primary", f"p{number}") for number in range(2)])
    other = lines(
        tmp_path / "b.ndjson",
        [make_exchange("shadow", f"p{number}", body=body) for number, body in enumerate(v2)],
    )

    done = run(one, other)

    assert done.exit_code == status, done.output
    assert says in done.output


def test_what_could_not_be_compared_is_not_called_the_same(tmp_path: Path, make_exchange: Make) -> None:
    cut = make_exchange("shadow", notes=["yielded"])

    done = run(lines(tmp_path / "a", [make_exchange()]), lines(tmp_path / "b", [cut]))

    assert done.exit_code == 2
    assert "1 pairs that could not be compared" in done.output


def test_a_recording_does_not_differ_from_itself_whatever_role_it_was_made_in(
    tmp_path: Path, make_exchange: Make
) -> None:
    recorded = [
        make_exchange(side, f"{side}{number}") for number in range(3) for side in ("primary", "shadow")
    ]
    path = lines(tmp_path / "a.ndjson", recorded)

    done = run(path, path, "--format", "json")

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["totals"]["matched"] == 6


@pytest.mark.parametrize("form", ["array", "envelope", "pretty", "msgpack", "batches"])
def test_whatever_a_recorder_takes_is_read(tmp_path: Path, make_exchange: Make, form: str) -> None:
    exchanges = [make_exchange("primary", f"p{number}") for number in range(3)]
    plain = msgspec.to_builtins(exchanges)
    content = {
        "array": msgspec.json.encode(plain),
        "envelope": msgspec.json.encode({"exchanges": plain}),
        "pretty": json.dumps({"exchanges": plain}, indent=2).encode(),
        "msgpack": encode_batch(Batch(exchanges=exchanges)),
        "batches": b"\n".join(msgspec.json.encode({"exchanges": [one]}) for one in plain),
    }[form]
    (tmp_path / "a").write_bytes(content)
    other = lines(tmp_path / "b", exchanges)

    done = run(str(tmp_path / "a"), other, "--format", "json")

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["totals"]["pairs"] == 3


def test_one_side_may_come_from_standard_input(tmp_path: Path, make_exchange: Make) -> None:
    path = lines(tmp_path / "a", [make_exchange()])

    assert run(path, "-", input=Path(path).read_bytes()).exit_code == 0
    assert run("-", "-").exit_code == 2


def test_rules_hold_here_too(tmp_path: Path, make_exchange: Make) -> None:
    (tmp_path / "rules.toml").write_text('[[ignore]]\npath = "/body/a"\nreason = "a clock"\n')
    one = lines(tmp_path / "a", [make_exchange()])
    other = lines(tmp_path / "b", [make_exchange("shadow", body=b'{"a":2}')])

    done = run(one, other, "--rules", str(tmp_path / "rules.toml"))

    assert done.exit_code == 0
    assert "a clock" in done.output


@pytest.mark.parametrize("form", ["text", "json", "markdown", "junit", "html"])
def test_every_format_of_the_report_is_there(tmp_path: Path, make_exchange: Make, form: str) -> None:
    one = lines(tmp_path / "a", [make_exchange()])
    other = lines(tmp_path / "b", [make_exchange("shadow", body=b'{"a":2}')])
    out = tmp_path / "out"

    done = run(one, other, "--format", form, "-o", str(out))

    assert done.exit_code == 1, done.output
    assert done.stdout == ""
    assert ("different" in out.read_text()) or form == "junit"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{}\n", "line 1 is no exchange"),
        (b'{"exchange_id": "x"}\n{', "line 1 is no exchange"),
        (b"no json", "holds no exchanges"),
        (b"[{}]", "holds no exchanges: exchange 0"),
    ],
)
def test_a_file_that_is_none_is_named_and_decides_nothing(
    tmp_path: Path, make_exchange: Make, content: bytes, says: str
) -> None:
    (tmp_path / "bad").write_bytes(content)
    good = lines(tmp_path / "a", [make_exchange()])

    done = run(good, str(tmp_path / "bad"))

    assert done.exit_code == 2
    assert f"{tmp_path}/bad" in done.output
    assert says in done.output
    assert run(good, str(tmp_path / "none")).exit_code == 2


def test_long_work_tells_how_far_it_is_but_not_too_often(capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    now_s = iter(range(100))
    with shown_steps(sys.stderr, lambda: float(next(now_s))) as tell:
        for number in range(40):
            tell(f"{number} done")

    assert 1 <= len(capsys.readouterr().err.splitlines()) <= 9
