"""Segments in the clear: init.mp4, parts, and event bodies, each written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from agent import durable
from agent.errors import Exit, KeyTrustError, UnreadableError, printable
from agent.evidence.apart import apart
from agent.evidence.blobs import Blob, said_of
from agent.evidence.layout import Damage
from agent.evidence.naming import directories
from agent.evidence.opening import Opened, SegmentOpener
from agent.evidence.sources import ProofMembers
from agent.formats import age, pack
from agent.formats import leaf as leaves

MUCH_BYTES = 16 << 20
"""Less is decrypted before a second process has begun."""


@dataclass
class Decrypted:
    """What was written, and what was not."""

    out: Path
    files: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Of files that share a name: which is done once, which lies below another name."""
    all_read: bool = True
    """Whether the disk gave all that was given."""

    @property
    def exit_status(self) -> Exit:
        if not self.all_read:
            return Exit.STORAGE
        return Exit.EVIDENCE if self.failures else Exit.OK

    def lines(self) -> Iterator[str]:
        for failure in self.failures:
            yield printable(f"FAIL {failure}")
        yield from map(printable, self.notes)
        yield f"{len(self.files)} files below {self.out}, {len(self.failures)} failures"
        yield "this does not check signatures: run `bodycam-evidence verify` for that"

    def to_json(self) -> dict[str, Any]:
        told = {"out": str(self.out), "files": self.files, "failures": self.failures, "notes": self.notes}
        return {"v": 1, "all_read": self.all_read, **told}


def decrypt(
    segments: Sequence[Blob],
    identities: Sequence[age.Identity],
    out: Path,
    progress: Callable[[str, int], None] = lambda name, count: None,
    ranges: Sequence[ProofMembers] = (),
) -> Decrypted:
    """Write `out`/<segment or range>/{init.mp4, NNNNNNNNNN.m4s, NNNNNNNNNN.json}, N the log index; nothing outside
    `out`.

    Goes on over damage. Raises KeyTrustError where no key opens anything at all.
    """
    done, locked = Decrypted(out), 0
    # Each file is one thread's from beginning to end: to hand over its entries would cost more than it gains.
    short = [blob for blob in segments if blob.size <= pack.MAX_SEGMENT]
    for blob in segments:
        if blob.size > pack.MAX_SEGMENT:
            said = f"it is {blob.size} bytes long, and a segment at most {pack.MAX_SEGMENT}: it was not read"
            done.failures.append(f"{blob.name}: {said}")
    named, done.notes = directories([*short, *ranges])
    jobs = [_job(source, identities, out / name) for source, name in named]
    for name, pieces in apart(jobs, sum(blob.size for blob in short) >= MUCH_BYTES):
        for kept in pieces:
            locked += kept.no_key
            done.all_read = done.all_read and not kept.unread
            if kept.failure:
                done.failures.append(f"{name}: {kept.failure}")
            else:
                done.files.append(kept.file)
            progress(name, kept.size)
    if locked and not done.files:
        raise KeyTrustError("no identity given opens these segments", "name the key file of one recipient with -i")
    return done


@dataclass(frozen=True, slots=True)
class _Kept:
    """One file that was written, with its size; or why there is none, or what else is wrong."""

    file: str = ""
    size: int = 0
    failure: str = ""
    no_key: bool = False
    unread: bool = False


Written = tuple[str, list[_Kept]]
"""The name of what was read, and what became of each piece of it."""


def _job(source: Blob | ProofMembers, identities: Sequence[age.Identity], directory: Path) -> Callable[[], Written]:
    if isinstance(source, Blob):
        return partial(_segment, source, identities, directory)
    return partial(_range, source, identities, directory)


def _segment(blob: Blob, identities: Sequence[age.Identity], directory: Path) -> Written:
    durable.make_dir(directory)
    try:
        with blob.patient() as window:
            opener = SegmentOpener(window, identities)
            kept = [_Kept(failure=f"byte {d.offset}: {d.text}") for d in _damages(opener, blob.is_open)]
            if opener.layout.cut_at is not None and not blob.is_open:
                kept.append(_Kept(failure=f"the file ends early, at byte {opener.layout.cut_at}"))
            kept += [_keep(piece, directory) for piece in _pieces(opener)]
            spans = [f"bytes {begin} to {end - 1} cannot be read: {window.why}" for begin, end in window.lost]
    except UnreadableError as err:
        return blob.name, [_unread(blob, err)]
    return blob.name, [*(_Kept(failure=said, unread=True) for said in spans), *kept]


def _unread(blob: Blob, err: UnreadableError) -> _Kept:
    return _Kept(failure=f"it cannot be read: {said_of(blob.path, err)}", unread=True)


def _range(source: ProofMembers, identities: Sequence[age.Identity], directory: Path) -> Written:
    # Only here: it brings all that checks certificates, which takes longer to load than a segment to decrypt.
    from agent.evidence.rangedecrypt import range_pieces

    durable.make_dir(directory)
    kept = [_Kept(failure=f"{name} stands there more than once") for name in source.repeated]
    try:
        pieces = list(range_pieces(source, identities))
    except UnreadableError as err:
        return source.blob.name, [*kept, _unread(source.blob, err)]
    for piece in pieces:
        try:
            kept.append(_keep(piece, directory))
        except UnreadableError as err:
            kept.append(_unread(source.blob, err))
    return source.blob.name, kept


def _pieces(opener: SegmentOpener) -> Iterator[Callable[[], Opened]]:
    init = opener.init()
    if init is not None:
        yield lambda: init
    yield from (partial(opener.entry, index) for index in opener.entries.indexes)


def _damages(opener: SegmentOpener, is_open: bool) -> list[Damage]:
    """In a segment that is still open, what follows the last whole entry is no damage."""
    found = [*opener.layout.damages, *opener.entries.damages]
    if not is_open:
        return found
    opener.entries.drop_incomplete_last()
    end = max((m.end for slot in opener.entries.slots.values() for m in slot.values()), default=0)
    return [d for d in found if d.offset < end]


def _keep(piece: Callable[[], Opened], directory: Path) -> _Kept:
    opened = piece()
    if opened.data is None:
        return _Kept(failure=f"{opened.name} {opened.problem}", no_key=opened.no_key)
    if opened.index is None:
        name = "init.mp4"
    else:
        suffix = "m4s" if isinstance(opened.leaf, leaves.MediaLeaf) else "json"
        name = f"{opened.index:010d}.{suffix}"
    durable.write_copy(directory / name, opened.data)
    return _Kept(f"{directory.name}/{name}", len(opened.data))
