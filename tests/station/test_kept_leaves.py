"""What is kept for its bytes alone is not owed any longer, as far as it holds what was cosigned."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.errors import StorageError
from agent.formats import leaf as leaves
from agent.formats import merkle, pack
from agent.model import SegmentState
from agent.station import keptleaves
from agent.station.commands import main
from agent.station.conflicts import Conflicts
from agent.station.index import Index
from agent.station.indexed import Held, Owed
from agent.station.knowledge import Debt, Knowledge, lacking
from agent.station.logs import Logs
from agent.station.state import Link
from agent.station.summary import Left, Summary
from tests.camera_kit import CAMERA, Desk, begin, read
from tests.station.kit import Bench, digest
from tests.test_recovery import read_open

LEAVES = 7
"""In the open segment; before it there are others, all stored."""


@dataclass
class Open:
    """A segment in which the log ended: its bytes as a card has them, and what is in them."""

    name: str
    data: bytes
    entries: list[pack.Entry]

    def flipped(self, at: int) -> bytes:
        return self.data[:at] + bytes([self.data[at] ^ 1]) + self.data[at + 1 :]

    def leaf_at(self, number: int) -> int:
        return self.data.index(self.entries[number].leaf) + 20


@pytest.fixture
def opened(station: Bench, desk: Desk) -> Open:
    begin(desk)
    desk.sealer.seal_open()
    desk.record(LEAVES - 1)
    desk.sealer.flush_tiles()
    station.send_log(desk)
    assert json.loads(station.attest(station.send_segments(desk)).body)["refused"] == {}
    (path,) = desk.spool.open_dir.glob("*.tar")
    entries = [entry for entry, _ in read_open(path)]
    assert len(entries) == LEAVES
    assert debt(station) == Debt((), LEAVES)
    return Open(path.stem, path.read_bytes()[: entries[-1].end], entries)


def debt(station: Bench) -> Debt:
    assert station.index
    return Knowledge(station.paths, station.index, station.state).debt(CAMERA)


def keep(station: Bench, name: str, data: bytes) -> None:
    assert station.upload(data, name).status == 204
    body = json.dumps({"epoch": 1, "segments": [], "kept": [[name, digest(data)]]}).encode()
    assert json.loads(station.ask("POST", "/attest", body).body)["refused"] == {}


def index(station: Bench) -> int:
    return main(["index", "--dir", str(station.paths.root)])


def learn(station: Bench) -> None:
    assert station.index
    logs = Logs(station.paths.station / "log", station.state, Conflicts(station.paths.station / "conflicts"))
    keptleaves.learn(station.paths.station, station.index, station.state, logs, CAMERA)


def forked(one: Open) -> bytes:
    """From the fourth leaf on it is of another log."""
    data = bytearray(one.data)
    for number in range(3, LEAVES):
        data[one.leaf_at(number)] ^= 1
    return bytes(data)


HARM: dict[str, tuple[Callable[[Open], bytes], int]] = {
    "none": (lambda one: one.data, 0),
    "a part": (lambda one: one.flipped(one.entries[2].offset + 700), 0),
    "a leaf": (lambda one: one.flipped(one.leaf_at(2)), 0),
    "where an entry begins": (lambda one: one.flipped(one.entries[3].offset), 0),
    "where the first begins": (lambda one: one.flipped(one.entries[0].offset), 0),
    "its end is gone": (lambda one: one.data[: one.entries[3].end], 3),
    "its end is gone, in an entry": (lambda one: one.data[: one.entries[4].offset + 700], 3),
    "its head": (lambda one: one.flipped(one.data.index(b'"first"') + 2), LEAVES),
    "another log": (forked, 4),
}


@pytest.mark.wide
@pytest.mark.parametrize("harm", HARM)
def test_leaves_in_what_is_kept_for_its_bytes_are_not_owed(station: Bench, opened: Open, harm: str) -> None:
    make, owed = HARM[harm]
    keep(station, opened.name, make(opened))
    assert debt(station) == Debt((), owed)


def test_what_cannot_be_read_of_a_card_that_was_behind_may_be_of_another_log(station: Bench, opened: Open) -> None:
    keep(station, opened.name, opened.flipped(opened.entries[3].offset))
    station.state.add_link(CAMERA, Link(2, 1, 10, bytes(32), "behind"))
    assert debt(station) == Debt((), 4)


def test_a_log_that_is_not_cosigned_so_far_says_nothing(station: Bench, desk: Desk) -> None:
    begin(desk)
    desk.sealer.seal_open()
    (record,) = desk.spool.records(SegmentState.SEALED)
    sealed = desk.spool.segment(SegmentState.SEALED, record.segment).read_bytes()
    station.send_log(desk)
    desk.record(2)
    (path,) = desk.spool.open_dir.glob("*.tar")
    keep(station, path.stem, path.read_bytes())
    assert debt(station).leaves == station.state.head(CAMERA, 1).size
    keep(station, record.segment, sealed)
    assert debt(station).leaves == station.state.head(CAMERA, 1).size - record.entries


def test_an_index_of_an_earlier_version_learns_it(station: Bench, opened: Open) -> None:
    keep(station, opened.name, opened.data)
    assert station.index
    station.index._db.execute("DELETE FROM kept_held")
    assert debt(station) == Debt((), LEAVES)
    # It is no evidence, which `index` says with its status.
    assert index(station) == 1
    assert debt(station) == Debt((), 0)


def test_what_a_lost_tile_could_not_say_is_asked_again(station: Bench, opened: Open) -> None:
    assert station.index
    tiles = {path: path.read_bytes() for path in (station.paths.station / "log").rglob("tile/**/*") if path.is_file()}
    for path in tiles:
        path.unlink()
    keep(station, opened.name, opened.data)
    assert debt(station) == Debt((), LEAVES)
    assert index(station) == 1
    for path, data in tiles.items():
        path.write_bytes(data)
    keep(station, opened.name, opened.data)
    assert (debt(station), station.index.kept_unread(CAMERA)) == (Debt((), 0), [])


@pytest.mark.parametrize("proven", [-1, 0, 3])
def test_what_is_proven_later_is_asked_again(station: Bench, desk: Desk, opened: Open, proven: int) -> None:
    assert station.index
    size = opened.entries[0].index + proven
    (tile,) = merkle.tiles_of(station.state.head(CAMERA, 1).size)
    log = station.paths.station / "log" / CAMERA / "1"
    part = log / merkle.TileId(0, 0, size).path
    part.write_bytes((log / tile.path).read_bytes()[: size * merkle.HASH_SIZE])
    station.state.unprove(CAMERA, 1)
    station.state.set_proven(CAMERA, 1, size)
    assert station.upload(opened.data, opened.name).status == 204
    station.index.kept(CAMERA, opened.name, digest(opened.data), f"segments/{CAMERA}/{opened.name}.tar")
    learn(station)
    assert debt(station) == Debt((), LEAVES - max(0, proven))
    assert [one.asked for one in station.index.kept_unread(CAMERA)] == [size]
    names = [record.segment for record in desk.spool.records(SegmentState.SEALED)]
    assert json.loads(station.attest(names).body)["refused"] == {}
    assert (debt(station), station.index.kept_unread(CAMERA)) == (Debt((), 0), [])


def test_a_log_is_not_asked_again_before_more_of_it_is_proven(
    station: Bench, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert station.index
    keep(station, opened.name, opened.data)
    proven = station.state.head(CAMERA, 1).proven
    station.index.holds(CAMERA, opened.name, digest(opened.data), Held(1, 0, 0, False), proven)
    monkeypatch.setattr(keptleaves, "held", lambda *_: pytest.fail("it says the same"))
    learn(station)


def test_what_came_before_its_log_is_asked_again(station: Bench, opened: Open) -> None:
    assert station.index
    other = opened.data.replace(b"cam-test/1", b"cam-test/2")
    keep(station, opened.name, other)
    assert [one.asked for one in station.index.kept_unread(CAMERA)] == [keptleaves.UNSAID]


def test_one_that_cannot_be_read_keeps_no_other_unlearned(
    station: Bench, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert station.index
    unread, look = "e0000000001-00000000", keptleaves.held

    def held(path: Path, *more: Any) -> tuple[Held, int | None]:
        if path.name.startswith(unread):
            raise StorageError(f"{path}: Input/output error")
        return look(path, *more)

    monkeypatch.setattr(keptleaves, "held", held)
    keep(station, unread, bytes(5000))
    keep(station, opened.name, opened.data)
    assert debt(station) == Debt((), 0)
    assert [one.name for one in station.index.kept_unread(CAMERA)] == [unread]
    with pytest.raises(StorageError, match=unread):
        learn(station)


@pytest.mark.parametrize(
    ("size", "here", "to_come", "kept", "expected"),
    [
        (10, [(0, 10)], [], [], 0),
        (10, [(0, 12)], [], [], 0),
        (10, [(2, 4), (3, 7)], [], [], 5),
        (10, [(0, 4)], [], [Held(1, 4, 10, False)], 0),
        (10, [(0, 4)], [], [Held(1, 4, 6, False)], 4),
        (10, [(0, 4)], [], [Held(1, 4, 6, True)], 0),
        (10, [(0, 4)], [(8, 10)], [Held(1, 4, 6, True)], 2),
        (10, [(0, 4), (7, 9)], [], [Held(1, 4, 4, True)], 1),
        (10, [(0, 4)], [], [Held(1, 4, 4, True), Held(1, 7, 8, False)], 2),
        (10, [(0, 4)], [], [Held(1, 6, 6, True)], 2),
        (0, [], [], [Held(0, 0, 0, False)], 0),
    ],
)
def test_leaves_that_are_nowhere(
    size: int, here: list[tuple[int, int]], to_come: list[tuple[int, int]], kept: list[Held], expected: int
) -> None:
    assert lacking(size, here, to_come, kept) == expected


# -- kept leaves ---------------------------------------------------------------------------------------------------


LEFT = "r0000000011-46a12d07-0000"


def test_what_a_kept_leaf_names_is_owed_until_it_is_here(station: Bench, opened: Open, desk: Desk) -> None:
    assert station.index
    index: Index = station.index
    told = Summary(None, left=[Left(LEFT, 1, 700), Left("e0000000099-46a12d07", 2, 5)])
    index.add(CAMERA, "e0000000000-6ad0ea4c", 2, "ab" * 32, 512, told, "segments/x", 1, 0)
    assert debt(station) == Debt((Owed(CAMERA, LEFT, 1, 700, 0, 0),), LEAVES)
    index.kept(CAMERA, LEFT, "cd" * 32, "segments/y")
    assert debt(station).segments == ()


def test_a_seal_leaf_says_more_than_a_kept_one(station: Bench, opened: Open, desk: Desk) -> None:
    assert station.index
    (first, second) = station.index.segments(CAMERA)
    told = Summary(None, left=[Left(first.name, 1, 1)])
    before = station.index.announced(CAMERA, first.name)
    assert before and before.entries == first.entries
    station.index.add(CAMERA, "e0000000000-6ad0ea4c", 2, "ab" * 32, 512, told, "segments/x", 1, 0)
    assert station.index.announced(CAMERA, first.name) == before
    assert second.entries


def test_a_kept_leaf_is_heard_where_it_has_its_form(desk: Desk) -> None:
    begin(desk)
    named = {"segment": LEFT, "epoch": 1, "size": 700, "sha256": "0" * 64, "whole": False}
    for facts in (
        {"segments": [named]},
        {"segments": [{**named, "epoch": "1"}]},
        {"segments": [{**named, "size": -1}]},
    ):
        desk.sealer.event(leaves.Kind.KEPT, {"type": "kept"}, None, facts)
    desk.sealer.seal_open()
    (record,) = desk.spool.records(SegmentState.SEALED)
    told = Summary()
    for _, leaf in read(desk.spool.segment(SegmentState.SEALED, record.segment))[2]:
        told.add(leaf)
    assert told.left == [Left(LEFT, 1, 700)]
