"""`make vm-smoke` says why it is not run where it cannot be, which is no failure; what fails where it can be is one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.test_uploader import until

SMOKE = Path(__file__).with_name("smoke.sh")
CI = SMOKE.parents[2] / ".ci" / "run"
IN_ALL_S = 15 * 60
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
LACKS = [
    ("df", "echo Avail; echo 500M", "has room for 500 MiB"),
    ("awk", HERE["awk"].replace("90000", "700"), "700 MiB of memory are free"),
    ("apt-get", "false", "apt-get update fails"),
]
"""What may be otherwise tomorrow."""


@pytest.mark.parametrize(
    ("command", "says", "why"),
    [
        ("id", "echo 1000", "it needs root"),
        ("dpkg", "echo arm64", "this machine is arm64"),
        ("awk", "echo trixie", "this is trixie"),
        ("awk", "true", "this is no known release of Debian"),
        ("unshare", "false", "nothing may be mounted here"),
        ("git", "false", "git finds no commit here"),
        *LACKS,
    ],
)
def test_it_says_why_it_cannot_be_run(tmp_path: Path, command: str, says: str, why: str) -> None:
    done = smoke(tmp_path, {**HERE, command: says})
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith("vm-smoke: not run: ") and why in line


@pytest.mark.parametrize(("command", "says", "why"), LACKS)
def test_where_it_must_be_run_what_the_machine_lacks_is_a_failure(
    tmp_path: Path, command: str, says: str, why: str
) -> None:
    done = smoke(tmp_path, {**HERE, command: says}, wish="must")
    assert done.returncode == 1 and done.stdout == ""
    assert why in done.stderr and "BODYCAM_VM_SMOKE=may" in done.stderr


def test_what_a_machine_can_never_do_is_no_failure_though_it_must_be_run(tmp_path: Path) -> None:
    done = smoke(tmp_path, {**HERE, "id": "echo 1000"}, wish="must")
    assert done.returncode == 0 and "it needs root" in done.stdout


def test_a_wish_that_is_misspelt_is_told(tmp_path: Path) -> None:
    done = smoke(tmp_path, HERE, wish="always")
    assert done.returncode == 2 and "may or must" in done.stderr


@pytest.mark.parametrize(("given", "wish"), [(None, "must"), ("may", "may")])
def test_continuous_integration_says_that_it_must_be_unless_told_otherwise(
    tmp_path: Path, given: str | None, wish: str
) -> None:
    (tmp_path / "make").write_text('#!/bin/sh\necho "$* ${BODYCAM_VM_SMOKE:-}"\n', "utf-8")
    (tmp_path / "make").chmod(0o755)
    (tmp_path / ".ci").mkdir()
    shutil.copy(CI, tmp_path / ".ci" / "run")
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    environment = path if given is None else {**path, "BODYCAM_VM_SMOKE": given}
    done = subprocess.run([tmp_path / ".ci" / "run"], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"vm-smoke {wish}"


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


def test_a_disk_that_fails_is_tried_once_more(tmp_path: Path) -> None:
    once = "[ -e $OUT/tried ] || { touch $OUT/tried; exit 1; }; touch $OUT/image.id"
    assert smoke(tmp_path, HERE, script=tree(tmp_path, once, "exit 0")).returncode == 0


def test_all_of_it_ends_within_a_quarter_of_an_hour(tmp_path: Path) -> None:
    """Both tries of the disk have one bound, and the camera what is left; a bound leaves ten seconds to end in."""
    bound_s, disk_s = (int(n) for n in re.findall(r"^bound_s=(\d+) disk_s=(\d+)", SMOKE.read_text("utf-8"), re.M)[0])
    assert disk_s + 10 < bound_s and bound_s + 10 <= IN_ALL_S
    script = tree(tmp_path, "sleep 600", "exit 0")
    script.write_text(script.read_text("utf-8").replace(f"disk_s={disk_s}", "disk_s=1"), "utf-8")
    done = smoke(tmp_path, HERE, script=script)
    assert done.returncode == 124 and "the camera's disk is not there" in done.stderr


def test_whoever_ends_it_ends_what_it_runs(tmp_path: Path) -> None:
    script = tree(tmp_path, "touch $OUT/image.id", "echo $$; exec sleep 600")
    command, environment = prepared(tmp_path, HERE, script=script)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout
        runs = int(process.stdout.readline())
        process.terminate()
        assert process.wait(60) == 130
    until("what it ran has ended", lambda: has_ended(runs))


def has_ended(pid: int) -> bool:
    """Whoever inherited it may not have taken its status yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


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
    tmp_path: Path, here: dict[str, str], *, path: bool = True, script: Path = SMOKE, wish: str = "may"
) -> subprocess.CompletedProcess[str]:
    command, environment = prepared(tmp_path, here, path=path, script=script)
    environment["BODYCAM_VM_SMOKE"] = wish
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
