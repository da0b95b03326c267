"""Several logs of one camera: what each says that it follows, held against that, and what the old one left over."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from functools import cache

from agent.errors import UnreadableError
from agent.evidence.blobs import Blob, known_by
from agent.evidence.findings import Finding, What, about, spoken
from agent.evidence.heads import CheckedReceipt, Head, TileLog
from agent.evidence.held import Deleted, Elsewhere, Of, Run
from agent.evidence.logview import LogView
from agent.evidence.sources import Scope
from agent.evidence.watch import SURE, compare
from agent.evidence.words import Words, given_stations, order, whose
from agent.formats import note, pack


def heads_of(following: Sequence[LogView]) -> list[Head]:
    """What the later epochs that follow a log say of it: each is a head of it, signed by the camera."""
    found = []
    for view in following:
        link = view.watch.epochs.link
        if link is not None and link.follows.size:
            named = link.follows
            found.append(Head(named.origin, named.size, named.root, _first_leaf(view), False))
    return found


def written_later(following: Sequence[LogView]) -> tuple[int, str | None] | None:
    """Of a later epoch that follows a log: how many leaves it follows, and when its first was written."""
    for view in following:
        link = view.watch.epochs.link
        if link is not None:
            return link.follows.size, begun(view)
    return None


def elsewhere(
    origin: str,
    receipts: Sequence[CheckedReceipt],
    views: Sequence[LogView],
    own: Sequence[Mapping[str, Deleted]] = (),
) -> Elsewhere:
    """What a spool need not have of a log: by receipts, and by deletion leaves, its `own` or those of later logs in
    `views`. No receipt of a station excuses what lacks in its own directory, where that is given.
    """
    (stem, number) = order(origin)

    def later(other: str) -> bool:
        other_stem, other_number = order(other)
        return other_stem == stem and other_number > number

    def of(other: str) -> Of:
        return Of.OWN if other == origin else Of.LATER if later(other) else Of.OTHER

    def told() -> Iterator[tuple[CheckedReceipt, Of]]:
        given = given_stations(receipts)
        yield from ((c, Of.OTHER if whose(c) in given else of(c.receipt.origin)) for c in receipts)

    def gone() -> Iterator[tuple[Mapping[str, Deleted], Of]]:
        yield from ((deleted, Of.OWN) for deleted in own)
        yield from ((view.watch.deleted, Of.LATER) for view in views if later(view.origin))

    return Elsewhere(told, gone)


def begun(view: LogView) -> str | None:
    """The time of its first leaf; None where that is not proven."""
    marks = view.results[0].marks if view.results else ()
    return marks[0].time if marks and marks[0].index == 0 else None


def ended(view: LogView) -> str | None:
    """The time of its last leaf; None where that is not proven."""
    marks = view.results[-1].marks if view.results else ()
    return marks[-1].time if marks and marks[-1].index == view.end - 1 else None


def _first_leaf(view: LogView) -> str:
    return f"the first leaf of epoch {view.watch.epochs.number}"


def of_log(
    findings: Iterable[Finding], origin: str, following: Sequence[LogView], strays: Container[str | None]
) -> Iterator[Finding]:
    """As of this log; but nobody knows of which log the segments in `strays` are, and a log that follows this one may
    be what forked it.
    """
    after = [view.origin for view in following]
    for finding in findings:
        forked = after if finding.what is What.FORK else []
        yield from [finding] if finding.segment in strays else about([finding], origin, *forked)


def tell_epochs(
    views: Sequence[LogView],
    heads: Sequence[Head],
    tiles: Sequence[TileLog],
    receipts: Sequence[CheckedReceipt],
    blobs: Sequence[Blob],
    told: set[str | None],
) -> Iterator[Finding]:
    """Over all logs given. `told` names segments that have a finding of their own."""
    origins = {view.origin: view for view in views}
    signed, by_stem = dict[tuple[str, int], list[Head]](), dict[str, list[Blob]]()
    for head in heads:
        signed.setdefault((head.origin, head.size), []).append(head)
    for blob in blobs:
        by_stem.setdefault(blob.stem, []).append(blob)
    purged = set().union(*(view.purged.digests for view in views))
    words = Words(views, receipts)
    timeline = cache(lambda origin: origins[origin].timeline())
    for view in views:
        link = view.watch.epochs.link
        if link is None:
            continue
        named, both = link.follows, (view.origin, link.follows.origin)
        against = {h.told for h in signed.get((named.origin, named.size), ()) if h.root != named.root}
        against |= set(_refuting_tiles(named, heads, [log for log in tiles if log.origin == named.origin]))
        if against:
            text = f"it names a head of {named.origin} at {named.size} leaves that {min(against)} contradicts"
            yield timeline(view.origin).placed(Finding(What.BAD_EPOCH, text, first=0, of=both))
        if named.origin in origins:
            old = origins[named.origin]
            yield from map(timeline(old.origin).placed, about(_tell_goes_on(view, named, old), *both))
            yield from map(timeline(view.origin).placed, about(_tell_count(view, named, old), *both))
        elif named.size:
            yield from (spoken(f, None, begun(view)) for f in about(_tell_absent(view, named, receipts, views), *both))
        left = _tell_kept(view, by_stem, purged, words, told)
        yield from (spoken(f, None, begun(view)) if f.fails else f for f in left)


def _refuting_tiles(named: note.Checkpoint, heads: Sequence[Head], tiles: Sequence[TileLog]) -> Iterator[str]:
    """Heads that the tiles of the old log lead to, where these say otherwise of the one that is named."""
    for log in tiles:
        proven = [h for h in heads if h.origin == log.origin and log.leads_to(h)]
        if proven and any(frontier.root() != named.root for frontier in log.frontier(named.size)):
            yield max(proven, key=lambda h: h.size).told


def _tell_goes_on(view: LogView, named: note.Checkpoint, old: LogView) -> Iterator[Finding]:
    if old.end > named.size:
        text = f"the log {old.origin} goes on after it ended: {_first_leaf(view)} says that it had {named.size} leaves"
        yield Finding(What.FORK, text, first=named.size, last=old.end - 1)


def _tell_count(view: LogView, named: note.Checkpoint, old: LogView) -> Iterator[Finding]:
    """What the hardware counted goes on from one log to the next, where no leaf in between lacks. Where the card held
    another history, which the first leaf says (`left`), that may have been counted too.
    """
    before, first, link = old.watch.count_at(named.size), view.watch.first_count, view.watch.epochs.link
    if before is None or first is None or link is None or link.left is not None:
        return
    at = f"leaf {before[1]} of {old.origin}"
    for what, text in compare(at, before[0], "either log", first[0]):
        yield Finding(what, text, first=first[1], sure=SURE[what])


def _tell_absent(
    view: LogView, named: note.Checkpoint, receipts: Sequence[CheckedReceipt], views: Sequence[LogView]
) -> Iterator[Finding]:
    """Of the log that this one follows there is no segment at all."""
    runs = [Run(0, named.size)]
    if view.elsewhere is not None:
        runs = list(elsewhere(named.origin, receipts, views).runs(0, named.size, None, "", ()))
    for run in runs:
        if run.who:
            text = f"the log {named.origin} is not present here; {run.told}"
            yield Finding(What.HELD_ELSEWHERE, text, first=run.first, last=run.end - 1, sure=run.sure)
            continue
        text = f"the log {named.origin}, {named.size} leaves, is in no segment given; {_first_leaf(view)} follows it"
        if len(runs) > 1:
            text = f"of {text}; no receipt or deletion leaf names a segment that can have held these"
        whole = view.scope is Scope.WHOLE
        yield Finding(What.MISSING_SEGMENT if whole else What.OUTSIDE, text, first=run.first, last=run.end - 1)


def _tell_kept(
    view: LogView,
    blobs: Mapping[str, Sequence[Blob]],
    purged: Container[tuple[str, str]],
    words: Words,
    told: set[str | None],
) -> Iterator[Finding]:
    """Left-overs by their digest: there, not there, or other bytes."""
    if view.scope is not Scope.WHOLE:
        return
    # Each file is read once, however many leaves name it.
    digest, begins = cache(known_by), cache(_begins)
    said = words.before(view.origin)

    def who(name: str, sha256: str) -> str | None:
        """Who has these bytes, where what is given is a spool."""
        return None if view.elsewhere is None else said.who(name, sha256)

    @cache
    def accounted(name: str) -> bool:
        """Whether bytes that something signed names are here, purged, or held elsewhere."""
        here = {digest(b) for b in blobs.get(name, [])}
        return any(word in here or (name, word) in purged or who(name, word) for word in said.of(name))

    for kept in view.watch.epochs.kept:
        named = blobs.get(kept.segment, [])
        where = f"kept leaf {kept.leaf} of epoch {view.watch.epochs.number}"
        logs = view.origin, said.log_of(kept)
        recording = kept.segment[:20] if kept.segment.startswith("r") else None
        if kept.sha256 in {digest(b) for b in named}:
            if not kept.whole:
                text = f"{where} names these bytes as damaged, by the card's record of then: the damage is no later"
                yield Finding(What.EPOCH, text, kept.segment, recording, of=logs)
            continue
        if kept.whole and any(begins(b, kept.size) == kept.sha256 for b in named):
            continue
        if (kept.segment, kept.sha256) in purged:
            continue
        others = f"{where} says other bytes of it ({kept.size}, sha256 {kept.sha256})"
        if kept.whole and kept.segment not in told and said.is_whole(kept.segment):
            yield Finding(What.EPOCH, f"{others}; by its own log it is whole", kept.segment, recording, of=logs)
        elif holder := who(kept.segment, kept.sha256):
            yield Finding(What.HELD_ELSEWHERE, f"not present here; {holder}", kept.segment, recording, of=logs)
        elif accounted(kept.segment):
            text = f"{others}; those that its log, a receipt of that or a purge note names are accounted for"
            yield Finding(What.EPOCH, text, kept.segment, recording, of=logs)
        elif kept.segment not in told:
            text = f"the bytes that {where} names ({kept.size}, sha256 {kept.sha256}) are not among those given"
            yield Finding(What.MISSING_SEGMENT, text, kept.segment, recording, sure=said.sure(kept), of=logs)


def _begins(blob: Blob, size: int) -> str | None:
    """The digest that a segment of `size` bytes has which is the beginning of this one, as it was before a card was put
    back; None where this one is not longer, or cannot be read.
    """
    try:
        return blob.sha256_as_sealed(size) if size - len(pack.TRAILER) < blob.size else None
    except UnreadableError:
        return None
