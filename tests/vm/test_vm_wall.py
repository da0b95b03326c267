"""The wall as systemd and the kernel build it: a probe runs inside the very units that are shipped, in the program's
place and with all else as it is, and tries what only the other process may. What is allowed is tried too, and outside
the units nearly everything succeeds: a probe that is broken would show.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.test_units import SYSTEMD, read
from tests.vm.bodycam import SPOOL, BodyCamera
from tests.vm.conftest import KINDS, Make
from tests.vm.units import drop_in, shown

pytestmark = pytest.mark.skipif("uml" not in KINDS, reason="user-mode Linux was not asked for")
PROBE = (Path(__file__).parent / "guest_probe.py").read_bytes()
REPLACED = {"Type", "NotifyAccess", "ExecStart", "Restart", "WatchdogSec"}
"""Of a unit: how the program is started and looked after. All else stays."""
DROP_IN = """[Service]
Type=oneshot
Restart=no
WatchdogSec=0
ExecStart=
ExecStart=/usr/bin/python3 -I /run/probe.py {words}
StandardOutput=file:/run/probe.json
"""
PLACES = ("the spool", "open", "sealed", "delivered", "log", "receipts", "outbox", "apply")
CHANGES = {
    *(f"create in {place}" for place in PLACES),
    *(f"delete what was created in {place}" for place in PLACES),
    *("change a segment", "truncate a segment", "change a segment's mode", "rename a segment", "delete a segment"),
    *("link a segment into inbox", "move a segment into inbox", "truncate the log", "delete the log", "replace inbox"),
}
ACROSS = {"move a segment into inbox", "link a segment into inbox"}
"""From one mount to another."""
DEVICES = {"open the lens", "open the buttons", "open the sound card", "open the microphone"}
HIDDEN = {"create in apply", "delete what was created in apply"}
"""A directory that is the recorder's alone."""
SWITCH = {"create beside the request to switch off", "delete beside the request to switch off"}
KEYS = {"read its own key on the disk", "read the other's key on the disk"}
SOCKETS = {"a socket for IPv4", "a socket for IPv6", "a datagram for IPv4", "a netlink socket"}
SYSTEM = {
    *("write into the configuration", "write into the program", "set the clock", "tune the clock", "mount"),
    "make a device",
}
ASKS = "ask how well the clock is known"
NO_CODE = {"EPERM", "EACCES"}
"""Of memory to write and run: by the filter of system calls, or, with a newer systemd, by PR_SET_MDWE (prctl(2))."""
OWN = {"read a segment", "write into inbox", "delete from inbox", "read its own key as handed over"}


@pytest.fixture
def camera(make_camera: Make) -> BodyCamera:
    """With something sealed, and its network up."""
    camera = make_camera("uml")
    camera.wait_ready(60)
    camera.press()
    camera.wait("status['media_s'] >= 2", 60)
    camera.hold()
    camera.wait("status['recording'] is None and status['segments']['sealed'] > 0", 60)
    camera.machine.connect()
    return camera


def words(camera: BodyCamera, side: str, spool: str) -> str:
    pid = shown(camera, "bodycam-recorder", "MainPID")["MainPID"]
    network = camera.machine.run("readlink /proc/1/ns/net").strip()
    return f"{side} {spool} {camera.machine.host}:8443 {pid if pid != '0' else '1'} {network}"


def probed(camera: BodyCamera, side: str, spool: str = SPOOL) -> dict[str, str]:
    """Inside the unit; all that its file says but how it is started is as ever, in systemd's own words."""
    unit = f"bodycam-{side}"
    kept = sorted(set(read(SYSTEMD / f"{unit}.service")["Service"]) - REPLACED)
    assert len(kept) > 30
    camera.machine.put(PROBE, "/run/probe.py")
    before = lasting(shown(camera, unit, *kept))
    camera.machine.run(f"systemctl stop {unit}", 60)
    with drop_in(camera, unit, DROP_IN.format(words=words(camera, side, spool))):
        assert lasting(shown(camera, unit, *kept)) == before
        camera.machine.run(f"systemctl start {unit}", 60)
        told: dict[str, str] = json.loads(camera.machine.run("tail -1 /run/probe.json"))
    print(told)
    camera.machine.run(f"systemctl start {unit}", 120)
    return told


