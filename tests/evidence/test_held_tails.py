"""What a card lacks at the end of a log: held elsewhere where a receipt of this log says which leaves those segments
hold; else missing, whatever a leaf of a later log says of their place. Both verifiers agree.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from agent.evidence.findings import What
from agent.formats.leaf import Kind
from tests.builders import Segment, agency
from tests.evidence.kit import report_of
from tests.evidence.receipts import kept_by, left_over, of
from tests.evidence.test_spools import lived, spool_of
from tests.independent.kit import names_in, verdicts

life = cache(lived)
GONE = [(6,), (5, 6), (4, 5, 6), (3, 5, 6)]


def item(segment: Segment, **changes: Any) -> dict[str, Any]:
    """As the leaf of a later log names it, with a place in this one, which no version is to say."""
    first, entries = of(segment)
    return left_over(segment) | {"first": first, "entries": entries} | changes


def followed(root: Path, gone: tuple[int, ...], items: list[dict[str, Any]], held: tuple[int, ...]) -> Path:
    """A spool with a log that lacks these, and the next one, whose leaf names these items; the station kept some."""
    camera = life()
    spool = spool_of(camera, root, list(gone))
    later = camera.next_epoch()
    later.event(Kind.KEPT, facts={"segments": items})
    later.shutdown()
    for segment in later.segments:
        segment.write(spool / "sealed")
    later.write_log(spool / "log" / "2")
    (spool / "receipts" / "a.receipt").write_bytes(kept_by(later, [camera.segments[n] for n in held]))
    return spool


def missing(spool: Path, base: Path) -> set[int]:
    """The leaves of the first log that are missing, and nothing else fails; both say so."""
    fails = [f for f in report_of(spool).findings if f.fails]
    assert {f.what for f in fails} <= {What.MISSING_SEGMENT}
    root, _ = agency().write_trust(base)
    said = names_in(verdicts(root, spool)[spool])
    assert bool(said) is bool(fails) and {what for what, _ in said} <= {"missing-segment"}, said
    return {index for f in fails if f.first is not None for index in range(f.first, (f.last or 0) + 1)}


def leaves_of(*numbers: int) -> set[int]:
    return {entry.index for n in numbers for entry in life().segments[n].entries}


@pytest.mark.parametrize("gone", GONE)
def test_of_the_newest_log_what_a_receipt_places_there_is_held(gone: tuple[int, ...], tmp_path: Path) -> None:
    camera = life()
    spool = spool_of(camera, tmp_path / "spool", list(gone))
    segments = [camera.segments[n] for n in gone]
    (spool / "receipts" / "a.receipt").write_bytes(camera.receipt(segments, leaves_of=of))
    assert missing(spool, tmp_path) == set()
    held = {i for f in report_of(spool).findings if f.what is What.HELD_ELSEWHERE
            for i in range(f.first or 0, (f.last or 0) + 1)}  # fmt: skip
    assert held == leaves_of(*gone)
    (spool / "receipts" / "a.receipt").write_bytes(camera.receipt(segments[:-1], leaves_of=of))
    assert missing(spool, tmp_path) == leaves_of(6)
    (spool / "receipts" / "a.receipt").write_bytes(camera.receipt(segments))
    assert missing(spool, tmp_path) == leaves_of(*gone) - leaves_of(3), "names and sizes place nothing at the end"


@pytest.mark.parametrize("older", ["with its leaves", "also without them", "without them"])
def test_one_that_a_receipt_places_further_up_is_not_named_at_the_end(older: str, tmp_path: Path) -> None:
    """A0 and E1 were delivered and deleted; the newest segment was taken away. Nothing else says where A0 was."""
    camera = life()
    spool, held = spool_of(camera, tmp_path / "spool", [1, 2, 6]), camera.segments[1:3]
    placed = of if older != "without them" else lambda segment: (0, 0) if segment is held[0] else of(segment)
    (spool / "receipts" / "a.receipt").write_bytes(camera.receipt(held, leaves_of=placed))
    if older == "also without them":
        (spool / "receipts" / "b.receipt").write_bytes(camera.receipt(held[:1], leaves_of=lambda segment: (0, 0)))
    named = {f.segment for f in report_of(spool).findings if f.fails}
    assert named == ({held[0].name} if older == "without them" else {None})
    root, _ = agency().write_trust(tmp_path)
    assert {where or None for _, where in names_in(verdicts(root, spool)[spool])} == named
    assert missing(spool, tmp_path) == leaves_of(6)


@pytest.mark.parametrize("gone", GONE)
def test_of_a_log_that_another_follows_a_kept_leaf_places_nothing(gone: tuple[int, ...], tmp_path: Path) -> None:
    items = [item(life().segments[n]) for n in gone]
    at_the_end = leaves_of(*gone) - leaves_of(3)
    assert missing(followed(tmp_path / "spool", gone, items, gone), tmp_path) == at_the_end


@pytest.mark.parametrize("own", [False, True], ids=["here", "held by a receipt of its log, and gone"])
def test_nor_in_the_place_of_another(own: bool, tmp_path: Path) -> None:
    """Of E3, which nobody has, another says that it has the place, or its leaves too."""
    (first, entries), other = of(life().segments[6]), life().segments[5]
    for changes in ({"first": first, "entries": entries}, {"entries": len(other.entries) + entries}):
        gone = (5, 6) if own else (6,)
        spool = followed(tmp_path / str(len(changes)), gone, [item(other, **changes)], (5,))
        if own:
            (spool / "receipts" / "b.receipt").write_bytes(life().receipt([other], leaves_of=of))
        assert missing(spool, tmp_path) == leaves_of(6)
