"""Every failing finding of the tamper matrix says when, and which part: held against the life that was changed."""

from __future__ import annotations

import pytest

from agent.evidence.findings import NOTES, Finding, What
from tests.evidence.matrix.case import Row, findings_of, life, made_of, nothing
from tests.evidence.matrix.purges import ROWS as PURGES
from tests.evidence.matrix.rows import ROWS
from tests.evidence.matrix.truth import Truth

TIMELESS = {
    What.BAD_RECEIPT: "what a receipt that is not valid says of time is not proven",
    What.BAD_HEAD: "a head that is not the camera's, or of no log given, has no place in a log",
    What.BAD_REVOCATION: "what a revocation that is not valid says of time is not proven",
    What.BAD_PURGE: "what a purge note that is not valid says of time is not proven",
    What.UNTRUSTED_CHAIN: "where nothing leads to the root, no leaf is proven",
}
"""Kinds without a time, and why."""

BEHIND = "no leaf of the recording is left behind it, so how many of these leaves are parts is not proven"
WHOLE = "no leaf of the log is left"
TWO = "the leaves are of more than one recording, or nothing follows them"
PARTLESS = {
    "segment: the last of a recording removed": BEHIND,
    "segment: a copy of it in the place of the next": BEHIND,
    "segment: a whole recording of one removed": BEHIND,
    "segment: a whole recording removed": BEHIND,
    "segment: a recording and the events after it removed": BEHIND,
    "segment: the newest recording and what follows it removed, with a later head": BEHIND,
    "epoch: all of the log before it removed": BEHIND,
    "epoch: one that contradicts what was cosigned": BEHIND,
    "epoch: all of it removed from a card, and its log/ kept": WHOLE,
    "epoch: all of it removed from a station, and its receipt kept": WHOLE,
    "epoch: one that names fewer leaves than were signed": TWO,
    "revocation: leaves signed after the camera was lost": TWO,
    "revocation: a log that it does not name": TWO,
    "revocation: leaves removed that it counts": TWO,
    "revocation: all of the log written anew, with fewer leaves than it counts": TWO,
} | {
    row.id: BEHIND for row in PURGES if any(e.what is What.MISSING_SEGMENT and e.at in ("A1", "B0") for e in row.finds)
}
"""Rows whose findings cannot name their parts, and why."""

OTHER_LOG = {"epoch: one that contradicts what was cosigned"} | {row for row, why in PARTLESS.items() if why is WHOLE}
"""Rows with a finding about a leaf of a log that is none of the life's own."""


@pytest.mark.wide
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_finding_says_when_and_which_part(row: Row) -> None:
    truth = Truth.of(row.born().camera)
    for finding in (f for f in findings_of(row) if f.fails):
        assert (finding.when is None) == (finding.what in TIMELESS) == (finding.when_unknown is not None), finding
        if row.id not in OTHER_LOG:
            assert truth.wrong_time(finding) is None, finding.line()
        if finding.part_first is not None or row.id not in PARTLESS:
            assert truth.wrong_part(finding) is None, finding.line()


def test_rows_without_parts_are_in_the_matrix() -> None:
    assert PARTLESS.keys() | OTHER_LOG <= {row.id for row in ROWS}


@pytest.mark.wide
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_row_changes_what_the_life_left(row: Row) -> None:
    made, sound = made_of(row), life() if row.apply is nothing else row.born()
    assert (made.given(), made.head) != (sound.given(), sound.head)


