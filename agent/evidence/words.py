"""What is signed of the segments of a camera's earlier logs, beside `kept` leaves: these say what the card's own record
did, which nobody signed (docs/evidence-format.md, section 8).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from agent.errors import EvidenceError
from agent.evidence.epochwatch import Kept
from agent.evidence.findings import Sure
from agent.evidence.heads import CheckedReceipt
from agent.evidence.held import held_by
from agent.evidence.logview import LogView
from agent.formats import epoch

_Named = tuple[str, str]
"""What all logs of a camera share in their names, and a segment's name, which is of one of them alone."""


def order(origin: str) -> tuple[str, int]:
    """By which logs are told: those of one camera together, by epoch."""
    try:
        return epoch.split(origin)
    except EvidenceError:
        return origin, 0


def whose(checked: CheckedReceipt) -> tuple[str, str]:
    return checked.receipt.station, checked.receipt.camera


def given_stations(receipts: Sequence[CheckedReceipt]) -> set[tuple[str, str]]:
    """Stations, each with the camera, of which the own directory is given: what it has of the camera is here."""
    return {whose(checked) for checked in receipts if checked.at_home}


class Words:
    """By a segment's name, of all logs of its camera: which one it is of the record may say falsely, as all else."""

    def __init__(self, views: Sequence[LogView], receipts: Sequence[CheckedReceipt]) -> None:
        self._views, self._receipts = views, receipts
        self.digests = dict[_Named, dict[str, int]]()
        """With the first epoch in which that is said."""
        self.kept = dict[_Named, set[str]]()
        """What stations keep for its bytes alone."""
        for (stem, number), name, sha256 in self._named():
            said = self.digests.setdefault((stem, name), {})
            said[sha256] = min(number, said.get(sha256, number))
        for stem, line in ((order(c.receipt.origin)[0], line) for c in receipts for line in c.receipt.kept):
            self.kept.setdefault((stem, line.segment), set()).add(line.sha256)
        ended = [(order(view.origin), result) for view in views for result in view.results if result.sealed]
        self.ended = _first(((stem, result.name), number) for (stem, number), result in ended)
        self.said = _first((name, min(said.values())) for name, said in self.digests.items())
        self.logs = _first([*self.ended.items(), *self.said.items()])
        """In which something is signed of it."""
        closed = [(log, result) for log, result in ended if not result.blob.is_open]
        self.closed = _first(((stem, result.name), number) for (stem, number), result in closed)

    def before(self, origin: str) -> Before:
        """As a log may go by them."""
        return Before(self, *order(origin))

    def _named(self) -> Iterator[tuple[tuple[str, int], str, str]]:
        for view in self._views:
            log = order(view.origin)
            yield from ((log, one.segment, one.sha256) for one in view.watch.announced)
            yield from ((log, *gone) for gone in view.purged.digests)
        for told in (checked.receipt for checked in self._receipts):
            log = order(told.origin)
            yield from ((log, line.segment, line.sha256) for line in told.stored)

    @cached_property
    def held(self) -> dict[tuple[str, str, str], tuple[int, str]]:
        """Who has which bytes, in words, by stem, name and digest; and the first epoch that may go by it: a later one
        than that of a receipt which stores them, and any second one by what a later log's receipt or a deletion says.
        """
        found = dict[tuple[str, str, str], tuple[int, str]]()
        given, receipted = given_stations(self._receipts), set[tuple[str, str]]()

        def say(key: tuple[str, str, str], since: int, who: str) -> None:
            if key not in found or since < found[key][0]:
                found[key] = since, who

        for checked in self._receipts:
            told, (stem, number) = checked.receipt, order(checked.receipt.origin)
            receipted |= {(line.segment, line.sha256) for line in (*told.stored, *told.kept)}
            if whose(checked) in given:
                continue
            for line in told.stored:
                say((stem, line.segment, line.sha256), number + 1, held_by(told.station))
            for line in told.kept if number > 1 else ():
                say((stem, line.segment, line.sha256), 2, held_by(told.station))
        for view in self._views:
            stem, _ = order(view.origin)
            for name, gone in view.watch.deleted.items():
                if (name, gone.sha256) not in receipted:
                    say((stem, name, gone.sha256), 2, gone.told)
        return found


@dataclass(frozen=True, slots=True)
class Before:
    """What is signed of the segments of the logs before one epoch of a camera."""

    _words: Words
    _stem: str
    _number: int

    def log_of(self, kept: Kept) -> str:
        """The log that the segment is of, where anything signed says so; else the one that the record names."""
        number = self._words.logs.get((self._stem, kept.segment), self._number)
        return f"{self._stem}/{number if number < self._number else kept.epoch}"

    def of(self, name: str) -> list[str]:
        """The digests of a segment that a seal leaf of its own log names, a receipt of that, or a purge note of it."""
        return [one for one, at in self._words.digests.get((self._stem, name), {}).items() if at < self._number]

    def who(self, name: str, sha256: str) -> str | None:
        """Who has exactly these bytes, in words."""
        since, who = self._words.held.get((self._stem, name, sha256), (self._number, None))
        return who if since <= self._number else None

    def is_whole(self, name: str) -> bool:
        """Whether it is given, to its trailer, and not in open/. Where nothing of it fails, its signed leaves say that
        it is whole, whatever digest a `kept` leaf says.
        """
        return self._earlier(self._words.closed, (self._stem, name))

    def sure(self, kept: Kept) -> Sure:
        """That bytes which a `kept` leaf names are missing, where nothing of the segment fails: open where nothing
        signed is said of it, and it is here to its trailer, or a station keeps other bytes of it.
        """
        name = self._stem, kept.segment
        if self._earlier(self._words.said, name):
            return Sure.PROVEN
        others = any(one != kept.sha256 for one in self._words.kept.get(name, ()))
        return Sure.OPEN if others or self._earlier(self._words.ended, name) else Sure.PROVEN

    def _earlier(self, first: dict[_Named, int], name: _Named) -> bool:
        return first.get(name, self._number) < self._number


def _first(named: Iterable[tuple[_Named, int]]) -> dict[_Named, int]:
    """Of each the least epoch."""
    found = dict[_Named, int]()
    for name, number in named:
        found[name] = min(number, found.get(name, number))
    return found
