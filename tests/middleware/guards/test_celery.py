"""A Celery worker's task is mirrored if its message bears the mark, and the next one is live again."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import celery
import kombu
import pytest
from celery.contrib.testing.worker import start_worker
from kombu.transport import memory

from mirrorproof import Settings, current, install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, entered, set_process_context
from mirrorproof.decision import Decision, Mode
from mirrorproof.exchange import Outcome

ALLOW = ({"kind": "queue.publish", "queue": "orders", "action": "allow"},)


@pytest.fixture
def app() -> Iterator[celery.Celery]:
    install_guards("kombu", "celery")
    app = celery.Celery("shop", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.task_default_queue = "orders"
    level = logging.root.level
    yield app
    logging.root.setLevel(level)  # a worker sets it for the whole process
    app.close()
    uninstall_guards()
    memory.Channel.queues.clear()


def mirrored(mode: Mode = Mode.DRY_RUN) -> MirrorContext:
    settings = Settings.load(env={}, role="mixed", effect_rules=ALLOW)
    return MirrorContext(Decision(mode), settings=settings, pair_id="pair-7")


def test_the_mark_travels_with_an_allowed_message_and_ends_with_its_task(app: celery.Celery) -> None:
    seen: list[tuple[str, bool, str]] = []

    @app.task(name="shop.order", ignore_result=True, shared=False)
    def order(name: str) -> None:
        context = current()
        seen.append((name, context is not None and context.mirrored, context.pair_id if context else ""))

    with start_worker(app, pool="solo", perform_ping_check=False):
        order.delay("live before")
        with entered(mirrored()):
            order.delay("mirrored")
        order.delay("live after")
        wait_until(lambda: len(seen) == 3)
    assert seen == [("live before", False, ""), ("mirrored", True, "pair-7"), ("live after", False, "")]


def test_a_live_messages_headers_stay_as_they_are(app: celery.Celery) -> None:
    with app.connection() as connection, entered(MirrorContext(Decision(Mode.LIVE))):
        queue = kombu.Queue("orders")(connection.default_channel)
        queue.declare()
        connection.Producer().publish({}, routing_key="orders", headers={"mine": 1})
        message = queue.get()
    assert message.headers == {"mine": 1}


def test_an_allowed_message_bears_the_mark_and_the_pair_id(app: celery.Celery) -> None:
    with app.connection() as connection:
        queue = kombu.Queue("orders")(connection.default_channel)
        queue.declare()
        with entered(mirrored()):
            connection.Producer().publish({}, routing_key="orders", headers={"mine": 1})
        message = queue.get()
    assert message.headers == {"mine": 1, "x-istio-mirror": "true", "x-mirror-id": "pair-7"}


def test_an_eager_task_runs_inside_the_request(app: celery.Celery) -> None:
    @app.task(name="shop.eager", shared=False)
    def eager() -> Any:
        return current()

    with entered(mirrored()) as context:
        assert eager.apply().get() is context


def test_a_worker_of_a_shadow_process_takes_no_messages_and_says_so(
    app: celery.Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []  # Celery takes pytest's handlers from the root logger
    monkeypatch.setattr(
        logging.getLogger("mirrorproof"), "warning", lambda text, *args: said.append(text % args)
    )
    ran: list[int] = []

    @app.task(name="shop.taken", ignore_result=True, shared=False)
    def order() -> None:
        ran.append(1)

    with app.connection() as connection:
        kombu.Queue("orders", kombu.Exchange("orders"), "orders")(connection.default_channel).declare()
        order.delay()
    set_process_context(Settings.load(env={}, role="shadow"))
    try:
        with start_worker(app, pool="solo", perform_ping_check=False):
            pass  # has started and asked for messages, and ended
    finally:
        set_process_context(None)
    assert not ran
    assert any("takes no messages from queue orders" in line for line in said)


def test_equal_tasks_have_equal_digests_whatever_their_ids(app: celery.Celery) -> None:
    @app.task(name="shop.order", ignore_result=True, shared=False)
    def order(total: str) -> None: ...

    digests = []
    for _ in range(2):
        context = MirrorContext(Decision(Mode.DRY_RUN))
        with entered(context):
            celery.chain(order.si("1"), order.si("2"), app=app).apply_async()
        digests.append([effect.digest for effect in context.ledger])
    assert digests[0] == digests[1]
    assert len(digests[0]) == 1


def wait_until(ready: Any) -> None:
    deadline = time.monotonic() + 20
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("wait", [
    lambda task: task.delay().get(),
    lambda task: task.delay().get(None),
    lambda task: task.delay().wait(timeout=None),
    lambda task: celery.group(task.s(), task.s())().get(),
    lambda task: celery.group(task.s(), task.s())().join(),
])  # fmt: skip
def test_who_waits_for_a_task_that_nobody_was_sent_does_not_wait_for_ever(
    app: celery.Celery, wait: Any
) -> None:
    @app.task(name="shop.count", shared=False, queue="elsewhere")
    def task() -> int:
        return 1

    with entered(mirrored()) as context, pytest.raises(celery.exceptions.TimeoutError):
        wait(task)
    assert Outcome.SUPPRESSED in {each.outcome for each in context.ledger}
