"""`make starlette-suite`: Starlette's own tests with every application wrapped in `MirrorMiddleware`.

Fetches the source distribution of the installed Starlette from PyPI into a scratch environment and runs its
tests four times: as they are, and wrapped: live, live and captured, mirrored in mode observe. Prints the
counts and each test whose outcome differs; exits with 1 where one differs that `EXPECTED` does not explain.
Wrapped are the applications that Starlette's test client and httpx's ASGI transports serve; what tests call
by hand, without any server, is theirs. Two tests fail unwrapped too where root runs them, since nothing is
forbidden to root.

As a pytest plugin (`-p starlette_suite`, STARLETTE_SUITE=live, captured or mirrored) it does the wrapping.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

RUNS = ("live", "captured", "mirrored")
NEEDS = (
    "pytest", "trio", "httpx", "httpx2[zstd]", "anyio", "jinja2", "python-multipart", "itsdangerous",
    "pyyaml", "opentelemetry-api", "opentelemetry-sdk",
)  # fmt: skip
_AFTER = "raises after a mirrored answer's last piece, which is kept from the server on purpose"
EXPECTED = dict.fromkeys(
    (
        "test_custom_middleware", "test_error_context_propagation",
        "test_run_background_tasks_raise_exceptions", "test_debug_after_response_sent", "test_wsgi_exc_info",
        "test_multi_tasks_failure_avoids_next_execution", "test_handled_exc_after_response",
        "test_exception_on_mounted_apps", "test_closing_completed_response_waits_for_background_task",
        "test_invalid_trailer_sequence", "test_streaming_response_late_server_exception",
        "test_trailer_error_respects_raise_server_exceptions",
    ),
    _AFTER,
)  # fmt: skip
"""Why a test differs in the mirrored run, by a part of its name."""


class Shelf:
    """Stands where the shipping agent does: puts each capture into words, as the agent would."""

    def __init__(self) -> None:
        self.taken = 0

    def submit(self, capture: Any) -> None:
        capture.exchange()
        self.taken += 1

    def flush(self) -> None:
        pass


shelf = Shelf()
counters: list[Any] = []


class Wrapped:
    """An application behind the middleware. It sees the headers that its test sent and no others."""

    def __init__(self, app: Any) -> None:
        from mirrorproof import MirrorMiddleware, Settings
        from mirrorproof.decision import Mode

        self._run = os.environ["STARLETTE_SUITE"]
        self._app = app
        settings = Settings(service="starlette", mode=Mode.OBSERVE)
        agent: Any = None if self._run == "live" else shelf
        self._middleware = MirrorMiddleware(self._inner, settings=settings, agent=agent)
        counters.append(self._middleware.counters)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket"):
            marks = [(b"x-istio-mirror", b"true")] if self._run == "mirrored" else []
            scope["headers"] = [*scope["headers"], (b"x-request-id", b"pair-1"), *marks]
        await self._middleware(scope, receive, send)

    async def _inner(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket"):
            scope["headers"] = scope["headers"][: -2 if self._run == "mirrored" else -1]
        await self._app(scope, receive, send)


def pytest_configure(config: Any) -> None:
    """Wrap what the test client and the transports serve."""
    from starlette.testclient import TestClient

    given = TestClient.__init__

    def client(self: Any, *args: Any, **kwargs: Any) -> None:
        given(self, *args, **kwargs)
        self.app = self._transport.app = Wrapped(self.app)

    TestClient.__init__ = client  # type: ignore[method-assign]
    for name in ("httpx", "httpx2"):
        _wrap_transport(import_module(name).ASGITransport)


def _wrap_transport(transport: Any) -> None:
    given = transport.__init__

    def init(self: Any, app: Any, *args: Any, **kwargs: Any) -> None:
        given(self, Wrapped(app), *args, **kwargs)

    transport.__init__ = init


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say that the wrapping took place."""
    seen = sum(each["seen"] for each in counters)
    errors = sum(each["observer_errors"] for each in counters)
    terminalreporter.write_line(
        f"mirrorproof: {seen} http requests seen, {shelf.taken} captured, {errors} observer errors"
    )


def set_up(folder: Path) -> Path:
    """Starlette's sources and an environment for them, in `folder`. Returns the sources' directory."""
    wanted = f"starlette=={version('starlette')}"
    download = ["download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", str(folder), wanted]
    subprocess.run([sys.executable, "-m", "pip", *download], check=True)
    (archive,) = folder.glob("starlette-*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "env")], check=True)
    here = str(Path(__file__).resolve().parents[1])
    python = str(folder / "env" / "bin" / "python")
    install = ["-m", "uv", "pip", "install", "--quiet", "--python", python, *NEEDS, wanted, here]
    subprocess.run([sys.executable, *install], check=True)
    return folder / archive.name.removesuffix(".tar.gz")


def outcomes(sources: Path, run: str) -> dict[str, str]:
    """Each test's outcome in one run: passed, failed or skipped."""
    result = sources.parent / f"{run}.xml"
    plugin = [] if run == "unwrapped" else ["-p", "starlette_suite"]
    command = [str(sources.parent / "env" / "bin" / "python"), "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    env = os.environ | {"STARLETTE_SUITE": run, "PYTHONPATH": str(Path(__file__).parent)}
    with (sources.parent / f"{run}.log").open("w") as log:
        subprocess.run(
            [*command, *plugin, f"--junitxml={result}", "tests"],
            cwd=sources,
            env=env,
            stdout=log,
            check=False,
        )
    said = [line for line in (sources.parent / f"{run}.log").read_text().splitlines() if line.strip()]
    print(f"{run:10}", "; ".join(said[-2:] if plugin else said[-1:]), flush=True)
    return {
        f"{case.get('classname')}::{case.get('name')}": _outcome(case)
        for case in ElementTree.parse(result).iter("testcase")
    }


def _outcome(case: ElementTree.Element) -> str:
    for child, name in (("failure", "failed"), ("error", "failed"), ("skipped", "skipped")):
        if case.find(child) is not None:
            return name
    return "passed"


def main() -> int:
    """Run them all and compare. Returns the number to exit with."""
    folder = Path(tempfile.mkdtemp(prefix="starlette-suite-"))
    sources = set_up(folder)
    plain = outcomes(sources, "unwrapped")
    unexplained = 0
    for run in RUNS:
        wrapped = outcomes(sources, run)
        for name in sorted(plain.keys() | wrapped.keys()):
            before, after = plain.get(name, "absent"), wrapped.get(name, "absent")
            if before == after:
                continue
            reason = next((why for part, why in EXPECTED.items() if run == "mirrored" and part in name), None)
            unexplained += reason is None
            print(f"  {run}: {name}: {before} -> {after}: {reason or 'not explained'}")
    print(f"logs are in {folder}")
    return 1 if unexplained else 0


if __name__ == "__main__":
    raise SystemExit(main())
