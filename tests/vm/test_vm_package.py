"""The package in a camera that runs: dpkg upgrades and removes it under systemd, while it records and not."""

from __future__ import annotations

import subprocess

import pytest

from tests.vm.bodycam import ETC, ROOT, SPOOL, BodyCamera
from tests.vm.channel import Answer
from tests.vm.conftest import SUITE, Make
from tests.vm.units import lit

NEXT = "/var/cache/bodycam-agent/next.deb"
"""The next version, from install-agent.sh."""
UNITS = "bodycam-recorder.service bodycam-uploader.service bodycam-apply.path bodycam-poweroff.path bodycam-evict.path"
RECORDED_S = 3
STEADY = {"ladder": {"enabled": False}}
"""Where this machine is busy, the ladder would go on in another, linked recording with a smaller picture."""


@pytest.fixture(autouse=True)
def _on_the_fast_machine(kind: str) -> None:
    if kind == "qemu":
        pytest.skip("dpkg takes long on an emulated machine, and nothing here depends on which it is")


def dpkg(camera: BodyCamera, words: str, environment: str = "") -> Answer:
    return camera.machine.ask(f"{environment} dpkg {words}", 240 * camera.slow)


def version(camera: BodyCamera) -> str:
    return camera.machine.run("dpkg-query --show --showformat '${Version} ${db:Status-Status}' bodycam-agent").strip()


def recorder(camera: BodyCamera) -> str:
    return camera.machine.run("systemctl show bodycam-recorder --property MainPID --value").strip()


def segments(camera: BodyCamera) -> dict[str, str]:
    """SHA-256 by name, of all that is sealed."""
    lines = camera.machine.run(f"cd {SPOOL}/sealed && sha256sum *.tar").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def record(camera: BodyCamera) -> str:
    """A short recording, from press to hold. Its name."""
    camera.press()
    # The counter goes on over all recordings of one start.
    name: str = camera.wait("status['recording']", 30)["recording"]
    done_s = camera.status()["media_s"]
    camera.wait(f"status['media_s'] >= {done_s + RECORDED_S}", 60)
    camera.hold()
    camera.wait("status['recording'] is None", 30)
    return name


def active(camera: BodyCamera) -> set[str]:
    return set(camera.machine.run(f"systemctl is-active {UNITS} || true").split())


