"""`make vm-smoke` says why it is not run where it cannot be, which is no failure; what fails where it can be is one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SMOKE = Path(__file__).with_name("smoke.sh")
HERE = {
    "id": "echo 0",
    "dpkg": "echo amd64",
    "unshare": "true",
    "git": "true",
    "df": "echo Avail; echo 90000M",
    "apt-get": "true",
    "awk": "for last; do :; done; case $last in /etc/os-release) echo bookworm ;; *) echo 90000 ;; esac",
}
"""A machine that can, as these commands tell it."""


@pytest.mark.parametrize(
    ("command", "says", "why"),
    [
        ("id", "echo 1000", "it needs root"),
        ("dpkg", "echo arm64", "this machine is arm64"),
        ("awk", "echo trixie", "this is trixie"),
        ("awk", "true", "this is no known release of Debian"),
        ("unshare", "false", "nothing may be mounted here"),
        ("git", "false", "git finds no commit here"),
        ("df", "echo Avail; echo 500M", "has room for 500 MiB"),
        ("awk", HERE["awk"].replace("90000", "700"), "700 MiB of memory are free"),
        ("apt-get", "false", "apt-get update fails"),
    ],
)
def test_it_says_why_it_cannot_be_run(tmp_path: Path, command: str, says: str, why: str) -> None:
    done = smoke(tmp_path, {**HERE, command: says})
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith("vm-smoke: not run: ") and why in line


def test_a_machine_without_apt_cannot(tmp_path: Path) -> None:
    done = smoke(tmp_path, {name: says for name, says in HERE.items() if name != "apt-get"}, path=False)
    assert done.returncode == 0, done.stderr
    assert "there is no apt-get here" in done.stdout


@pytest.mark.parametrize(("built", "status"), [("false", 1), ("touch $OUT/image.id", 7)])
def test_what_fails_where_it_can_be_run_is_no_excuse(tmp_path: Path, built: str, status: int) -> None:
    """The disk that cannot be built, and the camera that fails on it."""
    done = smoke(tmp_path, HERE, script=tree(tmp_path, built, "exit 7"))
    assert done.returncode == status, done.stderr
    assert ("the camera's disk took" in done.stdout) == (status == 7)
    assert "not run" not in done.stdout


def test_whoever_ends_it_ends_what_it_runs(tmp_path: Path) -> None:
    script = tree(tmp_path, "touch $OUT/image.id", "echo $$; exec sleep 600")
    command, environment = prepared(tmp_path, HERE, script=script)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout
        runs = int(process.stdout.readline())
        process.terminate()
        assert process.wait(60) == 130
    with pytest.raises(ProcessLookupError):
        os.kill(runs, 0)


def tree(tmp_path: Path, builds: str, tests: str) -> Path:
    """The script in a tree of its own, with these words of a shell for the disk's making and the camera's test."""
    top = tmp_path / "tree"
    for name, text in {
        "tests/vm/smoke.sh": SMOKE.read_text("utf-8"),
        "tests/vm/build-image.sh": f"#!/bin/sh\n{builds}\n",
        ".venv/bin/python": f"#!/bin/sh\n{tests}\n",
    }.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text, "utf-8")
        (top / name).chmod(0o755)
    return top / "tests/vm/smoke.sh"


def smoke(
    tmp_path: Path, here: dict[str, str], *, path: bool = True, script: Path = SMOKE
) -> subprocess.CompletedProcess[str]:
    command, environment = prepared(tmp_path, here, path=path, script=script)
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def prepared(
    tmp_path: Path, here: dict[str, str], *, path: bool = True, script: Path = SMOKE
) -> tuple[list[str], dict[str, str]]:
    """The script's command and environment on a machine that tells this."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, says in here.items():
        (commands / name).write_text(f"#!/bin/sh\n{says}\n", "utf-8")
        (commands / name).chmod(0o755)
    if not path:
        for name in ("bash", "dirname"):
            (commands / name).symlink_to(f"/usr/bin/{name}")
    search = f"{commands}:{os.environ['PATH']}" if path else str(commands)
    return ["/usr/bin/bash", str(script)], {**os.environ, "PATH": search, "OUT": str(tmp_path / "out")}
