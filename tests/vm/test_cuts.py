"""What a power cut took is counted right: from the start leaf's instant, and nothing that is lost counts as there."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import ItemsView
from dataclasses import replace
from pathlib import Path

import pytest

from agent.formats import leaf as leaves
from agent.formats import merkle, pack
from agent.model import NS
from tests.vm import cuts, guest_witness, lag
from tests.vm.cuts import Cut, Held, Last, Turn
from tests.vm.lag import Lag, Starved

CUT = Cut("recording", "b", 20.0, {"recordings": ["r1", "r2"], "parts": 3}, 14.8, 15.0)
HEADER = pack.SegmentHeader("bodycam.local/vm-cam/1", "vm-cam", "r1", 0, merkle.Frontier())
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


@pytest.mark.parametrize(
    ("parts", "hole_s"),
    [
        ([("r1", 14.8, 1.0), ("r1", 15.8, 1.0)], 0.0),
        ([("r1", 14.8, 1.0), ("r1", 18.9, 1.0)], 3.1),
        # Of the longest only, from the press on, and within one recording.
        ([("r1", 14.8, 1.0), ("r1", 16.0, 1.0), ("r1", 17.5, 1.0)], 0.5),
        ([("r1", 10.0, 1.0), ("r1", 15.0, 1.0)], 0.2),
        ([("r1", 14.8, 1.0), ("r2", 17.0, 1.0)], 0.0),
        # A long one that lies over the next.
        ([("r1", 14.8, 4.0), ("r1", 15.8, 1.0), ("r1", 18.8, 0.5)], 0.0),
    ],
)
def test_what_lacks_inside_a_recording_is_told(parts: list[tuple[str, float, float]], hole_s: float) -> None:
    held = Held(media=[media(*part) for part in parts])
    assert cuts.hole_s(held, CUT) == pytest.approx(hole_s)


@pytest.mark.parametrize(
    ("before", "after", "turns"),
    [
        ("r1-0000.tar", "r1-0001.tar", True),
        ("r1-0000.tar", "r1-0000.tar", False),
        ("r1-0000.tar", "r2-0001.tar", False),
        (None, "r1-0001.tar", False),
    ],
)
def test_a_cut_comes_as_the_next_segment_is_begun(before: str | None, after: str, turns: bool) -> None:
    assert replace(CUT, turned=before, told={"open": after}).begins_the_next is turns


def test_a_file_that_was_made_ahead_is_not_taken_for_one_that_was_begun(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "r1-0000.tar").write_bytes(b"segment.json".ljust(1024, b"\0"))
    (tmp_path / "open" / "r1-0001.tar").write_bytes(bytes(4096))
    assert guest_witness.seen(str(tmp_path))["open"] == "r1-0000.tar"
    (tmp_path / "open" / "r1-0001.tar").write_bytes(b"segment.json".ljust(4096, b"\0"))
    assert guest_witness.seen(str(tmp_path))["open"] == "r1-0001.tar"


@pytest.mark.parametrize(
    ("parts", "missing_s"),
    [
        ([], 3.0),
        ([(11.8, 1.0)], 2.0),
        # What came before the ring, or after the press, is none of it.
        ([(11.0, 1.0), (12.0, 1.0), (14.5, 2.0)], 1.5),
        ([(11.5, 4.0)], 0.0),
    ],
)
def test_of_what_was_seen_before_the_press_what_is_missing_is_told(
    parts: list[tuple[float, float]], missing_s: float
) -> None:
    cut = replace(CUT, phase="flushing", told={**CUT.told, "ring_s": 3.0})
    held = Held(media=[media("r1", begin_s, length_s) for begin_s, length_s in parts])
    assert cuts.missing_before_s(held, cut) == pytest.approx(missing_s)
    assert cuts.missing_before_s(held, replace(cut, boot="another")) == pytest.approx(3.0)


def test_a_cut_says_what_it_is_counted_from_and_what_was_written_last() -> None:
    started = [Turn(10, "b", START, ns(15.4))]
    held = Held(turns=started, ends={"b": ns(17)}, last={"b": Last("event fault overload", ns(19.9))})
    assert cuts.decides(held, CUT) == ("the media's end", 17.0)
    assert "(event fault overload) 0.100 s before" in cuts.explained(held, CUT)
    assert cuts.decides(Held(turns=started), CUT) == ("the start leaf", 15.4)
    assert cuts.decides(Held(), CUT) == ("the button's release", 15.0)
    assert "no leaf of this boot" in cuts.explained(Held(), CUT)
    part = media("r1", 15, 0.5)
    event = leaves.EventLeaf(part.common, leaves.Kind.EVENT, "r1")
    assert Held.of([(HEADER, part)], {}).last == {"b": Last("part 0", ns(15.5))}
    assert Held.of([(HEADER, part), (HEADER, event)], {0: {"type": "fault", "what": "overload"}}).last == {
        "b": Last("event fault overload", ns(15.5))
    }


def test_of_what_is_missing_the_time_that_the_machine_was_not_let_run_is_told_apart() -> None:
    starved = ((4.0, 1.0), (3.0, 1.25), (1.5, 2.0), (0.1, 2.5))
    woke = (ns(16.9), ns(17.5), ns(19.6))
    held = Held(turns=[Turn(10, "b", START, ns(15.4))], ends={"b": ns(17)})
    cut = replace(CUT, lag=Lag(woke, starved))
    assert cuts.missing_s(held, cut) == 3
    assert cuts.starved_s(held, cut) == 1.25
    assert cuts.though_it_ran_s(held, cut) == 1.75
    assert cut.lag.late_s(20.0, 3.0) == pytest.approx(2.1)
    # What lay before the span does not count, nor more than the span.
    assert cut.lag.late_s(20.0, 0.3) == pytest.approx(0.3)
    assert Lag((), ((1.0, 0.0), (0.0, 1.9))).starved_s(1.0) == 1.0
    assert Lag().starved_s(1.0) == 0


@pytest.mark.parametrize("one_at_a_time", [True, False])
def test_a_process_that_shares_a_processor_is_seen_to_wait(one_at_a_time: bool) -> None:
    """Both on one processor, so that each waits for the other."""
    one = f"import os; os.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}}); print(flush=True)\nwhile True: pass"
    both = [subprocess.Popen([sys.executable, "-c", one], stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for process in both:
            assert process.stdout and process.stdout.readline()
        starved, end = Starved(both[0].pid, one_at_a_time), time.monotonic() + 30
        while (told := starved.so_far(time.monotonic_ns()))[-1:] == told[:1] or told[-1][1] - told[0][1] <= 0.2:
            assert time.monotonic() < end
            time.sleep(0.05)
        told = starved.end(time.monotonic_ns())
    finally:
        for process in both:
            process.kill()
            process.communicate()
    assert told[-1][1] - told[0][1] > 0.2


@pytest.mark.parametrize(("one_at_a_time", "waited_s"), [(True, 0.5), (False, 0.3)])
def test_two_that_wait_at_once_count_twice_only_where_they_cannot(
    monkeypatch: pytest.MonkeyPatch, one_at_a_time: bool, waited_s: float
) -> None:
    readings = iter([{"1": ns(4), "2": ns(9)}, {"1": ns(4.2), "2": ns(9.3)}])
    both_read, last = threading.Event(), {"1": ns(4.2), "2": ns(9.3)}

    def delays(_pid: int) -> ItemsView[str, int]:
        found = next(readings, None)
        if found is None:
            both_read.set()
        return (found or last).items()

    monkeypatch.setattr(lag, "delays", delays)
    starved = Starved(0, one_at_a_time)
    assert both_read.wait(30)
    told = starved.end(time.monotonic_ns())
    assert told[-1][1] - told[0][1] == pytest.approx(waited_s)


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


def test_a_cut_says_whether_it_fell_among_what_was_being_deleted() -> None:
    assert not CUT.some_deleted
    asked = replace(CUT, delivered=6)
    assert not asked.some_deleted
    assert not replace(asked, told={"delivered": 6}).some_deleted
    assert replace(asked, told={"delivered": 5}).some_deleted


def test_the_boot_is_known_in_which_a_deletion_was_announced() -> None:
    leaf = leaves.EventLeaf(
        media("r1", 15, 0.5).common, leaves.Kind.DELETION, None, facts={"segments": [{"segment": "s.tar"}]}
    )
    held = Held.of([(HEADER, leaf)], {})
    assert held.announced == {"b"}
    assert held.deletions == [{"segment": "s.tar"}]
    assert Held.of([(HEADER, media("r1", 15, 0.5))], {}).announced == set()
