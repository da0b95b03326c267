"""The battery falls out, at random instants of all that a camera does: at most a second of media is missing by the
guest's own clock, nothing durable is lost, nothing is deleted that the station lacks, and it is ready again by itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.formats import note, receipt
from agent.model import NS
from tests.campaigns import size
from tests.vm import cuts
from tests.vm.bodycam import CONTROL, FPS, PROFILE, SLOWNESS, BodyCamera
from tests.vm.conftest import Make, campaign
from tests.vm.cuts import Cut
from tests.vm.logged import held_by
from tests.vm.test_vm_boots import ready_s

PHASES = ("flushing", "rotating", "uploading", "recovering", "deleting", "recording")
CUTS = 6
PARTS = size(1, 8)
BOUND_S = 1.0
PASSING = {"microphone"}
"""The loopback's other end may be opened later than the microphone."""
SETTINGS = {"recording": {"segment_s": 5}, "dock": {"limit_kbps": 1500}}
STEADY = {**SETTINGS, "video": {"fps": FPS["uml"]}}
"""An emulated machine that goes by its instructions keeps up with the other."""
SHORT_RING = {"recording": {"pre_event_s": PROFILE["recording"]["pre_event_s"]}}
LONG_RING_S = 45
"""A dozen parts and more: else it would all be durable before anybody sees that it begins to be."""
MARKS = 220
"""Only segments whose leaves full tiles of the log hold may be deleted, and a tile is 256: so many have been written
before the first cut, and the cuts' recordings bring the others.
"""
ASK = """/usr/bin/python3 -IS - <<'END'
import socket
for _ in range({times}):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect({control!r})
        client.sendall({request!r})
        assert b'"ok": true' in client.recv(65536)
END
"""
RETAIN = ASK.format(times=1, control=CONTROL, request=b'{"do": "retain", "force": true}\n')
MARK = ASK.format(times=MARKS, control=CONTROL, request=b'{"do": "mark", "text": "here"}\n')


@dataclass
class Series:
    """One camera's cuts, one after another on the same disks."""

    camera: BodyCamera
    chance: random.Random
    cuts: list[Cut] = field(default_factory=list)
    boots: list[str] = field(default_factory=list)
    """Those in which it got ready by itself after a cut."""
    _button: tuple[float | None, float | None] = (None, None)
    _delivered: int | None = None
    _turned: str | None = None

    @property
    def pace(self) -> float:
        """Of what it does, against user-mode Linux."""
        return 1.0 if self.camera.machine.steady else self.camera.slow

    # -- how each comes about ------------------------------------------------------------------------------------------

    def run(self, phase: str) -> None:
        getattr(self, f"_{phase}")()
        self.back()
        if phase == "flushing":
            self.camera.reconfigure(SHORT_RING)
            self.ready()

    def back(self) -> None:
        """On again: it gets ready by itself."""
        machine = self.camera.machine
        machine.start(180 * self.camera.slow)
        self.ready()
        assert machine.boot
        self.boots.append(machine.boot)

    def ready(self) -> None:
        machine = self.camera.machine
        passing = PASSING | (set() if machine.steady else SLOWNESS[machine.kind])
        self.camera.watch()
        self.until(lambda told: told.get("state") == "ready" and not set(told["faults"]) - passing, 90)

    def until(self, wanted: Callable[[dict[str, Any]], bool], timeout_s: float) -> None:
        self.camera.until(wanted, timeout_s)

    def _recording(self) -> None:
        self._press()
        self.cut_after("recording", 0.3, 4.0)

    def _flushing(self) -> None:
        """While a long ring becomes durable: what it holds from before the press comes first."""
        self.camera.reconfigure({"recording": {"pre_event_s": LONG_RING_S}})
        self.until(lambda told: told.get("ring_s", 0) >= LONG_RING_S, LONG_RING_S + 60)
        before = self.camera.machine.told()
        self._press()
        self.until(lambda told: told["written"] != before["written"], 30)
        self.cut_after("flushing", 0.0, 0.05 * self.pace)

    def _rotating(self) -> None:
        self._press()
        self.until(lambda told: bool(told.get("recording")) and told["parts"] >= 2, 30)
        before = self.camera.machine.told()["open"]
        self.until(lambda told: told["open"] not in ("", before), 60)
        self._turned = before
        self.cut_after("rotating", 0.0, 0.15)

    def _uploading(self) -> None:
        self._record_something()
        self.camera.dock()
        self.until(lambda told: told.get("upload") == "uploading", 60)
        self.cut_after("uploading", 0.0, 3.0)

    def _deleting(self) -> None:
        self._record_something()
        self.camera.dock()
        self.until(lambda told: told["segments"]["sealed"] == 0 and told["segments"]["delivered"] > 0, 120)
        before = self.camera.machine.told()
        self._delivered = before["delivered"]
        self.camera.machine.send(RETAIN)
        if self.chance.random() < 0.5:
            # While what it announces becomes durable.
            self.until(lambda told: told["written"] != before["written"], 60)
        else:
            # While one after another goes.
            self.until(lambda told: told["delivered"] < before["delivered"], 60)
        self.cut_after("deleting", 0.0, 0.03 * self.pace)

    def _recovering(self) -> None:
        """Once in a recording, and again while the next start puts that in order: from its first change in the spool
        on, which comes long after its process began.
        """
        self._press()
        self.cut_after("recording", 1.0, 2.0)
        machine = self.camera.machine
        machine.start(180 * self.camera.slow)
        self.camera.watch()
        torn = self.camera.until(lambda told: "open" in told, 60)
        self.until(lambda told: (told["open"], told["written"]) != (torn["open"], torn["written"]), 60)
        self.cut_after("recovering", 0.0, 0.1 * self.pace)

    # -- steps ---------------------------------------------------------------------------------------------------------

    def _press(self) -> None:
        """Shortly, and without waiting for anything but the contact."""
        self._button = self.camera.press()

    def fill_the_log(self) -> None:
        self._record_something(MARK)

    def _record_something(self, meanwhile: str = "true") -> None:
        self.camera.press()
        self.until(lambda told: bool(told.get("recording")) and told["media_s"] >= 5, 60)
        self.camera.machine.run(meanwhile, 60 * self.camera.slow)
        self.camera.hold()
        self.until(lambda told: "recording" in told and told["recording"] is None, 60)

    def cut_after(self, phase: str, least_s: float, most_s: float) -> None:
        machine = self.camera.machine
        boot = machine.boot
        machine.rest(self.chance.uniform(least_s, most_s))
        guest_ns = machine.power_cut()
        assert boot and guest_ns is not None
        load = round(os.getloadavg()[0], 2)
        told = machine.told()
        self.cuts.append(
            Cut(phase, boot, guest_ns / NS, told, *self._button, load, machine.lag, self._delivered, self._turned)
        )
        self._button, self._delivered, self._turned = (None, None), None, None


