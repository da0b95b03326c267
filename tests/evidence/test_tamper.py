"""What the rows of the tamper matrix (test_matrix.py) do not say: one change hides no other, and one
segment stands alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.evidence.findings import What
from agent.formats import pack
from tests.builders import Camera, Segment, make_agency, simple_camera
from tests.evidence.kit import failures
from tests.evidence.matrix.case import Row, flipped, found_in, life
from tests.evidence.matrix.rows import ROWS

IN_A0 = [row for row in ROWS if {expect.at for expect in row.finds} == {"A0"} and row.born is life]


@pytest.mark.wide
@pytest.mark.parametrize("row", IN_A0[::2], ids=lambda row: row.id)
def test_the_rest_goes_on_being_checked(row: Row, tmp_path: Path) -> None:
    """The same change, and a flipped bit in a later segment: both are named."""
    case = row.made()
    last = case.entry(16)
    last.sealed = flipped(last.sealed, -1)
    left = [f for f in found_in(case, tmp_path) if f.fails]
    (other,) = (f for f in left if f.segment == case.names["B0"])
    assert (other.what, other.first) == (What.ALTERED_BYTES, 16)
    left.remove(other)
    assert {f.what for f in left} == {expect.what for expect in row.finds}


def media(camera: Camera) -> Segment:
    return camera.segments[1]


def payload_bit(camera: Camera) -> None:
    entry = media(camera).entries[2]
    entry.sealed = flipped(entry.sealed, -40)


def leaf_bit(camera: Camera) -> None:
    entry = media(camera).entries[2]
    entry.leaf = flipped(entry.leaf, entry.leaf.index(b'"mono_ns":') + 11)


@pytest.mark.parametrize("which", range(4))
def test_one_segment_verifies_alone(which: int, tmp_path: Path) -> None:
    camera = simple_camera()
    assert failures(camera.segments[which].write(tmp_path)) == []


def test_another_agency_is_not_trusted(tmp_path: Path) -> None:
    from agent.evidence.sources import collect
    from agent.evidence.verify import verify

    camera = simple_camera()
    camera.write(tmp_path)
    found = [f for f in verify(collect([tmp_path]), make_agency("another").root).findings if f.fails]
    assert {f.what for f in found} == {What.UNTRUSTED_CHAIN}
    assert {f.segment for f in found} == {s.name for s in camera.segments}


def test_a_bit_in_leaf_and_sealed_bytes_are_two_findings(tmp_path: Path) -> None:
    camera = simple_camera()
    payload_bit(camera)
    leaf_bit(camera)
    camera.write(tmp_path)
    found = failures(tmp_path)
    assert [f.what for f in found] == [What.ALTERED_BYTES] * 2
    assert {f.offset for f in found} == {find_offset(camera, b".json", 4), find_offset(camera, b".age", 4)}


def find_offset(camera: Camera, suffix: bytes, index: int) -> int:
    """Where the finding must point: the data of the member, and within a mended leaf the very byte."""
    data = media(camera).to_bytes()
    start = data.index(b"%010d%s\0" % (index, suffix)) + pack.BLOCK
    entry = media(camera).entries[2]
    return start + (entry.leaf.index(b'"mono_ns":') + 11 if suffix == b".json" else 0)
