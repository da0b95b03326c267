"""What tests of evidence are given."""

from __future__ import annotations

import pytest

from tests.evidence.disk_kit import Disk


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Which gives all that is on it until it is told otherwise."""
    return Disk(monkeypatch)
