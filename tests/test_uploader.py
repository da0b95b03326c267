"""From sealed segments to an accepted receipt, over real TLS, with either side killed in the middle."""

from __future__ import annotations

import contextlib
import errno
import json
import random
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent import uploader as uploader_process
from agent.clock import SystemClock
from agent.dock.outgoing import Outgoing
from agent.dock.policy import SyntheticPolicy
from agent.dock.presence import OutboxPresence, SyntheticPresence
from agent.dock.report import Inbox
from agent.dock.transport import HttpStation
from agent.dock.wire import Credentials
from agent.errors import KeyTrustError, StationError, StorageError
from agent.formats import note
from agent.formats.leaf import Kind
from agent.model import SegmentState
from agent.spool import inbox
from agent.station.layout import AgencyPaths
from agent.station.serve import Station
from agent.uploader import Uploader
from tests.camera_kit import CAMERA, ORIGIN, Desk
from tests.ports import free_port
from tests.station.kit import own_agency
from tests.uploader_child import uploader

HOUSE = Path(__file__).resolve().parent.parent
DEADLINE_S = 60.0
SLOW_KBPS = 40_000
STATION = ("-c", "import sys; from agent.station.commands import main; sys.exit(main(sys.argv[1:]))")


@pytest.fixture
def paths(agency: AgencyPaths, tmp_path: Path) -> AgencyPaths:
    return own_agency(agency, tmp_path / "agency")


@pytest.fixture
def docked(desk: Desk) -> Desk:
    """A camera with event segments and a recording of two segments, about 8 MB."""
    desk.tiles.write_chain(desk.log.session.chain_pem)
    desk.sealer.event(Kind.SESSION, {"type": "session"}, None, {"resumes": None})
    name = desk.record(130, 60_000)
    desk.sealer.stop_recording(name, {"type": "record.stop"})
    desk.sealer.event(Kind.EVENT, {"type": "heartbeat"})
    desk.sealer.seal_open()
    return desk


@contextlib.contextmanager
def serving(paths: AgencyPaths, port: int = 0) -> Iterator[str]:
    station = Station(paths.root, port=port)
    url = station.start()
    try:
        yield url
    finally:
        station.stop()