def test_the_image_has_the_package_of_this_tree_and_all_its_units_run(make_camera: Make, kind: str) -> None:
    camera = make_camera(kind)
    camera.wait_ready(60)
    depends = camera.machine.run("dpkg-query --show --showformat '${Depends}' bodycam-agent")
    said = subprocess.run(
        [ROOT / ".venv/bin/python", ROOT / "tools/deb", "--suite", SUITE, "--depends"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert {word.split()[0] for word in depends.split(", ")} == set(said)
    assert version(camera).endswith(" installed")
    assert camera.machine.run(f"systemctl is-enabled {UNITS}").split() == ["enabled"] * len(UNITS.split())
    camera.machine.wait_for(f"systemctl is-active {UNITS}", 60 * camera.slow)
    # Nothing in the package was changed, or is missing; papers are not in the image.
    changed = camera.machine.run("dpkg --verify bodycam-agent | grep -v ' /usr/share/doc/' || true")
    assert changed.strip() == ""


def test_an_upgrade_is_refused_while_it_records_and_the_recording_goes_on(make_camera: Make, kind: str) -> None:
    camera = make_camera(kind, STEADY)
    camera.wait_ready(60)
    before, process = version(camera), recorder(camera)
    camera.press()
    recording = camera.wait(f"status['media_s'] >= {RECORDED_S}", 60)["recording"]
    for words in (f"--install {NEXT}", "--remove bodycam-agent", "--purge bodycam-agent"):
        media_s = camera.status()["media_s"]
        answer = dpkg(camera, words)
        assert not answer.ok and "this camera is recording" in answer.output, answer.output
        status = camera.wait(f"status['media_s'] >= {media_s + RECORDED_S}", 60)
        assert status["recording"] == recording and lit(camera)
        assert recorder(camera) == process and version(camera) == before
        assert active(camera) == {"active"}
    camera.hold()
    camera.wait("status['recording'] is None", 30)
    camera.dock()
    camera.wait("status['segments']['sealed'] == 0 and status['segments']['delivered'] >= 2", 120)
    report = camera.verify()
    assert report["verified"], report["findings"]
    assert [(r["recording"], r["ended"]) for r in report["recordings"]] == [(recording, "stop")]


def test_an_upgrade_keeps_recordings_keys_and_log_and_so_does_one_that_fails(make_camera: Make, kind: str) -> None:
    camera = make_camera(kind, STEADY)
    machine = camera.machine
    camera.wait_ready(60)
    first = record(camera)
    before, sealed, home = version(camera), segments(camera), machine.run("readlink /opt/bodycam-agent/current").strip()
    assert sealed

    # One that fails after everything was stopped: the old version runs again.
    machine.run(
        f"cd /var/tmp && dpkg-deb --raw-extract {NEXT} broken && rm -r broken/opt broken/usr && mkdir -p broken/opt",
        240 * camera.slow,
    )
    machine.run(
        "cd /var/tmp && printf '#!/bin/sh\\nexit 1\\n' >broken/DEBIAN/preinst"
        " && dpkg-deb --build -Znone broken broken.deb"
    )
    process = recorder(camera)
    answer = dpkg(camera, "--install /var/tmp/broken.deb")
    assert not answer.ok and version(camera) == before
    camera.wait_ready(60)
    assert recorder(camera) != process
    machine.wait_for(f"systemctl is-active {UNITS}", 60 * camera.slow)

    answer = dpkg(camera, f"--install {NEXT}")
    assert answer.ok, answer.output
    camera.wait_ready(60)
    assert version(camera) != before and machine.run("readlink /opt/bodycam-agent/current").strip() != home
    build = machine.run("readlink /opt/bodycam-agent/current").strip()
    assert machine.run("ls /opt/bodycam-agent").split() == [build, "current"]
    assert machine.run("bodycam-agent --version").split() == ["bodycam-agent", build]
    machine.wait_for(f"systemctl is-active {UNITS}", 60 * camera.slow)
    assert sealed.items() <= segments(camera).items()

    second = record(camera)
    camera.dock()
    camera.wait("status['segments']['sealed'] == 0 and status['segments']['delivered'] >= 4", 120)
    report = camera.verify()
    assert report["verified"], report["findings"]
    assert [(r["recording"], r["ended"]) for r in report["recordings"]] == [(first, "stop"), (second, "stop")]
    # One log with one session a start: none was begun anew.
    (log,) = report["logs"]
    assert log["first"] == 0


def test_a_purge_keeps_the_evidence_unless_it_is_told(make_camera: Make, kind: str) -> None:
    camera = make_camera(kind)
    machine = camera.machine
    camera.wait_ready(60)
    record(camera)
    assert machine.ask("ls -d /opt/bodycam-agent").ok
    answer = dpkg(camera, "--purge bodycam-agent")
    assert answer.ok and "/var/lib/bodycam-agent stays" in answer.output, answer.output
    sealed = segments(camera)
    assert sealed and machine.run(f"ls {ETC}/agent.toml {ETC}/recorder/identity.key").split()
    assert not machine.ask("ls -d /opt/bodycam-agent").ok
    assert not {"active", "activating"} & active(camera)
    assert machine.run("find /etc/systemd/system -name 'bodycam-*' -path '*.wants/*'").strip() == ""

    # Installed again, it is the same camera, and has lost nothing.
    assert dpkg(camera, f"--install {NEXT}").ok
    camera.wait_ready(60)
    assert machine.run(f"systemctl is-enabled {UNITS}").split() == ["enabled"] * len(UNITS.split())
    assert sealed.items() <= segments(camera).items()

    answer = dpkg(camera, "--purge bodycam-agent", "BODYCAM_PURGE=evidence-and-keys")
    assert answer.ok and "stays" not in answer.output, answer.output
    # A disk is mounted there: it stays, and is empty.
    assert machine.run("find /var/lib/bodycam-agent -mindepth 1").strip() == ""
    assert not machine.ask(f"ls -d {ETC}").ok
