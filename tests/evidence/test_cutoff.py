"""What a cut cost: no more than the leaves show was written may be said to be safe."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.evidence import cutoff, report
from agent.evidence.findings import What
from agent.formats.leaf import Kind
from agent.model import NS
from tests.builders import Camera, agency
from tests.evidence.kit import report_of


def cut(ring_s: float, parts: int, live_from: int | None = None, same_boot: bool = False) -> Camera:
    """So far behind its end is each part's leaf made, one every half second; from `live_from` on, as it is recorded."""
    camera = Camera(agency()).new_session()
    camera.mono_ns += 50 * NS
    camera.start()
    camera.zero_ns = camera.mono_ns - round(ring_s * NS)
    for number in range(parts):
        if number == live_from:
            camera.start_ns = camera.mono_ns - camera.zero_ns
        camera.part()
    camera.crash(same_boot=same_boot)
    return camera.shutdown()


def told(camera: Camera, path: Path) -> tuple[str, str, float | None]:
    """The finding, the recording's line, and the figure in JSON."""
    camera.write(path)
    found = report_of(path)
    assert found.verified
    (finding,) = (f for f in found.findings if f.what is What.INTERRUPTED)
    lines = [line for line in report.lines(found) if line.startswith("recording ")]
    (recording,) = report.to_json(found)["recordings"] or [{"lost_at_most_s": None}]
    return finding.text, "".join(lines), recording["lost_at_most_s"]


def test_a_cut_while_live_costs_a_second(tmp_path: Path) -> None:
    finding, line, lost_s = told(cut(0, 4), tmp_path)
    assert "at most 1 s after them is lost" in finding
    assert "(likely the power: at most 1 s more is lost)" in line
    assert lost_s == 1


def test_a_cut_in_a_boot_that_went_on_was_not_the_power(tmp_path: Path) -> None:
    finding, line, lost_s = told(cut(0, 4, same_boot=True), tmp_path / "live")
    assert (
        "power failed" not in finding and "it was not the power, since the boot went on: the recorder ended" in finding
    )
    assert "where the recorder acted until it ended, at most 1 s after them is lost, if the disk answered" in finding
    assert "(the recorder ended, not the power; if it acted until then: at most 1 s more is lost)" in line
    assert lost_s == 1
    finding, line, lost_s = told(cut(30, 4, same_boot=True), tmp_path / "flush")
    assert "power failed" not in finding and "acted until it ended, the 30.000 s between" in finding
    assert "if it acted until then: 30.000 s" in line and lost_s == 31
    finding, _, _ = told(cut(30, 0, same_boot=True), tmp_path / "none")
    assert "the recorder ended, and it was cut before its first part" in finding


@pytest.mark.parametrize(("second", "third", "went_on"), [(True, False, True), (False, True, False)])
def test_the_next_session_tells_what_cut_it_and_not_a_later_one_that_says_so(
    second: bool, third: bool, went_on: bool, tmp_path: Path
) -> None:
    """The session after it ended before it could say that it was cut."""
    camera = Camera(agency()).new_session()
    name = camera.start()
    camera.part()
    assert camera.open is not None
    said = {"segment": camera.open.name, "entries": len(camera.open.entries), "torn_bytes": 0}
    camera.recording = None
    camera.new_session(second).new_session(third)
    camera.event(Kind.RECOVERY, facts={**said, "parts": 1, "interrupted": True}, recording=name)
    _, line, _ = told(camera.shutdown(), tmp_path)
    assert ("likely the power" not in line) is went_on and ("the recorder ended" in line) is went_on


def test_a_cut_while_the_ring_is_flushed_costs_what_was_not_yet_written(tmp_path: Path) -> None:
    """Of 30 s before the press two were written, each part half a second after the one before."""
    finding, line, lost_s = told(cut(30, 4), tmp_path)
    assert "cut while what lay before the press was being written" in finding
    assert "the 30.000 s between their end and the last leaf of them, and at most 1 s more, are lost" in finding
    assert "at most 1 s after" not in finding
    assert "(likely the power: 30.000 s that were not yet written, and at most 1 s more, are lost)" in line
    assert lost_s == 31


def test_live_media_that_waits_behind_the_flush_is_not_said_to_be_safe(tmp_path: Path) -> None:
    """The ring is written, and the disk is still two seconds behind."""
    finding, line, lost_s = told(cut(2, 4), tmp_path)
    assert "cut while disk or encoder was behind" in finding
    assert "the 2.000 s between their end and the last leaf of them, and at most 1 s more, are lost" in finding
    assert "2.000 s that were not yet written" in line
    assert lost_s == 3


def test_after_the_flush_a_cut_costs_a_second_again(tmp_path: Path) -> None:
    finding, _, lost_s = told(cut(30, 4, live_from=3), tmp_path)
    assert "at most 1 s after them is lost" in finding
    assert lost_s == 1


def test_a_cut_before_the_first_part_costs_what_lay_before_the_press(tmp_path: Path) -> None:
    finding, _, lost_s = told(cut(30, 0), tmp_path)
    assert "before its first part was written: what lay before the press is lost, and at most 1 s after it" in finding
    assert lost_s is None


def most_lost_ns(behind_ns: int) -> int:
    """After the end of a part whose leaf was made so much later, where encoder and disk take all that the promise gives
    them: the next part's media must have been encoded, and the one before be written, until it is written too.
    """
    media, encode, write = 500_000_000, 200_000_000, 300_000_000
    return max(media + encode, behind_ns + write) + write


@pytest.mark.parametrize("behind_ms", [0, 200, 399, 400, 401, 500, 900, 5_000])
def test_no_less_is_said_to_be_lost_than_may_be(behind_ms: int) -> None:
    behind_ns = behind_ms * 1_000_000
    told_ns = cutoff.loss(0, behind_ns, None).at_most_ns
    assert told_ns is not None and most_lost_ns(behind_ns) <= told_ns
    live = told_ns == NS
    assert live == (most_lost_ns(behind_ns) <= NS)


@pytest.mark.parametrize("missing", [1, 3])
def test_nothing_is_said_of_a_loss_whose_leaf_is_missing(missing: int, tmp_path: Path) -> None:
    """Of what was written last nothing tells how far it was behind."""
    camera = cut(30, 4)
    segment = next(s for s in camera.segments if s.header.recording)
    segment.entries = segment.entries[:-missing]
    camera.write(tmp_path)
    found = report_of(tmp_path)
    (finding,) = (f for f in found.findings if f.what is What.INTERRUPTED)
    assert "how much after them is lost" in finding.text
    assert "1 s" not in finding.text
    (recording,) = report.to_json(found)["recordings"]
    assert recording["lost_at_most_s"] is None
    assert "1 s more" not in "".join(report.lines(found))