def lasting(told: dict[str, str]) -> dict[str, str]:
    """Without when a command ran last, and how that ended."""
    return {name: re.sub(r" start_time=.*", "", value) for name, value in told.items()}


def allowed(told: dict[str, str]) -> set[str]:
    return {name for name, what in told.items() if what == "done"}


def of(told: dict[str, str], names: set[str]) -> set[str]:
    return {told[name] for name in names}


def test_outside_the_units_the_same_attempts_succeed(camera: BodyCamera) -> None:
    """As root, on a copy of the spool: what fails inside fails because of the unit."""
    camera.machine.put(PROBE, "/run/probe.py")
    camera.machine.run(f"cp -r {SPOOL} /run/spool; mkdir -p /run/spool/delivered /run/spool/apply")
    told = json.loads(
        camera.machine.run(f"python3 -I /run/probe.py {words(camera, 'uploader', '/run/spool')} | tail -1")
    )
    refused = {name: what for name, what in told.items() if what != "done"}
    # The kernel at hand has no /dev/mem and no IPv6, the recorder has the microphone, root's network is the machine's.
    assert set(refused) <= {
        *("open the machine's memory", "a socket for IPv6", "open the microphone", "a network of its own"),
    }, refused
    assert refused["a network of its own"] == "EEXIST"


def test_the_recorder_reaches_lens_microphone_and_buttons_and_no_network(camera: BodyCamera) -> None:
    copy = "/var/lib/bodycam-agent/probe"
    camera.machine.run(f"cp -a {SPOOL} {copy}; mkdir -p {copy}/delivered; chown bodycam-recorder: {copy}/delivered")
    # A device that any user may open, as far as its mode goes.
    camera.machine.run("chmod 666 /dev/ubda")
    told = probed(camera, "recorder", copy)
    assert allowed(told) == OWN | DEVICES | CHANGES | SWITCH | {"a network of its own", ASKS}
    refused = {*SOCKETS, "a packet socket", "connect to the station"}
    assert of(told, refused) == {"EAFNOSUPPORT"} and told["open a disk"] == "EPERM"
    assert of(told, SYSTEM) == {"EPERM", "EROFS"} and told["memory to write and run"] in NO_CODE
    assert of(told, KEYS) == {"EACCES"} and told["read the other's key as handed over"] == "ENOENT"


def test_the_uploader_reaches_inbox_and_station_and_no_device_and_changes_nothing_else(camera: BodyCamera) -> None:
    before = spool_of(camera)
    told = probed(camera, "uploader")
    # The guest's kernel has no IPv6.
    assert allowed(told) == OWN | SOCKETS - {"a socket for IPv6"} | {"connect to the station"}
    # Its /dev has none of them; and it can make none.
    assert of(told, DEVICES | {"open a disk", "open the machine's memory"}) == {"ENOENT"}
    assert of(told, SYSTEM) == {"EPERM", "EROFS"} and told["memory to write and run"] in NO_CODE
    # A file that exists may not be opened to change it, before it matters that the file system is read-only here.
    assert told["change a segment"] == "EACCES" and of(told, ACROSS) == {"EXDEV"}
    assert of(told, CHANGES - ACROSS - HIDDEN - {"change a segment"}) == {"EROFS"}
    assert of(told, HIDDEN) == {"EACCES"}
    assert of(told, SWITCH) <= {"EACCES", "EROFS"}
    # What it could fill the card or the memory with, and the recorder could not take away.
    assert told["make a directory in inbox"] == "SIGSYS"
    assert (told["fill /tmp"], told["fill /var/tmp"], told["fill /dev/shm"]) == ("EROFS", "EROFS", "EACCES")
    assert told["ask the control socket"] == "EACCES"
    assert of(told, KEYS) == {"EACCES"} and told["read the other's key as handed over"] == "ENOENT"
    # Not even that there is a recorder.
    assert told["look into the recorder's memory"] == "ENOENT" and told["signal the recorder"] == "EPERM"
    assert spool_of(camera).items() >= before.items()


def spool_of(camera: BodyCamera) -> dict[str, str]:
    """The digest of each sealed segment."""
    lines = camera.machine.run(f"cd {SPOOL}/sealed && sha256sum *.tar *.seal").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}
