"""What /proc shows of a real recorder, uploader and station: no core dump, no look inside, no swap."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import hardening
from agent.cli import station_main
from agent.station.layout import AgencyPaths
from tests.recorder_kit import RecorderProcess, make_config
from tests.station.kit import own_agency


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def without_ptrace(*command: str) -> list[str]:
    """Root may look into everything by these capabilities; without them it stands for any user of the machine."""
    if os.geteuid():
        return list(command)
    assert shutil.which("setpriv"), "setpriv (util-linux) is part of every Debian"
    return ["setpriv", "--bounding-set=-sys_ptrace,-perfmon,-sys_admin", *command]


@pytest.fixture(scope="module")
def recorder(agency: AgencyPaths, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecorderProcess]:
    root = tmp_path_factory.mktemp("hardened")
    with RecorderProcess(make_config(agency, root), root, wrap=without_ptrace) as process:
        process.until(lambda status: status["state"] == "ready")
        yield process


@pytest.fixture(scope="module")
def uploader(agency: AgencyPaths, recorder: RecorderProcess) -> Iterator[RecorderProcess]:
    with RecorderProcess(recorder.config, recorder.root, "uploader", wrap=without_ptrace) as process:
        recorder.until(lambda status: status["upload"])
        yield process


@pytest.fixture(scope="module")
def station(agency: AgencyPaths, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    root = own_agency(agency, tmp_path_factory.mktemp("station") / "agency").root
    code = "import sys; from agent.cli import station_main; sys.exit(station_main())"
    command = [sys.executable, "-c", code, "serve", "--dir", str(root), "--json"]
    with subprocess.Popen(without_ptrace(*command), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield process.pid
        process.terminate()


@pytest.fixture(scope="module")
def pids(recorder: RecorderProcess, uploader: RecorderProcess, station: int) -> list[int]:
    """Each process that holds a key."""
    return [recorder.process.pid, uploader.process.pid, station]


def test_no_core_dump(pids: list[int]) -> None:
    for pid in pids:
        limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
        assert next(line for line in limits if line.startswith("Max core file size")).split()[4:6] == ["0", "0"]


def test_nobody_of_the_same_user_looks_into_its_memory(pids: list[int]) -> None:
    """The environment stands in a process's memory; for it Yama (ptrace_scope) asks no more than the kernel does."""
    open_one = subprocess.Popen(without_ptrace("sh", "-c", "echo begun; exec sleep 60"), stdout=subprocess.PIPE)
    try:
        # What is being started by setpriv is not yet what anybody may look into.
        assert open_one.stdout and open_one.stdout.readline() == b"begun\n"
        looks = {
            pid: subprocess.run(
                without_ptrace("cat", f"/proc/{pid}/environ"),
                capture_output=True,
                timeout=30,
            ).returncode
            for pid in (open_one.pid, *pids)
        }
    finally:
        open_one.kill()
        open_one.communicate()
    assert looks.pop(open_one.pid) == 0
    assert set(looks.values()) == {1}


def test_no_page_may_be_swapped_where_that_is_allowed(recorder: RecorderProcess, uploader: RecorderProcess) -> None:
    for process in (recorder, uploader):
        found = status_of(process.process.pid)
        locked, said = int(found["VmLck"].split()[0]), "may reach swap" in process.log.read_text()
        allowed = int(found["CapEff"], 16) >> 14 & 1
        assert locked > 1024 if allowed else said or not hardening.swap_devices()
        assert int(found["VmSwap"].split()[0]) == 0 or not allowed


def test_where_it_may_not_lock_it_does_not_try_and_says_why() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))\n"
        "from agent import hardening\n"
        "hardening._may_lock = lambda: False\n"
        "hardening.swap_devices = lambda: ['/dev/zram0']\n"
        "print(hardening.harden()); print(open('/proc/self/status').read())\n"
        "hardening.swap_devices = lambda: []\n"
        "print('no swap:', hardening.harden())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("this user may lock 64 KiB (LimitMEMLOCK=infinity")
    assert "VmLck:\t       0 kB" in done.stdout
    assert "no swap: None" in done.stdout


CLOSED = """
import sys
from agent import cli, hardening
real = hardening.harden
def harden():
    told = real()
    print("closed")
    return told
hardening.harden = harden
sys.exit(getattr(cli, sys.argv[1])(sys.argv[2:]))
"""


@pytest.mark.wide
@pytest.mark.parametrize(
    "words",
    [
        ["evidence_main", "decrypt", "none.tar", "-i", "none.agekey", "-o", "out"],
        ["evidence_main", "verify", "none.tar", "--trust", "none.pem", "-i", "none.agekey"],
        ["evidence_main", "export", "none.tar", "--trust", "none.pem", "-i", "none.agekey", "-o", "out"],
        ["evidence_main", "rewrap", "none.tar", "--trust", "none.pem", "-i", "none.agekey", "-r", "age1x", "-o", "out"],
        ["agent_main", "provision", "--dir", "none", "--certificate", "none.bundle"],
        ["station_main", "init", "--dir", "agency"],
        ["station_main", "rotate", "--dir", "none"],
        ["station_main", "enrol", "--dir", "none", "--camera", "cam-0001"],
    ],
    ids=lambda words: f"{words[0].removesuffix('_main')}-{words[1]}",
)
def test_each_command_that_holds_a_key_closes_itself_first(words: list[str], tmp_path: Path) -> None:
    """Before it finds out that nothing it needs is there."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-c", CLOSED, *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env, timeout=120)
    assert done.stdout.startswith("closed\n"), done.stderr


def test_a_command_that_only_checks_signatures_has_nothing_to_close(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CLOSED, "evidence_main", "verify", "none.tar", "--trust", "none.pem"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env, timeout=120)
    assert "closed" not in done.stdout


PR_GET_DUMPABLE = 3


@pytest.fixture(scope="module")
def called(agency: AgencyPaths) -> None:
    """A command, as whole files of tests share what one made; it closes its process before all else."""
    station_main(["status", "--dir", str(agency.root)])


@pytest.mark.usefixtures("called")
def test_what_tests_share_leaves_their_own_process_open() -> None:
    """Else what a later one reads of itself in /proc is root's, and only root's tests pass."""
    assert ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1
