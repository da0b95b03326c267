"""A receipt that says which leaves each segment holds: what no line has is missing from a card, whatever the others
could have held. Both verifiers agree.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import EvidenceError
from agent.evidence.findings import Sure, What
from agent.formats import note, receipt
from tests.builders import Camera, agency
from tests.evidence.kit import failures, only, report_of
from tests.evidence.receipts import of
from tests.evidence.test_spools import spool_of
from tests.independent.kit import names_in, verdicts


def visited() -> Camera:
    """E0, A0, A1, E1, E2 (as after a dock visit), B0, E3: of parts as long as real ones, and so of segments in which
    all leaves of the others could have had their place.
    """
    camera = Camera(agency(), seed=5).new_session()
    for turn in range(2):
        camera.start()
        for number in range(4):
            if number == 2 and not turn:
                camera.rotate()
            camera.part(size=40_000)
        camera.stop()
        camera.event()
        if not turn:
            camera.close_segment()
            camera.event()
    return camera.shutdown()


def card(camera: Camera, root: Path, undelivered: int | None, says: bool = True) -> Path:
    """Its spool with the last segment alone, and one receipt of the whole visit, which lacks one of them."""
    spool = spool_of(camera, root, list(range(6)))
    named = [s for n, s in enumerate(camera.segments[:6]) if n != undelivered]
    told = camera.receipt(named, leaves_of=of) if says else camera.receipt(named)
    (spool / "receipts" / "a.receipt").write_bytes(told)
    return spool


@pytest.mark.parametrize("undelivered", range(6))
def test_what_was_never_delivered_is_missing(undelivered: int, tmp_path: Path) -> None:
    camera = visited()
    spool = card(camera, tmp_path / "spool", undelivered)
    found = only(failures(spool))
    first, count = of(camera.segments[undelivered])
    assert (found.what, found.first, found.last) == (What.MISSING_SEGMENT, first, first + count - 1)
    root, _ = agency().write_trust(tmp_path)
    assert {what for what, _ in names_in(verdicts(root, spool)[spool])} == {"missing-segment"}


def test_all_of_it_is_held_elsewhere_for_sure(tmp_path: Path) -> None:
    camera = visited()
    spool = card(camera, tmp_path / "spool", None)
    assert failures(spool) == []
    end = camera.segments[6].entries[0].index
    told = [(f.first, f.last, f.sure) for f in report_of(spool).findings if f.what is What.HELD_ELSEWHERE]
    # The last one's seal leaf is in the segment that is here.
    assert told == [(0, of(camera.segments[5])[0] - 1, Sure.PROVEN), (of(camera.segments[5])[0], end - 1, Sure.PROVEN)]
    root, _ = agency().write_trust(tmp_path)
    assert verdicts(root, spool)[spool] == "verified"


def test_one_that_does_not_say_it_may_hide_one(tmp_path: Path) -> None:
    """As an earlier version asked for them: what lacks is said to be likely elsewhere, and no more."""
    camera = visited()
    spool = card(camera, tmp_path / "spool", 3, says=False)
    assert failures(spool) == []
    told = [f for f in report_of(spool).findings if f.what is What.HELD_ELSEWHERE]
    assert {f.sure for f in told} == {Sure.LIKELY, Sure.PROVEN}


def test_a_receipt_that_says_it_goes_before_one_that_does_not(tmp_path: Path) -> None:
    camera = visited()
    spool = card(camera, tmp_path / "spool", 3, says=False)
    named = [s for n, s in enumerate(camera.segments[:6]) if n != 3]
    (spool / "receipts" / "b.receipt").write_bytes(camera.receipt(named, leaves_of=of))
    assert only(failures(spool)).what is What.MISSING_SEGMENT
    root, _ = agency().write_trust(tmp_path)
    assert "missing-segment" in verdicts(root, spool)[spool]


@pytest.mark.parametrize("undelivered", [None, *range(7)])
def test_of_a_log_that_another_follows(undelivered: int | None, tmp_path: Path) -> None:
    """Nothing of it is left on the card."""
    camera = visited()
    later = camera.next_epoch().shutdown()
    spool = spool_of(later, tmp_path / "spool", [])
    named = [s for n, s in enumerate(camera.segments) if n != undelivered]
    (spool / "receipts" / "a.receipt").write_bytes(camera.receipt(named, leaves_of=of))
    root, _ = agency().write_trust(tmp_path)
    lacks = [] if undelivered is None else [of(camera.segments[undelivered])]
    assert [(f.first, f.last) for f in failures(spool)] == [(first, first + count - 1) for first, count in lacks]
    assert verdicts(root, spool)[spool].count("missing-segment") == len(lacks)


@pytest.mark.parametrize("wrong", [(7, 1), (2, 0), (1, 1 << 40), (0, 1)])
def test_a_line_that_cannot_be_so_makes_no_receipt(wrong: tuple[int, int], tmp_path: Path) -> None:
    """Of A0, which begins behind its start leaf; or with the word for none of them."""
    camera = visited()
    told = camera.receipt(camera.segments[1:2], leaves_of=lambda segment: wrong)
    if wrong[1] == 0:
        said = note.parse(told).text.replace(" 0\ncheckpoint", " 0 2 0\ncheckpoint")
        with pytest.raises(EvidenceError):
            receipt.parse(said)
    elif wrong[0] < 2 or wrong[1] > 1:
        with pytest.raises(EvidenceError):
            receipt.parse(note.parse(told).text)
    else:
        assert receipt.parse(note.parse(told).text).stored[0].first == 7
