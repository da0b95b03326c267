"""What goes wrong around a camera: each ends in a state that is shown and logged, and is over when its cause is gone.

On user-mode Linux alone: nothing here depends on the machine's pace or its disk's cache.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from agent.model import NS
from tests.vm.bodycam import BodyCamera
from tests.vm.conftest import KINDS, Make
from tests.vm.logged import cleared, faults, said
from tests.vm.machine import LED_REC, LED_STATUS
from tests.vm.units import blinks, drop_in, shown

pytestmark = pytest.mark.skipif("uml" not in KINDS, reason="user-mode Linux was not asked for")
DATA = "/var/lib/bodycam-agent"
DISK = "/dev/ubdb"
AS_EVER = f"linear {DISK} 0"
DEAD = f"flakey {DISK} 0 0 600"
"""What is read and what is written fails, for ten minutes (Documentation/admin-guide/device-mapper/dm-flakey.rst)."""
FAILS = f"{DEAD} 1 error_writes"
NO_LADDER = {"ladder": {"enabled": False}}
"""Where this machine is busy, the ladder would go on in another, linked recording with a smaller picture."""
LEFT_LIT_S = 25
"""WatchdogSec= of the recorder's unit, RestartSec=, and what systemd and this machine take."""
WRITES_BACK = "/proc/sys/vm/dirty_writeback_centisecs"
PYTHON = "/opt/bodycam-agent/current/bin/python3"
NOT_SET = "'clock not set' in status['officer']['warnings']"
STEADY = "status['state'] == 'ready' and not faults"


@pytest.fixture
def camera(make_camera: Make) -> BodyCamera:
    camera = make_camera("uml", NO_LADDER)
    camera.wait(STEADY, 60)
    return camera


@pytest.fixture
def recording(camera: BodyCamera) -> str:
    """One that runs, and from which something is durable."""
    return begin(camera)


def begin(camera: BodyCamera) -> str:
    before = camera.status()["parts"]
    camera.press()
    return str(camera.wait(f"status['recording'] and status['parts'] > {before} + 2", 60)["recording"])


def end(camera: BodyCamera) -> None:
    camera.hold()
    camera.wait("status['recording'] is None", 60)


def delivered(camera: BodyCamera, into: Path) -> dict[str, Any]:
    """All of it at the station, verified to the last leaf."""
    camera.dock()
    camera.wait("status['segments']['sealed'] == 0 and status['segments']['delivered'] > 0", 120)
    report = camera.verify("--head", camera.newest_receipt(into))
    assert report["verified"], report["findings"]
    return report


def states(report: dict[str, Any]) -> set[str]:
    """What the accounts say that the camera was in."""
    (own,) = report["accounts"]
    return {account["state"] for boot in own["boots"] for account in boot["accounts"]}


def goes_on(camera: BodyCamera, recording: str, parts: int = 4) -> None:
    """It still runs, and more of it becomes durable."""
    durable = camera.status()["parts"]
    camera.wait(f"status['recording'] == {recording!r} and status['parts'] >= {durable + parts}", 60)


def gives_nothing(camera: BodyCamera, percent: int) -> None:
    """vivid loses so many of its pictures."""
    camera.machine.run(f"v4l2-ctl -d /dev/video0 -c percentage_of_dropped_buffers={percent}")


LENS = {
    "unplugged": (lambda camera: camera.machine.lens(False), lambda camera: camera.machine.lens(True)),
    "stalled": (lambda camera: gives_nothing(camera, 100), lambda camera: gives_nothing(camera, 0)),
}


@pytest.mark.parametrize("how", LENS)
def test_a_lens_that_goes_and_comes_back(camera: BodyCamera, recording: str, how: str, tmp_path: Path) -> None:
    goes, comes_back = LENS[how]
    goes(camera)
    camera.wait("status['recording'] is None and 'camera' in faults", 60)
    assert not camera.light()
    comes_back(camera)
    linked = camera.wait(f"status['recording'] not in (None, {recording!r}) and 'camera' not in faults", 60)[
        "recording"
    ]
    goes_on(camera, linked)
    assert camera.light()
    end(camera)
    report = delivered(camera, tmp_path)
    assert [r["recording"] for r in report["recordings"]] == [recording, linked]
    assert "fault" in states(report)
    assert said(camera, "camera.lost") and "camera" in cleared(camera)


