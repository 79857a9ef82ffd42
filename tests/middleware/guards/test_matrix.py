"""Every client of the table, against a real server: mirrored it writes nothing, from wherever it is called.

Each case of tests/clients is an application that writes. Mirrored, the server has to look as before, the
application has to see success and the ledger has to name the write; live and unguarded the server has to have
changed, so that no case passes by doing nothing.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from clients.servers import started
from clients.table import Case, Client, all_clients, all_peers

from mirrorproof import Settings, install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError
from mirrorproof.exchange import Outcome

TABLE = [
    pytest.param(client, case, id=f"{client.name}: {case.name}")
    for client in all_clients()
    for case in client.cases
]
READING = [each for each in TABLE if each.values[1].read is not None]  # type: ignore[union-attr]
KEPT = [each for each in TABLE if each.values[1].kept]  # type: ignore[union-attr]
every_case = pytest.mark.parametrize(("client", "case"), TABLE)

_running: dict[str, Any] = {}


@pytest.fixture(scope="module", autouse=True)
def _servers() -> Iterator[None]:
    yield
    while _running:
        _running.popitem()[1].stop()


def peer_of(client: Client) -> Any:
    """The client's server, started if it is not running. Skips without it, except under CI."""
    if client.peer not in _running:
        _running[client.peer] = started(all_peers()[client.peer])
    return _running[client.peer]


@pytest.fixture
def guarded() -> Iterator[None]:
    install_guards()
    yield
    uninstall_guards()


def context_for(client: Client, mode: Mode) -> MirrorContext:
    settings = Settings.load(env={}, role="mixed", **{"mesh_domains": ("127.0.0.1",)} | client.settings)
    return MirrorContext(Decision(mode), settings=settings, pair_id="pair-1")


# -- where the application calls from


def use(case: Case, peer: Any, call: Callable[[Any, Any], Any]) -> None:
    """Open a client and call."""
    if not case.is_async:
        with case.client(peer) or ExitStack() as client:
            call(client, peer)
        return

    async def main() -> None:
        async with case.client(peer) as client:
            await call(client, peer)

    asyncio.run(main())


def in_task(case: Case, peer: Any, call: Any) -> None:
    use(case, peer, call)


def in_thread(case: Case, peer: Any, call: Any) -> None:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            use(case, peer, call)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    if failed:
        raise failed[0]


def in_executor(case: Case, peer: Any, call: Any) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(use, case, peer, call).result(60)


def in_background_task(case: Case, peer: Any, call: Any) -> None:
    async def once() -> None:
        if case.is_async:
            async with case.client(peer) as client:
                await call(client, peer)
        else:
            with case.client(peer) or ExitStack() as client:
                call(client, peer)

    async def main() -> None:
        await asyncio.create_task(once())

    asyncio.run(main())


PLACES = {
    "task": in_task,
    "thread": in_thread,
    "executor": in_executor,
    "background task": in_background_task,
}


# -- the claims


@pytest.mark.parametrize("place", PLACES)
@every_case
def test_mirrored_it_changes_nothing_and_the_application_sees_success(
    guarded: None, client: Client, case: Case, place: str
) -> None:
    peer = peer_of(client)
    before = peer.look()
    with entered(context_for(client, Mode.DRY_RUN)) as context:
        PLACES[place](case, peer, case.write)
        context.end()
    assert peer.look() == before
    assert_named(context, case, Outcome.SUPPRESSED)


@pytest.mark.parametrize(("client", "case"), KEPT)
def test_mirrored_with_a_client_from_before_the_request_it_changes_nothing(
    guarded: None, client: Client, case: Case
) -> None:
    peer = peer_of(client)
    context = context_for(client, Mode.DRY_RUN)

    def mirrored(opened: Any, peer: Any) -> Any:
        before = peer.look()
        with entered(context):
            case.write(opened, peer)
            context.end()
        assert peer.look() == before

    async def mirrored_async(opened: Any, peer: Any) -> Any:
        before = peer.look()
        with entered(context):
            await case.write(opened, peer)
            context.end()
        assert peer.look() == before

    use(case, peer, mirrored_async if case.is_async else mirrored)
    assert_named(context, case, Outcome.SUPPRESSED)


@every_case
def test_after_the_response_it_is_refused(guarded: None, client: Client, case: Case) -> None:
    peer = peer_of(client)
    before = peer.look()
    with entered(context_for(client, Mode.DRY_RUN)) as context:
        context.end()
        with pytest.raises(BaseException) as raised:
            use(case, peer, case.write)
    assert peer.look() == before
    assert refused(raised.value), repr(raised.value)
    assert context.late


@every_case
def test_in_read_only_mode_it_is_refused(guarded: None, client: Client, case: Case) -> None:
    peer = peer_of(client)
    before = peer.look()
    with entered(context_for(client, Mode.READ_ONLY)) as context:
        with pytest.raises(BaseException) as raised:
            use(case, peer, case.write)
        context.end()
    assert peer.look() == before
    assert refused(raised.value), repr(raised.value)
    assert Outcome.BLOCKED in {effect.outcome for effect in context.ledger}


@pytest.mark.parametrize("mode", [Mode.DRY_RUN, Mode.READ_ONLY])
@pytest.mark.parametrize(("client", "case"), READING)
def test_mirrored_it_still_reads(guarded: None, client: Client, case: Case, mode: Mode) -> None:
    peer = peer_of(client)
    with entered(context_for(client, mode)) as context:
        use(case, peer, case.read)  # type: ignore[arg-type]
        context.end()
    assert list(context.ledger) == []


@every_case
def test_live_it_writes_and_the_write_is_recorded_once(guarded: None, client: Client, case: Case) -> None:
    peer = peer_of(client)
    before = peer.look()
    with entered(context_for(client, Mode.LIVE)) as context:
        use(case, peer, case.write)
        context.end()
    assert_changes(peer, before)
    if case.observed:
        assert_named(context, case, Outcome.EXECUTED)


@every_case
def test_without_guards_it_really_writes(client: Client, case: Case) -> None:
    peer = peer_of(client)
    before = peer.look()
    with entered(context_for(client, Mode.DRY_RUN)):
        use(case, peer, case.write)
    assert_changes(peer, before)


def assert_named(context: MirrorContext, case: Case, outcome: Outcome) -> None:
    assert [(effect.kind, effect.outcome) for effect in context.ledger] == [
        (kind, outcome) for kind in case.kinds
    ]
    assert all(effect.target and effect.summary and len(effect.digest) == 32 for effect in context.ledger)


def assert_changes(peer: Any, before: Any) -> None:
    deadline = time.monotonic() + 20
    while peer.look() == before:
        assert time.monotonic() < deadline, "nothing was written"
        time.sleep(0.01)


def refused(error: BaseException | None) -> bool:
    """Whether it is our refusal, or was made from it."""
    seen = 0
    while error is not None and seen < 20:
        if isinstance(error, EffectRefusedError) or any(map(refused, getattr(error, "exceptions", ()))):
            return True
        error, seen = error.__cause__ or error.__context__, seen + 1
    return False
