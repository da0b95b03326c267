"""The station's own keys exchanged on an installed camera: each step comes by the dock, through root's path unit, and
takes effect with a start of the real units. The old key's holder is a station of his own: the agency's directory as it
was before the key was retired.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent import configfile
from agent.errors import Exit
from agent.formats import note
from agent.formats.order import Kind
from agent.station import orders
from agent.station.layout import AgencyPaths, successor
from tests.vm.bodycam import CAMERA, ETC, BodyCamera, Station, tool
from tests.vm.channel import MachineError
from tests.vm.conftest import KINDS, Make
from tests.vm.uml import Uml

pytestmark = pytest.mark.skipif("uml" not in KINDS, reason="user-mode Linux was not asked for")


class Exchange:
    """A camera that has taken a configuration by order, and one of its station's keys."""

    def __init__(self, camera: BodyCamera, which: str, tmp_path: Path) -> None:
        self.camera, self.which, self.tmp = camera, which, tmp_path
        self.agency = camera.station.directory
        self.paths = AgencyPaths(self.agency)
        self.vkey = self.paths.receipt_vkey if which == "receipts" else self.paths.config_vkey
        self._deliveries = 0

    def configure(self, station: Station, **video: Any) -> None:
        file = self.tmp / "camera.toml"
        text = self.camera.machine.get(f"{ETC}/agent.toml").decode()
        file.write_text(configfile.overlaid(text, {"video": video}))
        tool("bodycam-station", "configure", CAMERA, file, "--dir", station.directory)

    def rotate(self, *more: str, status: int = 0) -> None:
        tool("bodycam-station", "rotate", "--dir", self.agency, f"--{self.which}", *more, status=status)

    def pinned(self) -> tuple[str, str]:
        """By the file that root put in place: the key, and the next one."""
        dock = configfile.tables(self.camera.machine.get(f"{ETC}/agent.toml").decode())["dock"]
        name = "receipt_key" if self.which == "receipts" else "config_key"
        return str(dock[name]), str(dock.get(f"{name}_next", ""))

    def docked(self, done: Callable[[], bool], timeout_s: float = 180) -> None:
        """In the dock until it is so. gpio-sim lets go of the contact where a recorder that was started anew opens its
        line, so it is closed again and again.
        """
        deadline = time.monotonic() + timeout_s
        self.camera.dock(False)
        while not self._is(done):
            self.camera.dock()
            assert time.monotonic() < deadline, (
                self.pinned(),
                self.camera.journal("bodycam-apply"),
                self.camera.journal("bodycam-uploader"),
            )
            time.sleep(0.5)

    @staticmethod
    def _is(done: Callable[[], bool]) -> bool:
        """False also while the recorder is between two starts."""
        try:
            return done()
        except (MachineError, KeyError):
            return False

    def takes(self, *pinned: str) -> None:
        """The configuration with these keys is in force, by order, through root's unit."""
        self.docked(lambda: self.pinned() == pinned)
        number = self._newest()
        self.docked(lambda: self.camera.status().get("configuration", {}).get("order") == number)
        assert "agent.toml is written" in self.camera.journal("bodycam-apply")
        kept = self.camera.machine.run(f"cat {ETC}/orders.json")
        assert f'"number": {number}' in kept
        self.camera.wait("status['state'] in ('ready', 'docked')", 120)
        self.quiet()

    def _newest(self) -> int:
        made = orders.newest(self.paths.orders, CAMERA, Kind.CONFIGURATION)
        assert made
        return made.number

    def record(self) -> None:
        self.camera.dock(False)
        self.camera.wait_ready(120)
        before = self.camera.status()["media_s"]
        self.camera.press()
        self.camera.wait(f"status['media_s'] >= {before + 2}", 120)
        self.camera.hold()
        self.camera.wait("status['recording'] is None and status['segments']['sealed'] > 0", 120)

    def delivers(self, by: str) -> None:
        """A recording, on a receipt that this key signed."""
        self.record()
        self.docked(lambda: self.camera.status()["segments"]["sealed"] == 0)
        into = self.tmp / f"delivery-{self._deliveries}"
        into.mkdir()
        self._deliveries += 1
        signed = note.parse(self.camera.newest_receipt(into).read_bytes())
        (name, public), *_ = note.parse_vkeys(by)
        note.verify_ed25519(signed, name, public)

    def quiet(self) -> None:
        faults = self.camera.status()["faults"]
        assert not {"clock", "configuration", "orders", "receipt", "services"} & set(faults), faults

    def serve(self, station: Station) -> Station:
        assert isinstance(self.camera.machine, Uml)
        station.serve(self.camera.machine.inside, f"{Uml.host}:8443")
        return station


