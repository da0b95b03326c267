"""A flipped bit anywhere in a segment is found, and named once; so is every place where a segment can be cut."""

from __future__ import annotations

import random
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from agent.evidence.findings import What
from tests import campaigns
from tests.builders import Camera, simple_camera
from tests.campaigns import Campaign
from tests.evidence.kit import failures

PARTS = 8
"""A campaign over every byte is so many tests: each takes a fraction of the time after which one counts as hung."""


@cache
def small_camera() -> Camera:
    return simple_camera(parts=3, rotate_after=2, part_bytes=60)


def places(length: int, part: int, of: int, chosen: random.Random) -> range:
    """Every offset of this part, or a sample of them. All parts together are the whole file."""
    step = 1 if campaigns.FULL else 83 * of
    return range(length * part // of + chosen.randrange(step), length * (part + 1) // of, step)


@pytest.mark.campaign
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("which", ["event", "media"])
def test_a_flipped_bit_anywhere_is_found_and_named_once(which: str, part: int, tmp_path: Path) -> None:
    """The event segment stands alone; the media segment stands between its neighbours, as a station holds it."""
    campaign = Campaign(f"evidence-flips-{which}", part, PARTS)
    camera, chosen = small_camera(), random.Random(20 + part)
    paths = camera.write(tmp_path)
    target = paths[0 if which == "event" else 1]
    given = target if which == "event" else tmp_path
    data = target.read_bytes()
    seen: Counter[str] = Counter()
    for offset in places(len(data), part, PARTS, chosen):
        changed = bytearray(data)
        changed[offset] ^= 1 << chosen.randrange(8)
        target.write_bytes(changed)
        found = failures(given)
        lines = [f.line() for f in found]
        assert [f.segment for f in found] == [target.stem], (offset, lines)
        assert found[0].what in (What.ALTERED_BYTES, What.BAD_SIGNATURE), (offset, lines)
        seen[found[0].what.value] += 1
    campaign.finish(flips=seen.total(), missed=0, named=dict(seen))


@pytest.mark.campaign
@pytest.mark.parametrize("part", range(PARTS))
def test_each_byte_replaced_by_another_is_found(part: int, tmp_path: Path) -> None:
    campaign = Campaign("evidence-bytes", part, PARTS)
    camera, chosen = small_camera(), random.Random(21 + part)
    target = camera.write(tmp_path)[1]
    data = target.read_bytes()
    offsets = places(len(data), part, PARTS, chosen)
    for offset in offsets:
        changed = bytearray(data)
        changed[offset] ^= chosen.randrange(1, 256)
        target.write_bytes(changed)
        found = failures(tmp_path)
        assert {f.segment for f in found} == {target.stem}, (offset, [f.line() for f in found])
    campaign.finish(bytes=len(offsets), missed=0)


@pytest.mark.campaign
@pytest.mark.parametrize("alone", [True, False], ids=["alone", "among its neighbours"])
def test_a_segment_cut_anywhere_is_truncated(alone: bool, tmp_path: Path) -> None:
    """At each block boundary, and one byte to either side of it."""
    campaign = Campaign(f"evidence-cuts-{'alone' if alone else 'among'}")
    target = small_camera().write(tmp_path)[1]
    data = target.read_bytes()
    blocks = range(0, len(data), 512 if campaigns.FULL or alone else 5 * 512)
    sizes = sorted({size for block in blocks for size in (block - 1, block, block + 1) if 0 <= size < len(data)})
    for size in sizes:
        target.write_bytes(data[:size])
        found = failures(target if alone else tmp_path)
        names = {f.what for f in found}
        lines = [f.line() for f in found]
        assert What.TRUNCATED_SEGMENT in names, (size, lines)
        assert {f.segment for f in found} == {target.stem}, (size, lines)
        # Too little left to hold one entry: that there is no segment is said as well.
        assert names <= {What.TRUNCATED_SEGMENT, What.NOT_A_SEGMENT}, (size, lines)
        cut = next(f for f in found if f.what is What.TRUNCATED_SEGMENT)
        assert cut.offset == size
    campaign.finish(cuts=len(sizes), missed=0)


@pytest.mark.wide
@pytest.mark.campaign
@pytest.mark.parametrize("part", range(3))
def test_bytes_taken_out_or_put_in_anywhere_are_found(part: int, tmp_path: Path) -> None:
    campaign = Campaign("evidence-splices", part, 3)
    chosen = random.Random(22 + part)
    target = small_camera().write(tmp_path)[1]
    data = target.read_bytes()
    count = campaigns.size(20, 1_000)
    for _ in range(count):
        at, length = chosen.randrange(len(data)), chosen.choice([1, 7, 511, 512, 513, 1024, 4096])
        if chosen.random() < 0.5:
            changed = data[:at] + data[at + length :]
        else:
            changed = data[:at] + chosen.choice([bytes(length), chosen.randbytes(length)]) + data[at:]
        target.write_bytes(changed)
        found = failures(tmp_path)
        assert target.stem in {f.segment for f in found}, (at, length, [f.line() for f in found])
    campaign.finish(runs=count, missed=0)


@pytest.mark.wide
@pytest.mark.campaign
@pytest.mark.parametrize("part", range(3))
def test_blocks_of_a_segment_in_any_disorder_are_found(part: int, tmp_path: Path) -> None:
    """What a broken disk or file system gives back: blocks zeroed, repeated, exchanged."""
    campaign = Campaign("evidence-blocks", part, 3)
    chosen = random.Random(23 + part)
    target = small_camera().write(tmp_path)[1]
    data = target.read_bytes()
    blocks = [data[i : i + 512] for i in range(0, len(data), 512)]
    count, changes = campaigns.size(20, 1_000), 0
    for _ in range(count):
        shuffled = list(blocks)
        one, other = (chosen.randrange(len(blocks)) for _ in range(2))
        match chosen.randrange(3):
            case 0:
                shuffled[one] = bytes(512)
            case 1:
                shuffled[one] = shuffled[other]
            case _:
                shuffled[one], shuffled[other] = shuffled[other], shuffled[one]
        if shuffled == blocks:
            continue
        changes += 1
        target.write_bytes(b"".join(shuffled))
        found = failures(tmp_path)
        assert target.stem in {f.segment for f in found}, (one, other, [f.line() for f in found])
    campaign.finish(runs=changes, missed=0)


@pytest.mark.wide
@pytest.mark.parametrize("name", [b"segment.json", b"0000000001.age"])
def test_a_flipped_bit_in_what_names_the_rest_is_still_one_finding(name: bytes, tmp_path: Path) -> None:
    """Bits of segment.json, and of a header's name, size and checksum: each can be mended in more than one way."""
    target = small_camera().write(tmp_path)[1 if name == b"segment.json" else 0]
    data = target.read_bytes()
    start = data.index(name)
    size = int(data[start + 124 : start + 135], 8)
    places = range(start + 512, start + 512 + size) if name == b"segment.json" else [*range(14), *range(124, 155)]
    for place in places:
        offset = place if name == b"segment.json" else start + place
        for bit in range(8) if campaigns.FULL else [offset % 8]:
            changed = bytearray(data)
            changed[offset] ^= 1 << bit
            target.write_bytes(changed)
            found = failures(tmp_path)
            assert [(f.what, f.segment) for f in found] == [(What.ALTERED_BYTES, target.stem)], (
                offset,
                bit,
                [f.line() for f in found],
            )
