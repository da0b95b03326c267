"""The longest prefix of a segment that proves itself, as recovery reads it: whole entries, each under a checkpoint
that the session certified in the same file signed, and a session of this camera.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from agent import durable
from agent.errors import EvidenceError
from agent.formats import certs, merkle, note, pack
from agent.formats import leaf as leaves
from agent.formats.leaf import Kind
from agent.headway import gone_on
from agent.own import Own

MAX_ASTRAY = 4 << 20
"""Bytes of a file that are looked through for the next member, where one does not follow the other: more than a part
has."""


@dataclass(slots=True)
class Prefix:
    """`hashes` are those of its leaves, from `header.first` on; `end` is the byte offset after the last of them.
    `sealed` says that the trailer and the end of the file follow it. `signed` is the checkpoint of its last whole
    entry, as the session of `chain` (PEM) signed it then.

    `count` is what its newest counted leaf says. `deciding` is its newest leaf that begins, carries on or ends a
    recording; `announced` are the segments its seal leaves name; `idle` says that it holds a leaf which is written only
    once it is settled what was cut before.
    """

    header: pack.SegmentHeader
    end: int
    session: certs.Session
    chain: bytes = b""
    signed: bytes = b""
    hashes: list[bytes] = field(default_factory=list)
    announced: set[str] = field(default_factory=set)
    count: int | None = None
    deciding: leaves.Leaf | None = None
    idle: bool = False
    sealed: bool = False

    @property
    def next_index(self) -> int:
        """The log index after its last leaf."""
        return self.header.first + len(self.hashes)

    def cut_recording(self) -> tuple[str, int] | None:
        """The recording that its newest deciding leaf leaves open, and how many parts it has by then."""
        match self.deciding:
            case leaves.MediaLeaf(recording=recording, part=part):
                return recording, part + 1
            case leaves.EventLeaf(kind=Kind.START, recording=str(recording)):
                return recording, 0
        return None

    def head(self) -> note.Checkpoint | None:
        """What `signed` says; None before the first entry."""
        return note.parse_checkpoint(note.parse(self.signed).text) if self.signed else None

    def add(self, leaf: leaves.Leaf, entry: pack.Entry) -> None:
        """One more leaf."""
        self.hashes.append(merkle.leaf_hash(entry.leaf))
        self.end, self.signed = entry.end, entry.note
        if isinstance(leaf, leaves.EventLeaf) and type(count := leaf.facts.get("counter")) is int:
            self.count = count
        if isinstance(leaf, leaves.MediaLeaf) or leaf.kind in (Kind.START, Kind.STOP, Kind.SHUTDOWN):
            self.deciding = leaf
        elif leaf.kind is Kind.RECOVERY:
            self.deciding = leaf if leaf.recording else self.deciding
        elif leaf.kind is Kind.SEAL:
            self.announced.add(str(leaf.facts.get("segment")))
        elif leaf.kind is not Kind.SESSION and self.header.recording is None:
            self.idle = True


def read_prefix(path: Path, own: Own, most: int | None = None) -> Prefix:
    """Read a segment up to the first byte that is not proven, and of its entries `most`; what comes after it is not
    looked at.

    Memory: one entry, and 32 bytes for each. Raises EvidenceError where not even its head is whole, and its
    ForeignError where another than this camera wrote it.
    """
    with durable.opened(path) as file:
        reader = pack.PackReader(file.read)
        header = reader.head()
        session = own.segment(header, reader.chain)
        chain = hashlib.sha256(reader.chain).hexdigest()
        init = hashlib.sha256(reader.init).hexdigest() if reader.init is not None else None
        prefix = Prefix(header, reader.offset, session, reader.chain)
        frontier = header.frontier
        try:
            for entry in islice(reader.entries(), most):
                leaf = leaves.parse(entry.leaf)
                frontier = frontier.append(merkle.leaf_hash(entry.leaf))
                _check(entry, leaf, header, session, frontier, chain, init)
                prefix.add(leaf, entry)
                gone_on()
        except EvidenceError:
            return prefix
        prefix.sealed = reader.sealed
    return prefix


def later_head(path: Path, offset: int, origin: str, session: certs.Session) -> note.Checkpoint | None:
    """The largest head of the log `origin` that the session signed somewhere in the file from byte `offset` on (a block
    boundary); None where there is none. It tells how long the log was before what is lost was lost.
    """
    found = None
    with durable.opened(path) as file:
        file.seek(offset)
        while block := file.read(pack.BLOCK):
            gone_on()
            size = pack.note_of(block)
            if size is None:
                continue
            found = _larger(found, _signed_head(file.read(size + -size % pack.BLOCK)[:size], origin, (session,)))
    return found


def proven_place(path: Path, own: Own) -> pack.SegmentHeader | None:
    """What a segment says of its place, where leaf and checkpoint of its first entry prove it; None where they prove
    another. Its sealed bytes are not read. Raises EvidenceError as `read_prefix`, and where there is no such entry.
    """
    with durable.opened(path) as file:
        reader = pack.PackReader(file.read)
        header = reader.head()
        session = own.segment(header, reader.chain)
        index, leaf, checkpoint = reader.words(lambda count: file.seek(count, os.SEEK_CUR))
    signed, frontier = note.parse(checkpoint), header.frontier.append(merkle.leaf_hash(leaf))
    note.verify_ed25519(signed, header.origin, session.key)
    head = note.Checkpoint(header.origin, frontier.size, frontier.root())
    return header if index == header.first and note.parse_checkpoint(signed.text) == head else None


def chain_in(path: Path) -> bytes:
    """The certificate chain (PEM) in a segment, whatever went bad around it; empty where there is none."""
    with durable.opened(path) as file:
        head = file.read(3 * (pack.BLOCK + pack.MAX_HEADER))
    for at in range(0, len(head), pack.BLOCK):
        if (size := pack.chain_of(head[at : at + pack.BLOCK])) is not None:
            return head[at + pack.BLOCK : at + pack.BLOCK + size]
    return b""


def largest_head(path: Path, origin: str, sessions: Sequence[certs.Session]) -> note.Checkpoint | None:
    """The largest head of the log `origin` that one of the sessions signed in a sealed segment's file; None where there
    is none. Read are the members' headers and the checkpoints; and of what is no member `MAX_ASTRAY` bytes in all.
    """
    found, astray = None, 0
    with durable.opened(path) as file:
        while astray < MAX_ASTRAY and (block := file.read(pack.BLOCK)):
            gone_on()
            kind, size = pack.member_of(block) or ("", 0)
            if kind == "note":
                found = _larger(found, _signed_head(file.read(size + -size % pack.BLOCK)[:size], origin, sessions))
            elif kind:
                file.seek(size + -size % pack.BLOCK, os.SEEK_CUR)
            else:
                astray += pack.BLOCK
    return found


def _larger(one: note.Checkpoint | None, other: note.Checkpoint | None) -> note.Checkpoint | None:
    return max((head for head in (one, other) if head), key=lambda head: head.size, default=None)


def _signed_head(data: bytes, origin: str, sessions: Sequence[certs.Session]) -> note.Checkpoint | None:
    for session in sessions:
        with contextlib.suppress(EvidenceError):
            signed = note.parse(data)
            note.verify_ed25519(signed, origin, session.key)
            head = note.parse_checkpoint(signed.text)
            if head.origin == origin:
                return head
    return None


def later_entry(path: Path, offset: int, index: int) -> int | None:
    """The index of an entry above `index` whose member header stands somewhere from byte `offset` on (a block
    boundary), or None.

    An entry is begun only when the one before it is durable. So where this finds one, what is not whole before it was
    lost by the disk, and not torn by a power cut.
    """
    with durable.opened(path) as file:
        file.seek(offset)
        while piece := file.read(1 << 20):
            gone_on()
            for at in range(0, len(piece), pack.BLOCK):
                found = pack.entry_of(piece[at : at + pack.BLOCK]) if piece[at + 257 : at + 262] == b"ustar" else None
                if found is not None and found > index:
                    return found
    return None


def _check(
    entry: pack.Entry,
    leaf: leaves.Leaf,
    header: pack.SegmentHeader,
    session: certs.Session,
    frontier: merkle.Frontier,
    chain: str,
    init: str | None,
) -> None:
    common = leaf.common
    signed = note.parse(entry.note)
    head = note.parse_checkpoint(signed.text)
    note.verify_ed25519(signed, header.origin, session.key)
    same = (
        entry.index == common.index == frontier.size - 1
        and head == note.Checkpoint(header.origin, frontier.size, frontier.root())
        and leaves.Sealed.of(entry.sealed, common.sealed.header_size) == common.sealed
        and common.chain == chain
        and (isinstance(leaf, leaves.EventLeaf) or leaf.init == init)
    )
    if not same:
        raise EvidenceError(f"entry {entry.index} is torn")
