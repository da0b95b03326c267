"""What the dock brings, on a machine whose clock and configuration can be changed: root's part from its own units."""

from __future__ import annotations

import time
from pathlib import Path

from agent import configfile
from tests.vm.bodycam import CAMERA, ETC, tool
from tests.vm.conftest import Make

SKEW_S = 5_000


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
    camera.wait("status.get('assignment', {}).get('officer') == 'no. 4711'", 60)
    deadline = time.monotonic() + 60 * camera.slow
    while abs(off := _off_s(machine.run("date +%s.%N"))) > 5 or camera.boot().begun_s == before:
        assert time.monotonic() < deadline, (off, camera.journal("bodycam-apply"), camera.journal())
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
