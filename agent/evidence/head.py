"""The members before the first entry: init, segment header, certificate chain."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from agent.errors import EvidenceError, KeyTrustError
from agent.evidence.blobs import Window
from agent.evidence.entries import Entries
from agent.evidence.findings import What
from agent.evidence.layout import Damage, Layout
from agent.evidence.roots import one_bit_off
from agent.evidence.trust import Trust
from agent.formats import certs, pack


@dataclass
class SegmentHead:
    """As far as it can be read. `untrusted` says why the chain does not lead to the root."""

    header: pack.SegmentHeader | None = None
    chain_pem: bytes = b""
    session: certs.Session | None = None
    init_sha256: str | None = None
    untrusted: str = ""
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


def check_head(head: SegmentHead, layout: Layout, entries: Entries, trust: Trust) -> Iterator[Damage]:
    """Everything about the head that needs the leaves' word but no root. Decides `head.session`."""
    yield from head.problems
    yield from _missing(layout, entries)
    yield from _choose_session(head, layout, entries, trust)
    init, named = layout.head(pack.INIT), entries.most(entries.inits)
    if init and named and named != head.init_sha256:
        yield Damage(What.ALTERED_BYTES, init.data, f"{pack.INIT} is not the one its leaves name")
    if init and named is None and head.header and head.header.recording is None:
        yield Damage(What.INSERTED_BYTES, init.offset, f"{pack.INIT} stands in a segment without media")
    yield from _check_owner(head, layout, entries)


def _missing(layout: Layout, entries: Entries) -> Iterator[Damage]:
    """Members that are not there at all; one whose header is beyond mending was reported where its bytes stand."""
    first = min((m.offset for slot in entries.slots.values() for m in slot.values()), default=0)
    if any(d.offset < first for d in layout.damages):
        return
    wanted = [pack.HEADER, pack.CHAIN] + ([pack.INIT] if entries.inits else [])
    for name in wanted:
        if layout.head(name) is None:
            yield Damage(What.ALTERED_BYTES, 0, f"{name} is missing")


def _choose_session(head: SegmentHead, layout: Layout, entries: Entries, trust: Trust) -> Iterator[Damage]:
    """The chain the leaves name; another segment's copy of it where this one's is damaged."""
    named, member = entries.most(entries.chains), layout.head(pack.CHAIN)
    digest = hashlib.sha256(head.chain_pem).hexdigest()
    if member and (named is None or named == digest):
        if head.untrusted:
            yield Damage(What.UNTRUSTED_CHAIN, member.data, f"the certificate chain is not trusted: {head.untrusted}")
            head.session = _unproven_session(head.chain_pem)
        return
    if member:
        detail = f": {head.untrusted}" if head.untrusted else ""
        yield Damage(What.ALTERED_BYTES, member.data, f"{pack.CHAIN} is not the one its leaves name{detail}")
    head.session = (trust.known(named) if named else None) or head.session
    if head.session is None:
        text = "no trusted chain for this segment is at hand, so its signatures were not checked"
        yield Damage(What.UNCHECKED, -1, text)


def _check_owner(head: SegmentHead, layout: Layout, entries: Entries) -> Iterator[Damage]:
    """Camera and recording in segment.json against those of the leaves and the chain."""
    header, member = head.header, layout.head(pack.HEADER)
    if header is None or member is None:
        return
    camera, recording = entries.most(entries.cameras), entries.most(entries.recordings)
    of_origin = header.origin.split("/")[-2:-1]
    if head.session and camera is not None and camera != head.session.camera:
        return
    if camera is not None and (header.camera != camera or of_origin != [camera]):
        text = f"{pack.HEADER} names the camera {header.camera} and the log {header.origin}, its leaves {camera}"
        yield Damage(What.ALTERED_BYTES, member.data, text)
    if recording is not None and header.recording != recording:
        text = f"{pack.HEADER} names the recording {header.recording}, its leaves {recording}"
        yield Damage(What.ALTERED_BYTES, member.data, text)


def own_name(head: SegmentHead, stem: str) -> str | None:
    """The name the content gives the segment; of an event segment's random end only the file name tells."""
    header = head.header
    if header is None:
        return None
    if header.recording:
        return f"{header.recording}-{header.seq:04d}"
    tail = stem[12:] if pack.SEGMENT_NAME.fullmatch(stem) and stem.startswith("e") else "????????"
    return f"e{header.first:010d}-{tail}"


def header_mends(window: Window, layout: Layout) -> Iterator[tuple[int, pack.SegmentHeader]]:
    """(byte offset, header) for every bit of segment.json that, turned over, leaves a valid header."""
    member = layout.head(pack.HEADER)
    if member is None:
        return
    for offset, data in one_bit_off(window.at(member.data, member.size)):
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