def test_a_microphone_that_hears_nothing_for_a_while(camera: BodyCamera, recording: str, tmp_path: Path) -> None:
    camera.machine.run("systemctl stop loopback-tone")
    camera.wait("'microphone' in faults or 'sound' in faults", 60)
    goes_on(camera, recording)
    camera.machine.run("systemctl start loopback-tone")
    camera.wait("not {'microphone', 'sound'} & set(faults)", 60)
    goes_on(camera, recording)
    end(camera)
    report = delivered(camera, tmp_path)
    assert [r["recording"] for r in report["recordings"]] == [recording]
    assert said(camera, "microphone.deaf") and said(camera, "microphone.hears")
    assert loudest(camera.evidence(recording, tmp_path / "export"))[-1] > 1000


def test_a_sound_card_that_goes_and_comes_back(camera: BodyCamera, recording: str, tmp_path: Path) -> None:
    """Unbound from its driver under the open stream, as one that is unplugged."""
    driver = "/sys/bus/platform/drivers/snd_aloop"
    # The kernel waits until the recorder has let go of it.
    camera.machine.run(f"systemd-run -q --unit unplug bash -c 'echo snd_aloop.0 > {driver}/unbind'")
    camera.wait("'microphone' in faults", 60)
    camera.machine.wait_for("[ ! -e /proc/asound/Loopback ] && ! systemctl is-active unplug", 60)
    goes_on(camera, recording)
    # What beeps gave up meanwhile, or may be a moment too early: it is started again by itself.
    camera.machine.run(
        f"echo snd_aloop.0 > {driver}/bind; udevadm settle; systemctl reset-failed loopback-tone || true"
    )
    camera.machine.run("systemctl restart --no-block loopback-tone")
    camera.wait("not {'microphone', 'sound'} & set(faults)", 90)
    goes_on(camera, recording)
    end(camera)
    report = delivered(camera, tmp_path)
    assert [r["recording"] for r in report["recordings"]] == [recording]
    assert said(camera, "microphone.lost") and said(camera, "microphone.back")
    assert loudest(camera.evidence(recording, tmp_path / "export"))[-1] > 1000


