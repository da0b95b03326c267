"""Everything in inbox/ is hostile until a receipt under the pinned key says otherwise."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.errors import EvidenceError
from agent.formats import note, receipt
from agent.formats.leaf import Kind
from agent.formats.receipt import Receipt
from agent.formats.seal import SealRecord
from agent.model import SegmentState
from agent.spool import inbox, possession
from agent.spool.store import Spool
from tests.camera_kit import CAMERA, ORIGIN, Desk

STATION = "station.test"


class Station:
    """Signs receipts over what a desk's log says, and over whatever else it is asked to."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.key = Ed25519PrivateKey.generate()

    def trust(self) -> inbox.Trust:
        return inbox.Trust([(STATION, self.key.public_key())], ORIGIN, CAMERA, self.desk.log.root_at)

    def receipt(self, records: list[SealRecord], **changes: Any) -> bytes:
        head = (self.desk.spool.log_dir(1) / "checkpoint").read_bytes()
        signed = note.parse(head)
        cosigned = signed.with_signatures([note.cosign(signed.text, STATION, self.key, 1_780_000_000)])
        stored = tuple(receipt.Stored(r.sha256, r.size, r.segment, f"segments/{r.segment}", 0) for r in records)
        told = Receipt(STATION, ORIGIN, CAMERA, 1_780_000_000, cosigned.to_bytes(), stored, ())
        return self.sign(replace(told, **changes))

    def sign(self, told: Receipt) -> bytes:
        text = told.text()
        return note.Note(text, (note.sign_ed25519(text, STATION, self.key),)).to_bytes()


@pytest.fixture
def station(desk: Desk) -> Station:
    name = desk.record(3)
    desk.sealer.stop_recording(name, {"type": "record.stop"})
    return Station(desk)


def two_more(station: Station) -> None:
    for _ in range(2):
        station.desk.sealer.event(Kind.EVENT, {"type": "heartbeat"})
        station.desk.sealer.seal_open()


def sealed(station: Station) -> list[SealRecord]:
    return station.desk.spool.records(SegmentState.SEALED)


def test_a_true_receipt_proves_the_segments_it_names(station: Station) -> None:
    data = station.receipt(sealed(station))
    assert inbox.check_receipt(data, station.trust(), sealed(station)) == sealed(station)


@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"size": 512}])
def test_a_line_with_other_bytes_proves_nothing_and_hides_no_other(station: Station, change: dict[str, Any]) -> None:
    two_more(station)
    first, *others = sealed(station)
    data = station.receipt([replace(first, **change), *others])
    assert others
    assert inbox.check_receipt(data, station.trust(), sealed(station)) == others
    assert [*possession.differing(receipt.parse(note.parse(data).text), sealed(station))] == [first.segment]


def test_a_receipt_proves_nothing_it_does_not_name(station: Station) -> None:
    data = station.receipt(sealed(station)[:1])
    assert inbox.check_receipt(data, station.trust(), sealed(station)) == sealed(station)[:1]


def lies(station: Station) -> dict[str, bytes]:
    records = sealed(station)
    stranger = Station(station.desk)
    return {
        "other key": stranger.receipt(records),
        "other camera": station.receipt(records, camera="cam-else"),
        "other log": station.receipt(records, origin="bodycam.local/cam-else/1"),
        "other station name": station.receipt(records, station="station.else"),
        "not cosigned": station.receipt(
            records, checkpoint=(station.desk.spool.log_dir(1) / "checkpoint").read_bytes()
        ),
        "another tree": _another_tree(station, records),
        "unsigned": note.Note(note.parse(station.receipt(records)).text, ()).to_bytes() + b"\n",
        "not a note": b"hello",
        "empty": b"",
    }


def _another_tree(station: Station, records: list[SealRecord]) -> bytes:
    head = note.Checkpoint(ORIGIN, 2, b"\x01" * 32)
    cosigned = note.Note(head.text(), (note.cosign(head.text(), STATION, station.key, 1),))
    return station.receipt(records, checkpoint=cosigned.to_bytes())


def test_every_lie_is_refused(station: Station) -> None:
    for name, data in lies(station).items():
        with pytest.raises(EvidenceError):
            inbox.check_receipt(data, station.trust(), sealed(station))
            pytest.fail(name)


def test_a_flipped_bit_anywhere_is_refused(station: Station) -> None:
    data = station.receipt(sealed(station))
    for position in range(0, len(data), 7):
        changed = bytearray(data)
        changed[position] ^= 1
        with pytest.raises(EvidenceError):
            inbox.check_receipt(bytes(changed), station.trust(), sealed(station))
            pytest.fail(f"byte {position}")


def test_a_segment_newer_than_the_cosigned_head_stays(station: Station) -> None:
    data = station.receipt(sealed(station)[:1])
    old_head = note.parse(receipt.parse(note.parse(data).text).checkpoint)
    name = station.desk.record(2)
    station.desk.sealer.stop_recording(name, {"type": "record.stop"})
    newest = sealed(station)[-1]
    told = receipt.parse(note.parse(station.receipt([newest])).text)
    lying = station.sign(replace(told, checkpoint=old_head.to_bytes()))
    assert inbox.check_receipt(lying, station.trust(), sealed(station)) == []


