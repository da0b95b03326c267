"""The evidence side of the recorder: receipts in, deletions out, and never one without the other."""

from __future__ import annotations

import errno
import mmap
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agent import durable
from agent.errors import StorageError
from agent.formats import leaf as leaves
from agent.formats import note, receipt
from agent.formats.leaf import Kind
from agent.model import SegmentState
from agent.sealing.tiles import TileStore
from agent.spool import store
from agent.spool.sealed import MEASURE_NS
from agent.station.layout import AgencyPaths
from agent.vault import Vault
from tests import answering
from tests.camera_kit import CAMERA, FakeClock, all_leaves_of, read
from tests.recorder_desk import Camera
from tests.recorder_kit import make_config


@pytest.fixture
def vault(agency: AgencyPaths, tmp_path: Path) -> Vault:
    vault = Vault(make_config(agency, tmp_path), FakeClock())
    vault.sealer.seal_open()
    return vault


def put_receipt(agency: AgencyPaths, vault: Vault, **changes: Any) -> Path:
    """What the uploader brings: a receipt for all that is sealed of the log that is being written."""
    key = load_pem_private_key(agency.receipt_key.read_bytes(), None)
    station, _ = note.parse_vkey(agency.receipt_vkey.read_text())
    signed = note.parse((vault.spool.log_dir(vault.epoch) / "checkpoint").read_bytes())
    cosigned = signed.with_signatures([note.cosign(signed.text, station, key, 1_780_000_000)])
    sealed = [r for r in vault.spool.records(SegmentState.SEALED) if r.epoch == vault.epoch]
    stored = tuple(answering.stored(vault.spool, r) for r in sealed)
    told = receipt.Receipt(station, vault.origin, CAMERA, 1_780_000_000, cosigned.to_bytes(), stored, ())
    text = replace(told, **changes).text()
    data = note.Note(text, (note.sign_ed25519(text, station, key),)).to_bytes()
    path = vault.spool.inbox_dir / "one.receipt"
    path.write_bytes(data)
    return path


def events(vault: Vault, kind: Kind) -> list[leaves.EventLeaf]:
    vault.sealer.seal_open()
    found = all_leaves_of(vault.spool)
    return [x for x in found if isinstance(x, leaves.EventLeaf) and x.kind is kind]


def test_first_leaf_of_a_life_names_its_session(vault: Vault) -> None:
    first = all_leaves_of(vault.spool)[0]
    assert isinstance(first, leaves.EventLeaf)
    assert first.kind is Kind.SESSION
    assert first.facts["resumes"] is None


def test_nothing_is_deleted_without_a_receipt(vault: Vault) -> None:
    before = vault.spool.records(SegmentState.SEALED)
    assert before
    assert vault.retain(force=True) == 0
    assert vault.spool.records(SegmentState.SEALED) == before


