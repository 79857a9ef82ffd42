"""What py-amqp's users get in a mirrored request, and what a rule lets through. The connection is a fake.

The table (tests/clients/py_amqp.py) tries each method on RabbitMQ.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import amqp
import pytest
from amqp import spec
from amqp.connection import Connection

from mirrorproof import Settings, install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.exchange import Outcome


class Wire(Connection):
    """Remembers the methods that were to be sent; what it waits for never comes."""

    def __init__(self) -> None:
        super().__init__(confirm_publish=False)
        self.sent: list[tuple[Any, Any]] = []
        self.waited: list[float | None] = []
        self.channels = {}

    @property
    def frame_writer(self) -> Any:
        return lambda kind, channel, method, args, content: self.sent.append((method, content))

    @property
    def transport(self) -> Any:
        return self

    def having_timeout(self, timeout: float | None) -> Any:
        return pytest.MonkeyPatch.context()

    def blocking_read(self, timeout: float | None = None) -> Any:
        self.waited.append(timeout)
        raise TimeoutError


@pytest.fixture
def wire() -> Iterator[Wire]:
    install_guards()
    yield Wire()
    uninstall_guards()


def in_mode(mode: Mode = Mode.DRY_RUN, **settings: Any) -> Any:
    loaded = Settings.load(env={}, **settings)
    return entered(MirrorContext(Decision(mode), settings=loaded, pair_id="pair-1"))


ALLOW = [{"kind": "queue.*", "queue": "audit", "action": "allow"}]


def test_a_message_that_a_rule_lets_through_carries_the_mark_and_the_applications_own_does_not(
    wire: Wire,
) -> None:
    message = amqp.Message("{}", application_headers={"a": 1})
    with in_mode(effect_rules=ALLOW) as context:
        amqp.Channel(wire, 1).basic_publish(message, routing_key="audit")
        amqp.Channel(wire, 2).basic_publish(message, routing_key="orders")
    ((method, sent),) = wire.sent
    assert method == spec.Basic.Publish
    assert sent.headers == {"a": 1, "x-istio-mirror": "true", "x-mirror-id": "pair-1"}
    assert message.headers == {"a": 1}
    assert [(each.target, each.outcome) for each in context.ledger] == [
        ("queue audit", Outcome.EXECUTED), ("queue orders", Outcome.SUPPRESSED),
    ]  # fmt: skip


def test_a_live_message_is_sent_as_it_is_and_recorded_once(wire: Wire) -> None:
    message = amqp.Message("{}")
    with in_mode(Mode.LIVE) as context:
        amqp.Channel(wire, 1).basic_publish(message, "shop", "orders")
    ((_, sent),) = wire.sent
    assert sent is message
    assert [(each.kind, each.target) for each in context.ledger] == [
        ("queue.publish", "exchange shop key orders")
    ]


def test_a_confirmed_message_waits_for_no_confirm_when_it_is_suppressed(wire: Wire) -> None:
    channel = amqp.Channel(wire, 1)
    with in_mode() as context:
        assert channel.basic_publish_confirm(amqp.Message("{}"), "", "orders", confirm_timeout=1).ready
    assert (wire.sent, wire.waited) == ([], [])
    assert [each.target for each in context.ledger] == ["queue orders"]


def test_a_queue_that_the_server_would_name_gets_a_name(wire: Wire) -> None:
    channel = amqp.Channel(wire, 1)
    with in_mode():
        first, second = channel.queue_declare(exclusive=True), channel.queue_declare(exclusive=True)
        assert channel.queue_declare("mine", nowait=True) is None
    assert first.queue.startswith("amq.gen-")
    assert first.queue != second.queue
    assert wire.sent == []


def test_waiting_on_a_suppressed_consumer_has_an_end(wire: Wire) -> None:
    channel = wire.channels[1] = amqp.Channel(wire, 1)
    with in_mode():
        assert channel.basic_consume("orders", callback=print).startswith("amq.ctag-")
        for timeout in (None, 7):
            with pytest.raises(TimeoutError):
                wire.drain_events(timeout=timeout)
        channel._pending[spec.Queue.DeclareOk] = print
        with pytest.raises(TimeoutError):
            wire.drain_events()
    with pytest.raises(TimeoutError):
        wire.drain_events()
    assert wire.waited == [1.0, 7, None, None]
    assert wire.sent == []


def test_as_with_the_real_one_a_consumer_without_an_answer_needs_a_tag(wire: Wire) -> None:
    with in_mode(), pytest.raises(ValueError, match="tag"):
        amqp.Channel(wire, 1).basic_consume("orders", nowait=True)
