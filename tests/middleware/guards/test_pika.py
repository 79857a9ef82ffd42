"""What a mirrored request has the thread of a pika connection do is that request's. The connection is a fake.

The table (tests/clients/rabbitmq.py) tries each method on RabbitMQ.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingConnection
from pika.adapters.select_connection import IOLoop

from mirrorproof import install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, current, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.exchange import Outcome

Hand = Callable[[Callable[[], Any]], Any]


class Channel(pika.channel.Channel):
    """An open channel that notes what it would send."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self._state = self.OPEN

    def _send_method(self, method: Any, *_: Any) -> None:
        self.sent.append(method)


class Connection:
    """A loop that a thread from before all requests turns, and a channel."""

    def __init__(self) -> None:
        self.loop, self.channel = IOLoop(), Channel()
        self.failed: list[BaseException] = []
        self.thread = threading.Thread(target=self._turn, daemon=True)
        self.thread.start()

    def _turn(self) -> None:
        try:
            self.loop.start()
        except BaseException as error:
            self.failed.append(error)

    def publish(self) -> Any:
        return partial(self.channel.basic_publish, "", "orders", b"{}")

    def turned(self) -> None:
        """Returns once whatever was handed over has been done."""
        done = threading.Event()
        self.loop._timer.call_later(0.01, done.set)
        self.loop.add_callback_threadsafe(lambda: None)
        assert done.wait(20)

    def blocking(self) -> BlockingConnection:
        """A blocking connection whose thread this loop's is: there, what is ready is done at once."""
        made = object.__new__(BlockingConnection)
        made._cleanup_mutex = threading.Lock()
        made._impl = type("Impl", (), {  # type: ignore[assignment]
            "is_closed": False, "is_open": True,
            "_adapter_add_callback_threadsafe": lambda _, callback: self.loop._callbacks.append(callback),
            "_adapter_call_later": lambda _, delay, callback: self.loop._timer.call_later(delay, callback),
        })()  # fmt: skip
        made._ready_events = type("Now", (), {  # type: ignore[assignment]
            "append": lambda _, event: event.dispatch(), "__contains__": lambda *_: False,
        })()  # fmt: skip
        return made


@pytest.fixture
def connection() -> Iterator[Connection]:
    made = Connection()
    install_guards("pika")
    yield made
    uninstall_guards()
    made.loop.add_callback_threadsafe(made.loop.stop)
    made.thread.join(20)


def context_for(mode: Mode) -> MirrorContext:
    return MirrorContext(Decision(mode), pair_id="pair-1")


def ways(its: Connection) -> dict[str, Hand]:
    blocking = its.blocking()
    return {
        "add_callback_threadsafe": its.loop.add_callback_threadsafe,
        "add_callback": its.loop.add_callback,
        "call_later": partial(its.loop.call_later, 0),
        "blocking add_callback_threadsafe": blocking.add_callback_threadsafe,
        "blocking call_later": partial(blocking.call_later, 0),
    }


WAYS = (
    "add_callback_threadsafe", "add_callback", "call_later", "blocking add_callback_threadsafe",
    "blocking call_later",
)  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", [Mode.DRY_RUN, Mode.LIVE])
def test_what_a_request_hands_over_to_a_connections_thread_is_that_requests(
    connection: Connection, way: str, mode: Mode
) -> None:
    with entered(context_for(mode)) as context:
        ways(connection)[way](connection.publish())
    connection.turned()
    outcome = Outcome.SUPPRESSED if mode is Mode.DRY_RUN else Outcome.EXECUTED
    assert [(each.kind, each.outcome) for each in context.ledger] == [("queue.publish", outcome)]
    assert len(connection.channel.sent) == (mode is Mode.LIVE)


def test_what_is_refused_there_does_not_end_the_thread_that_live_requests_need(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    with entered(context_for(Mode.DRY_RUN)) as mirrored:
        mirrored.end()
        connection.loop.add_callback_threadsafe(connection.publish())
    with entered(context_for(Mode.LIVE)):
        connection.loop.add_callback_threadsafe(connection.publish())
    connection.turned()
    assert [each.outcome for each in mirrored.ledger] == [Outcome.BLOCKED]
    assert "refused what a mirrored request had a connection's thread do" in caplog.text
    assert (len(connection.channel.sent), connection.failed) == (1, [])


def test_what_pika_itself_schedules_is_nobodys(connection: Connection) -> None:
    seen: list[MirrorContext | None] = []
    code = compile("schedule(lambda: seen.append(current()))", "heartbeat.py", "exec")
    with entered(context_for(Mode.DRY_RUN)):
        schedule = partial(connection.loop.call_later, 0)
        exec(code, {"__name__": "pika.heartbeat", "schedule": schedule, "seen": seen, "current": current})
    connection.turned()
    assert seen == [None]
