"""The console commands of the recorder: flags in, a plain function called, one outcome.

Knows click. What is heavy or optional is imported inside the commands, so that `--help` works without
the extra `sidecar`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from mirrorproof.errors import SettingsError
from mirrorproof.settings import describe
from mirrorproof_sidecar.settings import RecorderSettings

__all__ = ["compare", "recorder", "replay", "report", "verdict"]

C = TypeVar("C", bound=Callable[..., Any])

_HELP = {name: (default, text) for name, default, text in describe(RecorderSettings)}


def _setting(name: str, **more: Any) -> Callable[[C], C]:
    flag, (default, text) = "--" + name.replace("_", "-"), _HELP[name]
    shown = "" if default == "None" else f"{default}; "
    return click.option(flag, name, help=f"{text} [{shown}MIRRORPROOF_{name.upper()}]", **more)


@click.command()
@_setting("listen", metavar="HOST:PORT")
@_setting("store", metavar="URL")
@_setting("rules", metavar="FILE")
@_setting("descriptors", metavar="FILE")
@_setting("thresholds", metavar="FILE")
@_setting("retention_s", type=float)
@_setting("expire_after_s", type=float)
@_setting("settle_s", type=float)
@_setting("match_sample", type=float)
@_setting("log_level", metavar="LEVEL")
@click.option("--log-format", type=click.Choice(["plain", "json"]), default="plain", show_default=True,
              help="How log lines look.")  # fmt: skip
def recorder(log_format: str, **flags: Any) -> None:
    """Take exchanges in, pair and compare them, and answer what came of it.

    Every setting is also a variable MIRRORPROOF_<NAME> and a key of the table [recorder] in the TOML file
    that MIRRORPROOF_CONFIG names. The tokens are set there only, so that they show in no process list.
    """
    with _told():
        settings = RecorderSettings.load(**flags)
    _log_to_stderr(settings.log_level, log_format)
    with _told():
        from mirrorproof_sidecar.recorder import serve

        asyncio.run(serve(settings))


_FORMATS = ("text", "json", "markdown", "junit", "html")


def _report_format(command: C) -> C:
    formats = click.option(
        "--format",
        "form",
        type=click.Choice(_FORMATS),
        default="text",
        show_default=True,
        help="markdown: for a pull request; junit: for CI; html: one page with pictures.",
    )
    output = click.option("--output", "-o", metavar="FILE", help="Write there instead of to standard output.")
    width = click.option("--width", type=click.IntRange(60, 400),
                         help="Columns of the text; those of the terminal.")  # fmt: skip
    return formats(output(width(command)))


@click.command()
@click.option("--recorder", "url", metavar="URL", help="The recorder. [MIRRORPROOF_RECORDER]")
@_report_format
@click.option("--settle/--no-settle", default=True, show_default=True,
              help="Have the recorder settle first what has arrived.")  # fmt: skip
def report(url: str | None, form: str, output: str | None, settle: bool, width: int | None) -> None:
    """Print what a recorder knows: the verdict, pairs, differences, noise, suppressed effects, and what is
    missing. docs/reports.md describes the formats."""
    where, token = _recorder_at(url)
    with _told():
        from mirrorproof_sidecar.report import ReportError, fetch_report

        try:
            found = asyncio.run(fetch_report(where, token=token, settle=settle))
        except ReportError as error:
            raise click.ClickException(str(error)) from error
        _write_report(found, form, output, width)


@click.command()
@click.argument("v1", metavar="A")
@click.argument("v2", metavar="B")
@click.option(
    "--rules",
    "rules_file",
    metavar="FILE",
    help="TOML or JSON file of rules (docs/rules.md), beside the default ones.",
)
@_report_format
def compare(
    v1: str, v2: str, *, rules_file: str | None, form: str, output: str | None, width: int | None
) -> None:
    """Compare two recordings offline: A holds v1's exchanges, B holds v2's.

    Each is a file or `-` for standard input, with an exchange a line (NDJSON) or one batch as the recorder's
    POST /v1/exchanges takes it. Exits with 0 where they are the same, 1 where they differ, and 2 where
    that is not decided: something could not be compared or has no partner, or a file could not be read.
    """
    try:
        with _told():
            from mirrorproof_sidecar.compare import DEFAULT_RULES
            from mirrorproof_sidecar.offline import EXIT_CODES, compare_recorded
            from mirrorproof_sidecar.progress import shown_steps
            from mirrorproof_sidecar.recorded import read_exchanges
            from mirrorproof_sidecar.setting_files import read_rules

            if v1 == v2 == "-":
                raise click.ClickException("only one of the two can be standard input")
            rules = read_rules(rules_file) if rules_file else DEFAULT_RULES
            with shown_steps(sys.stderr) as tell:
                found = compare_recorded(read_exchanges(v1), read_exchanges(v2), rules, tell)
            _write_report(found, form, output, width)
    except click.ClickException as error:
        raise _NotAskedError(error.message) from error
    raise SystemExit(EXIT_CODES[found["verdict"]["verdict"]])


@click.command()
@_setting("store", metavar="URL")
@_setting("descriptors", metavar="FILE")
@click.option(
    "--rules",
    "rules_file",
    metavar="FILE",
    help="Try the rules of this file and the default ones, instead of those that hold.",
)
@click.option("--apply", is_flag=True, help="Store what is found, and the rules of --rules, which then hold.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def replay(
    store: str | None, descriptors: str | None, *, rules_file: str | None, apply: bool, form: str
) -> None:
    """Compare again what is stored, after rules were changed, and say what that changes.

    It opens the recorder's store itself; the recorder may go on meanwhile. Without --apply nothing is
    written.
    """
    with _told():
        from time import time

        from mirrorproof_sidecar.progress import shown_steps
        from mirrorproof_sidecar.replay import replay as compare_again
        from mirrorproof_sidecar.report.replayed import render_replayed
        from mirrorproof_sidecar.setting_files import read_rules, read_schemas
        from mirrorproof_sidecar.store import Store
        from mirrorproof_sidecar.store.rulebook import current_rules, put_rules

        settings = RecorderSettings.load(store=store, descriptors=descriptors)
        rules = read_rules(rules_file) if rules_file else None
        schemas = read_schemas(settings.descriptors) if settings.descriptors else None
        opened = Store(settings.store)
        try:
            if rules is not None and apply:
                # First, so that what the recorder compares meanwhile is compared by them.
                opened.write(put_rules, rules, now_s=time())
            with shown_steps(sys.stderr) as tell:
                found = compare_again(
                    opened, rules or opened.read(current_rules), apply=apply, tell=tell, schemas=schemas
                )
        finally:
            opened.close()
        click.echo(
            json.dumps(found, indent=2) if form == "json" else render_replayed(found), nl=form == "json"
        )


def _write_report(found: dict[str, Any], form: str, output: str | None, width: int | None) -> None:
    from mirrorproof_sidecar.report import render

    colour = output is None and sys.stdout.isatty() and "NO_COLOR" not in os.environ
    text = render(found, form, width=width, colour=colour)
    if output is None or output == "-":
        click.echo(text, nl=False)
    else:
        Path(output).write_text(text, encoding="utf-8")


@click.command()
@click.option("--recorder", "url", metavar="URL", help="The recorder. [MIRRORPROOF_RECORDER]")
@click.option("--wait", is_flag=True, help="Ask until it is decided, and show how far it is.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0), default=600.0, show_default=True,
              metavar="SECONDS", help="How long to wait at most.")  # fmt: skip
@click.option("--since", metavar="WHEN", help="Judge only what the recorder got from then on: seconds since "
              "1970, so long ago (90s, 15m, 2h) or `now`.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--settle/--no-settle", default=True, show_default=True,
              help="Have the recorder settle first what has arrived.")  # fmt: skip
@click.option("--width", type=click.IntRange(60, 400), help="Columns of the text; those of the terminal.")
def verdict(
    url: str | None, *, wait: bool, timeout_s: float, since: str | None, form: str, settle: bool,
    width: int | None,
) -> None:  # fmt: skip
    """Say whether v2 may be released by what a recorder knows: pass, fail or undecided, and why.

    Exits with 0 for pass, 1 for fail, and 2 for undecided or where no recorder could be asked. It may be
    asked as often as you like: looking again does not make a wrong answer likelier. docs/verdict.md says what
    the figures mean and where limits are set.
    """
    where, token = _recorder_at(url)
    try:
        with _told():
            from mirrorproof_sidecar.asking import ReportError
            from mirrorproof_sidecar.gate import EXIT_CODES, Gate
            from mirrorproof_sidecar.verdict_text import render_verdict

            gate = Gate(where, token=token, since=since, settle=settle)
            try:
                answer = asyncio.run(gate.wait(timeout_s) if wait else gate.ask())
            except ReportError as error:
                raise click.ClickException(str(error)) from error
    except click.ClickException as error:
        raise _NotAskedError(error.message) from error
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    if form == "json":
        click.echo(json.dumps(answer, indent=2))
    else:
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        click.echo(render_verdict(answer, width=width, colour=colour), nl=False)
    raise SystemExit(EXIT_CODES[answer["verdict"]])


class _NotAskedError(click.ClickException):
    exit_code = 2  # 1 would say that v2 is bad


def _recorder_at(url: str | None) -> tuple[str, str | None]:
    """Where the recorder is that is asked, and the token for it."""
    where = url or os.environ.get("MIRRORPROOF_RECORDER") or "http://127.0.0.1:9600"
    return where, os.environ.get("MIRRORPROOF_READ_TOKEN") or os.environ.get("MIRRORPROOF_TOKEN")


@contextmanager
def _told() -> Iterator[None]:
    """Errors that the user can mend, as one sentence."""
    try:
        yield
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"{error.name} is missing: pip install 'mirrorproof[sidecar]' brings what this command needs"
        ) from error
    except OSError as error:
        raise click.ClickException(str(error)) from error


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"), "level": record.levelname,
            "logger": record.name, "message": record.getMessage(),
        }  # fmt: skip
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _log_to_stderr(level: str, form: str) -> None:
    handler = logging.StreamHandler()
    plain = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(_JsonLines() if form == "json" else plain)
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.getLogger("alembic").setLevel(logging.WARNING)
