"""What a receipt must show beside naming a segment rightly."""

from __future__ import annotations

import pytest

from agent.formats import receipt
from agent.formats.seal import SealRecord
from agent.spool import possession

RIGHT, OTHER = "0123456789abcdef" * 2, "f" * 32
NAME = "e0000000000-00000000"


@pytest.mark.parametrize(
    ("challenge", "right", "said", "why"),
    [
        (OTHER, RIGHT, RIGHT, ""),
        (OTHER, RIGHT, OTHER, possession.WRONG),
        (OTHER, RIGHT, "", possession.SILENT),
        (OTHER, "", RIGHT, possession.UNKNOWN),
        (OTHER, "", "", possession.SILENT),
        ("", "", "", ""),
        ("", "", OTHER, ""),
    ],
)
@pytest.mark.parametrize("kept", [False, True])
def test_only_the_right_answer_counts_where_there_is_a_challenge(
    challenge: str, right: str, said: str, why: str, kept: bool
) -> None:
    record = SealRecord(NAME, 1, "0" * 64, 0, 1, None, 0, kept=kept, challenge=challenge, answer=right)
    line = (receipt.Stored(record.sha256, 1, NAME, "segments", 0, said),)
    told = receipt.Receipt("station", "origin", "cam", 1, b"", () if kept else line, (), line if kept else ())
    found = possession.unshown(told, [record])
    assert set(found) == ({NAME} if why else set())
    assert all(words.startswith(f"{why} {NAME}, which stays: ") for words in found.values())


@pytest.mark.parametrize(
    ("leaves", "why"),
    [((7, 3), ""), ((0, 0), ""), ((7, 4), possession.LEAVES), ((7, 2), possession.LEAVES), ((6, 3), possession.LEAVES)],
)
def test_a_line_that_gives_it_other_leaves_keeps_a_segment(leaves: tuple[int, int], why: str) -> None:
    record = SealRecord(NAME, 1, "0" * 64, 7, 3, None, 0)
    line = receipt.Stored(record.sha256, 1, NAME, "segments", 0, "", *leaves)
    found = possession.differing(receipt.Receipt("station", "origin", "cam", 1, b"", (line,), ()), [record])
    assert [words.partition(f" {NAME}")[0] for words in found.values()] == ([why] if why else [])
