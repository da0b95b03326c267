"""A segment in open/ of a card that was copied while it recorded, beside what is known of it since: an earlier copy.
What it lacks is held where a receipt gives it to that segment, and what it has is as the camera wrote it. Both
verifiers agree.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from agent.evidence.findings import Finding, Sure, What
from agent.formats import age, pack
from tests.builders import Camera, Segment, agency
from tests.evidence.kit import empty_spool, report_of
from tests.evidence.receipts import of
from tests.evidence.test_receipted_leaves import visited
from tests.independent.kit import names_in, verdicts

life = cache(visited)
E0, A0, A1, E1, E2, B0, E3 = range(7)
COPY = 2
"""Entries of A1 that the copy has."""


def card(root: Path, here: set[int], entries: int = COPY, folder: str = "open", copy: Segment | None = None) -> Path:
    """A spool with these segments, and a copy of A1 with its first entries."""
    empty_spool(root, "receipts")
    for number in here:
        life().segments[number].write(root / "sealed")
    whole = copy or life().segments[A1]
    replace(whole, entries=whole.entries[:entries], sealed=False).write(root / folder)
    return root


def receipted(spool: Path, *without: int) -> Path:
    named = [s for n, s in enumerate(life().segments) if n not in without]
    (spool / "receipts" / "a.receipt").write_bytes(life().receipt(named, leaves_of=of))
    return spool


def leaves_of(*numbers: int) -> set[int]:
    return {entry.index for n in numbers for entry in life().segments[n].entries}


def lacking() -> set[int]:
    """The leaves of A1 that the copy has not."""
    return {entry.index for entry in life().segments[A1].entries[COPY:]}


@cache
def trust(place: Path) -> Path:
    return agency().write_trust(place)[0]


def findings(spool: Path) -> list[Finding]:
    """Of which those that fail are the other verifier's too, by name and segment."""
    found = report_of(spool).findings
    said = names_in(verdicts(trust(spool.parent), spool)[spool])
    assert said == {(f.what.value, f.segment) for f in found if f.fails}
    return found


def failures(spool: Path) -> list[Finding]:
    return [f for f in findings(spool) if f.fails]


def told(what: What, spool: Path) -> set[int]:
    found = [f for f in findings(spool) if f.what is what and f.first is not None]
    return {index for f in found for index in range(f.first or 0, (f.last or f.first or 0) + 1)}


HERE = {
    "its seal leaf is here": {E0, A0, E1, E2, B0, E3},
    "what followed it is gone too": {E0, A0, E2, B0, E3},
    "all up to the last is gone": {E0, A0, E3},
    "nothing follows it": {E0, A0},
    "it is alone": set[int](),
}


@pytest.mark.parametrize("here", HERE)
def test_what_a_receipt_says_of_the_rest_of_it_is_held_elsewhere(here: str, tmp_path: Path) -> None:
    spool = receipted(card(tmp_path / "spool", HERE[here]))
    assert failures(spool) == []
    gone = set(range(7)) - HERE[here] - {A1}
    assert told(What.HELD_ELSEWHERE, spool) == lacking() | leaves_of(*gone)
    assert {f.sure for f in report_of(spool).findings if f.what is What.HELD_ELSEWHERE} == {Sure.PROVEN}


def test_events_alike(tmp_path: Path) -> None:
    events = life().segments[E1]
    for number, here in enumerate(({E0, A0, A1, E2, B0, E3}, {E0, A0, A1, B0, E3}, {E0, A0, A1})):
        spool = receipted(card(tmp_path / f"{number}", here, 1, copy=events))
        assert failures(spool) == []
        assert told(What.HELD_ELSEWHERE, spool) == leaves_of(*(set(range(7)) - here)) - {of(events)[0]}


@pytest.mark.parametrize("here", HERE)
def test_what_no_receipt_has_of_it_is_missing(here: str, tmp_path: Path) -> None:
    spool = receipted(card(tmp_path / "spool", HERE[here]), A1)
    assert told(What.MISSING_SEGMENT, spool) | told(What.MISSING_PARTS, spool) == lacking()


@pytest.mark.parametrize("undelivered", [A0, E1, E2])
@pytest.mark.parametrize("here", [{E0, B0, E3}, {E0, E3}])
def test_the_copy_hides_nothing_before_or_behind_it(undelivered: int, here: set[int], tmp_path: Path) -> None:
    spool = receipted(card(tmp_path / "spool", here), undelivered)
    assert told(What.MISSING_SEGMENT, spool) == leaves_of(undelivered)


