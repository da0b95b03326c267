"""The Debian package: its maintainer scripts, run in a root of their own in the order in which dpkg runs them
(deb-policy, 6.6). What it is made of, and what it asks of each release of Debian: test_deb.py.

The package itself is built and installed by `tools/fresh-root SUITE --deb FILE` and in `make vm-test`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.deb_kit import load_deb

HOUSE = Path(__file__).resolve().parent.parent
UNITS = sorted(p.name for p in (HOUSE / "systemd").iterdir() if p.is_file() and "\n[Install]\n" in p.read_text("utf-8"))
RECORDER = "bodycam-recorder.service"
IDLE = {"state": "ready", "recording": None, "wanted": None, "words": ['"recording": "r1"']}
STARTING = IDLE | {"state": "starting"}
RECORDING = {"state": "recording", "recording": "r0000000001-00000000", "wanted": None}
ASKED_TO = {"state": "fault", "recording": None, "wanted": "button"}
"""A press, while the lens is not there yet."""
SYSTEMCTL = """#!/bin/sh
# Enables in the root as systemd does; keeps by a file each what runs.
echo "$*" >>"{calls}"
case "$1" in --root=*) exec {real} "$@" ;; esac
[ "$1" != --quiet ] || shift
verb=$1
shift
for unit; do
    case $verb in
    start | restart)
        [ $verb = start ] && [ -e "{active}/$unit" ] && continue
        basename "$(readlink "{home}/current")" >"{active}/$unit"
        ;;
    stop) rm -f "{active}/$unit" ;;
    is-active) [ -e "{active}/$unit" ] || exit 3 ;;
    show)
        case $unit in
        --property=*) property=${{unit#*=}} && continue ;;
        --*) continue ;;
        esac
        if [ $property = ActiveState ]; then
            if [ -e "{states}/$unit" ]; then cat "{states}/$unit"
            elif [ -e "{active}/$unit" ]; then echo active; else echo inactive; fi
            continue
        fi
        [ -e "{active}/$unit" ] || {{ echo 0; continue; }}
        mkdir -p "{proc}/7"
        printf '/opt/bodycam-agent/%s/bin/python3\\0x' "$(cat "{active}/$unit")" >"{proc}/7/cmdline"
        echo 7
        ;;
    esac
done
"""
"""In the place of systemctl."""


@cache
def script(name: str) -> str:
    """As it comes into the package."""
    return str(load_deb().script(name))


class Camera:
    """A root with systemd running in it, and the package as dpkg has unpacked it there."""

    def __init__(self, folder: Path) -> None:
        self.root, self.bin, self.active, self.states, self._calls = (
            folder / n for n in ("root", "bin", "active", "states", "calls")
        )
        self.spool, self.keys = self.root / "var/lib/bodycam-agent", self.root / "etc/bodycam-agent"
        self.home, self._scripts = self.root / "opt/bodycam-agent", folder / "scripts"
        for name in ("preinst", "postinst", "prerm", "postrm"):
            self._stand_in(self._scripts / name, script(name))
        for path in (
            self.root / "run/systemd/system",
            self.bin,
            self.active,
            self.states,
            self.spool / "spool",
            self.keys,
        ):
            path.mkdir(parents=True)
        (self.spool / "spool/x.tar").touch()
        (self.keys / "agent.toml").touch()
        self._calls.touch()
        self.mistakes = folder / "mistakes"
        self.unpack()
        words = {"calls": self._calls, "active": self.active, "real": shutil.which("systemctl")}
        words |= {"home": self.home, "states": self.states, "proc": self.root / "proc"}
        self._stand_in(self.bin / "systemctl", SYSTEMCTL.format(**words))
        for name in ("systemd-sysusers", "systemd-tmpfiles", "udevadm"):
            self._stand_in(self.bin / name, f'#!/bin/sh\necho "{name} $*" >>"{self._calls}"\n')

    @staticmethod
    def _stand_in(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        path.chmod(0o755)

    def unpack(self, version: str = "1") -> None:
        """`version` of the program, and its units."""
        units = self.root / "usr/lib/systemd/system"
        shutil.copytree(HOUSE / "systemd", units, dirs_exist_ok=True)
        program = self.home / version / "bin"
        program.mkdir(parents=True, exist_ok=True)
        (self.home / "current").unlink(missing_ok=True)
        (self.home / "current").symlink_to(version)
        python = f'#!/bin/sh\n[ "$2" = compileall ] || exec {sys.executable} "$@"\n'
        self._stand_in(program / "python3", python)
        self.answers(IDLE)

    def answers(self, status: dict[str, object] | None) -> None:
        """What `ctl status --json` says; None: nothing, with the status of a recorder that does not answer."""
        body = "exit 3" if status is None else f"cat <<'END'\n{json.dumps(status, indent=2)}\nEND"
        compiles = f'[ "$PYTHONDONTWRITEBYTECODE" ] || mkdir -p "{self.home}/current/lib/__pycache__"'
        asked = f'[ "$*" != "config check {self.keys}/agent.toml" ]'
        checked = f'{asked} || {{ cat "{self.mistakes}" && exit 2 || exit 0; }}'
        agent = f'#!/bin/sh\n{checked}\n[ "$*" = "ctl status --json" ] || exit 9\n{compiles}\n{body}\n'
        self._stand_in(self.home / "current/bin/bodycam-agent", agent)

    def run(self, name: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", str(self._scripts / name), *words],
            env={"PATH": f"{self.bin}:{os.environ['PATH']}", "DPKG_ROOT": str(self.root), **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def done(self, name: str, *words: str, **environment: str) -> str:
        done = self.run(name, *words, **environment)
        assert done.returncode == 0, (name, words, done.stdout, done.stderr)
        return done.stdout

    # -- what dpkg does ------------------------------------------------------------------------------------------------

    def install(self, *before: str) -> None:
        self.done("preinst", "install", *before)
        self.unpack()
        self.done("postinst", "configure", *before)

    def upgrade(self, **environment: str) -> str | None:
        """None where it went through, else what was said; the old package and the new one have the same scripts."""
        refused = self.run("prerm", "upgrade", "2", **environment)
        if refused.returncode == 0 or self.run("prerm", "failed-upgrade", "1", "2", **environment).returncode == 0:
            self.done("preinst", "upgrade", "1", "2", **environment)
            self.done("postrm", "upgrade", "2")
            self.unpack()
            self.done("postinst", "configure", "1")
            return None
        self.done("postinst", "abort-upgrade", "2")
        return refused.stderr

    def breaks_off(self, unpacked: bool) -> None:
        """An upgrade that was killed, before what it brings was unpacked (half-installed) or behind it (unpacked)."""
        self.done("prerm", "upgrade", "2")
        self.done("preinst", "upgrade", "1", "2")
        if unpacked:
            self.done("postrm", "upgrade", "2")
            self.unpack("2")

    def again(self, **environment: str) -> str | None:
        """The same upgrade after it broke off: dpkg runs no prerm for either state."""
        refused = self.run("preinst", "upgrade", "1", "2", **environment)
        if refused.returncode:
            self.done("postrm", "abort-upgrade", "1", "2")
            return refused.stderr
        self.done("postrm", "upgrade", "2")
        self.unpack("2")
        self.done("postinst", "configure", "1")
        return None

    def remove(self, **environment: str) -> str | None:
        refused = self.run("prerm", "remove", **environment)
        if refused.returncode:
            self.done("postinst", "abort-remove")
            return refused.stderr
        shutil.rmtree(self.root / "usr")
        shutil.rmtree(self.home)
        self.done("postrm", "remove")
        return None

    # -- what came of it -----------------------------------------------------------------------------------------------

    @property
    def running(self) -> list[str]:
        return sorted(path.name for path in self.active.iterdir())

    @property
    def enabled(self) -> list[str]:
        return sorted({path.name for path in self.links()})

    def links(self) -> list[Path]:
        return sorted((self.root / "etc/systemd/system").glob("*.wants/*"))

    def verbs(self) -> set[str]:
        return {line.split()[0] for line in self._calls.read_text("utf-8").splitlines()}

    def forget(self) -> None:
        self._calls.write_text("")


@pytest.fixture
def camera(tmp_path: Path) -> Camera:
    made = Camera(tmp_path)
    made.install()
    made.forget()
    return made


# ---- installing ----


def test_an_installation_enables_and_starts_every_unit_that_can_be(camera: Camera) -> None:
    assert len(UNITS) == 5
    assert camera.enabled == camera.running == UNITS


def test_who_disabled_a_unit_keeps_that_over_an_upgrade_and_not_over_a_removal(camera: Camera) -> None:
    for link in camera.links():
        if link.name == "bodycam-apply.path":
            link.unlink()
    assert camera.upgrade() is None
    assert "bodycam-apply.path" not in camera.enabled + camera.running
    assert camera.remove() is None
    # dpkg knows the version that was there, and tells it as at an upgrade.
    camera.install("1")
    assert camera.enabled == camera.running == UNITS


def test_an_upgrade_enables_a_unit_that_the_version_before_did_not_have(camera: Camera) -> None:
    new = "bodycam-poweroff.path"
    for path in (camera.root / "usr/lib/systemd/system" / new, *(x for x in camera.links() if x.name == new)):
        path.unlink()
    (camera.active / new).unlink()
    assert camera.upgrade() is None
    assert camera.enabled == camera.running == UNITS
    # Once: who disables it then keeps that.
    for link in camera.links():
        if link.name == new:
            link.unlink()
    assert camera.upgrade() is None
    assert new not in camera.enabled


def test_an_upgrade_that_fails_before_it_is_unpacked_leaves_no_mark(camera: Camera) -> None:
    (camera.root / "usr/lib/systemd/system/bodycam-poweroff.path").unlink()
    camera.done("preinst", "upgrade", "1", "2")
    camera.done("postrm", "abort-upgrade", "1", "2")
    assert not list(camera.home.glob(".*"))


def test_an_upgrade_enables_a_unit_by_what_it_says_now(camera: Camera) -> None:
    before = camera.links()
    assert len(before) > len(UNITS)
    for link in camera.links():
        if link.parent.name != "multi-user.target.wants":
            link.unlink()
    assert camera.upgrade() is None
    assert camera.links() == before


def test_an_installation_that_cannot_enable_fails_and_the_next_try_enables(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    camera.done("preinst", "install")
    camera.unpack()
    systemctl = camera.bin / "systemctl"
    works = systemctl.read_text("utf-8")
    systemctl.write_text('#!/bin/sh\ncase "$*" in *enable*) exit 1 ;; esac\n', "utf-8")
    assert camera.run("postinst", "configure").returncode != 0
    systemctl.write_text(works, "utf-8")
    camera.done("postinst", "configure")
    assert camera.enabled == camera.running == UNITS


@pytest.mark.parametrize("place", ["etc", "run"])
def test_who_masked_a_unit_keeps_that_over_an_installation(tmp_path: Path, place: str) -> None:
    """For good, or until the next boot."""
    camera = Camera(tmp_path)
    masked = camera.root / place / "systemd/system/bodycam-poweroff.path"
    masked.parent.mkdir(parents=True, exist_ok=True)
    masked.symlink_to("/dev/null")
    camera.install()
    assert camera.enabled == camera.running == [unit for unit in UNITS if unit != masked.name]


def test_an_installation_that_fails_leaves_no_mark(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    camera.done("preinst", "install")
    camera.done("postrm", "abort-install")
    assert not list(camera.home.glob(".*"))


# ---- upgrading ----


@pytest.mark.parametrize("status", [RECORDING, ASKED_TO], ids=["recording", "asked to"])
def test_an_upgrade_is_refused_while_it_records_and_nothing_is_stopped(
    camera: Camera, status: dict[str, object]
) -> None:
    camera.answers(status)
    said = camera.upgrade()
    assert said and "is recording" in said and "ctl stop" in said
    assert camera.running == UNITS
    assert not {"stop", "restart"} & camera.verbs()


def test_an_upgrade_is_refused_where_the_recorder_does_not_say(camera: Camera) -> None:
    camera.answers(None)
    said = camera.upgrade()
    assert said and "systemctl stop bodycam-recorder" in said
    assert camera.running == UNITS
    # As it says: then it is known.
    (camera.active / RECORDER).unlink()
    assert camera.upgrade() is None


def test_an_upgrade_is_refused_while_the_recorder_starts_and_may_go_on_with_a_recording(camera: Camera) -> None:
    """Killed by its watchdog while it recorded, say: it says nothing of that before its disk is looked through, and
    nothing at all before it runs again, when systemd calls it activating.
    """
    camera.answers(STARTING)
    said = camera.upgrade()
    assert said and "is starting" in said and "again" in said
    camera.answers(None)
    (camera.states / RECORDER).write_text("activating\n")
    said = camera.upgrade()
    assert said and "systemctl stop bodycam-recorder" in said
    assert camera.running == UNITS and not {"stop", "restart"} & camera.verbs()
    (camera.states / RECORDER).write_text("failed\n")
    assert camera.upgrade() is None


@pytest.mark.parametrize("status", [IDLE, RECORDING, None], ids=["idle", "recording", "silent"])
def test_an_upgrade_of_an_idle_camera_or_where_somebody_says_so_stops_all_and_starts_all(
    camera: Camera, status: dict[str, object] | None
) -> None:
    camera.answers(status)
    assert camera.upgrade(**({} if status == IDLE else {"BODYCAM_RECORDING": "end"})) is None
    assert "stop" in camera.verbs()
    assert camera.running == UNITS
    assert (camera.spool / "spool/x.tar").exists() and (camera.keys / "agent.toml").exists()


def test_every_unit_is_stopped_before_its_program_goes(camera: Camera) -> None:
    # Root's part may be about to try again what it could not do.
    (camera.active / "bodycam-apply.service").touch()
    camera.done("prerm", "upgrade", "2")
    assert list(camera.active.iterdir()) == []


def test_nothing_that_dpkg_does_not_know_is_left_of_the_version_before(camera: Camera) -> None:
    """It removes no directory in which there is bytecode: also none that asking the recorder would leave."""
    (camera.home / "current/lib/__pycache__").mkdir(parents=True)
    camera.done("prerm", "upgrade", "2")
    camera.done("preinst", "upgrade", "1", "2")
    assert not list(camera.home.rglob("__pycache__"))


@pytest.mark.parametrize("aborted", ["abort-upgrade", "abort-remove", "abort-deconfigure"])
def test_what_did_not_come_about_leaves_the_camera_running(camera: Camera, aborted: str) -> None:
    """The new package's preinst failed, say, after the old one's prerm had stopped everything."""
    camera.done("prerm", "upgrade", "2")
    camera.done("postinst", aborted, "2")
    assert camera.running == UNITS


STATES = pytest.mark.parametrize("unpacked", [False, True], ids=["half-installed", "unpacked"])


@STATES
def test_an_upgrade_that_broke_off_is_tried_again_only_while_nothing_is_recorded(
    camera: Camera, unpacked: bool
) -> None:
    """Somebody switched the camera on meanwhile."""
    new = "bodycam-poweroff.path"
    for path in (camera.root / "usr/lib/systemd/system" / new, *(x for x in camera.links() if x.name == new)):
        path.unlink()
    camera.breaks_off(unpacked)
    for unit in UNITS:
        if unit != new:
            (camera.active / unit).write_text("1\n")
    camera.forget()
    for status, why in ((RECORDING, "is recording"), (ASKED_TO, "is recording"), (None, "does not say")):
        camera.answers(status)
        said = camera.again()
        assert said and why in said
        assert RECORDER in camera.running and not {"stop", "restart"} & camera.verbs()
    camera.answers(IDLE)
    assert camera.again() is None
    # With what came with the new version, however often it was refused before.
    assert camera.enabled == camera.running == UNITS
    assert {path.read_text().strip() for path in camera.active.iterdir()} == {"2"}
    assert not list(camera.home.glob(".*"))


@STATES
def test_an_upgrade_that_broke_off_may_end_a_recording_where_somebody_says_so(camera: Camera, unpacked: bool) -> None:
    camera.breaks_off(unpacked)
    (camera.active / RECORDER).write_text("1\n")
    camera.answers(RECORDING)
    assert camera.again(BODYCAM_RECORDING="end") is None
    assert "stop" in camera.verbs() and camera.running == UNITS


@pytest.mark.parametrize("status", [IDLE, RECORDING], ids=["idle", "recording"])
def test_what_runs_of_an_earlier_version_is_started_anew_unless_it_records(
    camera: Camera, status: dict[str, object]
) -> None:
    """Begun between the unpacking and this, `dpkg --configure --pending` say."""
    camera.unpack("2")
    camera.answers(status)
    said = camera.run("postinst", "configure", "1")
    assert said.returncode == 0 and ("systemctl restart bodycam-recorder" in said.stderr) is (status == RECORDING)
    versions = {path.name: path.read_text().strip() for path in camera.active.iterdir()}
    assert versions == dict.fromkeys(UNITS, "2") | {RECORDER: "1" if status == RECORDING else "2"}
    # What is of this version is not.
    camera.forget()
    camera.answers(IDLE)
    if status == IDLE:
        camera.done("postinst", "configure", "1")
        assert "restart" not in camera.verbs()


def test_an_upgrade_says_what_its_version_finds_wrong_with_the_configuration_and_starts_all(camera: Camera) -> None:
    camera.breaks_off(unpacked=True)
    assert camera.run("postinst", "configure", "1").stderr == ""
    wrong = "FILE: video.fps: 0 is out of range\nFILE: video.colour: unknown key\n"
    camera.mistakes.write_text(wrong)
    said = camera.run("postinst", "configure", "1")
    assert said.returncode == 0 and camera.running == UNITS
    assert wrong in said.stderr and "config check" in said.stderr.partition("next: ")[2]
    # One that did not come about leaves the version that runs with it.
    assert camera.run("postinst", "abort-upgrade", "2").stderr == ""
    # Not provisioned: there is nothing to say yet.
    (camera.keys / "agent.toml").unlink()
    said = camera.run("postinst", "configure", "1")
    assert said.stderr == "" and "next: bodycam-agent provision" in said.stdout
    # One that was, and starts with the last file without a mistake, lacks its own.
    (camera.keys / "agent.toml.good").touch()
    said = camera.run("postinst", "configure", "1")
    assert wrong in said.stderr and "provision" not in said.stdout


# ---- removing ----


def test_a_removal_is_refused_while_it_records(camera: Camera) -> None:
    camera.answers(RECORDING)
    said = camera.remove()
    assert said and "is recording" in said
    assert camera.enabled == camera.running == UNITS


def test_a_removal_leaves_no_unit_running_or_enabled(camera: Camera) -> None:
    assert camera.remove() is None
    assert camera.enabled == camera.running == []


def test_a_purge_keeps_evidence_and_keys_and_says_so(camera: Camera) -> None:
    assert camera.remove() is None
    said = camera.done("postrm", "purge")
    assert (camera.spool / "spool/x.tar").exists() and (camera.keys / "agent.toml").exists()
    assert not camera.home.exists()
    for place in ("/var/lib/bodycam-agent", "/etc/bodycam-agent"):
        assert f"{place} stays" in said


def test_a_purge_that_is_told_deletes_both(camera: Camera) -> None:
    assert camera.remove() is None
    said = camera.done("postrm", "purge", BODYCAM_PURGE="evidence-and-keys")
    assert not (camera.spool.exists() or camera.keys.exists() or camera.home.exists())
    assert "stays" not in said


# ---- what it is made of ----


def test_each_script_names_the_units_that_there_are() -> None:
    """What is stopped besides is root's part, which a path unit starts and which waits for its next try."""
    stopped = {name: {"bodycam-apply.service", "bodycam-evict.service"} for name in ("preinst", "postinst", "prerm")}
    for name in ("preinst", "postinst", "prerm", "postrm"):
        named = set(re.findall(r"bodycam-\w+\.(?:service|path)", script(name)))
        assert named == {*UNITS, *stopped.get(name, ())}, name


@pytest.mark.parametrize("status", [0, 1])
def test_rules_of_the_audit_log_are_loaded_once_their_user_is_there(camera: Camera, status: int) -> None:
    """auditd has read them before; where it does not run, its start will. A rule that it refuses keeps no camera from
    being installed.
    """
    script = f'#!/bin/sh\necho "augenrules $*" >>"{camera._calls}"\nexit {status}\n'
    camera._stand_in(camera.bin / "augenrules", script)
    camera.done("postinst", "configure")
    assert "augenrules" not in camera._calls.read_text("utf-8")
    (camera.active / "auditd.service").touch()
    done = camera.run("postinst", "configure")
    assert done.returncode == 0 and ("is not logged" in done.stderr) is bool(status)
    calls = camera._calls.read_text("utf-8").splitlines()
    assert calls.count("augenrules --load") == 1
    last = max(i for i, call in enumerate(calls) if call.startswith("systemd-sysusers"))
    assert last < calls.index("augenrules --load")