def until(what: str, condition: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    """Poll for a condition that another process makes true."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.01)


def progress(desk: Desk) -> dict[str, object]:
    try:
        value = json.loads((desk.spool.inbox_dir / "progress.json").read_bytes())
    except FileNotFoundError:
        return {}
    assert isinstance(value, dict)
    return value


def check_delivered(desk: Desk, paths: AgencyPaths) -> None:
    """Every byte is there, and the recorder accepts the receipts for all of it."""
    name, key = note.parse_vkey(paths.receipt_vkey.read_text())
    records = desk.spool.records(SegmentState.SEALED)
    trust = inbox.Trust([(name, key)], ORIGIN, CAMERA, lambda size: desk.log.frontier.root())
    proven = set()
    for _, data in inbox.messages(desk.spool.inbox_dir, ".receipt"):
        proven |= {r.segment for r in inbox.check_receipt(data, trust, records)}
    assert proven == {r.segment for r in records}
    for record in records:
        held = paths.station / "segments" / CAMERA / f"{record.segment}.tar"
        assert held.read_bytes() == desk.spool.segment(SegmentState.SEALED, record.segment).read_bytes()
    assert not list(paths.station.glob("conflicts/*/*"))


def everything(root: Path) -> dict[str, tuple[bytes, int]]:
    """Content and inode of every file outside inbox/."""
    files = (p for p in root.rglob("*") if p.is_file() and "inbox" not in p.relative_to(root).parts[0])
    return {str(p): (p.read_bytes(), p.stat().st_ino) for p in files}


def test_one_visit_brings_the_receipt_and_writes_only_the_inbox(paths: AgencyPaths, docked: Desk) -> None:
    before = everything(docked.root)
    with serving(paths) as url:
        uploader(paths, docked.root, url).once(threading.Event())
    check_delivered(docked, paths)
    assert everything(docked.root) == before
    assert {p.suffix for p in docked.spool.inbox_dir.iterdir()} == {".receipt", ".json", ".jsonl"}
    assert progress(docked)["state"] == "delivered"


def test_a_second_visit_sends_nothing_again_and_gets_the_same_receipt(paths: AgencyPaths, docked: Desk) -> None:
    with serving(paths) as url:
        uploader(paths, docked.root, url).once(threading.Event())
        held = {p: p.stat().st_ino for p in paths.station.rglob("*.tar")}
        receipts = set(docked.spool.inbox_dir.glob("*.receipt"))
        uploader(paths, docked.root, url).once(threading.Event())
    assert {p: p.stat().st_ino for p in paths.station.rglob("*.tar")} == held
    assert set(docked.spool.inbox_dir.glob("*.receipt")) == receipts


def test_the_log_grows_and_the_next_visit_proves_it_consistent(paths: AgencyPaths, docked: Desk) -> None:
    with serving(paths) as url:
        for count in (1, 300):
            uploader(paths, docked.root, url).once(threading.Event())
            for _ in range(count):
                docked.sealer.event(Kind.EVENT, {"type": "heartbeat"})
            docked.sealer.seal_open()
        for old in docked.spool.inbox_dir.glob("*.receipt"):
            old.unlink()
        uploader(paths, docked.root, url).once(threading.Event())
    check_delivered(docked, paths)


def test_a_card_rolled_back_is_told_and_forks_are_filed(paths: AgencyPaths, docked: Desk, tmp_path: Path) -> None:
    with serving(paths) as url:
        uploader(paths, docked.root, url).once(threading.Event())
        other = Desk(paths, tmp_path / "other").open()
        other.tiles.write_chain(other.log.session.chain_pem)
        while other.log.next_index < docked.log.next_index:
            other.sealer.event(Kind.EVENT, {"type": "heartbeat"})
        other.sealer.seal_open()
        with pytest.raises(StationError, match=r"another tree of this size was cosigned"):
            uploader(paths, other.root, url).once(threading.Event())
    kinds = {json.loads(p.read_bytes())["kind"] for p in paths.station.glob("conflicts/*/*.json")}
    assert kinds & {"fork", "tile"}
    stored = list(paths.station.glob("segments/*/*.tar"))
    assert len(stored) == len(docked.spool.records(SegmentState.SEALED)) + 1


# -- kills ---------------------------------------------------------------------------------------------------------


class Child:
    """A process of ours, killed or stopped at the end whatever happens."""

    def __init__(self, *argv: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *argv], cwd=HOUSE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(20)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
        if self.process.stdout:
            self.process.stdout.close()


def arrived(paths: AgencyPaths) -> int:
    """Bytes the station has, whole segments and parts of them; for a moment one file is both."""
    sizes = {}
    for path in (*paths.station.glob("segments/*/*.tar"), *paths.station.glob("uploads/*.part")):
        with contextlib.suppress(FileNotFoundError):
            stat = path.stat()
            sizes[stat.st_ino] = stat.st_size
    return sum(sizes.values())


def kill_points(seed: int, size: int) -> list[int]:
    """Three byte counts, in order, at which to kill."""
    return sorted(random.Random(seed).randrange(size // 20, size * 9 // 10) for _ in range(3))


@pytest.mark.wide
@pytest.mark.parametrize("seed", [1, 2])
def test_the_uploader_is_killed_and_goes_on(paths: AgencyPaths, docked: Desk, seed: int) -> None:
    size = sum(r.size for r in docked.spool.records(SegmentState.SEALED))
    with serving(paths) as url:
        for point in kill_points(seed, size):
            with Child("-m", "tests.uploader_child", str(paths.root), str(docked.root), url, str(SLOW_KBPS)) as child:
                until(f"{point} bytes", lambda point=point: arrived(paths) >= point)
                child.kill()
            assert arrived(paths) >= point
        uploader(paths, docked.root, url).once(threading.Event())
    check_delivered(docked, paths)


@pytest.mark.wide
@pytest.mark.parametrize("seed", [3, 4])
def test_the_station_is_killed_and_the_uploader_goes_on(paths: AgencyPaths, docked: Desk, seed: int) -> None:
    size = sum(r.size for r in docked.spool.records(SegmentState.SEALED))
    serve = (*STATION, "serve", "--dir", str(paths.root), "--json", "--listen")
    stop = threading.Event()
    address = f"127.0.0.1:{free_port()}"
    sender = threading.Thread(target=uploader(paths, docked.root, f"https://{address}", SLOW_KBPS).run, args=(stop,))
    sender.start()
    try:
        for point in kill_points(seed, size):
            with Child(*serve, address) as station:
                assert json.loads(station.line())["url"] == f"https://{address}"
                until(f"{point} bytes", lambda point=point: arrived(paths) >= point)
                station.kill()
            assert arrived(paths) >= point
            until("unreachable", lambda: progress(docked).get("state") == "unreachable")
        with Child(*serve, address) as station:
            station.line()
            until("delivered", lambda: progress(docked).get("state") == "delivered")
    finally:
        stop.set()
        sender.join(20)
    check_delivered(docked, paths)


# -- the dock ------------------------------------------------------------------------------------------------------


def test_docking_starts_it_undocking_stops_it_and_docking_again_resumes(paths: AgencyPaths, docked: Desk) -> None:
    clock, stop = SystemClock(), threading.Event()

    def tell(is_docked: bool) -> None:
        docked.spool.tell("dock.json", {"v": 1, "docked": is_docked, "boot": clock.boot_id, "mono_ns": 1})

    with serving(paths) as url:
        keys = paths.camera(CAMERA)
        credentials = Credentials(paths.trust_root, keys.tls_chain, keys.tls_key)
        running = Uploader(
            Outgoing(docked.root),
            Inbox(docked.spool.inbox_dir, clock.monotonic_ns),
            OutboxPresence(docked.root / "outbox", clock.boot_id),
            lambda halt: HttpStation(url, credentials, halt, SLOW_KBPS),
            clock,
            2,
        )
        thread = threading.Thread(target=running.run, args=(stop,))
        thread.start()
        try:
            until("idle", lambda: progress(docked).get("state") == "idle")
            assert arrived(paths) == 0
            tell(True)
            until("some bytes", lambda: arrived(paths) > 500_000)
            tell(False)
            until("idle", lambda: progress(docked).get("state") == "idle", 5)
            assert not list(docked.spool.inbox_dir.glob("*.receipt"))
            tell(True)
            until("delivered", lambda: progress(docked).get("state") == "delivered")
        finally:
            stop.set()
            thread.join(20)
    assert not thread.is_alive()
    check_delivered(docked, paths)


def test_heat_stops_it_in_the_middle_and_it_goes_on_by_itself(paths: AgencyPaths, docked: Desk) -> None:
    clock, stop, policy = SystemClock(), threading.Event(), SyntheticPolicy()
    keys = paths.camera(CAMERA)
    credentials = Credentials(paths.trust_root, keys.tls_chain, keys.tls_key)
    with serving(paths) as url:
        running = Uploader(
            Outgoing(docked.root),
            Inbox(docked.spool.inbox_dir, clock.monotonic_ns),
            SyntheticPresence(True),
            lambda halt: HttpStation(url, credentials, halt, SLOW_KBPS),
            clock,
            2,
            policy,
        )
        thread = threading.Thread(target=running.run, args=(stop,))
        thread.start()
        try:
            until("some bytes", lambda: arrived(paths) > 500_000)
            policy.why = "too hot"
            until("held", lambda: progress(docked).get("state") == "held", 5)
            assert progress(docked)["error"] == "too hot"
            there = arrived(paths)
            assert there < sum(r.size for r in docked.spool.records(SegmentState.SEALED))
            policy.why = ""
            until("delivered", lambda: progress(docked).get("state") == "delivered")
        finally:
            stop.set()
            thread.join(20)
    check_delivered(docked, paths)


def test_keys_that_cannot_be_used_end_it_before_it_waits_for_its_turn(
    docked: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.uploader.random.uniform", lambda low, high: pytest.fail("it waits"))
    clock = SystemClock()

    def damaged() -> None:
        raise KeyTrustError("the TLS files cannot be used", "provision it anew")

    running = Uploader(
        Outgoing(docked.root),
        Inbox(docked.spool.inbox_dir, clock.monotonic_ns),
        SyntheticPresence(True),
        lambda halt: pytest.fail("it asks"),
        clock,
        2,
        spread_s=7200,
        try_keys=damaged,
    )
    with pytest.raises(KeyTrustError, match="TLS files"):
        running.run(threading.Event())


def test_a_rack_of_cameras_does_not_ask_at_once(docked: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The start is spread over the time that is configured, and undocking ends the wait."""
    spread: list[tuple[float, float]] = []
    monkeypatch.setattr("agent.uploader.random.uniform", lambda low, high: spread.append((low, high)) or 3600.0)
    stop, presence, clock = threading.Event(), SyntheticPresence(True), SystemClock()
    asked = threading.Event()
    running = Uploader(
        Outgoing(docked.root),
        Inbox(docked.spool.inbox_dir, clock.monotonic_ns),
        presence,
        lambda halt: asked.set() or pytest.fail("it asked"),
        clock,
        2,
        spread_s=7200,
    )
    thread = threading.Thread(target=running.run, args=(stop,))
    thread.start()
    until("it waits", lambda: spread == [(0, 7200)])
    presence.is_docked = False
    until("idle", lambda: progress(docked).get("state") == "idle", 5)
    presence.is_docked = True
    until("it waits again", lambda: len(spread) == 2)
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert not asked.is_set()


def test_undocked_in_mid_segment_it_goes_on_at_another_station_which_gets_all_of_it(
    agency: AgencyPaths, paths: AgencyPaths, docked: Desk, tmp_path: Path
) -> None:
    """What the first one has of a segment helps nobody at the second; what the first receipted is not in `sealed/`."""
    stop = threading.Event()
    with serving(paths) as url:
        thread = threading.Thread(target=uploader(paths, docked.root, url, SLOW_KBPS).run, args=(stop,))
        thread.start()
        until("some bytes", lambda: arrived(paths) > 500_000)
        stop.set()
        thread.join(20)
    assert not list(docked.spool.inbox_dir.glob("*.receipt"))
    other = own_agency(agency, tmp_path / "other")
    with serving(other) as url:
        uploader(other, docked.root, url).once(threading.Event())
    check_delivered(docked, other)


def test_a_station_that_comes_late_is_waited_for(paths: AgencyPaths, docked: Desk) -> None:
    port, stop = free_port(), threading.Event()
    thread = threading.Thread(target=uploader(paths, docked.root, f"https://127.0.0.1:{port}").run, args=(stop,))
    thread.start()
    try:
        until("unreachable", lambda: progress(docked).get("state") == "unreachable")
        with serving(paths, port):
            until("delivered", lambda: progress(docked).get("state") == "delivered")
    finally:
        stop.set()
        thread.join(20)
    check_delivered(docked, paths)


def test_only_one_station_serves_a_directory(paths: AgencyPaths) -> None:
    with serving(paths), pytest.raises(StorageError, match="another station"):
        Station(paths.root)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ssl.SSLEOFError(8, "EOF occurred"), "EOF occurred"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "reset"),
        (TimeoutError("timed out"), "timed out"),
        (RuntimeError("a defect"), ""),
        (OSError(errno.ENOSPC, "No space left on device"), ""),
        (FileNotFoundError(errno.ENOENT, "No such file"), ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_peer_that_goes_away_is_one_line_of_words_and_a_defect_is_not(
    paths: AgencyPaths, capsys: pytest.CaptureFixture[str], error: Exception, words: str
) -> None:
    station = Station(paths.root)
    try:
        raise error
    except (OSError, RuntimeError):
        station._server.error_log(f"socket.error {error.args[0]}", traceback=True)
    station.stop()
    told = capsys.readouterr().err
    assert ("Traceback" in told) == (not words)
    assert told.startswith(f"station: a peer went away: {words}\n" if words else "socket.error")


def test_serve_says_where_it_listens_and_stops_cleanly(paths: AgencyPaths) -> None:
    with Child(*STATION, "serve", "--dir", str(paths.root)) as station:
        assert "listens on https://127.0.0.1:" in station.line()
        station.process.terminate()
        assert station.process.wait(20) == 0


def test_a_thread_that_hangs_in_the_kernel_keeps_no_visit_from_its_end(caplog: pytest.LogCaptureFixture) -> None:
    ends = threading.Event()
    hangs = threading.Thread(target=ends.wait, args=(60,), name="presence", daemon=True)
    hangs.start()
    uploader_process._ends(hangs, 0.01)
    assert "the thread presence does not end within 0.01 s" in caplog.text
    ends.set()
    caplog.clear()
    uploader_process._ends(hangs, 60)
    assert not hangs.is_alive() and not caplog.text
