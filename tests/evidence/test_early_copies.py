"""A segment in open/ of a card that was copied while it recorded, beside what is known of it since: an earlier copy.
What it has is as the camera wrote it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from agent.evidence.findings import What
from tests.builders import Camera, Segment, agency
from tests.evidence.kit import failures, report_of
from tests.evidence.test_receipted_leaves import visited

life = cache(visited)
E0, A0, A1, E1, E2, B0, E3 = range(7)
COPY = 2
"""Entries of A1 that the copy has."""


def card(root: Path, here: set[int], entries: int = COPY, folder: str = "open", copy: Segment | None = None) -> Path:
    """A spool with these segments, and a copy of A1 with its first entries."""
    for name in ("open", "sealed", "delivered", "receipts"):
        (root / name).mkdir(parents=True)
    for number in here:
        life().segments[number].write(root / "sealed")
    whole = copy or life().segments[A1]
    replace(whole, entries=whole.entries[:entries], sealed=False).write(root / folder)
    return root


def lacking() -> set[int]:
    """The leaves of A1 that the copy has not."""
    return {entry.index for entry in life().segments[A1].entries[COPY:]}


def told(what: What, *given: Path) -> set[int]:
    found = [f for f in report_of(*given).findings if f.what is what and f.first is not None]
    return {index for f in found for index in range(f.first or 0, (f.last or f.first or 0) + 1)}


ALL_BUT_IT = {E0, A0, E1, E2, B0, E3}


def test_a_copy_with_all_of_its_leaves_is_what_was_sealed(tmp_path: Path) -> None:
    """It lacks the trailer, or has more zeros than that."""
    whole = life().segments[A1]
    spool = card(tmp_path / "spool", ALL_BUT_IT, len(whole.entries))
    assert failures(spool) == []
    (file,) = (spool / "open").iterdir()
    file.write_bytes(file.read_bytes() + bytes(1 << 16))
    assert failures(spool) == []


def test_what_lacks_of_it_is_missing(tmp_path: Path) -> None:
    spool = card(tmp_path / "spool", ALL_BUT_IT)
    assert told(What.MISSING_PARTS, spool) == lacking() and len(failures(spool)) == 1


@pytest.mark.parametrize("at", [0, 1, 3])
def test_a_bent_byte_in_it_is_found(at: int, tmp_path: Path) -> None:
    whole = life().segments[A1]
    entries = list(whole.entries)
    entries[at] = replace(entries[at], sealed=entries[at].sealed[:-1] + bytes([entries[at].sealed[-1] ^ 1]))
    spool = card(tmp_path / "spool", ALL_BUT_IT, len(entries), copy=replace(whole, entries=entries))
    assert failures(spool) != []


def test_leaves_beyond_those_that_were_sealed_are_another_segment(tmp_path: Path) -> None:
    """The seal leaf counts one entry less than there are."""
    camera = Camera(agency(), seed=2).new_session()
    camera.start()
    camera.part()
    camera.part()
    camera.stop()
    camera.owed[0] = replace(camera.owed[0], entries=camera.owed[0].entries - 1)
    camera.event()
    camera.shutdown()
    for folder in ("sealed", "open"):
        media = replace(camera.segments[1], sealed=folder == "sealed")
        for segment in (camera.segments[0], camera.segments[2]):
            segment.write(tmp_path / folder / "sealed")
        media.write(tmp_path / folder / folder)
        assert {f.what for f in failures(tmp_path / folder)} == {What.SEAL_MISMATCH}
