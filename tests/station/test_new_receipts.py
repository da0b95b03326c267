"""A purge asks for new receipts before each recording: none is missed, and those it knows are not listed each time."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent import durable
from agent.station import reindex
from agent.station.reindex import CLOCK_STEP_S, Reindexer
from tests.camera_kit import CAMERA
from tests.station.test_knowledge import Held, bad_receipt
from tests.station.test_knowledge import held_a_day as held

__all__ = ["held"]


def until_the_clock_moved(probe: Path, since: Path) -> None:
    """The file system's, so that a change from now on shows another time."""
    probe.touch()
    while probe.stat().st_ctime_ns <= since.stat().st_ctime_ns:
        probe.touch()


class Asked:
    """A reindexer whose time is the test's, and which camera's receipts it listed how often."""

    def __init__(self, held: Held, patch: pytest.MonkeyPatch) -> None:
        self.now_s, self.listed = 100.0, 0
        self.receipts = held.station.paths.station / "receipts" / CAMERA
        until_the_clock_moved(held.station.paths.root / "probe", self.receipts)
        names = durable.names

        def listing(directory: Path, suffix: str = "") -> list[str]:
            self.listed += directory == self.receipts
            return names(directory, suffix)

        patch.setattr(durable, "names", listing)
        assert held.station.index
        self._reindexer = Reindexer(held.station.paths, held.station.index, held.station.state, lambda: self.now_s)
        assert self._reindexer.extend() == {}

    def hear(self) -> tuple[bool, str | None]:
        """Whether they were listed, and what it said."""
        before = self.listed
        said = self._reindexer.hear(CAMERA)
        return self.listed > before, said


@pytest.fixture
def asked(held: Held, monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(held, monkeypatch)


def test_receipts_it_knows_are_listed_no_more_once_their_directory_rests(asked: Asked) -> None:
    assert asked.hear() == (True, None)
    asked.now_s += CLOCK_STEP_S
    # What came after the last listing, and before the clock's next step, shows no other time.
    assert asked.hear() == (True, None)
    assert [asked.hear() for _ in range(3)] == [(False, None)] * 3


def frozen(patch: pytest.MonkeyPatch, directory: Path) -> None:
    """The file system's clock stands still, as within one step."""
    real = os.stat
    was = real(directory).st_ctime_ns

    def stat(path: Path) -> SimpleNamespace:
        found = real(path)
        return SimpleNamespace(st_dev=found.st_dev, st_ino=found.st_ino, st_ctime_ns=was)

    patch.setattr(reindex, "os", SimpleNamespace(stat=stat))


def test_one_that_comes_within_a_step_of_the_clock_is_heard(
    asked: Asked, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen(monkeypatch, asked.receipts)
    assert asked.hear() == (True, None)
    asked.now_s += CLOCK_STEP_S - 1
    assert asked.hear() == (True, None)
    bad_receipt(held, CAMERA)
    asked.now_s += 1
    listed, said = asked.hear()
    assert (listed, "1-bad.receipt" in str(said)) == (True, True)


def replaced(receipts: Path) -> None:
    """As from a backup."""
    receipts.rename(receipts.with_name("away"))
    receipts.mkdir()
    for path in receipts.with_name("away").iterdir():
        os.link(path, receipts / path.name)


CHANGES: dict[str, Callable[[Path], object]] = {
    "one comes": lambda receipts: (receipts / "2.receipt").write_bytes(b"x"),
    "the directory is another one": replaced,
    "the directory is gone": lambda receipts: receipts.rename(receipts.with_name("away")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_once_it_rested_is_looked_at(asked: Asked, change: str) -> None:
    asked.hear()
    asked.now_s += CLOCK_STEP_S
    asked.hear()
    assert asked.hear() == (False, None)
    CHANGES[change](asked.receipts)
    listed, said = asked.hear()
    assert listed or not asked.receipts.exists()
    assert ("2.receipt" in str(said)) == (change == "one comes")


def test_one_that_cannot_be_read_is_said_each_time(asked: Asked, held: Held) -> None:
    bad_receipt(held, CAMERA)
    for _ in range(4):
        asked.now_s += CLOCK_STEP_S
        listed, said = asked.hear()
        assert (listed, "1-bad.receipt" in str(said)) == (True, True)
