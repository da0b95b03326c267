"""What a camera gets over by itself: an uploader that keeps the card's blocks, a journal that hangs or goes away, and a
configuration that cannot be read.
"""

from __future__ import annotations

import pytest

from agent.spool.evicting import REQUEST
from tests.vm.bodycam import ETC, BodyCamera
from tests.vm.conftest import KINDS, Make
from tests.vm.units import shown

pytestmark = pytest.mark.skipif("uml" not in KINDS, reason="user-mode Linux was not asked for")
INBOX = "/var/lib/bodycam-agent/spool/inbox"
MIB = 24
HOLDER = f"""#!/bin/sh
# In the uploader's unit, as one that was taken over; no word of systemd's ends it.
trap '' TERM
group=$(systemctl show --property=ControlGroup --value bodycam-uploader)
echo $$ >"/sys/fs/cgroup$group/cgroup.procs" || echo $$ >"/sys/fs/cgroup/systemd$group/cgroup.procs"
exec 3>{INBOX}/held
head -c {MIB}M /dev/zero >&3 && sync -f {INBOX} && rm -f {INBOX}/held && echo $$ >/run/holds
while :; do sleep 1; done
"""


@pytest.fixture
def camera(make_camera: Make) -> BodyCamera:
    camera = make_camera("uml")
    camera.wait_ready(60)
    return camera


def free_mib(camera: BodyCamera) -> int:
    return int(camera.machine.run(f"df --output=avail -m {INBOX} | tail -1"))


def pid(camera: BodyCamera, unit: str) -> str:
    return shown(camera, unit, "MainPID")["MainPID"]


def test_an_uploader_that_keeps_blocks_is_ended_as_a_whole_and_started_anew(camera: BodyCamera) -> None:
    camera.machine.wait_for("systemctl is-active bodycam-uploader", 180)
    recorder, uploader, before = pid(camera, "bodycam-recorder"), pid(camera, "bodycam-uploader"), free_mib(camera)
    camera.machine.put(HOLDER.encode(), "/run/holder")
    camera.machine.run("sh /run/holder >/dev/null 2>&1 &")
    camera.machine.wait_for("[ -s /run/holds ]", 60)
    assert free_mib(camera) <= before - MIB + 4
    camera.machine.run(f"install -o bodycam-recorder /dev/null /run/bodycam-agent/{REQUEST}")
    # systemd waits 30 s for what does not end by itself.
    camera.machine.wait_for("! kill -0 $(cat /run/holds)", 120)
    camera.machine.wait_for("systemctl is-active bodycam-uploader", 180)
    assert pid(camera, "bodycam-uploader") not in (uploader, "0")
    assert free_mib(camera) >= before - 4
    assert pid(camera, "bodycam-recorder") == recorder
    camera.machine.run(f"! [ -e /run/bodycam-agent/{REQUEST} ]")
    assert camera.machine.run("systemctl is-active bodycam-evict.path").strip() == "active"


def test_a_journal_that_hangs_or_goes_away_stops_no_recording_and_is_found_again(camera: BodyCamera) -> None:
    camera.machine.run("systemctl kill --signal STOP systemd-journald")
    camera.press()
    before = camera.wait("status['recording'] and status['parts'] > 2", 60)
    # With it goes what it would have kept of its streams over a start.
    camera.machine.run("systemctl kill --signal KILL systemd-journald")
    stop = "systemctl stop systemd-journald.socket systemd-journald-dev-log.socket systemd-journald-audit.socket"
    # Its own start after the kill may cancel that.
    camera.machine.wait_for(f"{stop} systemd-journald", 120)
    camera.machine.run(f"ln -s /etc {INBOX}/link")
    camera.wait("'inbox' in faults", 60)
    camera.machine.run("systemctl start systemd-journald.socket systemd-journald-dev-log.socket systemd-journald", 60)
    # A fault is told again after a minute, where it is another.
    camera.machine.run(f"mkfifo {INBOX}/pipe")
    told = "journalctl -b --no-pager -u bodycam-recorder | grep -A1 'left out: nobody took them' | grep -q 'fault: '"
    camera.machine.wait_for(told, 120)
    camera.wait(f"status['recording'] and status['parts'] > {before['parts']} + 4", 60)


@pytest.mark.parametrize("spoil", ["echo '[camera' >>{0}; sync {0}", "rm {0}; sync"])
def test_a_configuration_that_cannot_be_read_is_told_and_the_last_good_one_used(camera: BodyCamera, spoil: str) -> None:
    toml = f"{ETC}/agent.toml"
    camera.machine.wait_for(f"cmp {toml} {toml}.good", 60)
    camera.machine.run(spoil.format(toml))
    camera.machine.run("systemctl restart bodycam-recorder bodycam-uploader", 120)
    status = camera.wait("status['state'] == 'ready' and 'settings' in faults", 90)
    assert "agent.toml.good" in status["faults"]["settings"]
    camera.machine.wait_for("systemctl is-active bodycam-uploader", 180)
    camera.machine.run(f"! cmp -s {toml} {toml}.good && ! [ -e {toml}.good.new ]")
    camera.press()
    camera.wait("status['recording'] and status['parts'] > 2", 60)
