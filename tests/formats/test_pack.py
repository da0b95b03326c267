"""The segment: readable by any tar, written in one spelling, and read with nothing left unchecked."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from agent.errors import EvidenceError
from agent.formats import pack
from agent.formats.merkle import Frontier
from agent.formats.pack import PackError, PackReader, SegmentHeader
from tests.builders import Segment, simple_camera


@pytest.fixture(scope="module")
def segment() -> Segment:
    return simple_camera(part_bytes=700).segments[1]


def read(data: bytes) -> tuple[SegmentHeader, PackReader, list[pack.Entry]]:
    reader = PackReader(io.BytesIO(data).read)
    header = reader.head()
    return header, reader, list(reader.entries())


def test_what_is_written_is_read(segment: Segment) -> None:
    header, reader, entries = read(segment.to_bytes())
    assert header == segment.header
    assert (reader.init, reader.chain, reader.sealed) == (segment.init, segment.chain, True)
    assert [(e.index, e.sealed, e.leaf, e.note) for e in entries] == [
        (e.index, e.sealed, e.leaf, e.note) for e in segment.entries
    ]
    data = segment.to_bytes()
    for stored, entry in zip(segment.entries, entries, strict=True):
        assert data[entry.offset : entry.end] == stored.to_bytes()


def test_any_tar_reads_it(segment: Segment, tmp_path: Path) -> None:
    path = segment.write(tmp_path)
    names = [pack.INIT, pack.HEADER, pack.CHAIN]
    names += [f"{e.index:010d}.{kind}" for e in segment.entries for kind in ("age", "json", "note")]
    assert subprocess.run(["tar", "-tf", path], capture_output=True, check=True, text=True).stdout.split() == names
    subprocess.run(["tar", "-xf", path, "-C", tmp_path], check=True)
    assert (tmp_path / f"{segment.entries[0].index:010d}.age").read_bytes() == segment.entries[0].sealed
    with tarfile.open(path) as archive:
        assert archive.getnames() == names
        assert all(m.isreg() and m.mode == 0o644 and m.mtime == m.uid == m.gid == 0 for m in archive)


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 1024, 65_536])
def test_a_member_is_what_the_standard_library_writes(size: int) -> None:
    data = bytes(size)
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        info = tarfile.TarInfo("0000000007.age")
        info.size = size
        archive.addfile(info, io.BytesIO(data))
    member = pack.member("0000000007.age", data)
    theirs = made.getvalue()[: len(member)]
    # tarfile leaves devmajor and devminor empty for plain files in some versions; everything else is the same.
    ours = tarfile.TarInfo.frombuf(member[:512], "ascii", "strict")
    assert (ours.name, ours.size, ours.mode, ours.type) == ("0000000007.age", size, 0o644, tarfile.REGTYPE)
    assert member[512:] == theirs[512:]


def test_cut_anywhere_it_is_torn_or_shorter_and_never_another(segment: Segment) -> None:
    data = segment.to_bytes()
    whole = [e.leaf for e in segment.entries]
    for size in range(0, len(data), 37):
        try:
            _, reader, entries = read(data[:size])
        except PackError as err:
            assert err.torn
            continue
        assert not reader.sealed
        assert [e.leaf for e in entries] == whole[: len(entries)]


def test_a_changed_byte_in_headers_and_padding_is_refused(segment: Segment) -> None:
    """What lies between is covered by digests and signatures, in tests/evidence/test_flips.py."""
    data, offset = segment.to_bytes(), 0
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        spans = [(m.offset, m.offset_data, m.size) for m in archive]
    for start, body, size in spans:
        places = [*range(start, body), *range(body + size, body + size + -size % 512)]
        for offset in places[:: 7 if size else 1]:
            changed = bytearray(data)
            changed[offset] ^= 0x10
            with pytest.raises(EvidenceError):
                read(bytes(changed))
    for offset in range(len(data) - 1024, len(data), 5):
        changed = bytearray(data)
        changed[offset] ^= 0x10
        with pytest.raises(PackError):
            read(bytes(changed))


def test_bytes_after_the_trailer_are_refused(segment: Segment) -> None:
    with pytest.raises(PackError, match="follow the trailer"):
        read(segment.to_bytes() + b"\0")


def test_sizes_are_bounded_before_they_are_read() -> None:
    huge = pack.member_header("0000000000.age", pack.MAX_SEALED + 1)
    head = simple_camera().segments[0].head_bytes()
    with pytest.raises(PackError, match="claims"):
        read(head + huge)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "0000000000.AGE", "0000000000.age/", "00000000000.age"])
def test_a_member_of_another_name_is_refused(name: str) -> None:
    head = simple_camera().segments[0].head_bytes()
    with pytest.raises(PackError, match="expected"):
        read(head + pack.member(name, b"") + pack.TRAILER)


def test_members_of_two_entries_do_not_mix(segment: Segment) -> None:
    one, other = segment.entries[:2]
    stem, wrong = f"{one.index:010d}", f"{other.index:010d}"
    mixed = pack.member(f"{stem}.age", b"") + pack.member(f"{wrong}.json", b"") + pack.member(f"{stem}.note", b"")
    with pytest.raises(PackError, match="follows entry"):
        read(segment.head_bytes() + mixed + pack.TRAILER)


def test_a_header_has_one_spelling(segment: Segment) -> None:
    data = segment.header.to_bytes()
    assert SegmentHeader.parse(data) == segment.header
    for wrong in (
        data.replace(b",", b", ", 1),
        data.replace(b'"v":1', b'"v":2'),
        data.replace(b'"seq":0', b'"seq":-1'),
        data.replace(b'"seq":0', b'"seq":0.0'),
        data.replace(b'"seq":0', b'"seq":true'),
        data[:-1],
        data + b"\n",
        b"",
        b"[]\n",
        b"{" * 10_000,
    ):
        with pytest.raises(EvidenceError):
            SegmentHeader.parse(wrong)


def test_init_and_recording_belong_together(segment: Segment) -> None:
    header = SegmentHeader("bodycam.local/c/1", "c", None, 0, Frontier())
    data = pack.member(pack.INIT, b"i") + pack.member(pack.HEADER, header.to_bytes()) + pack.member(pack.CHAIN, b"c")
    with pytest.raises(PackError, match="media segment"):
        PackReader(io.BytesIO(data).read).head()
