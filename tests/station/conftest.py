"""A station without a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.station.layout import AgencyPaths
from tests.station.kit import Bench, bench


@pytest.fixture
def station(agency: AgencyPaths, tmp_path: Path) -> Iterator[Bench]:
    """A station that holds nothing yet, of the shared agency."""
    with bench(agency, tmp_path / "agency") as made:
        yield made
