"""What is wrong with the log, on the card or at the station, keeps no segment on the camera."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.dock.logproof import LackingError, LocalLog, load_log
from agent.dock.station import RefusedError
from agent.dock.uploading import LOOKS
from tests.camera_kit import Desk
from tests.dock.test_visit import ScriptedStation, Waits, many, no_trouble, visit


@pytest.fixture
def tile(desk: Desk) -> Path:
    """The one tile of a log with three sealed segments."""
    many(desk, 3)
    (found,) = [p for p in (desk.root / "log" / "1" / "tile").rglob("*") if p.is_file()]
    return found


def sends(station: ScriptedStation) -> int:
    return sum(c.startswith("send") for c in station.calls)


def gone(tile: Path, patch: pytest.MonkeyPatch) -> None:
    tile.unlink()


def short(tile: Path, patch: pytest.MonkeyPatch) -> None:
    tile.write_bytes(tile.read_bytes()[:-5])


def unread(tile: Path, patch: pytest.MonkeyPatch) -> None:
    real = Path.open

    def opened(path: Path, *how: object, **more: object) -> object:
        if path == tile:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return real(path, *how, **more)  # type: ignore[call-overload]

    patch.setattr(Path, "open", opened)


Harm = Callable[[Path, pytest.MonkeyPatch], None]
HARMS: dict[Harm, str] = {gone: "missing or too short", short: "missing or too short", unread: "Input/output error"}


@pytest.mark.parametrize("harm", HARMS)
def test_a_tile_that_the_card_lost_keeps_no_segment_and_is_told(
    desk: Desk, tile: Path, harm: Harm, monkeypatch: pytest.MonkeyPatch
) -> None:
    harm(tile, monkeypatch)
    station = ScriptedStation(no_trouble)
    told = visit(desk, station, Waits(), attempts=None)
    assert (sends(station), told["state"], told["segments_done"]) == (3, "refused", 0)
    assert str(told["refused"]).startswith("log: the card lacks a part of it: tile/0/000.p/")
    assert HARMS[harm] in str(told["refused"])


def test_a_tile_that_is_being_replaced_is_looked_for_again(desk: Desk, tile: Path) -> None:
    data = tile.read_bytes()
    tile.unlink()
    station, halt = ScriptedStation(no_trouble), Waits()
    wait = halt.wait

    def back(timeout: float | None = None) -> bool:
        if len(halt.waited) == LOOKS - 2:
            tile.write_bytes(data)
        return wait(timeout)

    halt.wait = back  # type: ignore[method-assign]
    told = visit(desk, station, halt)
    assert (told["state"], told["refused"], station.calls.count("attest 3")) == ("delivered", "", 1)


@pytest.mark.parametrize("harm", HARMS)
def test_of_a_log_that_nobody_writes_it_is_damage_at_once(
    desk: Desk, tile: Path, harm: Harm, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = load_log(desk.root / "log", 1, closed=False)
    assert isinstance(log, LocalLog)
    harm(tile, monkeypatch)
    for read in (lambda one: list(one.tiles(0)), lambda one: one.proof(1)):
        with pytest.raises(LackingError):
            read(log)
        with pytest.raises(RefusedError, match="the log of epoch 1 is damaged"):
            read(replace(log, closed=True))
