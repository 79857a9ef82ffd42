"""What no guard covers is stopped in a mirrored request, and only there."""

from __future__ import annotations

import _posixsubprocess
import asyncio
import gc
import io
import logging
import multiprocessing.util
import os
import posix
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from clients.http_peer import HttpPeer

from mirrorproof import Settings, current, install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, admitted, entered, own_traffic, set_process_context
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError, LateEffectError, UnguardedError
from mirrorproof.exchange import Outcome
from mirrorproof.guards import temporary, unguarded


@pytest.fixture(autouse=True)
def guards() -> Iterator[None]:
    install_guards()
    yield
    uninstall_guards()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that does not count as temporary."""
    monkeypatch.setattr(unguarded._state, "temporary", ("/nowhere",))
    return tmp_path


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def context_for(mode: Mode = Mode.DRY_RUN, **settings: Any) -> MirrorContext:
    return MirrorContext(Decision(mode), settings=Settings.load(env={}, **settings), pair_id="pair-1")


def ledger_of(context: MirrorContext) -> list[tuple[str, str, Outcome]]:
    return [(effect.kind, effect.target, effect.outcome) for effect in context.ledger]


# -- what is stopped


def copied(folder: Path) -> None:
    shutil.copy(folder / "a", folder / "b")


def sent(_: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as its:
        its.sendto(b"orders:1|c", ("127.0.0.1", 8125))


def sent_as_message(_: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as its:
        its.sendmsg([b"orders:1|c"], [], 0, ("127.0.0.1", 8125))


def connected(_: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as its:
        its.connect(("127.0.0.1", 8125))


def removed_as_tree(folder: Path) -> None:
    shutil.rmtree(folder / "d")


async def run_by_asyncio() -> None:
    await asyncio.create_subprocess_exec("/bin/true")


def extended(_: Path) -> None:
    connection = sqlite3.connect(":memory:")
    if hasattr(connection, "enable_load_extension"):
        connection.enable_load_extension(True)
    else:  # this Python was built without it
        sys.audit("sqlite3.enable_load_extension", connection, True)


def opens(name: str) -> Callable[[Path], Any]:
    return lambda folder: sqlite3.connect(name.format(folder), uri=True)


def opened_in(folder: Path) -> None:
    at = os.open(folder, os.O_RDONLY)
    try:
        os.open("a", os.O_WRONLY | os.O_TRUNC, dir_fd=at)
    finally:
        os.close(at)


def opened_again(folder: Path) -> None:
    with open(folder / "a") as file:
        Path(f"/proc/self/fd/{file.fileno()}").write_text("x")


def bound(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as its:
        its.bind(str(folder / "s"))


def forked_bare(_: Path) -> None:
    arguments = [[b"true"], [b"/bin/true"], True, (), None, None, -1, -1, -1, -1, -1, -1, *os.pipe()]
    _posixsubprocess.fork_exec(*arguments, True, False, -1, None, None, None, -1, None, False)


WAYS: list[tuple[str, str, Callable[[Path], Any]]] = [
    ("file.write", "file {}/a", lambda folder: (folder / "a").write_text("x")),
    ("file.write", "file {}/a", lambda folder: io.open(folder / "a", "r+")),  # noqa: SIM115, UP020
    ("file.write", "file {}/a", lambda folder: os.open(folder / "a", os.O_WRONLY | os.O_APPEND)),
    ("file.write", "file {}/new", lambda folder: (folder / "new").touch()),
    ("file.write", "file {}/a", lambda folder: (folder / "a").unlink()),
    ("file.write", "file {}/a", lambda folder: (folder / "a").rename(folder / "b")),
    ("file.write", "file {}/a", lambda folder: os.replace("/proc/self/comm", folder / "a")),
    ("file.write", "file {}/e", lambda folder: (folder / "e").mkdir()),
    ("file.write", "file {}/d", lambda folder: os.rmdir(folder / "d")),
    ("file.write", "file {}/d/f", removed_as_tree),
    ("file.write", "file {}/a", lambda folder: os.truncate(folder / "a", 0)),
    ("file.write", "file {}/a", lambda folder: (folder / "a").chmod(0o600)),
    ("file.write", "file {}/a", lambda folder: os.utime(folder / "a")),
    ("file.write", "file {}/b", lambda folder: (folder / "b").symlink_to("a")),
    ("file.write", "file {}/b", lambda folder: (folder / "b").hardlink_to(folder / "a")),
    ("file.write", "file {}/b", copied),
    ("sql.connection", "file {}/shop.db", lambda folder: sqlite3.connect(folder / "shop.db")),
    ("sql.connection", "file {}/shop.db", opens("file:{}/shop.db#?mode=ro")),
    ("sql.connection", "file {}/shop.db", opens("file:{}/shop.db?mode=memory&mode=rwc")),
    ("sql.connection", "file {}/shop.db", opens("file:{}/shop.db?immutable=0&immutable=1")),
    ("sql.connection", "extensions", extended),
    ("socket.connect", "socket 127.0.0.1:8125", sent),
    ("socket.connect", "socket 127.0.0.1:8125", sent_as_message),
    ("socket.connect", "socket 127.0.0.1:8125", connected),
    ("process.start", "process /bin/date", lambda _: subprocess.run(["/bin/date"], check=True)),
    ("process.start", "process /bin/true", lambda _: asyncio.run(run_by_asyncio())),
    ("process.start", "process date > /dev/null", lambda _: os.system("date > /dev/null")),
    ("process.start", "process /bin/true", lambda _: os.posix_spawn("/bin/true", ["true"], {})),
    ("process.kill", "process 1", lambda _: os.kill(1, 15)),
    ("process.start", "process /bin/true", forked_bare),
    ("file.write", "file {}/a", opened_in),
    ("file.write", "file {}/a", opened_again),
    ("file.write", "file {}/a", lambda folder: Path(f"/proc/self/root{folder}/a").write_text("x")),
    ("file.write", "file {}/a", lambda folder: Path(f"/dev/fd/../root{folder}/a").write_text("x")),
    ("file.write", "file {}/p", lambda folder: os.mkfifo(folder / "p")),
    ("file.write", "file {}/p", lambda folder: os.mknod(folder / "p")),
    ("file.write", "file {}/s", bound),
]
every_way = pytest.mark.parametrize(("kind", "target", "go"), WAYS)


def all_files(folder: Path) -> dict[str, Any]:
    return {
        str(each): (each.lstat().st_mode, each.lstat().st_mtime_ns, each.lstat().st_ino)
        for each in folder.rglob("*")
    }


def prepare(folder: Path) -> dict[str, Any]:
    (folder / "a").write_text("a")
    (folder / "d").mkdir()
    (folder / "d" / "f").touch()
    return all_files(folder)


@every_way
def test_a_mirrored_requests_way_out_is_stopped_and_named(
    folder: Path, kind: str, target: str, go: Callable[[Path], Any]
) -> None:
    before = prepare(folder)
    with entered(context_for()) as context, pytest.raises(UnguardedError, match="no guard covers") as raised:
        go(folder)
    assert all_files(folder) == before
    assert __name__ in str(raised.value) or "asyncio" in str(raised.value)
    assert ledger_of(context)[0] == (kind, target.format(folder), Outcome.BLOCKED)
    assert "stopped by the guard `unguarded`" in next(iter(context.ledger)).summary


def test_let_through_by_name_it_happens(folder: Path, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    allowed = (f"file {folder}/*", f"socket 127.0.0.1:{port}", "process /bin/true")
    with entered(context_for(unguarded_allow=allowed)) as context:
        (folder / "a").write_text("a")
        (folder / "a").rename(folder / "b")
        sqlite3.connect(folder / "shop.db").close()
        socket.create_connection(listener.getsockname()).close()
        subprocess.run(["/bin/true"], check=True)
        with pytest.raises(UnguardedError):
            socket.create_connection(("127.0.0.1", port + 1))
    assert (folder / "b").exists()
    assert [outcome for *_, outcome in ledger_of(context)] == [Outcome.BLOCKED]


def test_recorded_it_happens_and_is_named(folder: Path) -> None:
    with entered(context_for(unguarded="record")) as context:
        (folder / "a").write_text("a")
    assert (folder / "a").read_text() == "a"
    assert ledger_of(context) == [("file.write", f"file {folder}/a", Outcome.EXECUTED)]


def test_switched_off_it_happens_unseen(folder: Path) -> None:
    with entered(context_for(unguarded="off")) as context:
        (folder / "a").write_text("a")
    assert (folder / "a").exists()
    assert ledger_of(context) == []


def test_a_rule_lets_it_happen_and_it_is_named(folder: Path) -> None:
    rules = [{"kind": "file.write", "target": f"file {folder}/*", "action": "allow"}]
    with entered(context_for(effect_rules=rules)) as context:
        (folder / "a").write_text("a")
    assert (folder / "a").exists()
    assert ledger_of(context) == [("file.write", f"file {folder}/a", Outcome.EXECUTED)]


def test_after_the_response_it_is_late(folder: Path) -> None:
    context = context_for()
    context.end()
    with entered(context), pytest.raises(LateEffectError):
        (folder / "a").write_text("a")
    assert context.late
    assert not (folder / "a").exists()


# -- what passes


@pytest.mark.parametrize("mode", [Mode.LIVE, Mode.OBSERVE])
def test_live_and_observed_requests_are_left_alone(folder: Path, listener: socket.socket, mode: Mode) -> None:
    with entered(context_for(mode)) as context:
        (folder / "a").write_text("a")
        socket.create_connection(listener.getsockname()).close()
        subprocess.run(["/bin/true"], check=True)
    assert ledger_of(context) == []


def test_uninstalled_the_hook_does_nothing(folder: Path) -> None:
    uninstall_guards("unguarded")
    with entered(context_for()):
        (folder / "a").write_text("a")


def write_by_every_kind_of_temporary_file() -> None:
    with tempfile.NamedTemporaryFile() as named, tempfile.TemporaryFile() as nameless:
        named.write(b"x")
        nameless.write(b"x")
        with open(named.name, "ab") as again:
            again.write(b"x")
    with tempfile.SpooledTemporaryFile(max_size=1) as spooled:
        spooled.write(b"more than that")
    descriptor, name = tempfile.mkstemp()
    os.close(descriptor)
    os.unlink(name)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "x"
        folder.mkdir()
        (folder / "y").write_text("y")
        (folder / "y").rename(folder / "z")
        (folder / "to").symlink_to("/etc/hostname")
        sqlite3.connect(folder / "scratch.db").close()
        shutil.copy(folder / "z", made)
        tempfile.mkdtemp(dir=made)
    shutil.rmtree(tempfile.mkdtemp())


def test_temporary_files_that_a_request_had_made_pass_late_ones_too() -> None:
    with entered(context_for()) as context:
        write_by_every_kind_of_temporary_file()
        context.end()
        write_by_every_kind_of_temporary_file()
    assert ledger_of(context) == []


def test_without_nameless_files_temporary_ones_pass_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "_O_TMPFILE_WORKS", False)
    with entered(context_for()) as context:
        write_by_every_kind_of_temporary_file()
    assert ledger_of(context) == []


def made_past_tempfile(name: Path) -> None:
    os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))


def linked_to_its_own(name: Path) -> None:
    with tempfile.TemporaryDirectory() as made:
        os.link(name, Path(made) / "own")
        (Path(made) / "own").write_text("x")


def moved_from_its_own(name: Path) -> None:
    with tempfile.NamedTemporaryFile() as made:
        os.replace(made.name, name)


def linked_by_its_own(name: Path) -> None:
    with tempfile.TemporaryDirectory() as made:
        (Path(made) / "to").symlink_to(name)
        (Path(made) / "to").write_text("x")


@pytest.mark.parametrize(
    "go",
    [
        lambda name: name.write_text("x"), lambda name: name.unlink(),
        lambda name: name.with_name("b").mkdir(), lambda name: made_past_tempfile(name.with_name("b")),
        linked_to_its_own, moved_from_its_own, linked_by_its_own,
        lambda name: sqlite3.connect(name),  # noqa: PLW0108 - which a guard replaces
    ],
)  # fmt: skip
def test_what_else_lies_among_temporary_files_is_stopped(tmp_path: Path, go: Callable[[Path], Any]) -> None:
    assert str(tmp_path).startswith(temporary.roots())
    before = prepare(tmp_path)
    with entered(context_for()) as context, pytest.raises(UnguardedError):
        go(tmp_path / "a")
    assert all_files(tmp_path) == before
    assert {outcome for *_, outcome in ledger_of(context)} == {Outcome.BLOCKED}
    with entered(context_for(unguarded_allow=(f"file {tmp_path}/*",))) as context:
        (tmp_path / "a").write_text("let through by name")
    assert ledger_of(context) == []


def test_a_link_among_foreign_files_that_leads_to_an_own_one_is_foreign(tmp_path: Path) -> None:
    with entered(context_for()):
        own = tempfile.mkdtemp()
    (tmp_path / "link").symlink_to(own)
    context = context_for()
    context.temporary[own] = None
    with entered(context):
        with pytest.raises(UnguardedError):
            (tmp_path / "link").unlink()
        with pytest.raises(UnguardedError):
            os.utime(tmp_path / "link", follow_symlinks=False)
        (tmp_path / "link" / "x").touch()
        shutil.rmtree(own)


def test_what_one_request_had_made_is_no_other_requests() -> None:
    with entered(context_for()):
        folder = Path(tempfile.mkdtemp())
    with entered(context_for()), pytest.raises(UnguardedError):
        (folder / "a").touch()
    folder.rmdir()


def test_what_a_shadow_had_made_outside_requests_its_requests_may_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(temporary, "_outside", {})
    set_process_context(Settings.load(env={}, role="shadow", outside_requests=()))
    made = tempfile.TemporaryDirectory()
    with entered(context_for()) as context:
        (Path(made.name) / "a").touch()
    (Path(made.name) / "b").touch()
    made.cleanup()
    assert ledger_of(context) == []


def test_what_is_forgotten_is_cleared_up_whoever_runs_then_and_else_it_stays() -> None:
    made, file = tempfile.TemporaryDirectory(), tempfile.NamedTemporaryFile()  # noqa: SIM115
    names = made.name, file.name
    with entered(context_for()) as context:
        with pytest.raises(UnguardedError):
            made.cleanup()
        with pytest.raises(UnguardedError):
            os.unlink(names[1])
        assert len(ledger_of(context)) == 2
        again = tempfile.TemporaryDirectory()
    other = context_for()
    with entered(other), pytest.warns(ResourceWarning):  # noqa: PT031
        names = (*names, again.name)
        del file, again
        gc.collect()
    assert not any(os.path.exists(each) for each in names[1:])
    assert ledger_of(other) == []
    os.rmdir(names[0])


def test_only_so_many_made_files_are_remembered_those_that_are_there_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(temporary, "MOST", 4)
    with entered(context_for()) as context:
        with tempfile.TemporaryDirectory() as kept:
            for _ in range(10):
                tempfile.NamedTemporaryFile().close()
            (Path(kept) / "a").touch()
            assert len(context.temporary) <= 4
        made = [tempfile.mkdtemp() for _ in range(10)]
        assert len(context.temporary) <= 4
        with pytest.raises(UnguardedError):
            os.rmdir(made[0])
        os.rmdir(made[-1])
    for each in made[:-1]:
        os.rmdir(each)


def test_the_folder_of_multiprocessing_is_its_own() -> None:
    with entered(context_for()):
        folder = multiprocessing.util.get_temp_dir()
    with entered(context_for()) as context, socket.socket(socket.AF_UNIX) as its:
        its.bind(f"{folder}/listener-test")
        os.unlink(f"{folder}/listener-test")
    assert ledger_of(context) == []


def test_reading_devices_and_byte_code_pass(folder: Path) -> None:
    (folder / "a").write_text("a")
    with entered(context_for()) as context:
        assert (folder / "a").read_text() == "a"
        Path("/dev/null").write_text("x")
        (folder / "module.cpython-311.pyc").write_bytes(b"")
        sqlite3.connect(":memory:").close()
    assert ledger_of(context) == []


@pytest.mark.parametrize("name", [":memory:", "file:{}/shop.db?mode=ro", "file::memory:?cache=shared"])
@pytest.mark.parametrize(
    "sql",
    ["ATTACH '{}/other.db' AS o", "ATTACH 'file:{}/other.db?mode=rw' AS o", "VACUUM INTO '{}/other.db'"],
)
def test_a_database_that_may_be_opened_leads_to_no_other(folder: Path, name: str, sql: str) -> None:
    sqlite3.connect(folder / "shop.db").close()
    with entered(context_for()) as context:
        connection = sqlite3.connect(name.format(folder), uri=True)
        connection.execute("ATTACH ':memory:' AS m")
        connection.execute("CREATE TABLE m.t (a)")
        with pytest.raises(sqlite3.DatabaseError):
            connection.execute(sql.format(folder))
        with pytest.raises(sqlite3.DatabaseError):
            connection.execute("ATTACH ? AS p", (str(folder / "other.db"),))
        with pytest.raises(sqlite3.OperationalError), closing(connection):
            connection.execute("PRAGMA main.user_version = 7") if "ro" in name else connection.execute("?")
    assert not (folder / "other.db").exists()
    assert {outcome for *_, outcome in ledger_of(context)} == {Outcome.BLOCKED}


def test_a_database_that_is_opened_past_the_guard_of_sqlite3_is_stopped() -> None:
    with entered(context_for()), pytest.raises(UnguardedError, match=r"past sqlite3\.connect"):
        sqlite3.Connection(":memory:")
    sqlite3.Connection(":memory:").close()


def test_a_signal_by_pidfd_is_stopped_like_any_other() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        descriptor = os.pidfd_open(child.pid)
        with entered(context_for()) as context, pytest.raises(UnguardedError):
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        assert ledger_of(context) == [("process.kill", f"process {child.pid}", Outcome.BLOCKED)]
        assert child.poll() is None
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        assert child.wait(20) == -signal.SIGTERM
        os.close(descriptor)


def test_in_which_folder_a_file_is_opened_decides_and_where_it_is_not_told_it_is_stopped(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "temporary").mkdir()
    monkeypatch.setattr(unguarded._state, "temporary", (str(folder / "temporary"),))
    monkeypatch.chdir(folder / "temporary")
    at = os.open(folder, os.O_RDONLY)
    with entered(context_for()) as context:
        context.temporary[str(folder / "temporary")] = None
        os.close(os.open("a", os.O_CREAT | os.O_WRONLY))
        (folder / "temporary" / "b").touch()
        Path("c").write_text("x")
        assert ledger_of(context) == []
        with pytest.raises(UnguardedError):
            os.open("a", os.O_CREAT | os.O_WRONLY, dir_fd=at)
        with pytest.raises(UnguardedError, match="not told"):
            posix.open("a", os.O_CREAT | os.O_WRONLY, dir_fd=at)
    os.close(at)
    assert sorted(os.listdir(folder)) == ["temporary"]
    assert sorted(os.listdir(folder / "temporary")) == ["a", "b", "c"]


def test_standard_streams_pass_and_so_do_own_processes_and_sockets_without_a_name(folder: Path) -> None:
    with entered(context_for()) as context:
        for name in ("/dev/stdout", "/dev/fd/2", "/proc/self/fd/1"):
            open(name, "a").close()
        with socket.socket(socket.AF_UNIX) as its:
            its.bind("\0test of names")
        with socket.socket() as its:
            its.bind(("127.0.0.1", 0))
        own = os.pidfd_open(os.getpid())
        signal.pidfd_send_signal(own, 0)
        os.close(own)
        Path("/proc/self/comm").write_text("python")
    assert ledger_of(context) == []


def test_a_log_file_is_written_and_rolled_over(folder: Path) -> None:
    log = logging.getLogger("test of log files")
    log.setLevel(logging.WARNING)  # whatever the root logger was made to hear by others
    with entered(context_for()) as context:
        handler = RotatingFileHandler(folder / "log", maxBytes=1, backupCount=1, delay=True)
        log.addHandler(handler)
        log.warning("one")
        log.warning("two")
        log.removeHandler(handler)
        handler.close()
    assert (folder / "log.1").read_text() == "one\n"
    assert ledger_of(context) == []


def test_names_are_resolved_and_loops_are_made() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().getaddrinfo("localhost", 80)

    with entered(context_for()) as context:
        asyncio.run(main())
        one, other = socket.socketpair()
        one.sendall(b"x")
        one.close()
        other.close()
    assert ledger_of(context) == []


def test_what_a_guard_admits_passes_with_the_threads_and_tasks_of_its_own(
    listener: socket.socket,
) -> None:
    def connect() -> None:
        socket.create_connection(listener.getsockname()).close()

    async def main() -> None:
        async def connect_async() -> None:
            connect()

        with admitted():
            connect()
            await asyncio.create_task(connect_async())
            await asyncio.to_thread(connect)
            await asyncio.get_running_loop().run_in_executor(None, connect)
            thread = threading.Thread(target=connect)
            thread.start()
            thread.join()
            left = asyncio.create_task(connect_async())
        with pytest.raises(UnguardedError):
            await left
        with admitted(), pytest.raises(UnguardedError):
            await asyncio.to_thread(subprocess.run, ["/bin/true"])

    with entered(context_for()):
        asyncio.run(main())


async def test_a_guarded_client_reads_through_its_own_connection(http_peer_of_test: HttpPeer) -> None:
    with entered(context_for()) as context:
        async with httpx.AsyncClient() as client:
            assert (await client.get(http_peer_of_test.url + "/orders")).json() == {"real": True}
        with httpx.Client() as sync:
            assert sync.get(http_peer_of_test.url + "/orders").json() == {"real": True}
    assert ledger_of(context) == []


@pytest.fixture
def http_peer_of_test() -> Iterator[HttpPeer]:
    peer = HttpPeer()
    yield peer
    peer.stop()


def test_the_lease_opens_its_file_and_the_application_does_not(folder: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{folder}/shop.db")
    with engine.begin() as connection:
        connection.execute(sa.text("create table orders (id integer)"))
    with entered(context_for()) as context:
        with engine.begin() as connection:
            connection.execute(sa.text("insert into orders values (1)"))
        with pytest.raises(EffectRefusedError):
            sqlite3.connect(folder / "shop.db")
        context.end()
    assert [effect.kind for effect in context.ledger] == ["sql.insert", "sql.connection"]


def test_mirrorproofs_own_shipping_passes(listener: socket.socket) -> None:
    with entered(context_for()), own_traffic():
        socket.create_connection(listener.getsockname()).close()


def test_a_shadow_outside_requests_writes_its_files_and_reaches_nobody(
    folder: Path, listener: socket.socket
) -> None:
    set_process_context(Settings.load(env={}, role="shadow"))
    (folder / "a").write_text("a")
    with pytest.raises(UnguardedError, match=r"socket 127\.0\.0\.1.* socket\.connect in .*OUTSIDE_REQUESTS"):
        socket.create_connection(listener.getsockname())
    with pytest.raises(UnguardedError, match=r"shop\.db"):
        sqlite3.connect(folder / "shop.db")
    set_process_context(Settings.load(env={}, role="shadow", outside_requests=("socket.*",)))
    socket.create_connection(listener.getsockname()).close()
    with pytest.raises(UnguardedError, match="file "):
        (folder / "a").write_text("b")


def test_a_call_that_is_not_understood_is_stopped_when_mirrored_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("odd")

    monkeypatch.setitem(unguarded._WATCHED, "os.system", fail)
    assert os.system("true") == 0
    with entered(context_for()), pytest.raises(UnguardedError, match="does not understand"):
        os.system("true")
    assert current() is None