EXACT = [
    (What.ALTERED_BYTES, "leaf: v edited", "between 08:00:07.0 and 08:00:08.5", (1, 1)),
    (What.BAD_EPOCH, "epoch: one that contradicts what was cosigned", "09:00:05.5", None),
    (What.BAD_LEAF, "leaf: signed with another chain", "08:00:07.5", (1, 1)),
    (What.BAD_ROOT, "checkpoint: that of a later leaf", "08:00:07.5", (1, 1)),
    (What.BAD_SESSION, "leaf: signed with another boot", "08:00:07.5", (1, 1)),
    (What.BAD_SIGNATURE, "checkpoint: its signature bent", "08:00:07.5", (1, 1)),
    (What.CLOCK_WENT_BACK, "leaf: signed with a clock moved back", "08:00:07.5", (1, 1)),
    (What.COUNTER_BACK, "hardware counter: one that goes back", "09:00:05.5", None),
    (What.COUNTER_JUMP, "hardware counter: starts that this log does not have", "09:00:05.5", None),
    (What.FORK, "segment: that of another history of the camera in its place", "08:00:11.0", None),
    (What.INSERTED_BYTES, "archive: init.age again after chain.pem", "from 08:00:08.5 to 08:00:10.5", None),
    (What.MISSING_PARTS, "entry: two parts removed", "between 08:00:06.5 and 08:00:08.5", (0, 1)),
    (What.MISSING_SEGMENT, "segment: the first of a recording removed", "between 08:00:06.0 and 08:00:08.5", (0, 2)),
    (What.MISSING_SIGNATURE, "checkpoint: the identity's signature taken off the last leaf", "08:00:15.0", None),
    (What.NOT_A_SEGMENT, "segment: nothing left of it", "between 08:00:06.0 and 08:00:08.5", (0, 2)),
    (What.NO_END, "leaf: signed by a next session that is silent about a recording that was cut", "08:00:07.0", (0, 0)),
    (What.OTHER_CAMERA, "leaf: signed with another camera", "08:00:07.5", (1, 1)),
    (What.REPEATED_ENTRY, "checkpoint: that of an older leaf", "08:00:07.0", (0, 0)),
    (What.REPEATED_SEGMENT, "segment: a copy of it in the place of the next",
     "between 08:00:08.0 and 08:00:11.0", None),
    (What.REVOKED, "revocation: leaves signed after the camera was lost", "from 08:00:11.0 to 08:00:15.0", None),
    (What.SEAL_MISMATCH, "leaf: signed with a seal of other bytes", "from 08:00:06.5 to 08:00:08.0", (0, 2)),
    (What.SWAPPED_ENTRIES, "entry: two parts swapped", "08:00:07.0", (0, 0)),
    (What.SWAPPED_SEGMENTS, "segment: swapped with the next", "from 08:00:06.5 to 08:00:08.0", (0, 2)),
    (What.TRUNCATED_SEGMENT, "segment: cut in the middle", "between 08:00:06.5 and 08:00:08.5", (0, 2)),
]  # fmt: skip
"""One finding of each kind: its row, its time on the life's day, its parts."""


@pytest.mark.wide
@pytest.mark.parametrize(("what", "row_id", "moment", "parts"), EXACT, ids=lambda v: str(v))
def test_one_of_each_kind_to_the_letter(what: What, row_id: str, moment: str, parts: tuple[int, int] | None) -> None:
    row = next(row for row in ROWS if row.id == row_id)
    found: list[Finding] = [f for f in findings_of(row) if f.what is what]
    said = (found[0].when or "").replace("2026-03-01T", "").replace("00000+00:00", "")
    assert (said, found[0].to_json()["parts"]) == (moment, list(parts) if parts else None)


def test_each_kind_that_has_a_time_is_there() -> None:
    kinds = {e.what for row in ROWS for e in row.finds} - NOTES - TIMELESS.keys()
    assert {what for what, *_ in EXACT} == kinds


def test_what_has_no_time_says_so_in_words_and_why() -> None:
    row = next(row for row in ROWS if row.id == "receipt: its time edited")
    (finding,) = (f for f in findings_of(row) if f.fails)
    assert ", time not known (no time in a receipt that is not valid is proven), proven: " in finding.line()
    told = finding.to_json()
    assert (told["when"], told["when_bounds"]) == (None, None)
    assert told["when_unknown"] == "no time in a receipt that is not valid is proven"


def test_an_interval_is_also_told_as_its_two_ends() -> None:
    row = next(row for row in ROWS if row.id == "segment: the first of a recording removed")
    (finding,) = (f for f in findings_of(row) if f.fails)
    told, (begin, end) = finding.to_json(), finding.bounds or (None, None)
    assert told["when"] == f"between {begin} and {end}"
    assert (told["when_bounds"], told["when_unknown"]) == ([begin, end], None)