@pytest.mark.parametrize("undelivered", [E1, E2, E3])
def test_nor_at_the_end(undelivered: int, tmp_path: Path) -> None:
    spool = receipted(card(tmp_path / "spool", {E0, A0}), undelivered)
    assert told(What.MISSING_SEGMENT, spool) == leaves_of(undelivered)


def test_a_receipt_that_gives_it_other_leaves_says_nothing_of_the_rest(tmp_path: Path) -> None:
    spool = card(tmp_path / "spool", {E0, A0, E2, B0, E3})
    named = [s for n, s in enumerate(life().segments) if n != E1]
    first = of(life().segments[A1])[0] + 1
    lines = {life().segments[A1].name: (first, len(life().segments[A1].entries) - 1)}
    receipt = life().receipt(named, leaves_of=lambda segment: lines.get(segment.name, of(segment)))
    (spool / "receipts" / "a.receipt").write_bytes(receipt)
    assert told(What.MISSING_SEGMENT, spool) == lacking() | leaves_of(E1)


@pytest.mark.parametrize("here", HERE)
def test_outside_open_it_was_cut(here: str, tmp_path: Path) -> None:
    spool = receipted(card(tmp_path / "spool", HERE[here], folder="sealed"))
    assert What.TRUNCATED_SEGMENT in {f.what for f in failures(spool)}


@pytest.mark.parametrize("here", ["its seal leaf is here", "what followed it is gone too"])
def test_where_no_spool_is_given_nobody_has_the_rest(here: str, tmp_path: Path) -> None:
    spool = receipted(card(tmp_path / "spool", HERE[here]))
    (spool / "delivered").rmdir()
    assert lacking() <= told(What.MISSING_SEGMENT, spool) | told(What.MISSING_PARTS, spool)


@pytest.mark.parametrize("here", ["its seal leaf is here", "what followed it is gone too"])
def test_a_purge_note_explains_the_rest_of_it(here: str, tmp_path: Path) -> None:
    spool = receipted(card(tmp_path / "spool", HERE[here] - {A0}))
    (spool / "receipts" / "a.receipt").unlink()
    (spool / "a.purge").write_bytes(life().purge([life().segments[n] for n in (A0, A1)]))
    gone = {E1} - HERE[here]
    assert told(What.MISSING_SEGMENT, spool) == leaves_of(*gone)
    (spool / "a.purge").write_bytes(life().purge([life().segments[A0]]))
    assert lacking() <= told(What.MISSING_SEGMENT, spool) | told(What.MISSING_PARTS, spool)


# -- the bytes that were sealed ------------------------------------------------------------------------------------

ALL_BUT_IT = {E0, A0, E1, E2, B0, E3}


def test_a_copy_with_all_of_its_leaves_is_what_was_sealed(tmp_path: Path) -> None:
    """It lacks the trailer, or has more zeros than that."""
    whole = life().segments[A1]
    spool = card(tmp_path / "spool", ALL_BUT_IT, len(whole.entries))
    assert failures(spool) == []
    (file,) = (spool / "open").iterdir()
    file.write_bytes(file.read_bytes() + bytes(1 << 16))
    assert failures(spool) == []


def test_what_it_lacks_is_missing(tmp_path: Path) -> None:
    spool = card(tmp_path / "spool", ALL_BUT_IT)
    assert told(What.MISSING_PARTS, spool) == lacking() and len(failures(spool)) == 1


@pytest.mark.parametrize(
    ("at", "found"), [(0, What.ALTERED_BYTES), (1, What.ALTERED_BYTES), (3, What.MISSING_PARTS)], ids=str
)
def test_a_bent_byte_in_it_is_found(at: int, found: What, tmp_path: Path) -> None:
    """The last entry may have been torn by a power cut: then it is what lacks, and was sealed."""
    whole = life().segments[A1]
    entries = list(whole.entries)
    entries[at] = replace(entries[at], sealed=entries[at].sealed[:-1] + bytes([entries[at].sealed[-1] ^ 1]))
    spool = card(tmp_path / "spool", ALL_BUT_IT, len(entries), copy=replace(whole, entries=entries))
    assert {f.what for f in failures(spool)} == {found}


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


# -- named one by one ----------------------------------------------------------------------------------------------


def one_by_one(root: Path, *more: Path) -> list[Finding]:
    """Of the files of a card, each named by itself: between recordings nothing is asked for. The second verifier is
    given directories, of which it asks for the whole log.
    """
    return [f for f in report_of(*sorted(root.rglob("*.tar")), *more).findings if f.fails]