def loudest(film: Path) -> list[int]:
    """The loudest sample of a film's first half and of its last quarter."""
    with av.open(str(film)) as container:
        levels = [int(np.abs(frame.to_ndarray()).max() * 32767) for frame in container.decode(audio=0)]
    return [max(levels[: len(levels) // 2]), max(levels[-len(levels) // 4 :])]


def test_a_full_disk(camera: BodyCamera, recording: str, tmp_path: Path) -> None:
    free = f"$(df --output=avail -B1 {DATA} | tail -1)"
    camera.machine.run(f"fallocate -l $(({free} - (8 << 20))) {DATA}/ballast; sync")
    camera.wait("status['recording'] is None and 'storage' in faults", 60)
    camera.machine.run(f"rm {DATA}/ballast; sync")
    # By itself: nobody has to press to find out.
    camera.wait("'storage' not in faults and status['state'] == 'ready'", 120)
    second = begin(camera)
    end(camera)
    report = delivered(camera, tmp_path)
    assert {recording, second} <= {r["recording"] for r in report["recordings"]}
    assert "storage" in faults(camera) & cleared(camera)


def test_a_disk_that_may_only_be_read(camera: BodyCamera, recording: str, tmp_path: Path) -> None:
    # The emergency remount of magic SysRq takes it from under open files, as the kernel does after an error.
    camera.machine.run(
        "echo u > /proc/sysrq-trigger; i=0; until findmnt -no OPTIONS " + DATA + " | grep -qw ro; do sleep .1; done"
    )
    seen = set(camera.wait("'storage' in faults", 60)["faults"]) - {"microphone"}
    assert not camera.light()
    camera.machine.run(f"mount -o remount,rw {DATA}")
    camera.wait("status['state'] in ('ready', 'recording') and not faults", 120)
    if camera.status()["recording"] is None:
        begin(camera)
    goes_on(camera, camera.status()["recording"])
    end(camera)
    delivered(camera, tmp_path)
    # All that was shown; said late, when the disk took it.
    assert seen <= faults(camera) & cleared(camera)


def test_a_disk_that_may_only_be_read_when_the_recorder_starts(camera: BodyCamera, tmp_path: Path) -> None:
    """It starts, shows it, and hears the button; the press is done when the disk is well."""
    run = camera.machine.run
    # By /etc/fstab too: after a minute it is mounted anew.
    run("sed -i /bodycam-agent/s/noatime/noatime,ro/ /etc/fstab && systemctl daemon-reload", 60)
    run(f"systemctl stop bodycam-uploader bodycam-recorder; mount -o remount,ro {DATA}", 60)
    run("systemctl start bodycam-recorder", 90)
    status = camera.wait("status['state'] == 'fault' and 'storage' in faults", 60)
    assert status["officer"]["alarm"] and not camera.light()
    camera.press()
    camera.wait("status['wanted'] == 'button' and status['recording'] is None", 60)
    # So long that the watchdog would have come, had nobody fed it.
    camera.machine.rest(20)
    camera.wait("'storage' in faults", 60)
    assert "watchdog" not in camera.journal(lines=100).lower()
    assert blinks(camera)
    run("sed -i s/noatime,ro/noatime/ /etc/fstab && systemctl daemon-reload", 60)
    run(f"mount -o remount,rw {DATA}", 60)
    # Where the minute is over just now, root's part stops it for the mount.
    camera.machine.wait_for("systemctl start bodycam-uploader", 60)
    # The mounts of its unit are those of its begin: it begins anew after a minute, and knows of the press.
    recording = camera.wait("status['recording'] and 'storage' not in faults", 120)["recording"]
    goes_on(camera, recording)
    assert camera.light()
    end(camera)
    report = delivered(camera, tmp_path)
    assert [r["recording"] for r in report["recordings"]] == [recording]
    assert "storage" in faults(camera) & cleared(camera)
    assert "fault" in states(report)


def on_a_mapped_disk(camera: BodyCamera) -> None:
    """The data disk below device-mapper, where its ways can be changed."""
    run = camera.machine.run
    run("systemctl stop bodycam-uploader bodycam-recorder", 60)
    run(f"umount {DATA} && modprobe dm-mod && modprobe dm-flakey && modprobe dm-delay")
    run(f'dmsetup create data --table "0 $(blockdev --getsz {DISK}) {AS_EVER}"')
    run(f"mount -o noatime /dev/mapper/data {DATA} && systemctl start bodycam-recorder bodycam-uploader", 60)
    camera.wait(STEADY, 60)


def becomes(camera: BodyCamera, *tables: str) -> None:
    """From now on the mapped disk behaves so: lines of a table of device-mapper; one without its sectors is for all."""
    size = f"$(blockdev --getsz {DISK})"
    lines = [table if table[0].isdecimal() else f"0 {size} {table}" for table in tables]
    load = f"""printf '%s\\n' {" ".join(f'"{line}"' for line in lines)} | dmsetup load data"""
    camera.machine.run(f"dmsetup suspend --noflush --nolockfs data && {load} && dmsetup resume data", 120)


def uptime_ns(camera: BodyCamera) -> int:
    """By the guest's clock, to hundredths of a second."""
    return int(float(camera.machine.run("cut -d' ' -f1 /proc/uptime")) * NS)


def but_for_the_journal(camera: BodyCamera) -> list[str]:
    """A table with which every write fails but those to the file system's journal."""
    run = camera.machine.run
    block = int(run(f"dumpe2fs -h {DISK} 2>/dev/null | sed -n 's/^Block size: *//p'"))
    extents = run(f"debugfs -R 'stat <8>' {DISK} 2>/dev/null | sed -n '/^EXTENTS/,$p'")
    runs = [(int(a), int(b)) for a, b in re.findall(r"\(\d+-\d+\):(\d+)-(\d+)", extents)]
    begin, end = min(a for a, _ in runs) * block // 512, (max(b for _, b in runs) + 1) * block // 512
    size = int(run(f"blockdev --getsz {DISK}"))
    fails = FAILS.replace(f"{DISK} 0 ", f"{DISK} {{}} ", 1)
    return [
        f"0 {begin} {fails.format(0)}",
        f"{begin} {end - begin} linear {DISK} {begin}",
        f"{end} {size - end} {fails.format(end)}",
    ]


def goes_on_as_if_nothing_had_been(camera: BodyCamera, recording: str, into: Path) -> None:
    """The same recording, of which nothing is lost; what was shown is in the log, and over."""
    camera.wait(f"not faults and status['recording'] == {recording!r}", 90)
    goes_on(camera, recording)
    assert camera.status()["parts_lost"] == 0 and camera.light()
    end(camera)
    delivered(camera, into)
    assert faults(camera) & cleared(camera) & {"storage", "durable"}


def test_a_disk_that_stands_still(camera: BodyCamera, tmp_path: Path) -> None:
    on_a_mapped_disk(camera)
    recording = begin(camera)
    camera.machine.run("dmsetup suspend --noflush --nolockfs data")
    camera.wait("'storage' in faults or 'media' in faults", 60)
    assert not camera.light()
    camera.machine.run("dmsetup resume data")
    goes_on_as_if_nothing_had_been(camera, recording, tmp_path)


def test_a_disk_that_takes_eight_seconds_for_each_write(camera: BodyCamera, tmp_path: Path) -> None:
    on_a_mapped_disk(camera)
    recording = begin(camera)
    becomes(camera, f"delay {DISK} 0 0 {DISK} 0 8000")
    camera.wait("'storage' in faults or 'durable' in faults", 60)
    assert not camera.light()
    becomes(camera, AS_EVER)
    goes_on_as_if_nothing_had_been(camera, recording, tmp_path)


@pytest.mark.parametrize("so", [FAILS, DEAD], ids=["writes", "all"])
def test_a_disk_that_fails(camera: BodyCamera, so: str, tmp_path: Path) -> None:
    """Writes are errors, or reads too: the kernel gives the file system up, and the next start finds what was durable.
    What was shown is in the system's journal, which is on another disk. The camera's own log, on the one that failed,
    has nothing of it (README, "Honest limits") but that the recording was cut.
    """
    on_a_mapped_disk(camera)
    recording = begin(camera)
    becomes(camera, so)
    camera.wait("'storage' in faults", 60)
    assert not camera.light()
    assert "fault: storage" in camera.journal(lines=200)
    camera.machine.power_cut()
    camera.machine.start()
    camera.wait(STEADY, 90)
    second = begin(camera)
    end(camera)
    ended = {r["recording"]: r["ended"] for r in delivered(camera, tmp_path)["recordings"]}
    assert ended[second] == "stop" and ended[recording] != "stop"


def test_a_disk_that_fails_for_a_while_and_keeps_its_journal(camera: BodyCamera, tmp_path: Path) -> None:
    """What is recorded cannot be written, and waits in memory; nothing has to be done when it can. The file system's
    own tables are written to their places before, and not meanwhile: where that fails the kernel gives up the journal.
    """
    on_a_mapped_disk(camera)
    recording = begin(camera)
    usual = camera.machine.run(f"cat {WRITES_BACK}").strip()
    # Thawed, ext4 begins with an empty journal: it has to make no room in it for a while (jbd2_journal_flush).
    camera.machine.run(f"echo 0 > {WRITES_BACK}; fsfreeze --freeze {DATA} && fsfreeze --unfreeze {DATA}", 60)
    becomes(camera, *but_for_the_journal(camera))
    camera.wait("'storage' in faults", 60)
    assert not camera.light()
    becomes(camera, AS_EVER)
    camera.machine.run(f"echo {usual} > {WRITES_BACK}")
    goes_on_as_if_nothing_had_been(camera, recording, tmp_path)


@pytest.mark.parametrize("records", [True, False], ids=["recording", "ready"])
def test_a_disk_that_cost_the_file_system_its_journal_and_is_well_again(
    camera: BodyCamera, tmp_path: Path, records: bool
) -> None:
    """ext4 gives up for good when it cannot write its journal, whatever the disk does later. Nobody has to do anything:
    the recorder ends, root mounts the file system anew, and what was recorded goes on. Who met the fault could write it
    nowhere: who finds the disk well says it, late, and that it is over.
    """
    on_a_mapped_disk(camera)
    camera.machine.run("sed -i s,LABEL=data,/dev/mapper/data, /etc/fstab && systemctl daemon-reload")
    cut = begin(camera) if records else None
    began_ns = uptime_ns(camera)
    becomes(camera, FAILS)
    camera.machine.wait_for(f"! touch {DATA}/again", 60)
    becomes(camera, AS_EVER)
    assert not camera.machine.ask(f"touch {DATA}/again").ok
    # While nothing is recorded the log's next word meets it, at the latest after a minute.
    camera.wait("'storage' in faults or 'log' in faults", 120)
    assert not camera.light() and blinks(camera)
    seen_ns = uptime_ns(camera)
    if cut:
        camera.wait(f"status['recording'] not in (None, {cut!r}) and 'storage' not in faults", 180)
        second = camera.status()["recording"]
        assert camera.status()["faults"].keys() & {"restart"}
    else:
        camera.wait(STEADY, 180)
        second = begin(camera)
    camera.machine.wait_for("systemctl is-active bodycam-uploader", 60)
    assert camera.light()
    goes_on(camera, second)
    end(camera)
    report = delivered(camera, tmp_path)
    ended = {r["recording"]: r["ended"] for r in report["recordings"]}
    assert ended[second] == "stop"
    if cut:
        # What became durable of the first is there, and that it has no end.
        assert ended[cut] != "stop"
        assert [body.get("continues") for body in said(camera, "record.start")][-1] == cut
    assert faults(camera) & cleared(camera) & {"storage", "log"}
    told = [body for body in said(camera, "fault") if body["what"] in ("storage", "log")]
    assert began_ns < min(body["mono_ns"] for body in told) < seen_ns


@pytest.mark.parametrize("who", ["main", "all"])
def test_a_recorder_that_stands_still_is_started_again_and_records_again(
    camera: BodyCamera, recording: str, tmp_path: Path, who: str
) -> None:
    stopped_s = time.monotonic()
    if who == "main":
        dark_s, blinks = put_out_by_its_guard(camera)
        print(f"dark after {dark_s:.2f} s")
        assert dark_s < 2 and blinks
    else:
        camera.machine.run("systemctl kill --signal STOP bodycam-recorder")
        # Nobody is left to put it out; that must not last.
        assert camera.light()
    camera.machine.wait_for("[ $(systemctl show bodycam-recorder -p NRestarts --value) -ge 1 ]", 90)
    lit_s = time.monotonic() - stopped_s
    linked = goes_on_in_another(camera, recording)
    assert "watchdog" in camera.journal(lines=100).lower()
    # Told is told, once a hand was on the button.
    camera.press()
    camera.wait(f"status['recording'] == {linked!r} and not faults", 60)
    end(camera)
    report = delivered(camera, tmp_path)
    ended = {r["recording"]: r["ended"] for r in report["recordings"]}
    assert ended[linked] == "stop" and ended[recording] != "stop"
    assert [body.get("continues") for body in said(camera, "record.start")] == [None, recording]
    assert "restart" in faults(camera) & cleared(camera)
    assert "fault" in states(report)
    print(f"{who}: started anew after {lit_s:.1f} s")
    assert lit_s < LEFT_LIT_S


STOPS_THE_RECORDER = r"""
pid=$(systemctl show bodycam-recorder -p MainPID --value)
read -r begin _ </proc/uptime
kill -STOP $pid
for _ in $(seq 200); do [ $(cat LIGHT) = 0 ] && break; sleep 0.02; done
read -r end _ </proc/uptime
echo $begin $end $(for _ in $(seq 30); do cat STATUS; sleep 0.05; done)
"""


def put_out_by_its_guard(camera: BodyCamera) -> tuple[float, bool]:
    """Stops the recorder's own process: after how many seconds the light for recording is out, by the guest's clock,
    and whether the second one then blinks.
    """
    light, status = (f"/run/camgpio/sim_gpio{line}/value" for line in (LED_REC, LED_STATUS))
    script = STOPS_THE_RECORDER.replace("LIGHT", light).replace("STATUS", status)
    begin, end, *seen = camera.machine.run(script, 60).split()
    return float(end) - float(begin), set(seen) == {"0", "1"}


def goes_on_in_another(camera: BodyCamera, cut: str) -> str:
    """What was recorded when the recorder was killed is recorded again, by itself, and somebody is told."""
    wanted = "status['recording'] not in (None, {!r}) and status['officer']['durable'] and 'restart' in faults"
    status = camera.wait(wanted.format(cut), 90)
    assert "restarted" in status["officer"]["warnings"]
    assert any("start anew" in line for line in status["words"])
    goes_on(camera, status["recording"])
    assert camera.light()
    return str(status["recording"])


@pytest.mark.parametrize("hours", [7, -9])
def test_a_wall_clock_that_jumps(camera: BodyCamera, recording: str, hours: int, tmp_path: Path) -> None:
    """Shown from the jump until somebody vouches for the time again, and in the log; the recording goes on."""
    set_as_by_ntp(camera)
    camera.wait(f"not {NOT_SET}", 30)
    camera.machine.run(f"date -s '{hours:+d} hours'")
    status = camera.wait(NOT_SET, 30)
    assert any("The clock is not set" in line for line in status["words"])
    goes_on(camera, recording, parts=10)
    set_as_by_ntp(camera, -hours)
    camera.wait(f"not {NOT_SET}", 30)
    goes_on(camera, recording, parts=10)
    end(camera)
    report = delivered(camera, tmp_path)
    (found,) = report["recordings"]
    assert found["recording"] == recording and found["ended"] == "stop" and found["duration_s"] < 120
    # Both are in the log, with how far and which way.
    assert hours_stepped(camera)[:2] == [hours, -hours]


def set_as_by_ntp(camera: BodyCamera, hours: int = 0) -> None:
    """The wall clock goes forth by so many hours, and who set it vouches for what it says now."""
    code = f"KernelClock().set(time.time_ns() + {hours * 3600 * NS}, 50)"
    camera.machine.run(f"{PYTHON} -c 'import time; from agent.apply import KernelClock; {code}'")


def hours_stepped(camera: BodyCamera) -> list[int]:
    """The jumps of the wall clock that its log tells, of those that are worth an hour."""
    steps = [body["step_ns"] for body in said(camera, "clock") if body["why"] == "step"]
    return [hours for hours in (round(step / 3600 / NS) for step in steps) if hours]


@pytest.mark.parametrize("hours", [7 * 24 * 365, -9])
def test_a_wall_clock_that_is_wrong_in_the_dock(camera: BodyCamera, recording: str, hours: int, tmp_path: Path) -> None:
    """Outside the time in which its certificates hold: it delivers all the same, and is told the time there."""
    end(camera)
    camera.machine.run(f"date -s '{hours:+d} hours'")
    delivered(camera, tmp_path)
    now = int(time.time())
    camera.machine.wait_for(f"[ $(date +%s) -gt {now - 3600} -a $(date +%s) -lt {now + 3600} ]", 120)
    camera.dock(docked=False)
    camera.wait("not status['docked']", 30)
    camera.dock()
    report = delivered(camera, tmp_path)
    assert report["recordings"][0]["recording"] == recording
    assert hours_stepped(camera)[:2] == [hours, -hours]


@pytest.mark.parametrize(("life_s", "restarts"), [(2, 5), (15, 3)])
def test_an_uploader_that_crashes_in_a_loop(
    camera: BodyCamera, recording: str, tmp_path: Path, life_s: int, restarts: int
) -> None:
    """Again and again, so long after each of its starts: shown, logged, and over when it lives."""
    loop = f"while sleep {life_s}; do systemctl kill --signal KILL bodycam-uploader; done"
    camera.machine.run(f"systemd-run -q --unit crashes bash -c '{loop}'")
    camera.wait("'uploader' in faults", 120)
    assert int(shown(camera, "bodycam-uploader", "NRestarts")["NRestarts"]) >= restarts
    assert any("Nothing is being sent" in line for line in camera.status()["words"])
    goes_on(camera, recording)
    camera.machine.run("systemctl stop crashes")
    camera.wait("'uploader' not in faults", 180)
    goes_on(camera, recording)
    end(camera)
    delivered(camera, tmp_path)
    assert faults(camera) & cleared(camera) >= {"uploader"}


def test_an_uploader_that_cannot_start_is_missed(camera: BodyCamera, recording: str, tmp_path: Path) -> None:
    """Its key is gone: systemd does not even begin it."""
    key = "/etc/bodycam-agent/uploader/tls.key"
    camera.machine.run(f"mv {key} {key}.away; systemctl kill --signal KILL bodycam-uploader")
    camera.wait("'uploader' in faults", 120)
    goes_on(camera, recording)
    end(camera)
    camera.machine.run(f"mv {key}.away {key}")
    camera.wait("'uploader' not in faults", 60)
    delivered(camera, tmp_path)
    assert "uploader" in faults(camera) & cleared(camera)


def test_an_uploader_that_stands_still_is_started_again(camera: BodyCamera) -> None:
    """Its watchdog, made impatient for the test: its work feeds it while it lives, and nothing does when it hangs."""
    with drop_in(camera, "bodycam-uploader", "[Service]\nWatchdogSec=10\n"):
        camera.machine.run("systemctl restart bodycam-uploader", 60)
        before = shown(camera, "bodycam-uploader", "MainPID", "NRestarts")
        camera.machine.rest(25)
        assert shown(camera, "bodycam-uploader", "MainPID", "NRestarts") == before
        camera.machine.run("systemctl kill --signal STOP bodycam-uploader")
        camera.machine.wait_for("[ $(systemctl show bodycam-uploader -p NRestarts --value) -ge 1 ]", 60)
        camera.machine.wait_for("systemctl is-active bodycam-uploader", 60)
        assert "watchdog" in camera.journal("bodycam-uploader").lower()
