"""Fixtures that several rooms share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from agent.station.layout import AgencyPaths
from tests.camera_kit import Desk, make_agency

# How long an example takes tells how busy the machine is, and nothing about what is tested.
settings.register_profile("house", deadline=None)
settings.load_profile("house")


def pytest_configure(config: pytest.Config) -> None:
    """Workers take the files as they stand in the tree. By itself xdist sorts them by how many tests they have: a file
    with one test of twenty seconds would come last, and one worker would wait for the other's.
    """
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


@pytest.fixture(scope="session")
def agency(tmp_path_factory: pytest.TempPathFactory) -> AgencyPaths:
    """One agency with one camera, for all tests: making keys is what it costs."""
    return make_agency(tmp_path_factory.mktemp("agency"))


@pytest.fixture
def desk(agency: AgencyPaths, tmp_path: Path) -> Desk:
    """A camera with an empty spool."""
    return Desk(agency, tmp_path / "spool").open()


@pytest.fixture(autouse=True)
def _open_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that a test calls in its own process do not close that: what it reads of itself in /proc would be
    root's from then on. tests/test_hardening.py looks at real processes.
    """
    monkeypatch.setattr("agent.hardening.harden", lambda: None)