def test_what_the_tiles_do_not_hold_yet_is_not_deleted(
    agency: AgencyPaths, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until they do, recovery would need the segment to go on with the log."""
    with monkeypatch.context() as patch:

        def refuse(*_: object) -> None:
            raise StorageError("refused")

        patch.setattr(TileStore, "flushing", refuse)
        vault.sealer.event(Kind.EVENT, {"type": "x"})
        vault.sealer.seal_open()
        before = vault.spool.records(SegmentState.SEALED)
        # The station knows the log's newest head from the segment itself.
        newest = read(vault.spool.segment(SegmentState.SEALED, before[-1].segment))[2][-1][0].note
        (vault.spool.log_dir(1) / "checkpoint").write_bytes(newest)
        put_receipt(agency, vault)
        vault.accept_receipts()
        assert vault.spool.records(SegmentState.DELIVERED) == before
        assert vault.retain(force=True) == len(before) - 1
        assert vault.spool.records(SegmentState.DELIVERED) == before[-1:]
    vault.sealer.settle()
    assert vault.retain(force=True) == 1


def test_a_receipt_delivers_and_then_the_deletion_is_logged_first(
    agency: AgencyPaths, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put_receipt(agency, vault)
    sealed = vault.spool.records(SegmentState.SEALED)
    assert vault.accept_receipts() == (len(sealed), [])
    assert not path.exists()
    assert vault.spool.records(SegmentState.DELIVERED) == sealed
    order: list[str] = []
    real_remove, real_sync = durable.remove, os.fdatasync
    monkeypatch.setattr(durable, "remove", lambda p: (order.append("remove"), real_remove(p)))
    monkeypatch.setattr(os, "fdatasync", lambda fd: (order.append("leaf"), real_sync(fd)))
    assert vault.retain(force=True) == len(sealed)
    assert order.index("leaf") < order.index("remove")
    deleted = [item for leaf in events(vault, Kind.DELETION) for item in leaf.facts["segments"]]
    assert [item["sha256"] for item in deleted] == [r.sha256 for r in sealed]
    held = {p.stem for p in vault.spool.receipts_dir.iterdir()}
    assert {item["receipt"] for item in deleted} == held


def test_what_is_deleted_keeps_no_block_of_the_card_whoever_holds_it(agency: AgencyPaths, vault: Vault) -> None:
    """An uploader may read segments; one that was taken over holds them open, by a mapping, or by another name."""
    put_receipt(agency, vault)
    vault.accept_receipts()
    paths = vault.spool.segments(SegmentState.DELIVERED)
    held = [path.open("rb") for path in paths]
    mapped = [mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) for file in held]
    os.link(paths[0], vault.spool.inbox_dir / "kept")
    assert vault.retain(force=True) == len(paths) > 0
    assert [os.fstat(file.fileno()).st_blocks for file in held] == [0] * len(paths)
    for mapping, file in zip(mapped, held, strict=True):
        mapping.close()
        file.close()


def test_a_cut_between_removal_and_blocks_leaves_no_emptied_segment(
    agency: AgencyPaths, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_receipt(agency, vault)
    vault.accept_receipts()
    path = vault.spool.segments(SegmentState.DELIVERED)[0]

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "fsync", killed)
        vault.spool.delete(vault.spool.records(SegmentState.DELIVERED)[0])
    assert not path.exists() or path.stat().st_size


def test_a_delivered_segment_without_its_receipt_file_stays(agency: AgencyPaths, vault: Vault) -> None:
    put_receipt(agency, vault)
    vault.accept_receipts()
    for held in vault.spool.receipts_dir.iterdir():
        held.unlink()
    assert vault.retain(force=True) == 0
    assert vault.spool.records(SegmentState.DELIVERED)


def test_a_refused_receipt_is_named_and_moves_nothing(agency: AgencyPaths, vault: Vault) -> None:
    path = put_receipt(agency, vault, camera="cam-else")
    delivered, refusals = vault.accept_receipts()
    assert delivered == 0
    assert "one.receipt" in refusals[0]
    assert not path.exists()
    assert not vault.spool.records(SegmentState.DELIVERED)


def test_the_next_life_resumes_the_log_and_names_the_receipt(agency: AgencyPaths, vault: Vault, tmp_path: Path) -> None:
    put_receipt(agency, vault)
    vault.accept_receipts()
    vault.close()
    again = Vault(make_config(agency, tmp_path), FakeClock(boot_id="99999999-2222-3333-4444-555555555555"))
    sessions = events(again, Kind.SESSION)
    assert sessions[-1].facts["resumes"]["size"] == sessions[-1].common.index
    assert sessions[-1].facts["receipt"] == next(iter(again.spool.receipts_dir.iterdir())).stem


def test_seal_records_are_read_for_who_has_a_pinned_key_and_once_in_a_turn(
    agency: AgencyPaths, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A taken-over uploader must not make the recorder's loop read them for each file that it leaves."""
    more(vault, 3)
    read: list[SegmentState] = []
    readable = vault.spool.readable
    monkeypatch.setattr(vault.spool, "readable", lambda state: (read.append(state), readable(state))[1])
    true = put_receipt(agency, vault).read_bytes()
    read.clear()
    box = vault.spool.inbox_dir
    (box / "one.receipt").unlink()
    forged = true.replace(b"\nbodycam", b"\nbodycan", 1) if b"\nbodycam" in true else b"x" + true
    for number in range(8):
        (box / f"{number}.receipt").write_bytes(forged if number % 2 else b"x\n\n")
    delivered, refusals = vault.accept_receipts()
    assert (delivered, len(refusals), read) == (0, 8, [])
    for number in range(8):
        (box / f"{number}.receipt").write_bytes(true)
    delivered, refusals = vault.accept_receipts()
    assert (delivered, refusals, read) == (4, [], [SegmentState.SEALED])
    assert vault.spool.records(SegmentState.SEALED) == []


def test_a_receipt_that_comes_again_has_no_record_read_but_of_what_it_names_and_is_still_sealed(
    agency: AgencyPaths, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A taken-over uploader may leave genuine ones in each turn, while thousands of segments wait."""
    more(vault, 2)
    old = put_receipt(agency, vault).read_bytes()
    assert vault.accept_receipts() == (3, [])
    more(vault, 5)
    sealed = vault.spool.records(SegmentState.SEALED)
    right = answering.stored(vault.spool, sealed[2])
    wrong = replace(right, answer=right.answer[::-1])
    path = put_receipt(agency, vault, stored=(wrong,))
    stays = path.read_bytes()
    path.unlink()
    read, real = list[str](), store.read_seal
    monkeypatch.setattr(store, "read_seal", lambda path: (read.append(path.stem), real(path))[1])
    for data, named in ((old, []), (stays, [sealed[2].segment])):
        for _ in range(3):
            for number in range(4):
                (vault.spool.inbox_dir / f"{number}.receipt").write_bytes(data)
            read.clear()
            delivered, refusals = vault.accept_receipts()
            assert (delivered, len(refusals), read) == (0, 4 * len(named), named), refusals
    assert vault.spool.records(SegmentState.SEALED) == sealed


def test_what_the_card_changed_is_read_as_the_station_keeps_it_once_a_minute(
    agency: AgencyPaths, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    (record,) = vault.spool.records(SegmentState.SEALED)
    read, real, clock = list[str](), store.sha256_of, vault._clock
    monkeypatch.setattr(store, "sha256_of", lambda path, *also: (read.append(path.stem), real(path, *also))[1])
    path = vault.spool.segment(SegmentState.SEALED, record.segment)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    right = replace(answering.stored(vault.spool, record), sha256=real(path))
    wrong = put_receipt(agency, vault, stored=(), kept=(replace(right, sha256="0" * 64),)).read_bytes()
    assert isinstance(clock, FakeClock)
    for count in (1, 1, 2):
        (vault.spool.inbox_dir / "one.receipt").write_bytes(wrong)
        delivered, refusals = vault.accept_receipts()
        assert (delivered, len(refusals), len(read)) == (0, 1, count)
        clock.now_ns += MEASURE_NS // 2 + 1
    put_receipt(agency, vault, stored=(), kept=(right,))
    assert vault.accept_receipts() == (1, [])


def refuse_renames(patch: pytest.MonkeyPatch, words: str, times: int = 1_000_000) -> None:
    real, refused = os.rename, 0

    def rename(source: Any, target: Any) -> None:
        nonlocal refused
        if words in str(target) and refused < times:
            refused += 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(source, target)

    patch.setattr(os, "rename", rename)


def test_moves_that_the_disk_refuses_are_owed_and_announced_once(agency: AgencyPaths, vault: Vault) -> None:
    put_receipt(agency, vault)
    sealed = vault.spool.records(SegmentState.SEALED)
    with pytest.MonkeyPatch.context() as patch:
        refuse_renames(patch, "/delivered/")
        for _ in range(20):
            with pytest.raises(StorageError):
                vault.accept_receipts()
        assert vault.spool.records(SegmentState.SEALED) == sealed
    assert vault.accept_receipts() == (len(sealed), [])
    assert vault.spool.records(SegmentState.DELIVERED) == sealed
    assert list(vault.spool.inbox_dir.iterdir()) == []
    (delivery,) = events(vault, Kind.DELIVERY)
    assert delivery.facts["segments"] == [r.segment for r in sealed]


def test_a_move_that_was_done_by_half_is_finished(agency: AgencyPaths, vault: Vault) -> None:
    """Until then the segment would count as neither sealed nor delivered."""
    put_receipt(agency, vault)
    sealed = vault.spool.records(SegmentState.SEALED)
    with pytest.MonkeyPatch.context() as patch:
        refuse_renames(patch, f"/delivered/{sealed[0].segment}.seal", times=1)
        with pytest.raises(StorageError):
            vault.accept_receipts()
    assert vault.accept_receipts() == (len(sealed), [])
    assert vault.spool.records(SegmentState.DELIVERED) == sealed
    assert vault.retain(force=True) == len(sealed)


def test_unlinks_that_the_disk_refuses_are_owed_and_announced_once(agency: AgencyPaths, vault: Vault) -> None:
    put_receipt(agency, vault)
    delivered, _ = vault.accept_receipts()
    with pytest.MonkeyPatch.context() as patch:

        def refuse(*_: Any, **__: Any) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        patch.setattr(os, "unlink", refuse)
        for _ in range(20):
            with pytest.raises(StorageError):
                vault.retain(force=True)
    assert vault.retain() == delivered
    assert vault.spool.segments(SegmentState.DELIVERED) == []
    assert len(events(vault, Kind.DELETION)) == 1


def test_a_receipt_that_went_bad_on_the_card_hides_no_other(agency: AgencyPaths, vault: Vault) -> None:
    put_receipt(agency, vault)
    delivered, _ = vault.accept_receipts()
    (vault.spool.receipts_dir / f"{'0' * 64}.receipt").write_bytes(b"\0" * 900)
    assert vault.retain(force=True) == delivered


def more(vault: Vault, count: int) -> None:
    """So many more sealed segments."""
    for _ in range(count):
        vault.say({"type": "heartbeat"}, None)
        vault.sealer.seal_open()


def damage(vault: Vault, state: SegmentState) -> tuple[Path, bytes]:
    """The first record in that state, torn; and what it was."""
    seal = vault.spool.seals(state)[0]
    whole = seal.read_bytes()
    seal.write_bytes(whole[:-9])
    return seal, whole


def test_a_damaged_seal_record_keeps_no_other_from_being_delivered_and_is_named(
    agency: AgencyPaths, vault: Vault
) -> None:
    more(vault, 3)
    put_receipt(agency, vault)
    sealed = len(vault.spool.segments(SegmentState.SEALED))
    seal, whole = damage(vault, SegmentState.SEALED)
    assert vault.damaged is None
    assert vault.accept_receipts() == (sealed - 1, [])
    assert str(seal) in str(vault.damaged)
    assert vault.spool.segment(SegmentState.SEALED, seal.stem).exists()
    # Made anew, it is delivered as any other; and what was wrong is over.
    seal.write_bytes(whole)
    put_receipt(agency, vault)
    assert vault.accept_receipts()[0] >= 1
    assert vault.damaged is None
    assert not seal.exists()


def test_a_damaged_seal_record_keeps_no_other_from_being_deleted_and_is_named(
    agency: AgencyPaths, vault: Vault
) -> None:
    more(vault, 3)
    put_receipt(agency, vault)
    delivered, _ = vault.accept_receipts()
    seal, whole = damage(vault, SegmentState.DELIVERED)
    assert vault.retain(force=True) == delivered - 1
    assert str(seal) in str(vault.damaged)
    assert [p.stem for p in vault.spool.segments(SegmentState.DELIVERED)] == [seal.stem]
    seal.write_bytes(whole)
    assert vault.retain(force=True) == 1
    assert vault.damaged is None


def test_what_is_delivered_is_read_in_portions_and_once(
    agency: AgencyPaths, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default all of it stays: a card full of it must not hold up the loop once a minute."""
    monkeypatch.setattr("agent.vault.RECORDS_AT_ONCE", 2)
    more(vault, 4)
    put_receipt(agency, vault)
    delivered, _ = vault.accept_receipts()
    assert vault.retain(at_leisure=True) == 0
    turns = 2
    while not vault.look_at_delivered():
        turns += 1
    assert turns == -(-delivered // 2)
    monkeypatch.setattr("agent.spool.store.read_seal", lambda path: pytest.fail(f"{path} is read again"))
    assert vault.retain() == 0
    vault.room(8000)
    assert vault.look_at_delivered()


def test_a_damaged_record_is_a_fault_of_the_camera(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera(agency, tmp_path, monkeypatch).start()
    camera.vault.sealer.seal_open()
    put_receipt(agency, camera.vault)
    seal, _ = damage(camera.vault, SegmentState.SEALED)
    camera.ticks(2)
    assert str(seal) in camera.faults()["records"]
    assert "delivery" not in camera.faults()


def test_a_record_that_is_whole_again_is_no_fault_any_more_though_nothing_comes(
    agency: AgencyPaths, vault: Vault
) -> None:
    put_receipt(agency, vault)
    seal, whole = damage(vault, SegmentState.SEALED)
    vault.accept_receipts()
    assert vault.damaged
    seal.write_bytes(whole)
    vault.retain()
    assert vault.damaged is None


def test_a_start_on_a_full_disk_takes_the_logs_reserve(
    agency: AgencyPaths, vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.close()
    reserve = vault.spool.root / "log" / "reserve"
    assert reserve.exists()

    def full(real: Any) -> Any:
        def call(*arguments: Any) -> Any:
            if reserve.exists():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*arguments)

        return call

    for name in ("write", "pwrite", "posix_fallocate"):
        monkeypatch.setattr(os, name, full(getattr(os, name)))
    again = Vault(make_config(agency, tmp_path), FakeClock(boot_id="99999999-2222-3333-4444-555555555555"))
    assert not reserve.exists()
    assert len(events(again, Kind.SESSION)) == 2
