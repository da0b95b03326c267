"""The uploader and the embedded station over a link that the kernel's netem makes bad, each in a network namespace of
its own. Where the kernel at hand has no netem, `make vm-test` runs this in one that has (tests/vm/test_vm_networks.py).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.model import SegmentState
from agent.station import admin
from agent.station.layout import AgencyPaths
from tests import campaigns
from tests.camera_kit import CAMERA, Desk
from tests.dock import netem, spaces
from tests.dock.netem import Netem
from tests.dock.spaces import STATION, filled, sealed_bytes, sending, serving
from tests.station.kit import own_agency
from tests.test_uploader import SLOW_KBPS, arrived, check_delivered, progress, until


@dataclass(frozen=True)
class Weather:
    """A link, and how it shows that it was so."""

    effects: str
    counter: str = ""
    """Of `Netem.counted`, where it counts that: is not 0 afterwards."""
    round_trip_s: float = 0.0
    kbit: int = 0
    cuts: tuple[str, ...] = ()
    """Each "silent" or "unplugged"."""


WEATHERS = (
    Weather("delay 20ms 5ms loss 3%", "lost", 0.03, cuts=("silent", "unplugged")),
    Weather("loss 10%", "lost"),
    Weather("loss gemodel 2% 20% 80% 0.1%", "lost"),
    Weather("delay 100ms 20ms", round_trip_s=0.16),
    Weather("delay 500ms", round_trip_s=1.0),
    Weather("rate 4mbit", kbit=4_000),
    Weather("delay 10ms reorder 75% 50%", "reordered"),
    Weather("duplicate 10%", "doubled"),
    Weather("corrupt 2%", "spoiled"),
    Weather("delay 50ms 10ms loss 2%", "lost", 0.08, cuts=("unplugged", "silent", "unplugged", "silent")),
)
ROWS = campaigns.size(sample=1, full=len(WEATHERS))
CUT_S = 0.5
"""How long a link is dead."""
FAIR = "delay 20ms 5ms"
NAME = "station.test"
TLS_HANDSHAKE = "16\n"
"""The first byte of a record that begins a connection (RFC 8446, 5.1), in hex."""
GIVEN_UP_S = 150.0
"""Two minutes for the answer to a segment, half of one for its last bytes: a request that nobody answers is over."""

pytestmark = [
    pytest.mark.skipif(bool(netem.missing()), reason=netem.missing() or "-"),
    pytest.mark.campaign,
]
in_full = pytest.mark.skipif(not campaigns.FULL, reason="it takes minutes: make test-long, or make vm-test")


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> AgencyPaths:
    """An agency whose station has the address of the far end, and a name."""
    paths = admin.init(tmp_path_factory.mktemp("far") / "agency", "test agency", [STATION, NAME])
    admin.enrol(paths.root, CAMERA)
    return paths


@pytest.fixture
def paths(far: AgencyPaths, tmp_path: Path) -> AgencyPaths:
    return own_agency(far, tmp_path / "agency")


@pytest.fixture
def docked(paths: AgencyPaths, tmp_path: Path) -> Desk:
    return filled(Desk(paths, tmp_path / "spool").open())


def wait_told(desk: Desk, state: str, within_s: float) -> dict[str, object]:
    """Until the uploader tells that; returns all that it tells then."""
    told: list[dict[str, object]] = []

    def looked() -> bool:
        told.append(progress(desk))
        return told[-1].get("state") == state

    until(state, looked, within_s)
    return told[-1]


# -- bad links ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", range(ROWS))
def test_a_bad_link_is_waited_out(paths: AgencyPaths, docked: Desk, row: int) -> None:
    weather = WEATHERS[row]
    size = sealed_bytes(docked)
    with Netem(weather.effects) as link, serving(link, paths):
        assert _round_trip_s(link) >= weather.round_trip_s
        begun = time.monotonic()
        with sending(link, paths, docked):
            for number, cut in enumerate(weather.cuts):
                share = size * (number + 1) // (len(weather.cuts) + 2)
                until("bytes", lambda share=share: arrived(paths) > share)
                lost = link.counted()["lost"]
                with getattr(link, cut)():
                    if cut == "silent":
                        until("the cut is felt", lambda lost=lost: link.counted()["lost"] > lost)
                    time.sleep(CUT_S)
                    assert arrived(paths) < size, "the cut came too late"
            wait_told(docked, "delivered", 120)
        took_s = time.monotonic() - begun
        counted = link.counted()
    assert not weather.kbit or took_s >= size * 8 / 1000 / weather.kbit
    assert not weather.counter or counted[weather.counter] > 0, counted
    check_delivered(docked, paths)
    segments = len(docked.spool.records(SegmentState.SEALED))
    figures = {f"packets_{what}": count for what, count in counted.items()}
    print(
        json.dumps(
            dict(links=1, cuts=len(weather.cuts), **figures, segments=segments, bytes=size, worst_s=round(took_s, 1))
        )
    )


def _round_trip_s(link: Netem) -> float:
    """What a connection to the station takes, at the least of five: a packet there, and one back."""
    connect = (
        "import socket, time\n"
        "def once():\n"
        "    begun = time.monotonic()\n"
        f"    socket.create_connection(({STATION!r}, {spaces.PORT}), 60).close()\n"
        "    return time.monotonic() - begun\n"
        "print(min(once() for _ in range(5)))"
    )
    with spaces.running(link.camera, "-c", connect) as process:
        return float(process.communicate(timeout=120)[0])


# -- half-open ---------------------------------------------------------------------------------------------------------


@in_full
def test_a_connection_that_only_one_end_knows_of_is_given_up_in_time(paths: AgencyPaths, docked: Desk) -> None:
    """With the deadlines that a camera has. Only then does anything come through again: nothing mends by itself."""
    size = sealed_bytes(docked)
    with Netem("delay 5ms") as link, serving(link, paths), sending(link, paths, docked, limit_kbps=SLOW_KBPS):
        until("some bytes", lambda: arrived(paths) > size // 4)
        begun = time.monotonic()
        with link.silent():
            until("half-open", lambda: link.half_open() > 0, 5)
            assert wait_told(docked, "unreachable", GIVEN_UP_S)["error"]
            told_s = time.monotonic() - begun
            until("given up", lambda: link.half_open() == 0, GIVEN_UP_S - told_s)
            given_up_s = time.monotonic() - begun
        wait_told(docked, "delivered", 120)
        assert link.counted()["lost"] > 0
    check_delivered(docked, paths)
    print(json.dumps({"told_s": round(told_s, 1), "given_up_s": round(given_up_s, 1)}))


@in_full
def test_a_station_that_died_while_the_link_was_cut_is_found_again(paths: AgencyPaths, docked: Desk) -> None:
    """The camera's connection leads to a process that is no more, and its kernel's first goodbyes were lost."""
    size = sealed_bytes(docked)
    with Netem("delay 5ms") as link, sending(link, paths, docked, limit_kbps=SLOW_KBPS):
        with ExitStack() as silence:
            with serving(link, paths):
                until("some bytes", lambda: arrived(paths) > size // 4)
                silence.enter_context(link.silent())
            time.sleep(CUT_S)
        assert arrived(paths) < size
        with serving(link, paths):
            wait_told(docked, "delivered", GIVEN_UP_S)
    check_delivered(docked, paths)


# -- who answers -------------------------------------------------------------------------------------------------------


@in_full
def test_a_portal_at_the_stations_address_is_told_and_gets_nothing(
    paths: AgencyPaths, docked: Desk, tmp_path: Path
) -> None:
    portal = admin.init(tmp_path / "portal", "a hotel", [STATION])
    with Netem(FAIR) as link:
        with serving(link, portal), sending(link, paths, docked):
            assert "not trusted" in str(wait_told(docked, "refused", 60)["refused"])
        assert arrived(portal) == 0
        with serving(link, paths), sending(link, paths, docked):
            wait_told(docked, "delivered", 60)
    check_delivered(docked, paths)


@in_full
def test_a_portal_without_tls_is_a_station_out_of_reach(paths: AgencyPaths, docked: Desk) -> None:
    redirect = (
        "import socket\n"
        f"with socket.create_server(({STATION!r}, {spaces.PORT})) as portal:\n"
        "    print('ready', flush=True)\n"
        "    peer, _ = portal.accept()\n"
        "    print(peer.recv(1).hex(), flush=True)\n"
        "    peer.sendall(b'HTTP/1.1 302 Found\\r\\nLocation: http://portal/\\r\\n\\r\\n')\n"
        "    peer.close()\n"
    )
    with Netem(FAIR) as link:
        with spaces.running(link.station, "-c", redirect) as portal:
            assert portal.stdout and portal.stdout.readline() == "ready\n"
            with sending(link, paths, docked):
                assert portal.stdout.readline() == TLS_HANDSHAKE
                assert wait_told(docked, "unreachable", 60)["error"]
        with serving(link, paths), sending(link, paths, docked):
            wait_told(docked, "delivered", 60)
    check_delivered(docked, paths)


@in_full
@pytest.mark.parametrize("trouble", ["refuses", "silent", "fails"])
def test_without_a_name_server_it_is_unreachable_and_with_one_delivered(
    paths: AgencyPaths, docked: Desk, trouble: str
) -> None:
    """The resolver's own words, whatever the C library makes of them: one uploader, before and after."""
    url = f"https://{NAME}:{spaces.PORT}"
    with (
        Netem(FAIR) as link,
        spaces.resolving(link.camera, STATION),
        serving(link, paths),
        ExitStack() as bad,
    ):
        if trouble != "refuses":
            bad.enter_context(_name_server(link, trouble))
        with sending(link, paths, docked, url):
            assert NAME in str(wait_told(docked, "unreachable", 60)["error"])
            assert arrived(paths) == 0
            bad.close()
            with _name_server(link, "knows"):
                wait_told(docked, "delivered", 120)
    check_delivered(docked, paths)


@contextmanager
def _name_server(link: Netem, manner: str) -> Iterator[None]:
    with spaces.running(link.station, "-m", "tests.dock.nameserver", STATION, manner) as server:
        assert server.stdout and server.stdout.readline() == "ready\n"
        yield
