"""The members before the first entry: init, segment header, certificate chain."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from agent.errors import EvidenceError, KeyTrustError
from agent.evidence.blobs import Blob, Window
from agent.evidence.entries import Entries
from agent.evidence.entry import UNKNOWN_ORIGIN, believed_origin
from agent.evidence.findings import What
from agent.evidence.layout import Damage, Layout, Member, Scanner, same_bytes
from agent.evidence.roots import Effort, one_bit_off
from agent.evidence.trust import Trust
from agent.formats import certs, pack

TORN_HEAD = (
    "this segment has no whole head yet, or the power went before it had; it holds no leaf that the log does not have"
)


@dataclass
class SegmentHead:
    """As far as it can be read. `trusted` tells that `session` leads to the root, `untrusted` why the chain in the file
    does not. `origin` is the log's name as its checkpoints give it; `blamed` tells that segment.json is altered, and no
    name can be taken from it.
    """

    header: pack.SegmentHeader | None = None
    chain_pem: bytes = b""
    session: certs.Session | None = None
    trusted: bool = False
    init_sha256: str | None = None
    untrusted: str = ""
    origin: str = UNKNOWN_ORIGIN
    blamed: bool = False
    problems: list[Damage] = field(default_factory=list)


def read_head(window: Window, layout: Layout, trust: Trust) -> SegmentHead:
    """What is wrong becomes problems, not an exception."""
    head = SegmentHead()
    if member := layout.head(pack.HEADER):
        try:
            head.header = pack.SegmentHeader.parse(window.at(member.data, member.size))
        except EvidenceError as err:
            head.problems.append(Damage(What.ALTERED_BYTES, member.data, err.message))
    if member := layout.head(pack.CHAIN):
        head.chain_pem = window.at(member.data, member.size)
        try:
            head.session = trust.learn(head.chain_pem)
        except KeyTrustError as err:
            head.untrusted = err.message
    if member := layout.head(pack.INIT):
        head.init_sha256 = hashlib.sha256(window.at(member.data, member.size)).hexdigest()
    return head


def check_head(
    head: SegmentHead, window: Window, layout: Layout, entries: Entries, trust: Trust, stem: str
) -> Iterator[Damage]:
    """Everything about the head that needs the leaves' word, or that of the file's name (`stem`), but no root. Decides
    `head.session` and `head.origin`.
    """
    header = head.header
    media = bool(entries.inits) or (header is not None and header.recording == stem[:20])
    yield from head.problems
    yield from _missing(layout, entries, media)
    yield from _tell_places(window, layout, header is not None and header.recording is None and not media)
    yield from _choose_session(head, layout, entries, trust)
    head.origin = believed_origin(window, entries, head.header.origin if head.header else None, head.session)
    for damage in _check_owner(head, layout, entries):
        head.blamed = True
        yield damage


def _missing(layout: Layout, entries: Entries, media: bool) -> Iterator[Damage]:
    """Members that are not there at all; one whose header is beyond mending was reported where its bytes stand."""
    first = min((m.offset for slot in entries.slots.values() for m in slot.values()), default=0)
    if any(d.offset < first for d in layout.damages):
        return
    wanted = [pack.HEADER, pack.CHAIN] + ([pack.INIT] if media else [])
    for name in wanted:
        if layout.head(name) is None:
            yield Damage(What.ALTERED_BYTES, 0, f"{name} is missing")


def _tell_places(window: Window, layout: Layout, event: bool) -> Iterator[Damage]:
    """Members that stand a second time, late, or in a segment of events that has none such."""
    rest = [m for m in layout.members if m.index >= 0][:1]
    late: list[Member] = []
    for name in (pack.CHAIN, pack.HEADER, pack.INIT):
        own = layout.head(name)
        if own is None:
            continue
        if name == pack.INIT and event:
            yield Damage(What.INSERTED_BYTES, own.offset, f"{name} stands in a segment without media")
            continue
        again = [m for m in layout.members if m.name == name and m is not own]
        if again:
            how = "byte for byte" if all(same_bytes(window, own, m) for m in again) else "with other content"
            times = f", {len(again)} times" if len(again) > 1 else ""
            yield Damage(What.INSERTED_BYTES, again[0].offset, f"{name} stands here again{times}, {how}")
        if any(m.offset < own.offset for m in rest):
            late.insert(0, own)
        rest.append(own)
    if late:
        they = "they belong" if len(late) > 1 else "it belongs"
        text = f"{' and '.join(m.name for m in late)} stand{'' if len(late) > 1 else 's'} after members {they} before"
        yield Damage(What.SWAPPED_ENTRIES, min(m.offset for m in late), text)


def _choose_session(head: SegmentHead, layout: Layout, entries: Entries, trust: Trust) -> Iterator[Damage]:
    """The chain the leaves name; another segment's copy of it where this one's is damaged."""
    digest = hashlib.sha256(head.chain_pem).hexdigest()
    named = entries.most(entries.chains, digest)
    elsewhere = trust.known(named) if named and named != digest else None
    if elsewhere is not None:
        head.session = elsewhere
    head.trusted = head.session is not None
    if head.untrusted and named == digest:
        member = layout.head(pack.CHAIN)
        text = f"the certificate chain is not trusted: {head.untrusted}"
        yield Damage(What.UNTRUSTED_CHAIN, member.data if member else 0, text)
        head.session = _unproven_session(head.chain_pem)
    if head.session is None:
        text = "no trusted chain for this segment is at hand, so its signatures were not checked"
        yield Damage(What.UNCHECKED, -1, text)


def _check_owner(head: SegmentHead, layout: Layout, entries: Entries) -> Iterator[Damage]:
    """Camera, log and recording in segment.json against those of the leaves and the checkpoints."""
    header, member = head.header, layout.head(pack.HEADER)
    if header is None or member is None:
        return
    camera = entries.most(entries.cameras, header.camera)
    recording = entries.most(entries.recordings, header.recording)
    wrong = []
    if camera is not None and header.camera != camera:
        wrong.append(f"the camera {header.camera}, its leaves {camera}")
    if header.origin != head.origin:
        wrong.append(f"the log {header.origin}, its checkpoints {head.origin}")
    if recording is not None and header.recording != recording:
        wrong.append(f"the recording {header.recording}, its leaves {recording}")
    if header.recording is None and header.seq:
        wrong.append(f"the number {header.seq}, where events have 0")
    if wrong:
        yield Damage(What.ALTERED_BYTES, member.data, f"{pack.HEADER} names " + "; ".join(wrong))


def own_name(head: SegmentHead, stem: str) -> str | None:
    """The name the content gives the segment; of an event segment's random end only the file name tells."""
    header = head.header
    if header is None or head.blamed:
        return None
    if header.recording:
        return f"{header.recording}-{header.seq:04d}"
    tail = stem[12:] if pack.SEGMENT_NAME.fullmatch(stem) and stem.startswith("e") else "????????"
    return f"e{header.first:010d}-{tail}"


