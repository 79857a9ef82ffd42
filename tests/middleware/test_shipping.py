"""The shipping agent, against a real recorder that is up, down, slow or wrong."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mirrorproof import MirrorMiddleware, Settings
from mirrorproof.counters import Counters
from mirrorproof.decision import Mode, Role
from mirrorproof.exchange import Exchange, Request, Response
from mirrorproof.shipping import Agent

PAIR = (b"x-request-id", b"pair-1")


@dataclass
class Item:
    name: str
    size: int = 100
    note: str = ""

    def exchange(self) -> Exchange:
        return Exchange(
            exchange_id=self.name, pair_id=self.name, service="shop", version="v1", role=Role.PRIMARY,
            mode=Mode.LIVE, started_unix_ns=1, duration_ns=1, request=Request(method="GET", path="/"),
            response=Response(status=200), notes=[self.note] if self.note else [],
        )  # fmt: skip


class Broken(Item):
    def exchange(self) -> Exchange:
        raise ValueError("cannot be built")


@pytest.fixture
def ship(recorder: Any) -> Iterator[Callable[..., Agent]]:
    """Make an agent that ships to the recorder, patient only in name, and stop it at the end."""
    made: list[Agent] = []

    def make(**settings: Any) -> Agent:
        given = {"recorder": recorder.url, "service": "shop", "version": "v1", "flush_interval_s": 0.01}
        agent = Agent(Settings.load(env={}, **given | settings), Counters())
        made.append(agent)
        return agent

    yield make
    recorder.released.set()
    for agent in made:
        agent.close(0)


def counted(agent: Agent) -> dict[str, int]:
    return {name: value for name, value in agent._counters.snapshot().items() if value}


def adds_up(agent: Agent) -> bool:
    counts = agent._counters.snapshot()
    settled = sum(
        counts[name] for name in ("shipped", "dropped_queue_full", "dropped_unsent", "dropped_rejected")
    )
    return counts["captured"] == settled + agent.waiting


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def submit(agent: Agent, count: int, start: int = 0, **more: Any) -> None:
    for n in range(start, start + count):
        agent.submit(Item(f"e{n}", **more))


def test_what_is_submitted_arrives_as_msgpack_with_a_report_of_the_source(ship: Any, recorder: Any) -> None:
    agent = ship(token="secret", role="shadow")
    submit(agent, 3)
    assert agent.flush(20)
    assert [exchange.exchange_id for exchange in recorder.received] == ["e0", "e1", "e2"]
    headers = recorder.posts[0].headers
    assert headers["Content-Type"] == "application/msgpack"
    assert headers["Authorization"] == "Bearer secret"
    source = recorder.posts[-1].batch.source
    assert (source.service, source.version, source.role) == ("shop", "v1", Role.SHADOW)
    assert len({posted.batch.source.source_id for posted in recorder.posts}) == 1
    assert recorder.reported["shipped"] == 3, "a flush tells the last counts as well"
    assert counted(agent) == {"captured": 3, "shipped": 3}


def test_an_exchange_does_not_wait_for_a_full_batch(ship: Any, recorder: Any, wait_until: Any) -> None:
    agent = ship()
    submit(agent, 1)
    wait_until(lambda: recorder.received)


def test_batches_have_the_size_that_is_set_and_order_is_kept(ship: Any, recorder: Any) -> None:
    agent = ship(batch_exchanges=4, flush_interval_s=60)
    submit(agent, 10)
    assert agent.flush(20)
    assert all(len(posted.batch.exchanges) <= 4 for posted in recorder.posts)
    assert [exchange.exchange_id for exchange in recorder.received] == [f"e{n}" for n in range(10)]


def test_a_recorder_url_with_a_path_is_kept(ship: Any, recorder: Any) -> None:
    agent = ship(recorder=recorder.url + "/base/")
    submit(agent, 1)
    assert agent.flush(20)
    assert len(recorder.received) == 1


@pytest.mark.parametrize("answer", [500, 503, 404, 302, 200, "hang up"])
def test_an_answer_that_is_no_acknowledgement_is_tried_again_and_then_counted(
    ship: Any, recorder: Any, answer: Any
) -> None:
    recorder.respond = lambda batch: answer
    agent = ship(ship_attempts=2, flush_interval_s=60)  # so that both travel together
    submit(agent, 2)
    assert agent.flush(20)
    assert [len(posted.batch.exchanges) for posted in recorder.posts[:2]] == [2, 2]
    assert counted(agent) == {"captured": 2, "dropped_unsent": 2}


def test_one_failure_loses_nothing(ship: Any, recorder: Any) -> None:
    recorder.script = [500, "hang up", (429, {"Retry-After": "0"}, b"{}")]
    agent = ship()
    submit(agent, 2)
    assert agent.flush(20)
    assert counted(agent) == {"captured": 2, "shipped": 2}
    ids = [exchange.exchange_id for exchange in recorder.received]
    assert ids == ["e0", "e1"] * 4, "the same ids again, so that the recorder can tell"


@pytest.mark.parametrize("value", ["1", "0.5", "Wed, 21 Oct 2026 07:28:00 GMT", "soon", "²", "9" * 4000])
def test_retry_after_is_waited_for_where_it_is_seconds_and_never_for_ever(
    ship: Any, recorder: Any, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(Agent, "_pause", lambda self, seconds: waits.append(seconds))
    recorder.script = [(429, {"Retry-After": value}, b"{}")]
    agent = ship()
    submit(agent, 1)
    assert agent.flush(20)
    assert counted(agent) == {"captured": 1, "shipped": 1}
    assert waits == ([1.0] if value == "1" else [30.0] if value[0] == "9" else waits)
    assert max(waits) <= 30


def test_a_batch_that_is_too_large_is_split_until_it_fits(ship: Any, recorder: Any) -> None:
    recorder.respond = lambda batch: 413 if len(batch.exchanges) > 2 else 202
    agent = ship(flush_interval_s=60)
    submit(agent, 7)
    assert agent.flush(20)
    taken = [posted.batch.exchanges for posted in recorder.posts if len(posted.batch.exchanges) <= 2]
    assert [e.exchange_id for batch in taken for e in batch] == [f"e{n}" for n in range(7)]
    assert counted(agent) == {"captured": 7, "shipped": 7}


def test_an_exchange_that_is_too_large_on_its_own_is_dropped_alone(ship: Any, recorder: Any) -> None:
    recorder.respond = lambda batch: 413 if any(e.exchange_id == "e3" for e in batch.exchanges) else 202
    agent = ship(flush_interval_s=60)
    submit(agent, 7)
    assert agent.flush(20)
    assert counted(agent) == {"captured": 7, "shipped": 6, "dropped_rejected": 1}


def refusing(*names: str) -> Callable[[Any], Any]:
    def respond(batch: Any) -> Any:
        bad = [n for n, exchange in enumerate(batch.exchanges) if exchange.exchange_id in names]
        return (400, {}, json.dumps({"index": bad[0], "error": "bad"}).encode()) if bad else 202

    return respond


def test_a_refusal_with_an_index_drops_that_exchange_alone(ship: Any, recorder: Any) -> None:
    recorder.respond = refusing("e0", "e3", "e6")
    agent = ship(flush_interval_s=60)
    submit(agent, 7)
    assert agent.flush(20)
    assert counted(agent) == {"captured": 7, "shipped": 4, "dropped_rejected": 3}


@pytest.mark.parametrize(
    "answer",
    [b"", b"{}", b"[]", b'{"index": 99}', b'{"index": -1}', b'{"index": "1"}', b"[" * 60_000, b"\xff"],
)
def test_a_refusal_without_a_usable_index_drops_the_batch_and_counts_it(
    ship: Any, recorder: Any, answer: bytes
) -> None:
    recorder.script = [(400, {}, answer)]
    agent = ship(flush_interval_s=60)
    submit(agent, 3)
    assert agent.flush(20)
    submit(agent, 1, start=3)
    assert agent.flush(20)
    assert counted(agent) == {"captured": 4, "shipped": 1, "dropped_rejected": 3}


def test_an_exchange_that_cannot_be_built_is_dropped_alone(ship: Any, recorder: Any) -> None:
    agent = ship(flush_interval_s=60)
    for item in (Item("a"), Broken("b"), Item("c")):
        agent.submit(item)
    assert agent.flush(20)
    assert counted(agent) == {"captured": 3, "shipped": 2, "dropped_rejected": 1, "observer_errors": 1}


def test_an_exchange_that_cannot_be_encoded_is_dropped_alone(ship: Any, recorder: Any) -> None:
    agent = ship(flush_interval_s=60)
    for n in range(9):
        agent.submit(Item(f"e{n}", note="\ud800" if n == 4 else ""))
    assert agent.flush(20)
    assert len(recorder.received) == 8
    assert counted(agent) == {"captured": 9, "shipped": 8, "dropped_rejected": 1}


def test_an_error_that_nobody_foresaw_is_counted_and_the_next_batch_is_shipped(
    ship: Any, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = ship(flush_interval_s=60)
    post = agent._post
    monkeypatch.setattr(agent, "_post", lambda body: 1 / 0)
    submit(agent, 3)
    assert agent.flush(20)
    monkeypatch.setattr(agent, "_post", post)
    submit(agent, 1, start=3)
    assert agent.flush(20)
    counts = counted(agent)
    assert (counts["dropped_unsent"], counts["shipped"]) == (3, 1)
    assert counts["observer_errors"] >= 1
    assert adds_up(agent)


def test_a_full_queue_drops_and_counts_and_does_not_wait(ship: Any, recorder: Any) -> None:
    recorder.respond = lambda batch: "hang"
    agent = ship(queue_exchanges=5, batch_exchanges=1, ship_timeout_s=600)
    accepted = [agent.submit(Item(f"e{n}")) for n in range(50)]
    assert 5 <= sum(accepted) <= 6, "five wait and one may be on its way"
    assert counted(agent)["dropped_queue_full"] == 50 - sum(accepted)
    assert adds_up(agent)


def test_the_queue_is_bounded_in_bytes_as_well(ship: Any, recorder: Any) -> None:
    recorder.respond = lambda batch: "hang"
    agent = ship(queue_bytes=1 << 16, batch_exchanges=1, ship_timeout_s=600)
    accepted = [agent.submit(Item(f"e{n}", size=30_000)) for n in range(10)]
    assert 2 <= sum(accepted) <= 3
    assert not agent.submit(Item("huge", size=1 << 20))
    assert adds_up(agent)


def test_room_is_given_back_once_exchanges_are_shipped(ship: Any) -> None:
    agent = ship(queue_bytes=1 << 16, queue_exchanges=2, flush_interval_s=60)
    for n in range(5):
        submit(agent, 2, start=n, size=30_000)
        assert agent.flush(20)
    assert counted(agent) == {"captured": 10, "shipped": 10}


def test_a_recorder_that_is_down_is_waited_for_and_then_counted(ship: Any) -> None:
    agent = ship(recorder=f"http://127.0.0.1:{free_port()}", ship_attempts=2)
    submit(agent, 3)
    assert agent.flush(20)
    assert counted(agent) == {"captured": 3, "dropped_unsent": 3}


def test_a_host_that_does_not_exist_is_down(ship: Any) -> None:
    agent = ship(recorder="http://recorder.invalid:9600", ship_attempts=1)
    submit(agent, 1)
    assert agent.flush(30)
    assert counted(agent) == {"captured": 1, "dropped_unsent": 1}


def test_a_recorder_that_hangs_is_given_up_after_the_timeout(ship: Any, recorder: Any) -> None:
    recorder.respond = lambda batch: "hang"
    agent = ship(ship_timeout_s=0.05, ship_attempts=1)
    submit(agent, 1)
    assert agent.flush(20)
    assert counted(agent) == {"captured": 1, "dropped_unsent": 1}


def test_closing_with_a_hanging_recorder_is_bounded_drops_the_rest_and_says_so(
    ship: Any, recorder: Any, wait_until: Any, caplog: Any
) -> None:
    recorder.respond = lambda batch: "hang"
    agent = ship(batch_exchanges=1, ship_timeout_s=600, shutdown_timeout_s=0.05)
    submit(agent, 5)
    wait_until(lambda: recorder.posts)
    with caplog.at_level(logging.WARNING, "mirrorproof"):
        agent.close()  # the pytest timeout is the net: the post itself would hang for ten minutes
    assert "5 exchanges were not shipped" in caplog.text
    assert counted(agent)["dropped_unsent"] == 4
    assert adds_up(agent), "the one on its way is still being waited for"
    recorder.released.set()
    wait_until(lambda: not agent.waiting)
    assert adds_up(agent)


def test_closing_ships_what_is_queued_and_a_second_close_does_nothing(ship: Any, recorder: Any) -> None:
    agent = ship(flush_interval_s=60)
    submit(agent, 3)
    agent.close(20)
    agent.close(20)
    assert counted(agent) == {"captured": 3, "shipped": 3}
    assert not agent.submit(Item("late"))
    assert counted(agent)["dropped_queue_full"] == 1
    assert adds_up(agent)


def test_flushing_and_closing_an_agent_that_never_shipped_returns_at_once(ship: Any, recorder: Any) -> None:
    agent = ship()
    assert agent.flush(600)
    agent.close(600)
    assert recorder.posts == []


def test_losses_are_told_even_when_nothing_is_captured_any_more(
    ship: Any, recorder: Any, wait_until: Any
) -> None:
    agent = ship()
    submit(agent, 1)
    assert agent.flush(20)
    agent._counters.add("unmarked", 7)
    wait_until(lambda: recorder.reported["unmarked"] == 7)
    assert recorder.posts[-1].batch.exchanges == []


def test_counters_add_up_at_every_moment_under_threads_and_a_moody_recorder(ship: Any, recorder: Any) -> None:
    moods = iter([202, 500, 413, 202, "hang up", (400, {}, b'{"index": 0}'), 503, 202] * 50)
    recorder.respond = lambda batch: next(moods, 202)
    agent = ship(batch_exchanges=7, queue_exchanges=60, ship_attempts=2)
    threads = [threading.Thread(target=submit, args=(agent, 100, 1000 * n)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert agent.flush(60)
    assert agent.waiting == 0
    assert adds_up(agent)
    counts = agent._counters.snapshot()
    assert counts["captured"] == 400
    assert len({exchange.exchange_id for exchange in recorder.received}) == (
        counts["shipped"] + counts["dropped_rejected"] + counts["dropped_unsent"]
    )


def test_an_agent_without_a_recorder_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="recorder"):
        Agent(Settings(), Counters())


def test_shipping_is_never_guarded_even_in_a_shadow_process(ship: Any, recorder: Any) -> None:
    from mirrorproof.context import current, set_process_context

    seen: list[Any] = []

    class Looking(Item):
        def exchange(self) -> Exchange:
            seen.append(current())
            return super().exchange()

    set_process_context(Settings(role=Role.SHADOW))
    agent = ship()
    agent.submit(Looking("a"))
    assert agent.flush(20)
    assert seen == [None]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_worker_is_a_source_of_its_own_and_ships_nothing_of_its_parents(recorder: Any) -> None:
    program = f"""
        import os
        from mirrorproof import Settings
        from mirrorproof.counters import Counters
        from mirrorproof.shipping import Agent
        import importlib.util, sys
        spec = importlib.util.spec_from_file_location("items", {__file__!r})
        items = importlib.util.module_from_spec(spec); sys.modules["items"] = items
        spec.loader.exec_module(items)
        agent = Agent(Settings(recorder={recorder.url!r}, service="shop", flush_interval_s=60), Counters())
        agent.submit(items.Item("first"))
        assert agent.flush(20)
        agent.submit(items.Item("parent"))
        pid = os.fork()
        if not pid:
            agent.submit(items.Item("child"))
            assert agent.flush(20)
            sys.exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert agent.flush(20)
    """
    subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)], check=True, timeout=60)
    assert sorted(e.exchange_id for e in recorder.received) == ["child", "first", "parent"]
    by_source = {p.batch.source.source_id: dict(p.batch.source.counters) for p in recorder.posts}
    assert sorted(counters["shipped"] for counters in by_source.values()) == [1, 2]
    assert sorted(counters["captured"] for counters in by_source.values()) == [1, 2]


def test_a_program_that_just_ends_has_delivered_what_it_captured(recorder: Any) -> None:
    program = f"""
        from mirrorproof import Settings
        from mirrorproof.counters import Counters
        from mirrorproof.shipping import Agent
        import importlib.util, sys
        spec = importlib.util.spec_from_file_location("items", {__file__!r})
        items = importlib.util.module_from_spec(spec); sys.modules["items"] = items
        spec.loader.exec_module(items)
        agent = Agent(Settings(recorder={recorder.url!r}, service="shop", flush_interval_s=60), Counters())
        agent.submit(items.Item("last words"))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=60)
    assert [e.exchange_id for e in recorder.received] == ["last words"]


