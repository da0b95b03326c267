"""What the uploader's user tries at the wall is refused, and is logged: in the system's audit log, with its path, by
the rules that the package brings and auditd loads at boot; and what it plants in inbox/ in the camera's own log too.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.test_units import SYSTEMD
from tests.vm.bodycam import SPOOL, BodyCamera
from tests.vm.conftest import KINDS, Make
from tests.vm.logged import said
from tests.vm.test_vm_wall import DROP_IN
from tests.vm.units import drop_in

pytestmark = pytest.mark.skipif("uml" not in KINDS, reason="user-mode Linux was not asked for")
TRESPASS = (Path(__file__).parent / "guest_trespass.py").read_bytes()
KEY = "bodycam-wall"
ERRNO = {"EPERM": 1, "EACCES": 13, "EXDEV": 18, "EROFS": 30}
PLANTS = {"plant a link", "plant a pipe", "plant a socket"}
ENDED = re.compile("make a directory in |queue what is to be done")
"""What tries it is ended by the unit's filter of system calls, before the kernel looks at any path."""


@dataclass(frozen=True)
class Record:
    """Of the audit log: who, how it ended, and the paths that were named."""

    uid: int
    exit: int
    paths: frozenset[str]


def ended(camera: BodyCamera) -> list[tuple[str, str]]:
    """What a unit's filter of system calls ended in this boot: whose it was, and the call."""
    raw = camera.machine.run("ausearch --input-logs -ts boot -m SECCOMP -i || true", 60)
    lines = (line for line in raw.splitlines() if line.startswith("type=SECCOMP ") and " sig=SIGSYS " in line)
    fields = (dict(re.findall(r"(\w+)=(\S+)", line)) for line in lines)
    return [(told["uid"], told["syscall"]) for told in fields]


def records(camera: BodyCamera) -> list[Record]:
    """Those of the package's rules, in this boot."""
    raw = camera.machine.run(f"ausearch --input-logs -ts boot -k {KEY} --raw || true", 60)
    events: dict[str, list[str]] = {}
    for line in raw.splitlines():
        if found := re.search(r"msg=audit\(([^)]+)\)", line):
            events.setdefault(found[1], []).append(line)
    made = []
    for lines in events.values():
        # That the rules were loaded is in the log as well, under their key.
        call = next((line for line in lines if line.startswith("type=SYSCALL") and f'key="{KEY}"' in line), "")
        ended = re.search(r" exit=(-?\d+) .* uid=(\d+) ", call)
        if ended:
            paths = frozenset(p for line in lines for p in re.findall(r'^type=PATH .* name="([^"]*)"', line))
            made.append(Record(int(ended[2]), int(ended[1]), paths))
    return made


def record(camera: BodyCamera) -> None:
    before = camera.status()["media_s"]
    camera.press()
    camera.wait(f"status['media_s'] >= {before + 2}", 60)
    camera.hold()
    camera.wait("status['recording'] is None and status['segments']['sealed'] > 0", 60)


def trespass(camera: BodyCamera) -> dict[str, tuple[str, str]]:
    """In the uploader's unit, its program's place; then the uploader again."""
    camera.machine.put(TRESPASS, "/run/probe.py")
    camera.machine.run("systemctl stop bodycam-uploader", 60)
    with drop_in(camera, "bodycam-uploader", DROP_IN.format(words=SPOOL)):
        camera.machine.run("systemctl start bodycam-uploader", 60)
        told = json.loads(camera.machine.run("tail -1 /run/probe.json"))
    camera.machine.run("systemctl start bodycam-uploader", 120)
    return {name: (path, what) for name, (path, what) in told.items()}


def test_each_attempt_at_the_wall_is_refused_and_logged_with_its_path(make_camera: Make) -> None:
    camera = make_camera("uml")
    camera.wait_ready(60)
    rules = (SYSTEMD / "audit" / "70-bodycam-wall.rules").read_text("ascii").count("-a always,exit")
    camera.machine.wait_for(f"[ $(auditctl -l | grep -c key={KEY}) = {rules} ] || ! auditctl -l", 30)
    uid = int(camera.machine.run("id -u bodycam-uploader"))
    record(camera)
    camera.dock()
    camera.wait("status['segments']['sealed'] == 0 and status['segments']['delivered'] >= 2", 120)
    camera.dock(False)
    camera.wait_ready(60)
    record(camera)
    assert records(camera) == [] == ended(camera), "the uploader's own work is none of it"

    told = trespass(camera)
    assert len(told) > 30
    assert {name for name, (_, what) in told.items() if what == "done"} == PLANTS
    filtered = {name: one for name, one in told.items() if ENDED.match(name)}
    assert len(filtered) == 9 and {what for _, what in filtered.values()} == {"SIGSYS"}
    others = {what for name, (_, what) in told.items() if name not in PLANTS and name not in filtered}
    assert others == {"EACCES", "EROFS", "EXDEV"}
    # The daemon writes what the kernel gave it a moment later.
    camera.machine.wait_for(f"ausearch --input-logs -ts boot -k {KEY} --raw | grep planted.socket", 30)
    found = records(camera)
    assert {one.uid for one in found} == {uid}
    assert not_logged(found, {name: one for name, one in told.items() if name not in filtered}) == {}
    # Which directory it would have been the kernel had not read yet: who, with what, and which call.
    queued = ("bodycam-uploader", "io_uring_setup")
    assert sorted(ended(camera)) == [queued, *[("bodycam-uploader", "mkdir")] * (len(filtered) - 1)]

    # What the kernel let it plant the recorder refuses, shows and logs.
    shown = camera.wait("'inbox' in faults", 60)["faults"]["inbox"]
    assert all(kind in shown for kind in ("a link", "a pipe", "a socket")), shown
    camera.dock()
    camera.wait("status['segments']['sealed'] == 0", 120)
    assert any("a link" in body["detail"] for body in said(camera, "fault") if body["what"] == "inbox")


def not_logged(found: list[Record], told: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """The attempts for which there is no record of their own, of just that path and just that end. Of what it refuses
    to make the kernel names the directory alone.
    """
    left, missing = list(found), {}
    for name, (path, what) in told.items():
        ended = 0 if what == "done" else -ERRNO[what]
        paths = {path, f"{path.rpartition('/')[0]}/"}
        own = next((one for one in left if one.exit == ended and paths & one.paths), None)
        if own is None:
            missing[name] = path, what
        else:
            left.remove(own)
    return missing
