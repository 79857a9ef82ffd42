"""The console script, run as users run it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import EntryPoint, version
from typing import Any

import click
import pytest
from click.testing import CliRunner

from mirrorproof import cli
from mirrorproof.errors import SettingsError


@click.command()
def greet() -> None:
    """Say hello."""
    click.echo("hello")


@click.command()
def misconfigured() -> None:
    raise SettingsError("MIRRORPROOF_SAMPLE = '7': too large")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    points = [
        EntryPoint(name, f"{__name__}:{value}", cli.ENTRY_POINT_GROUP)
        for name, value in (("greet", "greet"), ("misconfigured", "misconfigured"))
    ]
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    monkeypatch.setattr(cli, "entry_points", lambda group: points if group == cli.ENTRY_POINT_GROUP else [])
    return lambda *arguments: CliRunner().invoke(cli.main, list(arguments))


def test_the_commands_of_installed_packages_are_listed_with_their_help(run: Any) -> None:
    said = run("--help").output
    assert "greet" in said
    assert "Say hello." in said
    assert "misconfigured" in said


def test_a_command_is_run(run: Any) -> None:
    result = run("greet")
    assert (result.exit_code, result.output) == (0, "hello\n")


def test_a_command_that_does_not_exist_is_a_usage_error(run: Any) -> None:
    result = run("gret")
    assert result.exit_code == 2
    assert "gret" in result.output


def test_an_error_in_settings_is_one_line_and_no_traceback(run: Any) -> None:
    result = run("misconfigured")
    assert result.exit_code == 2
    assert "Error: MIRRORPROOF_SAMPLE = '7': too large" in result.output
    assert "Traceback" not in result.output


def test_the_version_is_the_distributions(run: Any) -> None:
    assert run("--version").output.strip() == f"mirrorproof, version {version('mirrorproof')}"


def test_the_console_script_is_installed() -> None:
    script = os.path.join(os.path.dirname(sys.executable), "mirrorproof")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert version("mirrorproof") in done.stdout
