"""What a station deleted because its days were over, by the notes that it signed (docs/evidence-format.md, section 7,
"Purge", and section 8, "Purged"): which leaves that no segment given holds a note explains, and what it says.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from math import inf

from agent.errors import AgentError, UnreadableError
from agent.evidence.blobs import Blob
from agent.evidence.findings import Finding, What, refused
from agent.evidence.heads import CheckedReceipt, stamped
from agent.evidence.histories import Beside
from agent.evidence.result import SegmentResult
from agent.evidence.sequence import Deleted
from agent.evidence.trust import Trust
from agent.evidence.watch import Announced
from agent.formats.purge import MAX_PURGE, Gone, Purge, check

NO_LEAF = -1


@dataclass(frozen=True, slots=True)
class CheckedPurge:
    """A note that holds, and where it lies."""

    note: Purge
    blob: Blob

    @property
    def told(self) -> str:
        """In words: who deleted, when, and to which end it was kept."""
        note = self.note
        return (
            f"deleted by station {note.station} at {stamped(note.purged_s)}, as its note {self.blob.name} says: it was "
            f"kept until {stamped(note.until_s)}"
        )


def read_purges(
    blobs: Sequence[Blob], receipts: Sequence[CheckedReceipt], trust: Trust
) -> tuple[list[CheckedPurge], list[Finding], list[Blob]]:
    """Those that a station of the agency signed, each once, and that no receipt given contradicts; what is wrong with
    the others; those that cannot be read.
    """
    good, bad, unread = dict[Purge, CheckedPurge](), list[Finding](), list[Blob]()
    promised = _promised(receipts)
    for blob in blobs:
        try:
            found = check(blob.read(MAX_PURGE + 1), trust.root)
        except AgentError as err:
            bad.append(refused(What.BAD_PURGE, f"purge note {blob.name}: {err.message}", err))
            unread += [blob] if isinstance(err, UnreadableError) else []
            continue
        broken = next((gone for gone in found.gone if _broken(found, gone, promised)), None)
        if broken is None:
            good.setdefault(found, CheckedPurge(found, blob))
        else:
            text = f"purge note {blob.name}: {broken.segment} was deleted before the end that a receipt of it names"
            bad.append(Finding(What.BAD_PURGE, text, recording=found.recording))
    return list(good.values()), bad, unread


_Promised = Mapping[tuple[str, str, str], tuple[Sequence[int], Sequence[float]]]
"""By station, segment and digest: when receipts were signed, in order; until when it is kept by those up to each."""


def _promised(receipts: Sequence[CheckedReceipt]) -> _Promised:
    found: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
    for told in (checked.receipt for checked in receipts):
        for stored in (*told.stored, *told.kept):
            key = (told.station, stored.segment, stored.sha256)
            found.setdefault(key, []).append((told.issued_s, stored.until_s))
    return {key: _in_order(told) for key, told in found.items()}


def _in_order(told: list[tuple[int, int]]) -> tuple[list[int], list[float]]:
    told.sort()
    return [issued_s for issued_s, _ in told], list(accumulate((until_s or inf for _, until_s in told), max))


def _broken(note: Purge, gone: Gone, promised: _Promised) -> bool:
    """Whether this station had said by then that it keeps these bytes for longer, or without end."""
    issued_s, until_s = promised.get((note.station, gone.segment, gone.sha256), ((), ()))
    by_then = bisect_right(issued_s, note.purged_s)
    return by_then > 0 and until_s[by_then - 1] > note.purged_s


class Purged:
    """Of one log: what its notes explain, once all its segments are placed. A seal leaf is the camera's own word: where
    one says otherwise of these leaves or this segment, a note explains nothing, nor where a segment given has one of
    the leaves.
    """

    def __init__(
        self, notes: Sequence[CheckedPurge], results: Sequence[SegmentResult], announced: Sequence[Announced]
    ) -> None:
        self.notes = notes
        self._results, self._announced = results, announced

    @cached_property
    def _lines(self) -> set[Announced]:
        """Of all notes, as a seal leaf would say it."""
        return {_line(gone) for one in self.notes for gone in one.note.gone}

    @cached_property
    def explained(self) -> set[Announced]:
        """The lines that stand for segments which are not here."""
        return standing(self._lines, self._results, self._announced) if self.notes else set()

    @cached_property
    def unsealed(self) -> list[Announced]:
        """Those of which no seal leaf tells."""
        told = {seal.segment for seal in self._announced}
        return [line for line in self.explained if line.segment not in told]

    @cached_property
    def _spans(self) -> Beside:
        return Beside.over((line.first, line.end) for line in self.explained)

    @cached_property
    def recordings(self) -> dict[str, tuple[int, int]]:
        """Of which segments are not here for that: the highest number of these, and where their leaves end."""
        found: dict[str, tuple[int, int]] = {}
        for line in self.explained:
            seq, end = found.get(line.segment[:20], (-1, 0))
            found[line.segment[:20]] = max(seq, int(line.segment[21:])), max(end, line.end)
        return found

    def has(self, seal: Announced) -> bool:
        """Whether a note names exactly this segment, and it is not here."""
        return replace(seal, leaf=NO_LEAF) in self.explained

    @cached_property
    def digests(self) -> set[tuple[str, str]]:
        """Segment and digest that a note names, of whichever leaves."""
        return {(line.segment, line.sha256) for line in self._lines}

    def without(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Runs of start <= i < end that no note explains."""
        return self._spans.without(start, end)

    def explains(self, start: int, end: int) -> bool:
        """Whether notes explain all of the leaves start <= i < end."""
        return next(self.without(start, end), None) is None

    def deleted(self, start: int, end: int) -> Deleted | None:
        """Who deleted the leaves start <= i < end, where notes explain all of them."""
        if not self.explains(start, end):
            return None
        found = [self.notes[number] for number in self._touching(start, end)]
        recordings = {one.note.recording for one in found}
        told = "; ".join(dict.fromkeys(one.told for one in found))
        return Deleted(told, recordings.pop() if len(recordings) == 1 else None)

    def _touching(self, start: int, end: int) -> list[int]:
        """The numbers of the notes of which a line has any of these leaves, in order."""
        firsts, reach, lines = self._by_first
        # Of those before the first that reaches so far none does.
        found = lines[bisect_right(reach, start) : bisect_left(firsts, end)]
        return sorted({number for last, number in found if last > start})

    @cached_property
    def _by_first(self) -> tuple[list[int], list[int], list[tuple[int, int]]]:
        """Lines of all notes by their first leaf: that; how far those up to there reach; (end, number of the note)."""
        lines = sorted((g.first, g.end, number) for number, one in enumerate(self.notes) for g in one.note.gone)
        reach = list(accumulate((end for _, end, _ in lines), max))
        return [first for first, _, _ in lines], reach, [(end, number) for _, end, number in lines]

    def tell(self) -> Iterator[Finding]:
        """Each note, with what of it is not here."""
        for one in self.notes:
            gone, note = one.note.gone, one.note
            lacks = sum(_line(line) in self.explained for line in gone)
            text = f"{_segments(gone)} {one.told}"
            if lacks < len(gone):
                text += f"; of them {len(gone) - lacks} are here, or are others by what is here"
            segment = gone[0].segment if len(gone) == 1 else None
            yield Finding(What.PURGED, text, segment, note.recording, gone[0].first, gone[-1].end - 1)


