"""tools/setup on machines that this one is not: stand-ins for dpkg, apt and sudo say what is there.

The real thing, on a machine that has nothing, is `make fresh-test`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parent.parent


class Machine:
    """A copy of the tree on a machine whose package tools are scripts that note how they are called."""

    def __init__(self, folder: Path) -> None:
        self.tree = folder / "tree"
        self.bin = folder / "bin"
        self.calls = folder / "calls"
        self.bin.mkdir()
        self.calls.touch()
        for name in ("tools/setup", "setup.py", "pyproject.toml", "requirements"):
            source, target = HOUSE / name, self.tree / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
        self.stand_in("dpkg-query", "")

    def stand_in(self, name: str, body: str) -> None:
        path = self.bin / name
        path.write_text(f'#!/bin/bash\necho "{name} $*" >>"{self.calls}"\n{body}\n', encoding="utf-8")
        path.chmod(0o755)

    def user(self, number: int) -> None:
        self.stand_in("id", f"echo {number}")

    def apt_knows(self, *names: str, after_update: bool) -> None:
        """Lists that name these packages: from the start, or once `apt-get update` ran. Installing always fails."""
        known = "|".join(names)
        ready = f'grep -q "^apt-get .*update" "{self.calls}"' if after_update else "true"
        self.stand_in("apt-cache", f'case $2 in {known}) {ready} && echo "  Candidate: 1.0";; esac; true')
        self.stand_in("apt-get", "case $* in *install*) exit 100;; esac")

    def set_up(self, for_what: str = "run", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(self.tree / "tools" / "setup"), for_what],
            env={**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}", "PYTHON": sys.executable, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def called(self, start: str) -> list[str]:
        return [line for line in self.calls.read_text(encoding="utf-8").splitlines() if line.startswith(start)]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


BOOKWORM = [
    "libgl1",
    "libglib2.0-0",
    "gcc",
    "libc6-dev",
    "portaudio19-dev",
    "age",
    "openssl",
    "ffmpeg",
    "fonts-dejavu-core",
    "libfribidi0",
    "tzdata",
    "ca-certificates",
]
FOR_TESTS = ["forensics-samples-files", "swtpm", "tpm2-tools", "systemd", "iproute2", "curl", "nodejs"]


def test_without_root_or_sudo_it_names_what_is_missing_why_and_the_command(machine: Machine) -> None:
    machine.user(1000)
    machine.stand_in("sudo", "exit 1")
    machine.stand_in("apt-get", "")
    done = machine.set_up()
    assert done.returncode == 2
    assert "portaudio19-dev              PyAudio: PortAudio and its headers" in done.stderr
    assert "next: as root: apt-get update && apt-get install libgl1 libglib2.0-0 gcc" in done.stderr
    assert machine.called("apt-get") == []
    assert not (machine.tree / ".venv").exists()


def test_a_user_with_sudo_installs_through_it(machine: Machine) -> None:
    machine.user(1000)
    machine.stand_in("sudo", '[ "$1" != -n ] || shift; "$@"')
    machine.apt_knows(*BOOKWORM, after_update=False)
    machine.set_up()
    assert len(machine.called("sudo env DEBIAN_FRONTEND=noninteractive apt-get")) > 0


def test_empty_lists_are_fetched_first_and_the_release_own_name_is_taken(machine: Machine) -> None:
    machine.user(0)
    machine.apt_knows(*BOOKWORM, after_update=True)
    done = machine.set_up()
    commands = [line.split(" -qq ")[1] for line in machine.called("apt-get")]
    assert commands == ["update", f"install --yes --no-install-recommends {' '.join(BOOKWORM)}"]
    assert done.returncode == 2
    assert "error: apt-get install failed" in done.stderr


def test_an_installation_from_old_lists_is_tried_again_with_new_ones(machine: Machine) -> None:
    machine.user(0)
    machine.apt_knows(*BOOKWORM, after_update=False)
    machine.set_up()
    commands = [line.split(" -qq ")[1].split()[0] for line in machine.called("apt-get")]
    assert commands == ["install", "update", "install"]


def test_only_what_is_missing_is_installed(machine: Machine) -> None:
    machine.user(0)
    missing = ["portaudio19-dev", "ca-certificates"]
    there = "".join(f"{name}:ii  " for name in ["libglib2.0-0t64", *BOOKWORM] if name not in missing)
    machine.stand_in("dpkg-query", f"printf '%s' '{there} ca-certificates:rc '")
    machine.apt_knows(*BOOKWORM, after_update=False)
    machine.set_up()
    asked = machine.called("apt-get")[0].split("--no-install-recommends ")[1].split()
    assert asked == missing  # one never installed, one removed with its settings left


def test_a_package_that_apt_does_not_offer_is_named(machine: Machine) -> None:
    machine.user(0)
    machine.apt_knows(*(name for name in BOOKWORM if name != "age"), after_update=False)
    done = machine.set_up()
    assert done.returncode == 2
    assert "error: apt offers no package named age" in done.stderr


def test_an_interpreter_that_does_not_fit_is_refused_by_name(machine: Machine) -> None:
    machine.stand_in("python-of-old", "exit 1")
    done = machine.set_up(PYTHON=str(machine.bin / "python-of-old"))
    assert done.returncode == 2
    assert "python-of-old is not a Python 3.11 to 3.13 that runs" in done.stderr


def without(name: str, folder: Path) -> str:
    """A PATH on which every command is found but this one."""
    folder.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for command in Path(place).iterdir() if Path(place).is_dir() else []:
            if command.name != name and not (folder / command.name).is_symlink():
                (folder / command.name).symlink_to(command)
    return str(folder)


@pytest.mark.parametrize("there", [True, False])
def test_npm_is_installed_for_the_tests_where_there_is_none(machine: Machine, tmp_path: Path, there: bool) -> None:
    machine.user(0)
    machine.apt_knows(*BOOKWORM, *FOR_TESTS, "npm", after_update=False)
    if there:
        machine.stand_in("npm", "exit 1")
    machine.set_up("test", PATH=f"{machine.bin}:{without('npm', tmp_path / 'commands')}")
    asked = machine.called("apt-get")[0].split("--no-install-recommends ")[1].split()
    assert asked == [*BOOKWORM, *FOR_TESTS, *([] if there else ["npm"])]


def test_wrong_words_are_a_usage_error(machine: Machine) -> None:
    done = machine.set_up("everything")
    assert (done.returncode, done.stderr) == (2, "usage: tools/setup run|test\n")
