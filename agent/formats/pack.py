"""The segment: one append-only ustar file (POSIX.1-1988 interchange format), written and read in exactly one
spelling.

docs/evidence-format.md, "Segment", is the specification. A reader compares every header with the one the writer
would have made and requires zero padding, so no byte of a segment is outside what is checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from agent.errors import EvidenceError
from agent.formats.merkle import Frontier
from agent.formats.note import b64, check_name, unb64
from agent.model import CAMERA_NAME

BLOCK = 512
TRAILER = bytes(2 * BLOCK)
INIT, HEADER, CHAIN = "init.age", "segment.json", "chain.pem"
MAX_SEALED = 32 << 20
MAX_LEAF = 16 << 10
MAX_NOTE = 8 << 10
MAX_HEADER = 64 << 10
MAX_SEGMENT = 1 << 30
RECORDING_ID = re.compile(r"r[0-9]{10}-[0-9a-f]{8}")
SEGMENT_NAME = re.compile(r"(r[0-9]{10}-[0-9a-f]{8}-[0-9]{4}|e[0-9]{10}-[0-9a-f]{8})")
_ENTRY = re.compile(r"([0-9]{10})\.(age|json|note)")
_LIMITS = {"age": MAX_SEALED, "json": MAX_LEAF, "note": MAX_NOTE}


def is_segment(name: str) -> bool:
    """Whether a segment's file may be called this. On the card nothing else is read, moved or removed for one."""
    return name.endswith(".tar") and SEGMENT_NAME.fullmatch(name, 0, len(name) - 4) is not None


_OWNER = b"0000644\0" + b"0000000\0" * 2
_MTIME = b"00000000000\0"
_BEHIND_SUM = b"".join((b"0".ljust(101, b"\0"), b"ustar\x0000".ljust(72, b"\0"), b"0000000\0" * 2)).ljust(356, b"\0")
_SUM_OF_FIXED = sum(_OWNER + _MTIME + b" " * 8 + _BEHIND_SUM)


def member_header(name: str, size: int) -> bytes:
    """The one 512-byte ustar header a member of this name and size has: regular file, mode 0644, owner 0, mtime 0."""
    named, sized = name.encode("ascii"), b"%011o\0" % size
    checksum = b"%06o\0 " % (_SUM_OF_FIXED + sum(named) + sum(sized))
    return b"".join((named.ljust(100, b"\0"), _OWNER, sized, _MTIME, checksum, _BEHIND_SUM))


def padding(size: int) -> bytes:
    """Zero bytes up to the next block boundary."""
    return bytes(-size % BLOCK)


def member(name: str, data: bytes) -> bytes:
    """One member as it stands in the file: header, data, padding."""
    return b"".join((member_header(name, len(data)), data, padding(len(data))))


def entry(index: int, sealed: bytes, leaf: bytes, note: bytes) -> bytes:
    """The three members of one log entry, in the order they stand: sealed bytes, leaf, checkpoint."""
    stem = f"{index:010d}"
    return member(f"{stem}.age", sealed) + member(f"{stem}.json", leaf) + member(f"{stem}.note", note)


def entry_of(block: bytes) -> int | None:
    """The index of the entry whose member header this block is; None where it is none."""
    try:
        name, size = _name_and_size(block)
    except (ValueError, UnicodeError):
        return None
    match = _ENTRY.fullmatch(name)
    return int(match[1]) if match and member_header(name, size) == block else None


def note_of(block: bytes) -> int | None:
    """The size of the checkpoint note whose member header this block is; None where it is none."""
    kind, size = member_of(block) or ("", 0)
    return size if kind == "note" else None


def member_of(block: bytes) -> tuple[str, int] | None:
    """Kind and size of the entry's member whose member header this block is; None where it is none."""
    if entry_of(block) is None:
        return None
    name, size = _name_and_size(block)
    kind = name.rpartition(".")[2]
    return (kind, size) if size <= _LIMITS[kind] else None


def chain_of(block: bytes) -> int | None:
    """The size of the certificate chain whose member header this block is; None where it is none."""
    try:
        name, size = _name_and_size(block)
    except (ValueError, UnicodeError):
        return None
    return size if name == CHAIN and 0 <= size <= MAX_HEADER and member_header(name, size) == block else None


def _name_and_size(block: bytes) -> tuple[str, int]:
    return block[:100].rstrip(b"\0").decode("ascii"), int(block[124:135], 8)


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """`segment.json`: where in the log this segment begins. It is not signed by itself: the checkpoints prove or
    refute it.
    """

    origin: str
    camera: str
    recording: str | None
    seq: int
    frontier: Frontier

    @property
    def first(self) -> int:
        """Log index of the segment's first entry."""
        return self.frontier.size

    def to_bytes(self) -> bytes:
        value = {
            "v": 1,
            "origin": self.origin,
            "camera": self.camera,
            "recording": self.recording,
            "seq": self.seq,
            "first": self.frontier.size,
            "frontier": [b64(h) for h in self.frontier.hashes],
        }
        return json.dumps(value, separators=(",", ":"), ensure_ascii=True).encode("ascii") + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> SegmentHeader:
        try:
            value = json.loads(data.decode("ascii"))
            if any(type(value[key]) is not int or value[key] < 0 for key in ("first", "seq")):
                raise ValueError
            if value["recording"] is not None and not RECORDING_ID.fullmatch(value["recording"]):
                raise EvidenceError("segment.json names no valid recording")
            if not CAMERA_NAME.fullmatch(value["camera"]):
                raise EvidenceError("segment.json names no valid camera")
            frontier = Frontier(value["first"], tuple(unb64(h) for h in value["frontier"]))
            header = cls(check_name(value["origin"]), value["camera"], value["recording"], value["seq"], frontier)
            same = header.to_bytes() == data
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
            raise EvidenceError("segment.json is not a segment header") from None
        if not same:
            raise EvidenceError("segment.json is not in its one spelling")
        return header


