"""The console commands."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from typing import Any

import pytest
from click.testing import CliRunner

from mirrorproof_sidecar.commands import recorder, report


def test_help_names_each_flag_and_its_variable() -> None:
    text = CliRunner().invoke(recorder, ["--help"]).output

    assert "--expire-after-s" in text
    assert "MIRRORPROOF_EXPIRE_AFTER_S" in text.replace("\n", "")


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--listen", "0.0.0.0:1"], "MIRRORPROOF_TOKEN"),
        (["--store", "sqlite:////no/such/folder/x.db"], "/no/such/folder does not exist"),
        (["--settle-s", "-1"], "settle_s"),
        (["--store", "postgresql://u:hush@127.0.0.1:9/x"], "MIRRORPROOF_STORE: the database cannot be used"),
    ],
)
def test_a_mistake_is_one_sentence(flags: list[str], says: str) -> None:
    done = CliRunner().invoke(recorder, ["--listen", "127.0.0.1:0", *flags])

    assert done.exit_code == 1
    assert done.output.startswith("Error: ")
    assert says in done.output
    assert "hush" not in done.output


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Any) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = CliRunner().invoke(
            recorder, ["--listen", f"127.0.0.1:{port}", "--store", f"sqlite:///{tmp_path}/r.db"]
        )
    assert done.exit_code == 1
    assert done.output == (
        f"Error: cannot listen on 127.0.0.1:{port} (another process listens there, perhaps another "
        "recorder): name another address or port with --listen or MIRRORPROOF_LISTEN\n"
    )
    assert list(tmp_path.iterdir()) == []  # no store in vain


async def test_the_report_is_printed_as_text_and_as_json(client: Any, make_exchange: Any) -> None:
    import asyncio

    await client.post(make_exchange(), make_exchange("shadow"))
    for form in ("text", "json"):
        flags = ["--recorder", client.url, "--format", form]
        done = await asyncio.to_thread(CliRunner().invoke, report, flags)
        assert done.exit_code == 0, done.output
        if form == "json":
            assert json.loads(done.output)["totals"]["matched"] == 1
        else:
            assert "1 matched" in done.output


def test_a_recorder_that_is_not_there_is_one_sentence() -> None:
    done = CliRunner().invoke(report, ["--recorder", "http://127.0.0.1:9"])

    assert done.exit_code == 1
    assert done.output == (
        "Error: no recorder answers at http://127.0.0.1:9 (connection refused): start one with "
        "`mirrorproof recorder` or name another with --recorder or MIRRORPROOF_RECORDER\n"
    )


def test_without_the_extra_help_works_and_the_command_says_what_to_install() -> None:
    code = textwrap.dedent("""
        import sys
        for name in ("aiohttp", "sqlalchemy", "alembic", "rich", "prometheus_client", "opentelemetry.sdk"):
            sys.modules[name] = None
        from click.testing import CliRunner
        from mirrorproof_sidecar.commands import compare, recorder, replay, report, verdict
        commands = ((recorder, 1), (report, 1), (verdict, 2), (replay, 1), (compare, 2, "a", "b"))
        for command, status, *arguments in commands:
            assert CliRunner().invoke(command, ["--help"]).exit_code == 0
            done = CliRunner().invoke(command, arguments)
            assert done.exit_code == status
            assert "pip install 'mirrorproof[sidecar]'" in done.output, done.output
    """)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