def receipts_of(camera: BodyCamera) -> dict[str, list[str]]:
    """The station's receipts: digests of the segments that each names, by its own digest."""
    found = {}
    for path in (camera.station.paths.station / "receipts").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            told = receipt.parse(note.parse(data).text)
            found[hashlib.sha256(data).hexdigest()] = [item.sha256 for item in (*told.stored, *told.kept)]
    return found


@pytest.mark.campaign
@pytest.mark.parametrize("part", range(PARTS))
def test_whenever_the_battery_falls_out(make_camera: Make, kind: str, part: int, tmp_path: Path) -> None:
    figures = campaign(f"vm-power-{kind}", kind, "-k battery", part, PARTS)
    camera = make_camera(kind, STEADY, steady=True)
    series = Series(camera, random.Random(f"{kind} {part}"))
    series.ready()
    series.fill_the_log()
    for number in range(CUTS):
        series.run(PHASES[(part * CUTS + number) % len(PHASES)])

    camera.reconfigure({"dock": {"limit_kbps": 0}})
    camera.wait("status['state'] == 'ready'", 60)
    camera.dock()
    # To ask by a command costs an emulated machine a second of its own each time.
    series.until(lambda told: told.get("state") == "docked" and told["segments"]["sealed"] == 0, 300)
    camera.wait("status['segments']['sealed'] == 0", 300)
    report = camera.verify("--head", camera.newest_receipt(tmp_path))
    held = held_by(camera)
    missing = {n: cuts.missing_s(held, cut) for n, cut in enumerate(series.cuts) if cut.pressed_s is not None}
    holes = {n: cuts.hole_s(held, series.cuts[n]) for n in missing}
    ready = ready_s(report)
    before = [cuts.missing_before_s(held, cut) for cut in series.cuts if cut.phase == "flushing"]
    lost = sum(cuts.lost_parts(held, cut) for cut in series.cuts)
    stored = [hashlib.sha256(path.read_bytes()).hexdigest() for path in camera.station.segments()]
    unsafe = cuts.deleted_without_receipt(held, receipts_of(camera), stored)
    explained = [cuts.explained(held, cut) for cut in series.cuts]
    print(*explained, sep="\n")
    # One log, whole from its first leaf on: what was durable is there, and what was deleted is at the station.
    assert report["verified"], report["findings"]
    assert [log["origin"].rpartition("/")[2] for log in report["logs"]] == ["1"]
    assert missing
    figures.finish(
        cuts=len(series.cuts),
        by_phase=dict(Counter(cut.phase for cut in series.cuts)),
        in_a_recording=len(missing),
        over_a_second=sum(lost_s > BOUND_S for lost_s in missing.values()),
        over_a_second_though_it_ran=sum(
            cuts.though_it_ran_s(held, cut) > BOUND_S for cut in series.cuts if cut.pressed_s is not None
        ),
        worst_missing_s=round(max(missing.values()), 3),
        cut_while_the_ring_was_written=sum(seconds > 0 for seconds in before),
        worst_missing_of_before_the_press_s=round(max(before, default=0.0), 3),
        cut_as_the_next_segment_was_begun=sum(cut.begins_the_next for cut in series.cuts),
        cut_before_it_was_ready_again=sum(cut.recovers for cut in series.cuts),
        worst_hole_s=round(max(holes.values()), 3),
        worst_ready_after_kernel_start_s=round(max(ready[boot] for boot in series.boots if boot in ready), 1),
        worst_load_average=max(cut.load for cut in series.cuts),
        recordings=len(report["recordings"]),
        durable_parts_told=sum(cut.durable_parts for cut in series.cuts),
        lost_durable=lost,
        segments_deleted=len(held.deletions),
        cut_after_a_deletion_was_announced=sum(
            cut.delivered is not None and cut.boot in held.announced for cut in series.cuts
        ),
        cut_after_the_first_was_deleted=sum(cut.some_deleted for cut in series.cuts),
        deleted_without_receipt=len(unsafe),
    )
    # Else it was all durable before the cut, which then tried nothing of it.
    assert all(seconds > 0 for seconds in before), explained
    assert all(cut.begins_the_next for cut in series.cuts if cut.phase == "rotating"), explained
    assert all(cut.recovers for cut in series.cuts if cut.phase == "recovering"), explained
    assert (lost, unsafe) == (0, []), explained
    # Of what a recording has to its end nothing lacks, but for a picture's time between two parts.
    assert max(holes.values()) <= 1 / FPS["uml"], explained
    assert max(missing.values()) <= BOUND_S, json.dumps(explained, indent=1)
