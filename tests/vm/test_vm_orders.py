"""What the dock brings, on a machine whose clock and configuration can be changed: root's part from its own units."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from pathlib import Path

from agent import configfile
from tests.vm.bodycam import CAMERA, ETC, SPOOL, BodyCamera, tool
from tests.vm.channel import MachineError
from tests.vm.conftest import Make
from tests.vm.units import shown

SKEW_S = 5_000
APPLY = f"{SPOOL}/apply"
BURST = 8
"""More than systemd lets a unit start in its ten seconds, where nothing else is said (DefaultStartLimitBurst)."""
STUCK_S = 22


def test_the_dock_sets_the_clock_and_brings_configuration_and_assignment(
    make_camera: Make, kind: str, tmp_path: Path
) -> None:
    camera = make_camera(kind)
    machine, agency = camera.machine, camera.station.directory
    camera.wait_ready(60)
    machine.run(f"date -s @{int(time.time()) - SKEW_S}")
    text = machine.get(f"{ETC}/agent.toml").decode()
    file = tmp_path / "camera.toml"
    file.write_text(configfile.overlaid(text, {"video": {"bitrate_kbps": 350}}))
    tool("bodycam-station", "assign", CAMERA, "--dir", agency, "--officer", "no. 4711", "--unit", "Traffic 2")
    tool("bodycam-station", "configure", CAMERA, file, "--dir", agency)
    # The dock ends the recording; only then is the clock stepped.
    camera.press()
    camera.wait("status['media_s'] >= 2", 60)
    before = camera.boot().begun_s
    camera.dock()
    # The recorder starts anew in between, before or after it knows the officer, and asks for the time again, on a
    # machine that others may keep busy.
    deadline, assigned = time.monotonic() + 240 * camera.slow, False
    while not assigned or abs(_off_s(machine.run("date +%s.%N"))) > 5 or camera.boot().begun_s == before:
        assert time.monotonic() < deadline, (assigned, camera.journal("bodycam-apply"), camera.journal())
        with contextlib.suppress(MachineError, ValueError, KeyError):
            assigned = assigned or camera.status()["assignment"]["officer"] == "no. 4711"
        if camera.boot().begun_s != before:
            # The configuration came first, and the recorder that was started for it found the contact open.
            camera.dock()
        time.sleep(0.5)
    camera.wait("status['state'] in ('ready', 'docked')", 60)
    made = configfile.tables(machine.get(f"{ETC}/agent.toml").decode())
    assert made["video"]["bitrate_kbps"] == 350
    assert made["sealing"]["identity_key"] == configfile.tables(text)["sealing"]["identity_key"]
    assert "agent.toml is written" in camera.journal("bodycam-apply")
    assert "the clock is set" in camera.journal("bodycam-apply")
    assert machine.run("ls /var/lib/bodycam-agent/spool/apply").split() == ["still"]
    # gpio-sim lets go of a line's contact when the line is opened anew, with its pull.
    camera.dock()
    camera.wait("status['docked'] and status['segments']['sealed'] == 0", 120)
    report = camera.verify()
    assert report["verified"], report["findings"]
    faults = camera.status()["faults"]
    assert not {"clock", "configuration", "orders", "services"} & set(faults), faults
    assert machine.run("systemctl is-failed bodycam-apply.path bodycam-apply.service || true").split() == [
        "active",
        "inactive",
    ]


def _off_s(date: str) -> float:
    return float(date) - time.time()


def test_neither_a_burst_nor_one_that_does_not_go_leaves_the_camera_without_orders(
    make_camera: Make, kind: str
) -> None:
    """Given up by systemd, root's part would take its path unit along, and nothing was carried out until a boot."""
    camera = make_camera(kind)
    machine, deadline_s = camera.machine, 60 * camera.slow
    camera.wait_ready(60)
    machine.wait_for("systemctl is-active bodycam-apply.path", deadline_s)
    clock = {"boot": machine.run("cat /proc/sys/kernel/random/boot_id").strip(), "bound_ms": None}
    uptime_s = float(machine.run("cat /proc/uptime").split()[0])
    offset_ns = int((float(machine.run("date +%s.%N")) - uptime_s) * 1e9)
    # Good ones, each done before the next; and names that are none of the recorder's, of which one alone would do.
    for i in range(BURST):
        ask(camera, json.dumps({**clock, "offset_ns": offset_ns + i}).encode())
        machine.wait_for(f"! ls {APPLY} | grep clock", deadline_s)
    assert camera.journal("bodycam-apply", 200).count("the clock is set") == BURST
    for i in range(BURST):
        ask(camera, b"{}", f"{i}.clock")
        machine.wait_for(f"! ls {APPLY} | grep clock", deadline_s)
    assert camera.journal("bodycam-apply", 200).count("not named after its content") == BURST
    assert shown(camera, "bodycam-apply.path", "ActiveState") == {"ActiveState": "active"}

    # As on a card that can only be read: it is done and does not go, and comes again, in peace.
    before = starts(camera)
    stuck = ask(camera, json.dumps({**clock, "offset_ns": offset_ns}).encode(), immutable=True)
    machine.rest(STUCK_S)
    assert 2 <= starts(camera) - before <= STUCK_S / 5 + 2
    assert shown(camera, "bodycam-apply.path", "ActiveState") == {"ActiveState": "active"}
    machine.run(f"chattr -i {stuck}")
    machine.wait_for(f"! ls {APPLY} | grep clock", deadline_s)
    assert "cannot be taken away" in camera.journal("bodycam-apply", 200)
    # The next one is for itself again.
    machine.wait_for("systemctl show bodycam-apply.service -p ActiveState | grep -w inactive", deadline_s)
    ask(camera, json.dumps({**clock, "offset_ns": offset_ns}).encode())
    machine.wait_for(f"! ls {APPLY} | grep clock", deadline_s)


def ask(camera: BodyCamera, data: bytes, name: str | None = None, immutable: bool = False) -> str:
    """A request as the recorder makes it: written aside, its own."""
    path = f"{APPLY}/{name or hashlib.sha256(data).hexdigest() + '.clock'}"
    aside = f"{APPLY}/.aside"
    camera.machine.put(data, aside)
    place = f"chown bodycam-recorder: {aside} && chmod 600 {aside} && mv {aside} {path}"
    if immutable:
        # Before anybody looks.
        watch = "bodycam-apply.path"
        place = f"systemctl stop {watch} && {place} && chattr +i {path} && systemctl start {watch}"
    camera.machine.run(place)
    return path


def starts(camera: BodyCamera) -> int:
    """How often root's part was started, in this boot."""
    return int(camera.machine.run("journalctl -b --no-pager -u bodycam-apply -o cat | grep -c '^Starting '"))
