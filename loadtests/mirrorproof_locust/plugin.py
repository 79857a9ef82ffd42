"""The plugin: options, the question to the recorder at the end of the test, and the exit status.

Whatever goes wrong with the recorder is told and never raised into the test: the load test's own figures
are worth keeping. Only where the user wants to fail on differences does "could not ask" count, as 2.

Knows Locust's events. Must not judge: `findings` does.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Final
from urllib.request import Request, build_opener

from locust import events
from locust.runners import WorkerRunner

from mirrorproof_locust.findings import exit_code, quiet, table

__all__ = ["register"]

_POLL_S: Final = 0.5
_TIMEOUT_S: Final = 5.0
_MAX_BYTES: Final = 16 << 20
_registered: list[bool] = []


def register() -> None:
    """Add the options and the hooks; a second time does nothing."""
    if _registered:
        return
    _registered.append(True)
    hooks: Any = events  # Locust's own hooks carry no types
    hooks.init_command_line_parser.add_listener(_add_options)
    hooks.quitting.add_listener(_report)


def _add_options(parser: Any) -> None:
    # Not in an argument group: Locust's web page would leave the options out.
    parser.add_argument(
        "--mirrorproof-recorder",
        metavar="URL",
        env_var="LOCUST_MIRRORPROOF_RECORDER",
        help="Recorder to ask, when the test has ended, what v2 did otherwise",
    )
    parser.add_argument(
        "--mirrorproof-token",
        env_var="LOCUST_MIRRORPROOF_TOKEN",
        include_in_web_ui=False,
        help="Token for the recorder",
    )
    parser.add_argument(
        "--mirrorproof-wait",
        metavar="SECONDS",
        type=float,
        default=10.0,
        help="How long to wait for the recorder to have compared everything (default: 10)",
    )
    parser.add_argument(
        "--mirrorproof-fail-on-difference",
        action="store_true",
        help="Exit with 1 if any pair differs, with 2 if nothing was compared",
    )


def _report(environment: Any, **_: Any) -> None:
    options = environment.parsed_options
    url = getattr(options, "mirrorproof_recorder", None)
    if isinstance(environment.runner, WorkerRunner):
        return  # the master asks, once
    summary = _asked(url, options) if url else None
    if summary is not None:
        _say("\n" + table(summary))
    if getattr(options, "mirrorproof_fail_on_difference", False):
        _fail(environment, exit_code(summary), asked=bool(url))


def _fail(environment: Any, code: int, *, asked: bool) -> None:
    if not asked:
        _say("mirrorproof: --mirrorproof-fail-on-difference needs --mirrorproof-recorder")
    if code and not environment.process_exit_code:
        environment.process_exit_code = code


def _asked(url: str, options: Any) -> dict[str, Any] | None:
    """The recorder's summary, once it has come to rest or the time is up; `None` if it cannot be asked."""
    deadline = time.monotonic() + options.mirrorproof_wait
    before: dict[str, Any] | None = None
    while True:
        try:
            now = _fetch(url, options.mirrorproof_token)
            if quiet(before, now) or time.monotonic() > deadline:
                table(now)  # a summary of another shape is told here, not raised later
                return now
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            _say(f"mirrorproof: the recorder at {url} could not be asked: {type(error).__name__}: {error}")
            return None
        before = now
        time.sleep(_POLL_S)


def _fetch(url: str, token: str | None) -> dict[str, Any]:
    if not url.startswith(("http://", "https://")):
        raise ValueError("the URL has to start with http:// or https://")
    headers = {"authorization": f"Bearer {token}"} if token else {}
    request = Request(url.rstrip("/") + "/v1/summary", headers=headers)  # noqa: S310 - checked above
    with build_opener().open(request, timeout=_TIMEOUT_S) as answer:
        summary = json.loads(answer.read(_MAX_BYTES))
    if not isinstance(summary, dict):
        raise ValueError("the answer is no summary")  # noqa: TRY004 - about data, not about a type of ours
    return summary


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
