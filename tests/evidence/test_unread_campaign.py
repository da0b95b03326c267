"""Lives whose segments dice take away, or have the disk refuse whole or in blocks, some with a file planted in their
place: nothing is called missing, proven, of which no leaf was taken, and no leaf that was taken goes unsaid.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from agent.evidence.findings import Finding, Sure, What
from agent.formats.span import LEAST_ENTRY
from tests import campaigns
from tests.builders import Camera, Segment, agency
from tests.evidence.disk_kit import Disk, blocks_of, leaves_of
from tests.evidence.kit import empty_spool, failures, report_of

PARTS = 3
LIVES = campaigns.size(25, 1_000)
"""Of each part."""
LACKS = (What.MISSING_SEGMENT, What.MISSING_PARTS)
PLANTED = ("x", "e0000000003-00000000", "r0000000001-00000000-0002")


def life(dice: Random) -> Camera:
    camera = Camera(agency(), seed=dice.randrange(1_000)).new_session()
    for boot in range(dice.randint(1, 3)):
        if boot:
            camera.new_session(same_boot=dice.random() < 0.5)
        for _ in range(dice.randint(1, 2)):
            camera.start()
            for number in range(dice.randint(2, 12)):
                if number and dice.random() < 0.35:
                    camera.rotate()
                camera.part(size=dice.choice((100, 3_000, 9_000)))
            camera.stop()
            for _ in range(dice.randint(0, 2)):
                camera.event()
        if dice.random() < 0.5:
            camera.shutdown()
    return camera


def leaves(segment: Segment) -> range:
    return range(segment.header.first, segment.header.first + len(segment.entries))


@dataclass
class Card:
    """What lies there: a directory or a spool, with a head and a receipt or without."""

    dice: Random
    camera: Camera
    root: Path
    gone: set[int] = field(default_factory=set)
    unread: list[Segment] = field(default_factory=list)
    planted: int = 0

    def __post_init__(self) -> None:
        spool = self.dice.random() < 0.3
        self.place = empty_spool(self.root, "receipts") / "sealed" if spool else self.root
        self.camera.write(self.place)
        segments, self.end = self.camera.segments, leaves(self.camera.segments[-1]).stop
        self.has_head = self.dice.random() < 0.7
        if self.has_head:
            self.camera.write_log(self.root / "log" / "1", self.end)
        if self.dice.random() < 0.6:
            stored = segments[: self.dice.randint(1, len(segments))]
            size = self.dice.choice((self.end, leaves(stored[-1]).stop))
            told = self.dice.random() < 0.5
            receipt = self.camera.receipt(stored, size, leaves_of=leaves_of if told else lambda segment: (0, 0))
            (self.root / ("receipts/a.receipt" if spool else "a.receipt")).write_bytes(receipt)

    def path(self, segment: Segment) -> Path:
        return self.place / f"{segment.name}.tar"

    def spoil(self, disk: Disk) -> None:
        """Take some away, have others refused; one that may not be opened, and has little or nothing in it, lies there
        at times.
        """
        share = self.dice.choice((0.0, 0.15, 0.3))
        removed = [s for s in self.camera.segments if self.dice.random() < share][: len(self.camera.segments) - 1]
        for segment in removed:
            self.path(segment).unlink()
            self.gone |= set(leaves(segment))
        for segment in (s for s in self.camera.segments if s not in removed):
            if self.dice.random() < 0.2:
                self.refuse(disk, segment)
        if self.dice.random() < 0.3:
            name = self.dice.choice([*(s.name for s in removed), *PLANTED])
            self.planted = self.dice.choice((0, 0, 2_000, 3_072, 10_000))
            planted = self.place / f"{name}.tar"
            planted.write_bytes(bytes(self.planted))
            disk.lock(planted)

    def refuse(self, disk: Disk, segment: Segment) -> None:
        self.unread.append(segment)
        path = self.path(segment)
        blocks = blocks_of(path)
        how = self.dice.random()
        if how < 0.4:
            disk.lock(path)
        else:
            disk.spoil(
                path, *(blocks if how < 0.6 else self.dice.sample(blocks, self.dice.randint(1, min(3, len(blocks)))))
            )

    @property
    def shown(self) -> int:
        """Up to which leaf the log is known to go: by a head, or by what is here and read whole; 0 where no segment is
        known to be of it.
        """
        here = [s for s in self.camera.segments if s.header.first not in self.gone]
        read = [leaves(s).stop for s in here if s not in self.unread]
        return (self.end if self.has_head else max(read)) if read else 0


def span_of(finding: Finding) -> set[int]:
    assert finding.first is not None
    return set(range(finding.first, 1 + (finding.last if finding.last is not None else finding.first)))


@pytest.mark.campaign
@pytest.mark.parametrize("part", range(PARTS))
def test_what_is_taken_is_said_and_what_cannot_be_read_is_not_accused(
    part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = campaigns.Campaign("unread", part, PARTS)
    disk, counts = Disk(monkeypatch), Counter[str]()
    for number in range(LIVES):
        dice = Random(f"{part} {number}")
        card = Card(dice, life(dice), tmp_path / f"{number}")
        assert failures(card.root) == [], number
        card.spoil(disk)
        report = report_of(card.root)
        found = [f for f in report.findings if f.fails and f.what is not What.UNREADABLE]
        said = [f.line() for f in report.findings]
        assert {f.what for f in found} <= {*LACKS}, (number, said)
        accused = [f for f in found if f.sure is Sure.PROVEN and not span_of(f) & card.gone]
        assert accused == [], (number, said)
        told = set[int]().union(*(span_of(f) for f in report.findings if f.what in (*LACKS, What.HELD_ELSEWHERE)))
        unsaid = {leaf for leaf in card.gone if leaf < card.shown} - told
        # A planted file that has room for an entry may be what was taken away; a shorter one explains nothing.
        room = card.planted >= LEAST_ENTRY
        assert room or not unsaid, (number, sorted(unsaid), said)
        assert room or card.unread or all(f.sure is Sure.PROVEN for f in found), (number, said)
        refused = bool(card.unread) or bool(disk.locked)
        assert report.exit_status == (4 if refused else 1 if found else 0), (number, said)
        counts += Counter(
            lives=1,
            segments_refused=len(card.unread),
            leaves_taken=len(card.gone),
            proven=sum(f.sure is Sure.PROVEN for f in found),
            left_open=sum(f.sure is Sure.OPEN for f in found),
        )
        disk.bad.clear()
        disk.locked.clear()
        shutil.rmtree(card.root)
    campaign.finish(**counts, accused=0, unsaid=0)
    assert counts["segments_refused"] and counts["leaves_taken"] and counts["proven"] and counts["left_open"]