def spans(found: list[Finding]) -> set[tuple[What, int | None, int | None]]:
    return {(f.what, f.first, f.last) for f in found}


@pytest.mark.parametrize("here", [ALL_BUT_IT, {E0, A0, E1, B0, E3}])
def test_the_end_of_a_copy_is_asked_for_though_its_recording_seems_over(here: set[int], tmp_path: Path) -> None:
    spool = card(tmp_path / "spool", here)
    ends = (What.MISSING_PARTS, min(lacking()), max(lacking()))
    assert ends in spans(one_by_one(spool)) and ends in spans(failures(spool))


def test_what_a_purge_note_explains_of_it_is_not(tmp_path: Path) -> None:
    spool = card(tmp_path / "spool", ALL_BUT_IT - {A0})
    note = spool / "a.purge"
    note.write_bytes(life().purge([life().segments[n] for n in (A0, A1)]))
    assert one_by_one(spool, note) == []
    note.write_bytes(life().purge([life().segments[A0]]))
    assert one_by_one(spool, note) != []


def test_events_behind_the_last_part_of_one_that_was_cut(tmp_path: Path) -> None:
    camera = Camera(agency(), seed=13).new_session()
    camera.start()
    camera.part()
    camera.event()
    camera.event()
    camera.crash()
    camera.shutdown()
    before, media, after = camera.segments
    empty_spool(tmp_path / "spool")
    for segment in (before, after):
        segment.write(tmp_path / "spool" / "sealed")
    replace(media, entries=media.entries[:-2], sealed=False).write(tmp_path / "spool" / "open")
    last = media.entries[-1].index
    for found in (one_by_one(tmp_path / "spool"), failures(tmp_path / "spool")):
        assert spans(found) == {(What.MISSING_PARTS, last - 1, last)}


# -- what no leaf names --------------------------------------------------------------------------------------------


@cache
def rotated_then_stopped() -> Camera:
    """E0, X0, X1, E1: no part lies in the last segment of the recording, so no leaf in it names its init."""
    camera = Camera(agency(), seed=9).new_session()
    camera.start()
    camera.part()
    camera.rotate()
    camera.stop()
    camera.event()
    return camera.shutdown()


def with_copy(root: Path, copy: Segment) -> Path:
    empty_spool(root)
    for segment in rotated_then_stopped().segments:
        if segment.name != copy.name:
            segment.write(root / "sealed")
    replace(copy, sealed=False).write(root / "open")
    return root


def test_a_copy_with_all_of_its_leaves_has_the_init_that_was_sealed(tmp_path: Path) -> None:
    camera = rotated_then_stopped()
    last, other = camera.segments[2], age.encrypt(b"another init", camera.recipients).data
    assert failures(with_copy(tmp_path / "own", last)) == []
    for entries in (len(last.entries), 1):
        copy = replace(last, init=other, entries=last.entries[:entries])
        found = {f.what for f in failures(with_copy(tmp_path / f"{entries}", copy))}
        assert found == {What.SEAL_MISMATCH if entries > 1 else What.MISSING_PARTS}


def test_what_follows_them_is_no_failure(tmp_path: Path) -> None:
    spool = with_copy(tmp_path / "spool", rotated_then_stopped().segments[2])
    (file,) = (spool / "open").iterdir()
    file.write_bytes(file.read_bytes() + pack.member("0000000099.json", b"{}\n") + pack.TRAILER)
    assert failures(spool) == []


@pytest.mark.parametrize("gone", [(A1, E1), (A1, E1, E2)])
def test_one_without_a_whole_entry_is_none_of_those_that_were_given(gone: tuple[int, ...], tmp_path: Path) -> None:
    """The blocks of its first one never reached the disk. By its name the receipt, which gives no leaves, has it."""
    spool = card(tmp_path / "spool", set(range(7)).difference(gone), entries=1)
    (spool / "receipts" / "a.receipt").write_bytes(life().receipt(life().segments))
    (path,) = (spool / "open").iterdir()
    data = path.read_bytes()
    torn = data.rindex(b".note\0") // pack.BLOCK * pack.BLOCK + pack.BLOCK
    path.write_bytes(data[:torn] + bytes(len(data) - torn))
    assert failures(spool) == []
    assert told(What.HELD_ELSEWHERE, spool) == leaves_of(*gone)
