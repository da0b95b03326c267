"""Cameras for the tests here. `make vm-test` runs them; `make test` only what needs no machine."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.campaigns import Campaign
from tests.ports import free_port
from tests.vm.bodycam import FPS, PROFILE, ROOT, BodyCamera, Station
from tests.vm.machine import Machine
from tests.vm.qemu import Qemu
from tests.vm.uml import Uml

SUITE = os.environ.get("BODYCAM_VM_SUITE", "bookworm")
"""Of Debian, in the guest."""
IMAGES = Path(os.environ.get("BODYCAM_VM_IMAGES", ROOT / ".cache" / "vm")) / ("" if SUITE == "bookworm" else SUITE)
KINDS = os.environ.get("BODYCAM_VM", "").split()
"""Which machines: "uml", "qemu" or both; none in `make test`."""
SLOW = {"uml": 1.0, "qemu": 6.0}

collect_ignore_glob = [] if KINDS else ["test_vm_*.py"]

Make = Callable[..., BodyCamera]


def campaign(name: str, kind: str = "", arguments: str = "", *parts: int) -> Campaign:
    """Of this suite, and named after it where it is not the one that a camera has first."""
    words = [f"VM={kind}"] if kind else []
    if SUITE != "bookworm":
        name = f"{name}-{SUITE}"
        words.append(f"SUITE={SUITE}")
    if arguments:
        words.append(f"ARGS='{arguments}'")
    return Campaign(name, *parts, command=" ".join(["BODYCAM_CAMPAIGN=full make vm-test", *words]))


def _machine(kind: str, work: Path, port: int, steady: bool = False, resets: bool = False) -> Machine:
    if kind == "uml":
        return Uml(IMAGES, work)
    return Qemu(IMAGES, work, station_port=port, steady=steady, resets=resets)


def _serve(station: Station, machine: Machine, port: int) -> None:
    if isinstance(machine, Uml):
        station.serve(machine.inside, f"{machine.host}:8443")
    else:
        station.serve([], f"127.0.0.1:{port}")


class Golden:
    """A camera of each kind that was provisioned and shut down: its disks and its agency, to be copied. It is made
    aside, so that what failed half-way is not taken for one; processes that test at once make it once.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def of(self, kind: str) -> Path:
        work, aside = self._directory / kind, self._directory / f"{kind}.new"
        with (self._directory / f"{kind}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not work.exists():
                shutil.rmtree(aside, ignore_errors=True)
                self._make(kind, aside)
                aside.rename(work)
        return work

    def _make(self, kind: str, work: Path) -> None:
        station = Station.new(work / "agency", [Uml.host, Qemu.host])
        # By its own clock it is ready in time, whatever else runs here.
        with _machine(kind, work, free_port(), steady=True) as machine:
            machine.start(180 * SLOW[kind])
            # Early in the boot the root file system may only be read.
            machine.wait_for("[ -w /etc ]", 60 * SLOW[kind])
            camera = BodyCamera(machine, station, SLOW[kind])
            camera.provision({**PROFILE, "video": {**PROFILE["video"], "fps": FPS[kind]}})
            camera.wait_ready(60)
            machine.shutdown(120 * SLOW[kind])
        machine.console.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Golden:
    if not (IMAGES / "image.id").exists():
        pytest.fail(f"no image in {IMAGES}: make vm-setup")
    directory = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        # Each of pytest-xdist's processes has a directory of its own in there.
        directory = directory.parent
    (directory / "golden").mkdir(exist_ok=True)
    return Golden(directory / "golden")


@pytest.fixture
def make_camera(golden: Golden, tmp_path: Path) -> Iterator[Make]:
    """A camera of a kind, on, with its station serving; off again at the end. Its journal is printed. With `steady`, an
    emulated one goes by the instructions that it executes; with `resets` it boots again where it is reset.
    """
    with ExitStack() as stack:

        def make(
            kind: str,
            changes: dict[str, dict[str, Any]] | None = None,
            steady: bool = False,
            resets: bool = False,
        ) -> BodyCamera:
            work = tmp_path / kind
            subprocess.run(["cp", "-r", "--sparse=always", str(golden.of(kind)), str(work)], check=True)
            port = free_port()
            machine = stack.enter_context(_machine(kind, work, port, steady, resets))
            station = Station(work / "agency")
            stack.callback(station.stop)
            _serve(station, machine, port)
            machine.start(180 * SLOW[kind])
            camera = BodyCamera(machine, station, SLOW[kind])
            stack.callback(lambda: print(camera.journal()))
            if changes:
                # Early in the boot the root file system may only be read.
                camera.wait_ready(60)
                camera.reconfigure(changes)
            return camera

        yield make
    shutil.rmtree(tmp_path, ignore_errors=True)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `kind` is run on each machine that was asked for."""
    if "kind" in metafunc.fixturenames:
        metafunc.parametrize("kind", KINDS)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What tests that passed have measured, which pytest shows of failures alone."""
    for report in terminalreporter.stats.get("passed", ()):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {name} {value}")
