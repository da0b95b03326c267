"""A scrape counts anew what changed, and nothing else, whoever changed it."""

from __future__ import annotations

import os
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent import durable
from agent.model import NS
from agent.station import counting, overview
from agent.station.counting import SETTLED_NS, Counting
from agent.station.index import Index
from agent.station.overview import Camera
from agent.station.serve import Station
from tests.camera_kit import CAMERA
from tests.station.test_knowledge import Held, later
from tests.station.test_knowledge import held_a_day as held

__all__ = ["held"]


def long_after() -> int:
    return time.time_ns() + 2 * SETTLED_NS


class Scraper:
    """One that asks again and again, long after what was changed."""

    def __init__(self, held: Held, now_ns: Callable[[], int] = long_after) -> None:
        assert held.station.index
        self._held, self._index = held, held.station.index
        self._counting = Counting(held.station.paths, self._index, now_ns)

    def look(self) -> Camera:
        paths, state = self._held.station.paths, self._held.station.state
        (camera,) = overview.look(paths, self._index, state, self._counting).cameras
        # Nothing is old enough for this one to be remembered.
        (counted,) = overview.look(paths, self._index, state, Counting(paths, self._index, lambda: 0)).cameras
        assert camera == counted
        return camera


def changed(directory: Path, change: Callable[[], None], undo: Callable[[], None]) -> None:
    """So that the kernel's clock for files has ticked."""
    before = os.stat(directory).st_ctime_ns if directory.exists() else 0
    change()
    while os.stat(directory).st_ctime_ns == before:
        undo()
        change()


def listed(monkeypatch: pytest.MonkeyPatch, held: Held) -> list[str]:
    """What is listed from now on, of what grows with the segments and the purges, in directories and in the index."""
    found, names, live = list[str](), durable.names, Index.live_places

    def listing(directory: Path, suffix: str = "") -> list[str]:
        if directory.parent.name in ("segments", "conflicts", "purges"):
            found.append(directory.parent.name)
        return names(directory, suffix)

    def places(index: Index, camera: str) -> set[str]:
        found.append("index")
        return live(index, camera)

    monkeypatch.setattr(durable, "names", listing)
    monkeypatch.setattr(Index, "live_places", places)
    return found


def test_each_scrape_lists_nothing_again(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "SETTLED_NS", 0)
    held.station.state.close()
    station = Station(held.station.paths.root)
    port = station.measure("127.0.0.1", 0)
    found = listed(monkeypatch, held)
    try:
        told = []
        for _ in range(3):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                told.append([line for line in answer.read().split(b"\n") if b"free_bytes" not in line])
    finally:
        station.stop()
    assert told[0] == told[1] == told[2]
    assert b'bodycam_station_camera_recordings{camera="cam-test"} 2' in told[0]
    assert found.count("segments") == found.count("index") == 1


def test_the_next_process_counts_nothing_again_before_something_changes(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Scraper(held).look()
    found = listed(monkeypatch, held)
    again = Scraper(held)
    (camera,) = overview.look(held.station.paths, again._index, held.station.state, again._counting).cameras
    assert (camera, found) == (first, [])
    again._index.purged(again._index.segments(CAMERA, held.first), 1)
    assert Scraper(held).look().purged == first.purged + 1


@pytest.mark.parametrize("damaged", ["", "[]", "{", '{"totals": {"segments": 1}}', "7", '{"totals": []}'])
def test_a_count_that_was_kept_and_is_damaged_is_made_anew(damaged: str, held: Held) -> None:
    first = Scraper(held).look()
    assert held.station.index
    held.station.index._db.execute("UPDATE counted SET told = ?", (damaged,))
    assert Scraper(held).look() == first


def test_what_is_put_into_a_directory_and_taken_out_is_seen_though_its_time_is_put_back(held: Held) -> None:
    scraper, folder = Scraper(held), held.station.paths.station / "segments" / CAMERA
    before, strange = os.stat(folder), folder / "r0000000099-00000000-0000.tar"
    assert scraper.look().left_over == 0

    def put_back() -> None:
        os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))

    changed(folder, lambda: (strange.write_bytes(b"x" * 7), put_back())[1], strange.unlink)
    assert os.stat(folder).st_mtime_ns == before.st_mtime_ns
    told = scraper.look()
    assert (told.left_over, told.left_over_bytes) == (1, 7)
    changed(folder, lambda: (strange.unlink(), put_back())[1], lambda: strange.touch())
    assert scraper.look().left_over == 0


@pytest.mark.parametrize("since_ns", [0, SETTLED_NS - 1, -100 * NS])
def test_a_change_of_the_same_instant_as_the_one_before_is_seen(
    since_ns: int, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel stamps both alike: nothing tells them apart but that the first was young when it was looked at, or of
    a clock that was put back since.
    """
    folder, real = held.station.paths.station / "segments" / CAMERA, os.stat
    frozen = real(folder)
    scraper = Scraper(held, lambda: frozen.st_ctime_ns + since_ns)
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", lambda path, **how: frozen if path == folder else real(path, **how))
        assert scraper.look().left_over == 0
        (folder / "r0000000099-00000000-0000.tar").touch()
        assert scraper.look().left_over == 1


def test_conflicts_and_notes_are_seen(held: Held, monkeypatch: Any) -> None:
    later(monkeypatch, 2)
    assert held.run("purge", "--yes") == 0
    scraper, paths = Scraper(held), held.station.paths
    told = scraper.look()
    assert (told.purged_unsigned, told.conflicts) == (0, 0)
    note, conflict = next(paths.purges(CAMERA).iterdir()), paths.station / "conflicts" / CAMERA / "fork-0.json"
    data = note.read_bytes()
    changed(note.parent, note.unlink, lambda: note.write_bytes(data) and None)
    assert scraper.look().purged_unsigned == 1
    durable.make_dir(conflict.parent)
    changed(conflict.parent, conflict.touch, conflict.unlink)
    assert scraper.look().conflicts == 1


def test_what_another_process_tells_the_index_is_seen(held: Held) -> None:
    scraper, other = Scraper(held), Index(held.station.paths.index)
    try:
        assert (scraper.look().purged, scraper.look().lost_segments) == (0, 0)
        segments = other.segments(CAMERA, held.first)
        other.purged(segments, 1, lost={segment.name for segment in segments})
        told = scraper.look()
        assert (told.purged, told.lost_segments) == (1, len(segments))
        other.gone([replace(segment, lost=False, purged_s=1) for segment in segments])
        assert scraper.look().lost_segments == 0
        other.kept(CAMERA, "r0000000099-00000000-0000", "ab" * 32, f"segments/{CAMERA}/{held.stored()[0]}.tar")
        other.receipted(CAMERA, {(segments[0].name, segments[0].sha256): (9, "conflicts/elsewhere.tar")})
        scraper.look()
    finally:
        other.close()


def test_leaves_that_are_cosigned_meanwhile_are_owed(held: Held) -> None:
    scraper, state = Scraper(held), held.station.state
    owed = scraper.look().owed_leaves
    head = state.head(CAMERA, 1)
    assert head
    with state.transaction():
        state.set_head(CAMERA, 1, replace(head, size=head.size + 7))
    assert scraper.look().owed_leaves == owed + 7