def strangers(notes: Sequence[CheckedPurge], known: Collection[str]) -> Iterator[Finding]:
    """Notes of logs of which no segment is given."""
    for one in (one for one in notes if one.note.origin not in known):
        text = f"purge note {one.blob.name}: it is of the log {one.note.origin}, of which no segment is given, and "
        yield Finding(What.UNCHECKED, text + "explains nothing here", recording=one.note.recording)


def _line(gone: Gone) -> Announced:
    return Announced(gone.segment, gone.size, gone.sha256, gone.first, gone.end, NO_LEAF)


def standing(
    lines: Iterable[Announced], results: Sequence[SegmentResult], announced: Iterable[Announced]
) -> set[Announced]:
    """Of the lines in which others say which leaves a segment held, those of segments that are not here: no leaf of it
    is in one of `results`, but for those that an early copy of it has, and what is `announced` says the same, or
    nothing of its name or of a leaf of it.
    """
    told = {replace(one, leaf=NO_LEAF) for one in announced}
    names, here = {one.segment for one in told}, Beside.over((one.first, one.end) for one in results)
    there = Beside.over((one.first, one.end) for one in told if one.end > one.first)
    copied = {(one.name, one.first): one.end for one in results if one.is_early(one.name, one.first)}

    def lacks(line: Announced) -> bool:
        return _free(here, copied.get((line.segment, line.first), line.first), line.end)

    return {
        line
        for line in lines
        if lacks(line) and (line in told or (line.segment not in names and _free(there, line.first, line.end)))
    }


def _free(held: Beside, first: int, end: int) -> bool:
    """Whether there are such leaves, first <= i < end, and none of them is held."""
    return list(held.without(first, end)) == [(first, end)]


def _segments(gone: Sequence[Gone]) -> str:
    return "1 segment" if len(gone) == 1 else f"{len(gone)} segments"


def told_for(notes: Sequence[CheckedPurge], recording: str) -> str:
    """What the notes say of a recording, in words; empty where none is of it."""
    return "; ".join(f"{_segments(n.note.gone)} {n.told}" for n in notes if n.note.recording == recording)
