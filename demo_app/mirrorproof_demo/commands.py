"""`mirrorproof demo`: the command line, and nothing else.

Knows options, streams and exit statuses. Must not import the demo before it is run.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mirrorproof_demo.proof import Proof
    from mirrorproof_demo.run import Teller, Wish
    from mirrorproof_demo.stand import Stand

__all__ = ["demo"]

_NEEDED = (
    "aiohttp", "aiosqlite", "asyncpg", "envoy", "httpx", "locust", "opentelemetry.instrumentation.asgi",
    "opentelemetry.sdk", "psycopg", "rich", "sqlalchemy", "starlette", "uvicorn",
)  # fmt: skip
_MIN_REQUESTS = 20  # fewer never come to an order


@click.command()
@click.option(
    "--requests",
    type=click.IntRange(_MIN_REQUESTS, 1_000_000),
    default=500,
    show_default=True,
    help="Requests to send, exactly.",
)
@click.option(
    "--database",
    metavar="URL",
    help="sqlite:///NEW-FILE, or postgresql://… (in a schema mirrorproof_demo, which is made anew). "
    "Default: a SQLite file that is deleted afterwards.",
)
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--serve", is_flag=True, help="Keep everything running afterwards, until Ctrl-C.")
@click.option(
    "--without-guards", is_flag=True, help="Show what happens without: v2 writes, and the proof fails."
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Seed of everything that customers choose."
)
def demo(
    *, requests: int, database: str | None, style: str, serve: bool, without_guards: bool, seed: int
) -> None:
    """A shop in two versions behind a real Envoy: v2 gets every request as a mirror and does no harm.

    Exits with 0 if the proof holds, with 1 and the reasons if it does not.
    """
    missing = [name for name in _NEEDED if not _installed(name)]
    if missing:
        told = f"{', '.join(missing)} cannot be imported; the demo needs pip install 'mirrorproof[demo]'"
        raise click.ClickException(told)
    from mirrorproof_demo.run import Wish

    wish = Wish(requests=requests, seed=seed, database=database, guards=not without_guards)
    sys.exit(_run(wish, style, serve))


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # the package that it would be in is missing
        return False


def _run(wish: Wish, style: str, serve: bool) -> int:
    from mirrorproof_demo.interrupts import Interrupts
    from mirrorproof_demo.run import WishError, clean_environment, run_demo
    from mirrorproof_demo.supervisor import StartError, Supervisor

    try:
        with (
            Interrupts() as interrupts,
            tempfile.TemporaryDirectory(prefix="mirrorproof-demo-", ignore_cleanup_errors=True) as directory,
            Supervisor(Path(directory), env=clean_environment(), interrupts=interrupts) as supervisor,
        ):
            with _progress(wish.requests) as tell:
                proof, stand = run_demo(wish, Path(directory), supervisor, tell)
            _show(proof, style)
            if serve:
                _keep_serving(stand, supervisor)
    except StartError as error:
        raise click.ClickException(str(error)) from error
    except WishError as error:
        raise click.UsageError(str(error)) from error
    except KeyboardInterrupt:
        click.echo("interrupted; everything that was started has ended", err=True)
        return 130
    return 0 if proof.holds else 1


def _show(proof: Proof, style: str) -> None:
    if style == "json":
        click.echo(json.dumps(proof.figures()))
        return
    from rich.console import Console

    from mirrorproof_demo.report import piped_report, print_report

    console = Console(highlight=False)
    if console.is_terminal:
        print_report(console, proof)
    else:
        click.echo(piped_report(proof))


def _keep_serving(stand: Stand, supervisor: Any) -> None:
    places = {
        "the shop, through Envoy": stand.edge,
        "what the recorder found": f"{stand.recorder}/v1/summary",
        "Envoy's admin page": stand.edge_admin,
        "v2 by its live port": stand.v2,
    }
    for what, url in places.items():
        click.echo(f"{url}  {what}", err=True)
    click.echo("Ask the shop, and look again:", err=True)
    click.echo(f"  curl {stand.edge}/catalogue", err=True)
    click.echo(f"  mirrorproof report --recorder {stand.recorder}", err=True)
    try:
        click.echo("Ctrl-C ends it.", err=True)
        supervisor.watch()
    except KeyboardInterrupt:
        click.echo("ending", err=True)


@contextmanager
def _progress(requests: int) -> Iterator[Teller]:
    """Stages and a bar on standard error for people; plain lines where it is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from mirrorproof_demo.run import Teller

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield Teller(stage=lambda text: click.echo(text, err=True), answered=lambda number: None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting", total=requests)
        yield Teller(
            stage=lambda text: progress.update(task, description=text),
            answered=lambda number: progress.update(task, completed=number),
        )