def test_links_pipes_directories_and_giants_are_passed_over(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"x")
    box = tmp_path / "inbox"
    box.mkdir()
    (box / "a.receipt").symlink_to(secret)
    os.mkfifo(box / "b.receipt")
    (box / "c.receipt").mkdir()
    (box / "d.receipt").write_bytes(bytes(inbox.MAX_MESSAGE + 1))
    (box / ".e.receipt").write_bytes(b"half written")
    (box / "f.receipt").write_bytes(bytes(inbox.MAX_MESSAGE))
    assert [path.name for path, _ in inbox.messages(box, ".receipt")] == ["f.receipt"]
    assert inbox.kinds(inbox.look(box)) == ["a directory", "a file that is too large", "a link", "a pipe"]


def test_what_the_uploader_leaves_for_itself_is_not_planted(tmp_path: Path) -> None:
    (tmp_path / "uploads.jsonl").write_bytes(bytes(inbox.MAX_MESSAGE + 1))
    (tmp_path / ".progress.json.7.tmp").write_bytes(b"{}")
    (tmp_path / "progress.json").write_bytes(bytes(inbox.MAX_MESSAGE))
    assert inbox.kinds(inbox.look(tmp_path)) == []
    (tmp_path / "progress.json").write_bytes(bytes(inbox.MAX_MESSAGE + 1))
    assert inbox.kinds(inbox.look(tmp_path)) == ["a file that is too large"]
    os.truncate(tmp_path / "progress.json", 0)
    os.truncate(tmp_path / "uploads.jsonl", inbox.MAX_OTHER + 1)
    assert inbox.kinds(inbox.look(tmp_path)) == ["a file that is too large"]


def test_a_flood_is_taken_in_portions(tmp_path: Path) -> None:
    for number in range(inbox.MAX_LISTED * 2):
        (tmp_path / f"{number:04d}.receipt").write_bytes(b"x")
    assert len(list(inbox.messages(tmp_path, ".receipt"))) == inbox.MAX_LISTED


def test_the_uploader_may_write_after_a_cut_between_the_directory_and_its_mode(desk: Desk) -> None:
    """Else it could bring no receipt, and the card would only ever fill."""
    desk.spool.inbox_dir.chmod(0o700)
    assert Spool(desk.root).inbox_dir.stat().st_mode & 0o777 == 0o770


def test_what_is_passed_over_hides_nothing(tmp_path: Path) -> None:
    for number in range(inbox.MAX_LISTED * 2):
        (tmp_path / f"a{number:04d}.receipt").symlink_to(tmp_path)
        (tmp_path / f"b{number:04d}.receipt").write_bytes(bytes(inbox.MAX_MESSAGE + 1))
    (tmp_path / "z.receipt").write_bytes(b"true")
    assert [data for _, data in inbox.messages(tmp_path, ".receipt")] == [b"true"]


def test_no_turn_looks_at_more_than_so_many_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever fills the directory must not stall the recorder's loop; and it is no message that there are so many."""
    for number in range(inbox.MAX_ENTRIES):
        (tmp_path / f"{number:05d}").symlink_to("x")
    assert inbox.kinds(inbox.look(tmp_path)) == ["a link"]
    for number in range(inbox.MAX_ENTRIES, inbox.MAX_LOOKED_AT + 500):
        (tmp_path / f"{number:05d}").symlink_to("x")
    read: list[str] = []
    scandir = os.scandir

    @contextlib.contextmanager
    def counted(path: Path) -> Iterator[Iterator[os.DirEntry[str]]]:
        with scandir(path) as entries:
            # Threads of what was tested before may list others.
            yield (entry for entry in entries if path != tmp_path or not read.append(entry.name))

    monkeypatch.setattr(os, "scandir", counted)
    assert inbox.kinds(inbox.look(tmp_path)) == ["a link", f"more than {inbox.MAX_ENTRIES} entries"]
    assert len(read) == inbox.MAX_LOOKED_AT
    assert not list(inbox.messages(tmp_path, ".receipt"))
    assert len(read) == 2 * inbox.MAX_LOOKED_AT


def test_what_nobody_is_to_read_goes_without_a_sync_each_and_in_a_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start of the recorder meets whatever was planted before it."""
    (tmp_path / "deep.order").mkdir()
    for number in range(inbox.MAX_LOOKED_AT + 20):
        (tmp_path / f"{number}.{'order' if number % 2 else 'time'}").touch()
    (tmp_path / "a.receipt").touch()
    monkeypatch.setattr(os, "fsync", lambda fd: pytest.fail("one sync for each message"))
    inbox.forget(tmp_path, ".time", ".order")
    assert 22 <= len(list(tmp_path.iterdir())) <= 24
    inbox.forget(tmp_path, ".time", ".order")
    assert {path.name for path in tmp_path.iterdir()} == {"deep.order", "a.receipt"}
