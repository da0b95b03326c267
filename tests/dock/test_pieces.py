"""A segment in pieces that the station checks one by one, and an upload that is found again by its address alone."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agent.dock.station import RefusedError, TryAgainError
from agent.dock.transport import WHOLE_BYTES, HttpStation
from agent.dock.uploads import Uploads
from agent.formats import seal
from agent.formats.seal import MAX_PIECES, PIECE, PieceDigests, SealRecord
from agent.station.layout import AgencyPaths
from agent.station.serve import Station
from tests.camera_kit import CAMERA
from tests.dock.rogue import Reply, rogue
from tests.dock.test_transport import credentials
from tests.station.kit import own_agency

TAIL = b"the end"


def digests(data: bytes) -> tuple[str, ...]:
    return tuple(hashlib.sha256(data[at : at + PIECE]).hexdigest() for at in range(0, len(data), PIECE))


@pytest.mark.parametrize("size", [0, 1, PIECE - len(TAIL), PIECE - 1, PIECE, PIECE + 1, 2 * PIECE])
@pytest.mark.parametrize("step", [1 << 20, PIECE + 3])
def test_pieces_are_the_digests_of_what_was_written_however_it_came(size: int, step: int) -> None:
    data, pieces = bytes(range(251)) * (size // 251) + bytes(size % 251), PieceDigests()
    for at in range(0, size, step):
        pieces.update(data[at : at + step])
    assert pieces.with_end(TAIL) == digests(data + TAIL)
    # Asked twice it says the same: a trailer that the disk refused is written again.
    assert pieces.with_end(TAIL) == digests(data + TAIL)


def test_of_a_file_too_large_for_the_record_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "PIECE", 4)
    pieces = PieceDigests()
    pieces.update(bytes(4 * MAX_PIECES - 1))
    assert len(pieces.with_end(b"x")) == MAX_PIECES
    assert pieces.with_end(b"xy") == ()


def test_a_record_keeps_its_pieces_and_one_without_any_reads_as_ever() -> None:
    record = SealRecord("e0000000000-00000000", PIECE + 1, "0" * 64, 0, 1, None, 0, pieces=("1" * 64, "2" * 64))
    assert SealRecord.parse(record.to_bytes()) == record
    assert b"pieces" not in SealRecord("e0000000000-00000000", 1, "0" * 64, 0, 1, None, 0).to_bytes()


class Peer:
    """A tus server that keeps nothing but what it was told, and fails as it is scripted."""

    def __init__(self, extensions: str = "creation,checksum") -> None:
        self.extensions = extensions
        self.patches: list[tuple[int, str]] = []
        self.made = 0
        self.offset = 0
        self.gone = False
        self.fail = 0

    def reply(self, method: str, path: str, headers: Mapping[str, str], length: int) -> Reply:
        match method:
            case "OPTIONS":
                return Reply(204, {"Tus-Extension": self.extensions, "Tus-Checksum-Algorithm": "sha1,sha256"})
            case "POST":
                self.made += 1
                return Reply(201, {"Location": f"/files/{self.made}"})
            case "HEAD":
                known = path == f"/files/{self.made}" and not self.gone
                return Reply(200, {"Upload-Offset": str(self.offset)}) if known else Reply(404, {})
        if self.fail:
            self.fail -= 1
            return Reply(503, {})
        self.patches.append((length, headers.get("Upload-Checksum", "")))
        self.offset += length
        return Reply(204, {"Upload-Offset": str(self.offset)})


@pytest.fixture(scope="module")
def paths(agency: AgencyPaths, tmp_path_factory: pytest.TempPathFactory) -> AgencyPaths:
    return own_agency(agency, tmp_path_factory.mktemp("served") / "agency")


@pytest.fixture
def big(tmp_path: Path) -> tuple[Path, SealRecord, bytes]:
    data = bytes(range(256)) * ((2 * PIECE + 1000) // 256)
    path = tmp_path / "segment.tar"
    path.write_bytes(data)
    whole = hashlib.sha256(data).hexdigest()
    return path, SealRecord("e0000000007-91b3c4d7", len(data), whole, 0, 1, None, 0, pieces=digests(data)), data


def send(
    paths: AgencyPaths, peer: Peer | Whole, big: tuple[Path, SealRecord, bytes], uploads: Uploads | None = None
) -> None:
    with (
        rogue(paths.tls_chain, paths.tls_key, peer.reply) as url,
        closing(HttpStation(url, credentials(paths), threading.Event(), uploads=uploads)) as station,
    ):
        while True:
            try:
                station.send(big[1], big[0], lambda _: None)
                return
            except TryAgainError:
                pass


def checksum(piece: bytes) -> str:
    return "sha256 " + base64.b64encode(hashlib.sha256(piece).digest()).decode()


def test_pieces_go_with_the_digests_of_the_record_where_the_station_checks_them(paths: AgencyPaths, big) -> None:
    peer, data = Peer(), big[2]
    send(paths, peer, big)
    assert peer.patches == [
        (len(data[at : at + PIECE]), checksum(data[at : at + PIECE])) for at in range(0, len(data), PIECE)
    ]


@pytest.mark.parametrize("extensions", ["creation", "creation,checksum-trailer", ""])
def test_elsewhere_it_goes_in_one(paths: AgencyPaths, big, extensions: str) -> None:
    peer = Peer(extensions)
    send(paths, peer, big)
    assert peer.patches == [(len(big[2]), "")]


def test_a_segment_of_one_piece_goes_unchecked_as_its_whole_is_checked_in_any_case(paths: AgencyPaths, big) -> None:
    peer = Peer()
    big[0].write_bytes(big[2][:1000])
    small = replace(big[1], size=1000, pieces=digests(big[2][:1000]))
    send(paths, peer, (big[0], small, big[2][:1000]))
    assert peer.patches == [(1000, "")]


def test_from_the_middle_of_a_piece_it_goes_unchecked_to_the_next_one(paths: AgencyPaths, big) -> None:
    peer = Peer()
    peer.offset = 1000
    send(paths, peer, big)
    rest = len(big[2]) % PIECE
    assert [(n, bool(c)) for n, c in peer.patches] == [(PIECE - 1000, False), (PIECE, True), (rest, True)]


def test_a_piece_that_was_cut_off_goes_unchecked_so_that_some_of_it_stays(paths: AgencyPaths, big) -> None:
    peer = Peer()
    peer.fail = 1
    send(paths, peer, big)
    assert [bool(c) for _, c in peer.patches] == [False, True, True]


def test_an_upload_is_found_again_by_its_address_and_made_anew_where_it_is_gone(
    paths: AgencyPaths, big, tmp_path: Path
) -> None:
    """A server of tus makes another upload of each announcement: only the address leads back."""
    peer, uploads = Peer("creation"), Uploads()
    with rogue(paths.tls_chain, paths.tls_key, peer.reply) as url:
        for made, offset, gone in ((1, 0, False), (1, 1000, False), (2, 0, True)):
            peer.offset, peer.gone = offset, gone
            with closing(HttpStation(url, credentials(paths), threading.Event(), uploads=uploads)) as station:
                if gone:
                    with pytest.raises(TryAgainError, match="forgot"):
                        station.send(big[1], big[0], lambda _: None)
                else:
                    station.send(big[1], big[0], lambda _: None)
            assert peer.made == made
    assert peer.patches == [(len(big[2]), ""), (len(big[2]) - 1000, "")]


def test_the_real_station_checks_each_piece(paths: AgencyPaths, big) -> None:
    path, record, data = big
    served = Station(paths.root)
    url = served.start()
    wrong = replace(record, sha256="9" * 64, pieces=record.pieces[::-1])
    try:
        with closing(HttpStation(url, credentials(paths), threading.Event())) as station:
            with pytest.raises(RefusedError, match="460"):
                station.send(wrong, path, lambda _: None)
            station.send(record, path, lambda _: None)
    finally:
        served.stop()
    assert (paths.station / "segments" / CAMERA / f"{record.segment}.tar").read_bytes() == data


class Whole:
    """A tus server that takes bytes with the announcement, at most `takes`, and says so where it `tells`."""

    def __init__(self, takes: int = 1 << 30, tells: bool = True, fail: int = 0) -> None:
        self.takes, self.tells, self.fail = takes, tells, fail
        self.asked: list[tuple[str, int]] = []
        self.offset = 0

    def reply(self, method: str, path: str, headers: Mapping[str, str], length: int) -> Reply:
        self.asked.append((method, length))
        match method:
            case "OPTIONS":
                return Reply(204, {"Tus-Extension": "creation,creation-with-upload"})
            case "POST" if length and self.fail:
                self.fail -= 1
                return Reply(503, {})
            case "POST":
                assert not length or headers["Content-Type"] == "application/offset+octet-stream"
                self.offset = min(length, self.takes)
                told = {"Upload-Offset": str(self.offset)} if length and self.tells else {}
                return Reply(201, {"Location": "/files/1", **told})
            case "HEAD":
                return Reply(200, {"Upload-Offset": str(self.offset)})
        assert int(headers["Upload-Offset"]) == self.offset
        self.offset += length
        return Reply(204, {"Upload-Offset": str(self.offset)})


def small(big: tuple[Path, SealRecord, bytes], size: int) -> tuple[Path, SealRecord, bytes]:
    data = big[2][:size]
    big[0].write_bytes(data)
    return big[0], replace(big[1], size=size, sha256=hashlib.sha256(data).hexdigest(), pieces=digests(data)), data


@pytest.mark.parametrize(
    ("peer", "size", "asked"),
    [
        (Whole(), 1000, [("POST", 1000)]),
        (Whole(), WHOLE_BYTES, [("POST", WHOLE_BYTES)]),
        (Whole(), WHOLE_BYTES + 1, [("POST", 0), ("HEAD", 0), ("PATCH", WHOLE_BYTES + 1)]),
        (Whole(takes=400), 1000, [("POST", 1000), ("PATCH", 600)]),
        (Whole(takes=0, tells=False), 1000, [("POST", 1000), ("HEAD", 0), ("PATCH", 1000)]),
        (Whole(fail=1), 1000, [("POST", 1000), ("POST", 0), ("HEAD", 0), ("PATCH", 1000)]),
    ],
    ids=["small", "just small", "large", "some of it", "it takes none and does not say", "cut off"],
)
def test_a_small_segment_goes_with_its_announcement_where_the_station_takes_that(
    paths: AgencyPaths, big, peer: Whole, size: int, asked: list[tuple[str, int]]
) -> None:
    send(paths, peer, small(big, size))
    assert [each for each in peer.asked if each[0] != "OPTIONS"] == asked
    assert peer.offset == size


@pytest.mark.parametrize("told", ["-1", "1001", "x"])
def test_an_offset_that_makes_no_sense_is_refused_there_too(paths: AgencyPaths, big, told: str) -> None:
    def script(method: str, path: str) -> Reply:
        if method == "OPTIONS":
            return Reply(204, {"Tus-Extension": "creation-with-upload"})
        return Reply(201, {"Location": "/files/1", "Upload-Offset": told})

    path, record, _ = small(big, 1000)
    with (
        rogue(paths.tls_chain, paths.tls_key, script) as url,
        closing(HttpStation(url, credentials(paths), threading.Event())) as station,
        pytest.raises(RefusedError, match="makes no sense"),
    ):
        station.send(record, path, lambda _: None)
