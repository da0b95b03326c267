"""What a power cut took is counted right: from the start leaf's instant, and nothing that is lost counts as there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.formats import leaf as leaves
from agent.model import NS
from tests.vm import cuts
from tests.vm.cuts import Cut, Held, Turn

CUT = Cut("recording", "b", 20.0, {"recordings": ["r1", "r2"], "parts": 3}, 14.8, 15.0)
START, STOP = leaves.Kind.START, leaves.Kind.STOP


def ns(seconds: float) -> int:
    return int(seconds * NS)


def media(recording: str, begin_s: float, duration_s: float) -> leaves.MediaLeaf:
    sealed = leaves.Sealed("0" * 64, 1, "0" * 64, 1, "0" * 64)
    stamp = leaves.Stamp("b", ns(begin_s + duration_s), ns(begin_s + duration_s), None, "none", None)
    common = leaves.Common("vm-cam", 0, stamp, "0" * 64, "0" * 64, sealed)
    return leaves.MediaLeaf(common, recording, 0, True, ns(begin_s), 0, ns(duration_s), "0" * 64)


@pytest.mark.parametrize(
    ("turns", "end_s", "missing_s"),
    [
        ([], None, 5.0),
        # The leaf of an earlier recording of this boot, or its media, says nothing of this press.
        ([Turn(1, "b", START, ns(3)), Turn(9, "b", STOP, ns(9))], 9.0, 5.0),
        ([Turn(10, "b", START, ns(15.4))], None, 4.6),
        # The leaf names the press, and the button is let go after that.
        ([Turn(10, "b", START, ns(14.8))], 19.6, 0.4),
        ([Turn(10, "a", START, ns(19))], None, 5.0),
        # What came out of the ring, from before the press.
        ([Turn(10, "b", START, ns(15.4))], 13.0, 4.6),
        ([Turn(10, "b", START, ns(15.4))], 19.5, 0.5),
        # It was ended, and went on in a linked one.
        ([Turn(10, "b", START, ns(15.4)), Turn(20, "b", STOP, ns(18)), Turn(21, "b", START, ns(19.25))], 17.5, 0.75),
    ],
)
def test_what_is_missing(turns: list[Turn], end_s: float | None, missing_s: float) -> None:
    held = Held(turns=turns, ends={} if end_s is None else {"b": ns(end_s)})
    assert cuts.missing_s(held, CUT) == pytest.approx(missing_s)
    assert f"missing {missing_s:.3f} s" in cuts.explained(held, CUT)


def test_a_part_called_durable_and_not_there_is_lost() -> None:
    there = [media("r1", 15, 0.5), media("r2", 16, 0.5), media("r2", 16.5, 0.5)]
    assert cuts.lost_parts(Held(media=there), CUT) == 0
    assert cuts.lost_parts(Held(media=[*there[:2], media("r0", 1, 0.5)]), CUT) == 1
    assert cuts.lost_parts(Held(), replace(CUT, told={})) == 0


def test_a_deletion_needs_the_receipt_that_it_names_and_the_bytes_at_the_station() -> None:
    held = Held(deletions=[{"segment": "s.tar", "sha256": "5", "receipt": "7"}])
    assert cuts.deleted_without_receipt(held, {"7": ["5"]}, ["5"]) == []
    assert cuts.deleted_without_receipt(held, {"7": ["4"]}, ["5"]) == ["s.tar"]
    assert cuts.deleted_without_receipt(held, {"8": ["5"]}, ["5"]) == ["s.tar"]
    assert cuts.deleted_without_receipt(held, {"7": ["5"]}, ["4"]) == ["s.tar"]