@dataclass(frozen=True, slots=True)
class Entry:
    """One log entry as stored, at byte `offset`, ending before `end` (a block boundary)."""

    index: int
    sealed: bytes
    leaf: bytes
    note: bytes
    offset: int
    end: int


class PackError(EvidenceError):
    """The file stops being a segment at byte `offset`. `torn` where it simply ends there, not where it says
    something else.
    """

    def __init__(self, message: str, offset: int, torn: bool) -> None:
        super().__init__(message)
        self.offset = offset
        self.torn = torn


class PackReader:
    """Reads one segment forward through `read(n)`, which returns up to n bytes and b"" at the end. Memory: one
    entry.

    Call `head()` once, then iterate `entries()`; `sealed` tells afterwards whether the trailer was there. Any
    departure from the one spelling raises PackError with the offset of the member it is in.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self.offset = 0
        self.sealed = False
        self.init: bytes | None = None
        self.chain = b""

    def head(self) -> SegmentHeader:
        """The members before the first entry: the sealed init (media only), the segment header, the certificate
        chain.
        """
        name, size = self._next_header()
        if name == INIT:
            self.init = self._data(name, size, MAX_HEADER)
            name, size = self._next_header()
        if name != HEADER:
            raise PackError(f"{HEADER} expected, {name!r} found", self.offset - BLOCK, False)
        header = SegmentHeader.parse(self._data(name, size, MAX_HEADER))
        name, size = self._next_header()
        if name != CHAIN:
            raise PackError(f"{CHAIN} expected, {name!r} found", self.offset - BLOCK, False)
        self.chain = self._data(name, size, MAX_HEADER)
        if (header.recording is None) != (self.init is None):
            raise PackError("a media segment has an init, an event segment has none", 0, False)
        return header

    def entries(self) -> Iterator[Entry]:
        """Every whole entry, in file order. Whether indexes follow each other is the caller's to judge."""
        while True:
            start = self.offset
            block = self._block()
            if block is None or block == bytes(BLOCK):
                self._end(block, start)
                return
            first, size = self._header(block, start)
            index, sealed = self._index(first, "age", start), self._data(first, size, MAX_SEALED)
            leaf, note = self._words(index)
            yield Entry(index, sealed, leaf, note, start, self.offset)

    def words(self, skip: Callable[[int], object]) -> tuple[int, bytes, bytes]:
        """Index, leaf and checkpoint of the next entry; `skip(n)` passes over its sealed bytes, of which nothing is
        known then.
        """
        start = self.offset
        name, size = self._next_header()
        index, size = self._index(name, "age", start), size + -size % BLOCK
        skip(size)
        self.offset += size
        return index, *self._words(index)

    def _words(self, index: int) -> tuple[bytes, bytes]:
        parts = []
        for kind in ("json", "note"):
            name, size = self._next_header()
            if self._index(name, kind, self.offset - BLOCK) != index:
                raise PackError(f"{name!r} follows entry {index}", self.offset - BLOCK, False)
            parts.append(self._data(name, size, _LIMITS[kind]))
        return parts[0], parts[1]

    def _end(self, block: bytes | None, start: int) -> None:
        if block is None:
            return
        second = self._block()
        if second != bytes(BLOCK):
            raise PackError("the trailer is not two zero blocks", start, second is None)
        if self._read(1):
            raise PackError("bytes follow the trailer", self.offset, False)
        self.sealed = True

    def _index(self, name: str, kind: str, at: int) -> int:
        match = _ENTRY.fullmatch(name)
        if not match or match[2] != kind:
            raise PackError(f"a member *.{kind} expected, {name!r} found", at, False)
        return int(match[1])

    def _block(self) -> bytes | None:
        block = self._exactly(BLOCK)
        if block and len(block) < BLOCK:
            raise PackError("the file ends inside a header", self.offset, True)
        self.offset += len(block)
        return block or None

    def _next_header(self) -> tuple[str, int]:
        start = self.offset
        block = self._block()
        if block is None:
            raise PackError("the file ends inside an entry", start, True)
        return self._header(block, start)

    def _header(self, block: bytes, start: int) -> tuple[str, int]:
        try:
            name, size = _name_and_size(block)
        except (ValueError, UnicodeError):
            name, size = "", 0
        if not name or size < 0 or member_header(name, size) != block:
            raise PackError("not a member header of a segment", start, block == bytes(BLOCK))
        return name, size

    def _data(self, name: str, size: int, limit: int) -> bytes:
        start = self.offset - BLOCK
        if size > limit:
            raise PackError(f"{name} claims {size} bytes, more than {limit}", start, False)
        data = self._exactly(size)
        pad = self._exactly(-size % BLOCK)
        if len(data) < size or len(pad) < -size % BLOCK:
            raise PackError(f"the file ends inside {name}", start, True)
        if any(pad):
            raise PackError(f"the padding of {name} is not zero", start, False)
        self.offset += len(data) + len(pad)
        return data

    def _exactly(self, count: int) -> bytes:
        pieces, left = [], count
        while left:
            piece = self._read(left)
            if not piece:
                break
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces) if len(pieces) != 1 else pieces[0]
