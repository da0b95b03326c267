"""A card loses a tile of the log while the log goes on: the uploader meets it, the recorder mends it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.errors import StationError
from agent.formats import merkle
from agent.model import SegmentState
from agent.station.layout import AgencyPaths
from agent.status import lacking, refusal
from tests.station.kit import own_agency
from tests.test_epochs import Card
from tests.test_uploader import serving
from tests.uploader_child import uploader

LEAVES = merkle.TILE_WIDTH + 5
FULL = "tile/0/000"


@pytest.fixture(scope="module")
def written(agency: AgencyPaths, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The spool of a camera whose log has one full tile: its leaves are in two segments."""
    card = Card(agency, tmp_path_factory.mktemp("camera"))
    vault = card.open()
    for number in range(LEAVES):
        vault.say({"type": "heartbeat"}, None)
        if number == LEAVES // 2:
            vault.sealer.seal_open()
    vault.sealer.seal_open()
    vault.close()
    return card.spool


@pytest.fixture
def card(agency: AgencyPaths, written: Path, tmp_path: Path) -> Card:
    """Of its own."""
    card = Card(own_agency(agency, tmp_path / "agency"), tmp_path)
    shutil.copytree(written, card.spool, dirs_exist_ok=True)
    return card


def gone(tile: Path) -> None:
    tile.unlink()


def short(tile: Path) -> None:
    tile.write_bytes(tile.read_bytes()[:-5])


def altered(tile: Path) -> None:
    tile.write_bytes(tile.read_bytes()[:-1] + b"?")


@pytest.mark.parametrize("harm", [gone, short, altered])
def test_a_full_tile_is_made_anew_from_the_segments(card: Card, harm: Callable[[Path], None]) -> None:
    vault, tile = card.open(), card.spool / "log" / "1" / FULL
    before = tile.read_bytes()
    harm(tile)
    vault.mend(FULL)
    assert (tile.read_bytes(), vault.epoch) == (before, 1)
    assert vault.behind is None
    vault.close()


@pytest.mark.parametrize("word", [FULL, "", "../../x", "tile/0/001", "tile/0/999", "tile/9/000", "tile/0/000.p/5"])
def test_a_word_that_is_not_so_changes_no_full_tile_and_ends_no_log(card: Card, word: str) -> None:
    vault, tile = card.open(), card.spool / "log" / "1" / FULL
    inode = tile.stat().st_ino
    vault.mend(word)
    assert tile.stat().st_ino == inode
    assert vault.behind is None
    vault.close()


def test_a_partial_tile_is_written_with_the_next_flush(card: Card) -> None:
    vault = card.open()
    (tile,) = (card.spool / "log" / "1" / "tile" / "1" / "000.p").iterdir()
    before = tile.read_bytes()
    tile.unlink()
    vault.mend("tile/1/000.p/1")
    assert tile.read_bytes() == before
    vault.close()


def test_one_whose_leaves_nothing_has_ends_the_log_once(card: Card) -> None:
    vault = card.open()
    (card.spool / "log" / "1" / FULL).unlink()
    first = min(vault.spool.records(SegmentState.SEALED), key=lambda r: r.first)
    for path in (card.spool / "sealed").glob(f"{first.segment}.*"):
        path.unlink()
    vault.mend(FULL)
    assert vault.behind == f"the log's tiles: {FULL} is lost, and leaf 0 is in no tile and in no segment"
    vault.renew()
    assert vault.epoch == 2
    assert vault.began is not None and FULL in vault.began
    vault.mend(FULL)
    assert vault.behind is None
    vault.close()


@pytest.mark.parametrize(("harm", "met"), [(gone, "lacks a part of it"), (altered, "altered the log")])
def test_what_the_uploader_met_is_mended_and_all_is_delivered(
    card: Card, harm: Callable[[Path], None], met: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.dock.visit.Visit._jitter_s", lambda self, attempt: 0.01)
    vault = card.open()
    harm(card.spool / "log" / "1" / FULL)
    with serving(card.agency) as url:
        visit = uploader(card.agency, card.spool, url)
        with pytest.raises(StationError, match=met):
            visit.once(threading.Event())
        assert lacking(vault) == FULL
        assert refusal(vault)
        vault.mend(lacking(vault))
        visit.once(threading.Event())
        vault.accept_receipts()
    assert (lacking(vault), vault.spool.records(SegmentState.SEALED)) == ("", [])
    assert refusal(vault) is None
    vault.close()
