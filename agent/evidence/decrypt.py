"""Segments in the clear: init.mp4, parts, and event bodies, each written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from agent import durable
from agent.errors import KeyTrustError, printable
from agent.evidence.ahead import in_order
from agent.evidence.blobs import Blob
from agent.evidence.layout import Damage
from agent.evidence.opening import Opened, SegmentOpener, safe_stem
from agent.evidence.rangedecrypt import range_pieces, range_stem
from agent.evidence.sources import RangeSource
from agent.formats import age
from agent.formats import leaf as leaves

ENTRIES_A_JOB = 8


@dataclass
class Decrypted:
    """What was written, and what was not."""

    out: Path
    files: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        for failure in self.failures:
            yield printable(f"FAIL {failure}")
        yield f"{len(self.files)} files below {self.out}, {len(self.failures)} failures"
        yield "this does not check signatures: run `bodycam-evidence verify` for that"

    def to_json(self) -> dict[str, Any]:
        return {"v": 1, "out": str(self.out), "files": self.files, "failures": self.failures}


def decrypt(
    segments: Sequence[Blob],
    identities: Sequence[age.Identity],
    out: Path,
    progress: Callable[[str, int], None] = lambda name, count: None,
    ranges: Sequence[RangeSource] = (),
) -> Decrypted:
    """Write `out`/<segment or range>/{init.mp4, NNNNNNNNNN.m4s, NNNNNNNNNN.json}, N the log index; nothing outside
    `out`.

    Goes on over damage. Raises KeyTrustError where no key opens anything at all.
    """
    job = _Decryption(out, progress)
    for blob in segments:
        directory = durable.make_dir(out / safe_stem(blob))
        with blob.reader() as window:
            opener = SegmentOpener(window, identities)
            job.fail(*(f"{blob.name}: byte {d.offset}: {d.text}" for d in _damages(opener, blob.is_open)))
            if opener.layout.cut_at is not None and not blob.is_open:
                job.fail(f"{blob.name}: the file ends early, at byte {opener.layout.cut_at}")
            job.keep(blob.name, _pieces(opener), directory)
    for source in ranges:
        job.fail(*(f"{source.blob.name}: {name} stands there more than once" for name in source.repeated))
        job.keep(source.blob.name, range_pieces(source, identities), durable.make_dir(out / range_stem(source)))
    if job.locked and not job.done.files:
        raise KeyTrustError("no identity given opens these segments", "name the key file of one recipient with -i")
    return job.done


class _Decryption:
    """`locked` counts what no identity fits."""

    def __init__(self, out: Path, progress: Callable[[str, int], None]) -> None:
        self.done, self.locked = Decrypted(out), 0
        self._progress = progress

    def fail(self, *failures: str) -> None:
        self.done.failures += failures

    def keep(self, name: str, pieces: Iterator[Callable[[], Opened]], directory: Path) -> None:
        """Write each piece of the file of this name, or say why not."""
        for kept in chain.from_iterable(in_order(_jobs(pieces, directory))):
            self.locked += kept.no_key
            if kept.failure:
                self.fail(f"{name}: {kept.failure}")
            else:
                self.done.files.append(kept.file)
            self._progress(name, kept.size)


@dataclass(frozen=True, slots=True)
class _Kept:
    """One file that was written, with its size; or why there is none."""

    file: str = ""
    size: int = 0
    failure: str = ""
    no_key: bool = False


def _jobs(pieces: Iterator[Callable[[], Opened]], directory: Path) -> Iterator[Callable[[], list[_Kept]]]:
    """A few entries each: to hand over one at a time costs more than it gains."""
    while some := list(islice(pieces, ENTRIES_A_JOB)):
        yield partial(_keep_all, some, directory)


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


def _keep_all(pieces: Sequence[Callable[[], Opened]], directory: Path) -> list[_Kept]:
    return [_keep(piece, directory) for piece in pieces]


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