@pytest.fixture
def exchange(make_camera: Make, tmp_path: Path, which: str) -> Exchange:
    camera = make_camera("uml")
    camera.wait_ready(120)
    made = Exchange(camera, which, tmp_path)
    made.configure(camera.station, bitrate_kbps=350)
    made.takes(*made.pinned())
    return made


def read(vkey: Path) -> str:
    return vkey.read_text("ascii").strip()


@pytest.mark.parametrize("which", ["receipts", "orders"])
def test_a_key_is_exchanged_at_the_dock_and_the_old_one_counts_no_more(exchange: Exchange, which: str) -> None:
    camera, station = exchange.camera, exchange.camera.station
    old = read(exchange.vkey)
    receipts = read(exchange.paths.receipt_vkey)
    assert exchange.pinned() == (old, "")
    exchange.delivers(receipts)

    exchange.rotate()
    after = read(successor(exchange.vkey))
    # No camera has said yet that it pins the successor.
    exchange.rotate("--retire", status=Exit.USAGE)
    exchange.takes(old, after)
    # Both are pinned, and the old one signs.
    exchange.delivers(receipts)
    if which == "orders":
        tool("bodycam-station", "assign", CAMERA, "--dir", exchange.agency, "--officer", "no. 1")
        exchange.docked(lambda: camera.status().get("assignment", {}).get("officer") == "no. 1")

    # Who has the old key, and served what was ordered under it: the agency as it is now.
    station.stop()
    thief = Station(exchange.tmp / "thief")
    shutil.copytree(exchange.agency, thief.directory)
    exchange.rotate("--retire")
    assert read(exchange.vkey) == after
    exchange.serve(station)
    # The successor signs what a camera takes that still pins both.
    exchange.takes(after, "")
    exchange.delivers(after if which == "receipts" else receipts)
    exchange.quiet()

    # The old key: no receipt, no time, no order of it.
    camera.dock(False)
    station.stop()
    exchange.serve(thief)
    try:
        if which == "receipts":
            refused_receipt(exchange)
        else:
            refused_order(exchange, thief)
        assert exchange.pinned() == (after, "")
    finally:
        thief.stop()
    exchange.serve(station)
    exchange.docked(lambda: camera.status()["segments"]["sealed"] == 0)
    report = camera.verify()
    assert report["verified"], report["findings"]


def refused_receipt(exchange: Exchange) -> None:
    camera = exchange.camera
    exchange.record()
    before = camera.status()["segments"]
    exchange.docked(lambda: "receipt" in camera.status()["faults"])
    status = camera.status()
    assert "expected key" in status["faults"]["receipt"], status["faults"]
    assert status["segments"]["sealed"] >= before["sealed"] > 0
    assert status["segments"]["delivered"] == before["delivered"]


def refused_order(exchange: Exchange, thief: Station) -> None:
    camera = exchange.camera
    exchange.configure(thief, bitrate_kbps=300)
    tool("bodycam-station", "assign", CAMERA, "--dir", thief.directory, "--officer", "no. 2")
    order = camera.status()["configuration"]["order"]
    exchange.docked(lambda: "no signature" in camera.status()["faults"].get("orders", ""))
    status = camera.status()
    assert status["configuration"]["order"] == order and status["assignment"]["officer"] == "no. 1"
    assert f'"number": {order}' in camera.machine.run(f"cat {ETC}/orders.json")
