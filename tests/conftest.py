"""Fixtures that several rooms share."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from agent.station.layout import AgencyPaths
from tests import at_once, campaigns, patience, wide
from tests.camera_kit import Desk, make_agency

# How long an example takes tells how busy the machine is, and nothing about what is tested.
settings.register_profile("house", deadline=None)
settings.load_profile("house")


MEMORY = Path("/dev/shm")
ENOUGH_BYTES = 4 << 30


def pytest_configure(config: pytest.Config) -> None:
    """Workers take the files as they stand in the tree. By itself xdist sorts them by how many tests they have: a file
    with one test of twenty seconds would come last, and one worker would wait for the other's.

    Spools lie in memory, where there is enough of it: a sync, of which one test makes hundreds, shows nothing without a
    power cut. What those leave is replayed from tapes (fault/replay) and tried in virtual machines (vm). Campaigns in
    full and the disks of virtual machines do not fit in there.
    """
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False
    at_once.pytest_configure(config)
    config.pluginmanager.register(patience)
    config.pluginmanager.register(wide)
    if not campaigns.FULL and not os.environ.get("BODYCAM_VM") and _is_roomy(MEMORY):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Nothing of what is collected is garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """What is collected stays to the end: nine thousand tests and what they import. Without this the garbage collector
    goes through all of it again and again, a tenth and more of the time that all tests together compute.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Likewise what a file's tests leave behind for those of other files: cases that were made once, and reports."""
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
        gc.freeze()


def _is_roomy(place: Path) -> bool:
    """As a disk of its own that takes what tests write, and runs it."""
    if not os.access(place, os.W_OK):
        return False
    stat = os.statvfs(place)
    free_bytes = stat.f_bavail * stat.f_frsize
    return free_bytes >= ENOUGH_BYTES and 2 * stat.f_bavail >= stat.f_blocks and not stat.f_flag & os.ST_NOEXEC


@pytest.fixture(scope="session")
def agency(tmp_path_factory: pytest.TempPathFactory) -> AgencyPaths:
    """One agency with one camera, for all tests: making keys is what it costs."""
    return make_agency(tmp_path_factory.mktemp("agency"))


@pytest.fixture
def desk(agency: AgencyPaths, tmp_path: Path) -> Desk:
    """A camera with an empty spool."""
    return Desk(agency, tmp_path / "spool").open()


@pytest.fixture(scope="session", autouse=True)
def _open_process() -> Iterator[None]:
    """Commands that tests, and what they share, call in their own process do not close that: what it reads of itself in
    /proc would be root's from then on. tests/test_hardening.py looks at real processes.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agent.hardening.harden", lambda: None)
        yield
