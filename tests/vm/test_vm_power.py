"""The battery falls out, at random instants of all that a camera does: at most a second of media is missing by the
guest's own clock, nothing durable is lost, nothing is deleted that the station lacks, and it is ready again by itself.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.model import NS
from tests.campaigns import Campaign, size
from tests.vm.bodycam import SLOWNESS, SPOOL, BodyCamera
from tests.vm.conftest import Make
from tests.vm.leaves import reaches

PHASES = ("flushing", "rotating", "uploading", "recovering", "deleting", "recording")
CUTS = size(5, 10)
PARTS = size(1, 6)
BOUND_S = 1.0
PASSING = {"microphone"}
"""The loopback's other end may be opened later than the microphone."""
SETTINGS = {"recording": {"segment_s": 5}, "dock": {"limit_kbps": 1500}}
RECORDER = "[ $(systemctl show bodycam-recorder -p MainPID --value) != 0 ]"


@dataclass
class Cut:
    """One of them: in which boot, when by that boot's clock, and what was known to be durable."""

    phase: str
    boot: str
    guest_s: float
    pressed_s: float | None = None
    recording: str | None = None
    durable_parts: int = 0


@dataclass
class Series:
    """One camera's cuts, one after another on the same disks."""

    camera: BodyCamera
    chance: random.Random
    cuts: list[Cut] = field(default_factory=list)
    ready_s: list[float] = field(default_factory=list)

    # -- how each comes about ------------------------------------------------------------------------------------------

    def run(self, phase: str) -> None:
        getattr(self, f"_{phase}")()
        self.back()

    def back(self) -> None:
        """On again: it gets ready by itself."""
        machine = self.camera.machine
        machine.start(180 * self.camera.slow)
        self.camera.wait(f"status['state'] == 'ready' and not set(faults) - {PASSING | SLOWNESS[machine.kind]}", 90)
        self.ready_s.append(self.camera.boot().ready_s)

    def _recording(self) -> None:
        self._press()
        self._cut_after("recording", 0.3, 4.0, look=True)

    def _flushing(self) -> None:
        """What the ring holds from before the press becomes durable first."""
        self.camera.wait("status['intake']['ring_s'] >= 2.5", 30)
        self._press()
        self._cut_after("flushing", 0.0, 0.8)

    def _rotating(self) -> None:
        self._press()
        newest = f"ls {SPOOL}/open | tail -1"
        another = f"i=0; until [ $i -ge 2000 ] || [ $({newest}) != $a ]; do i=$((i+1)); sleep .005; done"
        self.camera.machine.run(f"sleep 1; a=$({newest}); {another}", 60 * self.camera.slow)
        self._cut_after("rotating", 0.0, 0.3)

    def _uploading(self) -> None:
        self._record_something()
        self.camera.dock()
        self.camera.wait("status['upload'].get('state') == 'uploading'", 30, every_s=0.05)
        self._cut_after("uploading", 0.0, 3.0)

    def _deleting(self) -> None:
        self._record_something()
        self.camera.dock()
        self.camera.wait("status['segments']['sealed'] == 0 and status['segments']['delivered'] > 0", 120)
        script = self.camera.control_script({"do": "retain", "force": True})
        self.camera.machine.run(f"({script}) >/dev/null 2>&1 & until [ $(ls {SPOOL}/open | wc -l) -ge 1 ]; do :; done")
        self._cut_after("deleting", 0.0, 0.6 * self.camera.slow)

    def _recovering(self) -> None:
        """Once in a recording, and again while the next start puts that in order."""
        self._press()
        self._cut_after("recording", 1.0, 2.0, look=True)
        machine = self.camera.machine
        machine.start(180 * self.camera.slow)
        machine.wait_for(RECORDER, 60 * self.camera.slow, 0.05)
        self._cut_after("recovering", 0.0, 2.5 * self.camera.slow)

    # -- steps ---------------------------------------------------------------------------------------------------------

    def _press(self) -> None:
        """Shortly, and without waiting for anything but the contact."""
        now = self.camera.machine.run("cut -d' ' -f1 /proc/uptime")
        self.camera.press()
        self._pressed_s = float(now)

    def _record_something(self) -> None:
        self.camera.press()
        self.camera.wait("status['media_s'] >= 5", 60)
        self.camera.hold()
        self.camera.wait("status['recording'] is None", 60)
        self._pressed_s = None

    _pressed_s: float | None = None

    def _cut_after(self, phase: str, least_s: float, most_s: float, look: bool = False) -> None:
        machine = self.camera.machine
        boot = machine.run("cat /proc/sys/kernel/random/boot_id").strip()
        cut = Cut(phase, boot, 0.0, self._pressed_s)
        machine.rest(self.chance.uniform(least_s, most_s))
        if look:
            status = self.camera.status()
            cut.recording, cut.durable_parts = status["recording"], status["parts"]
        guest_ns = machine.power_cut()
        assert guest_ns is not None
        cut.guest_s, self._pressed_s = guest_ns / NS, None
        self.cuts.append(cut)

    # -- what is left --------------------------------------------------------------------------------------------------

    def missing_s(self) -> dict[int, float]:
        """By cut: from the end of what is durable (the press at the earliest) to the cut. All is at the station."""
        held = reaches(self.camera.station.segments())
        missing = {}
        for number, cut in enumerate(self.cuts):
            if cut.pressed_s is None:
                continue
            reach = held.get(cut.boot)
            end_s = reach.end_ns / NS if reach else 0.0
            missing[number] = cut.guest_s - max(end_s, cut.pressed_s)
        return missing


@pytest.mark.campaign
@pytest.mark.parametrize("part", range(PARTS))
def test_whenever_the_battery_falls_out(make_camera: Make, kind: str, part: int, tmp_path: Path) -> None:
    campaign = Campaign(f"vm-power-{kind}", part, PARTS, command=f"BODYCAM_CAMPAIGN=full make vm-test VM={kind}")
    camera = make_camera(kind, SETTINGS)
    camera.wait_ready(60)
    series = Series(camera, random.Random(f"{kind} {part}"))
    for number in range(CUTS):
        series.run(PHASES[(part * CUTS + number) % len(PHASES)])

    camera.reconfigure({"dock": {"limit_kbps": 0}})
    camera.wait("status['state'] == 'ready'", 60)
    camera.dock()
    camera.wait("status['segments']['sealed'] == 0", 300)
    report = camera.verify("--head", camera.newest_receipt(tmp_path))
    missing = series.missing_s()
    print([(c, missing.get(n)) for n, c in enumerate(series.cuts)])
    # One log, whole from its first leaf on: what was durable is there, and what was deleted is at the station.
    assert report["verified"], report["findings"]
    assert [log["origin"].rpartition("/")[2] for log in report["logs"]] == ["1"]
    held = {found["recording"]: found["parts"] for found in report["recordings"]}
    for cut in series.cuts:
        assert cut.recording is None or held.get(cut.recording, 0) >= cut.durable_parts, cut
    assert missing
    assert max(missing.values()) <= BOUND_S
    campaign.finish(
        cuts=len(series.cuts),
        by_phase=dict(Counter(cut.phase for cut in series.cuts)),
        in_a_recording=len(missing),
        worst_missing_s=round(max(missing.values()), 3),
        worst_ready_after_kernel_start_s=round(max(series.ready_s), 1),
        recordings=len(held),
        lost_durable=0,
        deleted_without_receipt=0,
    )