def last_in_torn_head(blob: Blob) -> int:
    """-1 where the members before the first entry are whole, as they are on the disk before any entry is written. Else
    the highest log index that a member of the file names, 0 where none does.
    """
    with blob.patient() as window:
        at = 0

        def read(count: int) -> bytes:
            nonlocal at
            data = window.at(at, count)
            at += len(data)
            return data

        reader = pack.PackReader(read)
        try:
            reader.head()
            certs.read_session(certs.parse_pem(reader.chain))
        except (EvidenceError, KeyTrustError):
            return max([0, *(m.index for m in Scanner(window).run().members)])
    return -1


def header_mends(window: Window, layout: Layout, effort: Effort) -> Iterator[tuple[int, pack.SegmentHeader]]:
    """(byte offset, header) for every bit of segment.json that, turned over, leaves a valid header."""
    member = layout.head(pack.HEADER)
    stored = window.at(member.data, member.size) if member is not None else b""
    if member is None or not effort.covers(stored):
        return
    for offset, data in one_bit_off(stored):
        try:
            yield member.data + offset, pack.SegmentHeader.parse(data)
        except EvidenceError:
            continue


def _unproven_session(chain_pem: bytes) -> certs.Session | None:
    """What an untrusted chain says, so that the rest can still be held against itself."""
    try:
        return certs.read_session(certs.parse_pem(chain_pem))
    except KeyTrustError:
        return None