# --- the application with its recorder in trouble


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.mark.parametrize("trouble", ["down", "hang", "hang up", 500, 429, 413, 400])
async def test_answers_are_the_same_whatever_the_recorder_does(
    peer: Any, recorder: Any, trouble: Any
) -> None:
    recorder.respond = lambda batch: trouble
    url = f"http://127.0.0.1:{free_port()}" if trouble == "down" else recorder.url
    middleware = MirrorMiddleware(
        hello, recorder=url, guards=False, queue_exchanges=20, batch_exchanges=5, ship_attempts=1,
        ship_timeout_s=0.2, flush_interval_s=0.01,
    )  # fmt: skip
    plain = await peer(hello).run()
    for n in range(100):
        headers = [PAIR, (b"x-istio-mirror", b"true")] if n % 2 else [PAIR]
        assert (await peer(middleware, headers=headers).run()).sent == plain.sent
    agent = middleware.agent
    assert agent is not None
    agent.close(20)
    recorder.released.set()
    deadline_s = time.monotonic() + 20
    while agent.waiting and time.monotonic() < deadline_s:
        time.sleep(0.005)
    assert middleware.counters["captured"] == middleware.counters["seen"] == 100
    assert middleware.counters["shipped"] == 0
    assert adds_up(agent)


# --- a real server, stopped as Kubernetes stops it

