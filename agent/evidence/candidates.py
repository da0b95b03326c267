"""Segment files before they are checked: where in which log each says that it stands, and which are one file twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agent.evidence.blobs import Blob, known_by
from agent.evidence.entry import UNKNOWN_ORIGIN
from agent.evidence.findings import Finding, What
from agent.evidence.histories import Piece
from agent.formats import merkle


@dataclass(frozen=True, slots=True)
class Candidate:
    """A segment file before it is checked: what its head claims. `torn_last` is -1 but for one in open/ whose head is
    not whole: the highest leaf that any member in it names, 0 where none does. `blank` is one in open/ in which no
    entry is whole: it holds nothing of the log.
    """

    blob: Blob
    origin: str
    first: int
    frontier: merkle.Frontier | None
    own_name: str | None
    torn_last: int = -1
    blank: bool = False

    @property
    def piece(self) -> Piece:
        return Piece(self.blob, self.first, self.frontier)


class Copies:
    """Finds files of the same bytes; none is read that has a place in its log and a size of its own, none twice."""

    def __init__(self) -> None:
        self._alone: dict[tuple[int, int], Candidate | None] = {}
        self._digests: dict[tuple[int, int, str], Candidate] = {}

    def twin(self, candidate: Candidate) -> Candidate | None:
        """The first one told of that has the same bytes."""
        place = (candidate.first, candidate.blob.size)
        if place not in self._alone:
            self._alone[place] = candidate
            return None
        if (first := self._alone[place]) is not None:
            self._digests[(*place, known_by(first.blob))] = first
            self._alone[place] = None
        return _other(self._digests.setdefault((*place, known_by(candidate.blob)), candidate), candidate)


def _other(held: Candidate, candidate: Candidate) -> Candidate | None:
    return held if held is not candidate else None


def without_copies(candidates: Iterable[Candidate]) -> tuple[list[Candidate], list[Finding]]:
    """In order of the log, each content once. A copy under the same name is a backup; under another it claims to be
    what it is not.
    """
    kept, found, copies = list[Candidate](), list[Finding](), Copies()
    # Of equal files the first is the original: one that has the name its content gives it, if there is one.
    for candidate in sorted(
        candidates, key=lambda c: (c.first, c.blob.is_open, c.blob.stem != c.own_name, c.blob.name)
    ):
        # A cut before the first entries of two files leaves them alike.
        twin = None if candidate.blank else copies.twin(candidate)
        if twin is None:
            kept.append(candidate)
        elif twin.blob.name != candidate.blob.name:
            text = f"the same bytes as {twin.blob.name}, under another name"
            found.append(Finding(What.REPEATED_SEGMENT, text, candidate.blob.stem))
    return kept, found


def home_strays(candidates: list[Candidate]) -> tuple[list[Candidate], set[str]]:
    """A segment too damaged to name its log is taken for one of the log that most others are of. Where there are
    several, also the stems of those that may be of another one.
    """
    origins = Counter(c.origin for c in candidates if c.origin != UNKNOWN_ORIGIN)
    home = max(sorted(origins), key=origins.__getitem__, default=UNKNOWN_ORIGIN)
    strays = {c.blob.stem for c in candidates if c.origin == UNKNOWN_ORIGIN} if len(origins) > 1 else set()
    return [replace(c, origin=home) if c.origin == UNKNOWN_ORIGIN else c for c in candidates], strays


@dataclass(frozen=True, slots=True)
class Together:
    """Which segments of a log were given together: the first leaves of the first and of the last one of each of
    `exports`, and of each that lies by itself, and of all of these (`alone`). `proof_of` is the export that holds a
    file, None of one that lies by itself.
    """

    exports: Sequence[tuple[int, int]] = ()
    alone: Sequence[tuple[int, int]] = ()
    proof_of: Callable[[Blob], Path | None] = lambda blob: None

    @classmethod
    def of(cls, candidates: Iterable[Candidate], proof_of: Callable[[Blob], Path | None]) -> Together:
        """By the heads of the segments; one that holds nothing is none."""
        found, alone = dict[Path | None, tuple[int, int]](), set[tuple[int, int]]()
        for candidate in (c for c in candidates if not c.blank):
            place, first = proof_of(candidate.blob), candidate.first
            low, high = found.get(place, (first, first))
            found[place] = min(low, first), max(high, first)
            alone |= {(first, first)} if place is None else set()
        exports = [span for place, span in found.items() if place is not None]
        return cls(exports, [*([found[None]] if None in found else []), *alone], proof_of)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """All of them."""
        return [*self.exports, *self.alone]
