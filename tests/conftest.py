"""Fixtures that several rooms share."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.station.layout import AgencyPaths
from tests.camera_kit import Desk, make_agency


@pytest.fixture(scope="session")
def agency(tmp_path_factory: pytest.TempPathFactory) -> AgencyPaths:
    """One agency with one camera, for all tests: making keys is what it costs."""
    return make_agency(tmp_path_factory.mktemp("agency"))


@pytest.fixture
def desk(agency: AgencyPaths, tmp_path: Path) -> Desk:
    """A camera with an empty spool."""
    return Desk(agency, tmp_path / "spool").open()