SERVICE = """
    import os, signal
    from contextlib import asynccontextmanager
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route
    from mirrorproof import MirrorMiddleware
    import uvicorn

    @asynccontextmanager
    async def lifespan(app):
        yield {"greeting": "hello"}

    async def hello(request):
        return PlainTextResponse(request.state.greeting)

    app = Starlette(
        routes=[Route("/{name}", hello)], lifespan=lifespan,
        middleware=[Middleware(MirrorMiddleware, guards=False)],
    )
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
"""


def get(port: int, path: str, pair_id: str, body: bytes = b"", method: str = "GET") -> bytes:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, body, {"x-request-id": pair_id, "x-istio-mirror": "true"})
    answer = connection.getresponse().read()
    connection.close()
    return answer


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_uvicorn_stopped_by_a_signal_has_delivered_what_it_captured(
    recorder: Any, tmp_path: Path, wait_until: Any, number: signal.Signals
) -> None:
    port = free_port()
    env = os.environ | {
        "PORT": str(port), "MIRRORPROOF_RECORDER": recorder.url, "MIRRORPROOF_SERVICE": "shop",
        "MIRRORPROOF_FLUSH_INTERVAL_S": "3600",
    }  # fmt: skip
    service = subprocess.Popen([sys.executable, "-c", textwrap.dedent(SERVICE)], env=env, cwd=tmp_path)
    try:
        wait_until(lambda: service.poll() is not None or answers(port))
        for n in range(5):
            get(port, f"/{n}", f"pair-{n}", b"x" * 100_000, "POST")
        assert get(port, "/last", "pair-last") == b"hello"
        service.send_signal(number)
        service.wait(30)
    finally:
        service.kill()
    assert {e.pair_id for e in recorder.received} >= {*(f"pair-{n}" for n in range(5)), "pair-last"}
    (last,) = (e for e in recorder.received if e.pair_id == "pair-last")
    assert (last.request.route, last.mode, last.response.body) == ("/{name}", Mode.DRY_RUN, b"hello")


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
