"""The camera records whatever its card lost: where a log cannot go on, the next epoch begins and names the old one."""

from __future__ import annotations

import errno
import io
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agent import durable
from agent.epochs import UNREADABLE
from agent.errors import StorageError
from agent.formats import certs, note, receipt
from agent.formats import leaf as leaves
from agent.formats.epoch import parse_link
from agent.formats.leaf import Kind
from agent.formats.seal import SealRecord
from agent.model import NS, MediaPart, SegmentState
from agent.prefix import read_prefix
from agent.sealing.tiles import TileStore
from agent.sealing.writer import SegmentWriter
from agent.spool.store import Spool
from agent.station.layout import AgencyPaths
from agent.vault import Vault
from tests import answering, campaigns
from tests.camera_kit import CAMERA, FakeClock, read
from tests.recorder_kit import make_config

STEM = f"bodycam.local/{CAMERA}"
BOOTS = [f"{n}{n}{n}{n}{n}{n}{n}{n}-2222-3333-4444-555555555555" for n in "123456789"]


class Card:
    """One camera and the card in it; each `open` is a life in a boot of its own."""

    def __init__(self, agency: AgencyPaths, root: Path) -> None:
        self.agency, self.root = agency, root
        self._config = make_config(agency, root)
        self._boots = iter(BOOTS)
        self.spool = self._config.spool.dir

    def open(self) -> Vault:
        return Vault(self._config, FakeClock(boot_id=next(self._boots)))

    def image(self) -> Path:
        """The card as it is now, for later."""
        image = self.root / "image"
        shutil.copytree(self.spool, image)
        return image

    def put_back(self, image: Path) -> None:
        shutil.rmtree(self.spool)
        shutil.copytree(image, self.spool)

    def cosigned(self, signed: bytes) -> bytes:
        """A checkpoint with the station's cosignature."""
        parsed, (name, key) = note.parse(signed), self.station()
        return parsed.with_signatures([note.cosign(parsed.text, name, key, 1_780_000_000)]).to_bytes()

    def station(self):
        name, _ = note.parse_vkey(self.agency.receipt_vkey.read_text())
        return name, load_pem_private_key(self.agency.receipt_key.read_bytes(), None)

    def receipt(self, vault: Vault, kept: tuple[SealRecord, ...] = ()) -> bytes:
        """For all that is sealed in the log that is written now."""
        name, key = self.station()
        signed = (vault.spool.log_dir(vault.epoch) / "checkpoint").read_bytes()
        sealed = [r for r in vault.spool.records(SegmentState.SEALED) if r.epoch == vault.epoch]
        chain = tuple(certs.der(c) for c in certs.parse_pem(self.agency.receipt_chain.read_bytes()))
        lines = stored(vault, sealed), chain, stored(vault, list(kept))
        told = receipt.Receipt(name, vault.origin, CAMERA, 1, self.cosigned(signed), *lines)
        return note.Note(told.text(), (note.sign_ed25519(told.text(), name, key),)).to_bytes()


def stored(vault: Vault, records: list[SealRecord]) -> tuple[receipt.Stored, ...]:
    return tuple(answering.stored(vault.spool, r) for r in records)


@pytest.fixture
def card(agency: AgencyPaths, tmp_path: Path) -> Card:
    return Card(agency, tmp_path)


def record(vault: Vault, parts: int = 4, stop: bool = True) -> str:
    name = vault.sealer.start_recording({"type": "record.start", "trigger": "test"})
    vault.sealer.begin_media(name, b"ftyp-and-moov", 1_000 * NS)
    for number in range(parts):
        data = os.urandom(900)
        vault.sealer.media(name, MediaPart(number, data, number * NS // 2, NS // 2, number % 2 == 0, 15, 24_000))
        vault.sealer.settle()
    if stop:
        vault.sealer.stop_recording(name, {"type": "record.stop"})
    return name


def leaves_of(vault: Vault) -> list[leaves.Leaf]:
    """Of the log that is written now, sealed for it."""
    vault.sealer.seal_open()
    found = []
    for item in vault.spool.records(SegmentState.SEALED) + vault.spool.records(SegmentState.DELIVERED):
        if item.epoch == vault.epoch:
            path = vault.spool.segment(SegmentState.SEALED, item.segment)
            found += [leaf for _, leaf in read(path if path.exists() else path.parents[1] / "delivered" / path.name)[2]]
    assert [x.common.index for x in found] == list(range(len(found)))
    return found


def first_facts(vault: Vault):
    first = leaves_of(vault)[0]
    assert isinstance(first, leaves.EventLeaf)
    assert first.kind is Kind.SESSION
    return first.facts


def kept(vault: Vault) -> list[dict[str, object]]:
    found = [x for x in leaves_of(vault) if isinstance(x, leaves.EventLeaf) and x.kind is Kind.KEPT]
    return [item for leaf in found for item in leaf.facts["segments"]]


def flip(path: Path, offset: int) -> bytes:
    harmed = bytearray(path.read_bytes())
    harmed[offset] ^= 1
    path.write_bytes(harmed)
    return bytes(harmed)


def refusing(*_: object) -> None:
    raise StorageError("refused")


def damaged_open(card: Card, vault: Vault, monkeypatch) -> str:
    """A part in the middle of the open segment is not what was written."""
    record(vault, 6, stop=False)
    (path,) = card.spool.glob("open/r*.tar")
    flip(path, read_ends(path)[2] + 700)
    return path.stem


def damaged_sealed(card: Card, vault: Vault, monkeypatch) -> str:
    """A sealed segment is not what it was, and no tile holds its leaves."""
    with monkeypatch.context() as patch:
        patch.setattr(TileStore, "flushing", refusing)
        name = record(vault, 5)
    path = card.spool / "sealed" / f"{name}-0000.tar"
    flip(path, path.stat().st_size * 3 // 4)
    return path.stem


def full_one_that_lost_its_tail(card: Card, vault: Vault, monkeypatch) -> str:
    """It was durable to its end before the next segment began."""
    with monkeypatch.context() as patch:
        patch.setattr(SegmentWriter, "sealing", refusing)
        name = record(vault, 5)
        vault.sealer.event(Kind.EVENT, {"type": "x"})
    path = card.spool / "open" / f"{name}-0000.tar"
    os.truncate(path, read_ends(path)[-2])
    return path.stem


def read_ends(path: Path) -> list[int]:
    from tests.test_recovery import ends_of_entries

    return ends_of_entries(path)


def test_an_open_segment_that_lost_what_the_tiles_hold_is_kept_as_it_is(card: Card) -> None:
    vault = card.open()
    record(vault, 4, stop=False)
    vault.sealer.flush_tiles()
    (path,) = card.spool.glob("open/r*.tar")
    kept_bytes = read_ends(path)[1]
    os.truncate(path, kept_bytes)
    before = path.read_bytes()
    again = card.open()
    assert again.epoch == 2
    (left,) = [item for item in kept(again) if not item["whole"]]
    assert left["segment"] == path.stem
    assert (card.spool / "sealed" / path.name).read_bytes() == before


@pytest.mark.parametrize("harm", [damaged_open, damaged_sealed, full_one_that_lost_its_tail])
def test_a_damaged_card_records_in_the_next_epoch_and_keeps_the_old_one(
    card: Card, monkeypatch, harm: Callable[..., str]
) -> None:
    vault = card.open()
    size = vault._book.log.next_index
    harmed = harm(card, vault, monkeypatch)
    before = next(card.spool.glob(f"*/{harmed}.tar")).read_bytes().rstrip(b"\0")
    again = card.open()
    assert again.origin == f"{STEM}/2"
    assert again.began
    assert harmed in again.began
    facts = first_facts(again)
    link = parse_link(facts["epoch"], again.origin)
    assert (facts["resumes"], link.why.value, link.follows.origin) == (None, "damaged", f"{STEM}/1")
    # What the camera proves of the old log reaches beyond what is damaged of it.
    assert link.follows.size == vault._book.log.next_index > size
    (left,) = [item for item in kept(again) if not item["whole"]]
    path = card.spool / "sealed" / f"{harmed}.tar"
    assert left["segment"] == harmed
    assert path.read_bytes().rstrip(b"\0") == before
    assert list(card.spool.glob("open/*")) == []
    record(again)
    again.close()
    third = card.open()
    assert third.origin == f"{STEM}/2"
    assert third.began is None
    assert kept(third) == [*kept(again)]


def test_what_is_whole_of_the_old_epoch_can_still_be_proven(card: Card, monkeypatch) -> None:
    """Its tiles and checkpoint reach as far as whole segments do, under the signature of that time."""
    vault = card.open()
    with monkeypatch.context() as patch:
        patch.setattr(TileStore, "flushing", refusing)
        record(vault)
    whole = vault._book.log.next_index
    damaged_open(card, vault, monkeypatch)
    again = card.open()
    tiles = TileStore(again.spool.log_dir(1))
    assert tiles.damage is None
    assert whole <= tiles.size == tiles.head.size
    assert again.spool.log_dir(1).joinpath("chain.pem").read_bytes() == vault._session.chain_pem


def test_tiles_that_nobody_can_mend_begin_the_next_epoch(card: Card) -> None:
    vault = card.open()
    record(vault)
    vault.close()
    for path in [*card.spool.glob("sealed/*"), *card.spool.glob("log/1/tile/0/000.p/*")]:
        path.unlink()
    again = card.open()
    assert again.origin == f"{STEM}/2"
    assert first_facts(again)["epoch"]["follows"]["size"] == vault._book.log.next_index


def test_a_card_that_lost_what_a_receipt_covers_does_not_sign_it_again(card: Card) -> None:
    """A card that lied about a flush: the receipt is there, the segments and tiles are older."""
    vault = card.open()
    image = card.image()
    record(vault)
    vault.sealer.seal_open()
    (card.spool / "inbox" / "one.receipt").write_bytes(card.receipt(vault))
    assert vault.accept_receipts()[0]
    size = note.parse_checkpoint(note.parse((card.spool / "log/1/checkpoint").read_bytes()).text).size
    (saved,) = card.spool.glob("receipts/*.receipt")
    data = saved.read_bytes()
    card.put_back(image)
    (card.spool / "receipts" / saved.name).write_bytes(data)
    again = card.open()
    assert again.origin == f"{STEM}/2"
    link = parse_link(first_facts(again)["epoch"], again.origin)
    assert (link.why.value, link.follows.size) == ("behind", size)
    assert link.left is not None
    assert link.left.size < size


def set_back(card: Card) -> bytes:
    """An older image of the card is put back: the head that a station cosigned of what is gone."""
    vault = card.open()
    image = card.image()
    record(vault)
    vault.sealer.seal_open()
    head = card.cosigned((card.spool / "log/1/checkpoint").read_bytes())
    card.put_back(image)
    return head


def test_a_head_told_at_the_dock_ends_a_log_that_is_behind(card: Card) -> None:
    head = set_back(card)
    again = card.open()
    assert again.origin == f"{STEM}/1"
    (card.spool / "inbox" / "head.checkpoint").write_bytes(head)
    assert again.accept_receipts() == (0, [])
    assert again.behind
    again.renew()
    assert again.origin == f"{STEM}/2"
    assert not again.behind
    link = parse_link(first_facts(again)["epoch"], again.origin)
    assert (link.follows.size, link.why.value) == (note.parse_checkpoint(note.parse(head).text).size, "behind")
    assert link.left.origin == f"{STEM}/1"
    # And the next life goes on where this one is.
    record(again)
    again.close()
    assert card.open().origin == f"{STEM}/2"


def test_an_epoch_number_that_the_station_knows_is_not_used_again(card: Card) -> None:
    """A card from another life: its log is the first, the station has seen the fourth."""
    vault = card.open()
    text = note.Checkpoint(f"{STEM}/4", 9, bytes(32)).text()
    head = note.Note(text, (note.sign_ed25519(text, f"{STEM}/4", vault._session.key),)).to_bytes()
    (card.spool / "inbox" / "head.checkpoint").write_bytes(card.cosigned(head))
    vault.accept_receipts()
    vault.renew()
    assert vault.origin == f"{STEM}/5"
    assert first_facts(vault)["epoch"]["follows"]["origin"] == f"{STEM}/4"


@pytest.mark.parametrize("lie", ["another key", "another camera", "not cosigned", "noise", "older"])
def test_nothing_but_the_pinned_station_ends_a_log(card: Card, lie: str) -> None:
    vault = card.open()
    vault.sealer.seal_open()
    own = (card.spool / "log/1/checkpoint").read_bytes()
    text = note.Checkpoint(f"{STEM}/1", 99, bytes(32)).text()
    if lie == "another camera":
        text = text.replace(CAMERA, "cam-else")
    signed = note.Note(text, (note.sign_ed25519(text, text.split("\n")[0], vault._session.key),))
    data = card.cosigned(own if lie == "older" else signed.to_bytes())
    if lie == "another key":
        forged = note.cosign(text, card.station()[0], vault._session.key, 1)
        data = signed.with_signatures([forged]).to_bytes()
    elif lie == "not cosigned":
        data = signed.to_bytes()
    elif lie == "noise":
        data = os.urandom(500)
    (card.spool / "inbox" / "head.checkpoint").write_bytes(data)
    delivered, refusals = vault.accept_receipts()
    assert (delivered, len(refusals)) == (0, 0 if lie == "older" else 1)
    assert vault.behind is None
    assert not list(card.spool.glob("inbox/*.checkpoint"))


def test_what_is_left_over_goes_only_on_a_receipt(card: Card, monkeypatch) -> None:
    """As evidence under its own log, or as bytes that are kept: equal to the card's in either case."""
    vault = card.open()
    harmed = damaged_open(card, vault, monkeypatch)
    again = card.open()
    record(again)
    again.sealer.seal_open()
    old = [r for r in again.spool.records(SegmentState.SEALED) if r.epoch == 1]
    assert harmed in [r.segment for r in old]
    wrong = tuple(replace(r, sha256="0" * 64) for r in old)
    (card.spool / "inbox" / "one.receipt").write_bytes(card.receipt(again, wrong))
    rest = [r.segment for r in again.spool.records(SegmentState.SEALED) if r.epoch != 1]
    delivered, refusals = again.accept_receipts()
    # Line by line: what else it names is delivered.
    assert (delivered, len(refusals)) == (len(rest), len(old))
    assert again.spool.records(SegmentState.SEALED) == old
    (card.spool / "inbox" / "two.receipt").write_bytes(card.receipt(again, tuple(old)))
    assert again.accept_receipts()[0] >= len(old)
    assert not [r for r in again.spool.records(SegmentState.SEALED) if r.epoch == 1]
    assert again.retain(force=True) >= len(old)
    assert not list(card.spool.glob(f"*/{harmed}.*"))


def test_a_kept_line_does_not_deliver_what_the_log_of_today_must_prove(card: Card) -> None:
    vault = card.open()
    record(vault)
    vault.sealer.seal_open()
    name, key = card.station()
    signed = card.cosigned((card.spool / "log/1/checkpoint").read_bytes())
    sealed = vault.spool.records(SegmentState.SEALED)
    told = receipt.Receipt(name, vault.origin, CAMERA, 1, signed, (), (), stored(vault, sealed))
    text = told.text()
    data = note.Note(text, (note.sign_ed25519(text, name, key),)).to_bytes()
    (card.spool / "inbox" / "one.receipt").write_bytes(data)
    assert vault.accept_receipts() == (0, [])
    assert vault.spool.records(SegmentState.SEALED) == sealed


class PowerCut(BaseException):
    """Nothing may catch it on the way out."""


@pytest.mark.campaign
def test_a_cut_at_every_step_of_an_opening_ends_in_one_epoch_that_says_why(card: Card, monkeypatch) -> None:
    """The power goes before each call that changes the card, until a start gets through."""
    campaign = campaigns.Campaign("cut-while-an-epoch-begins")
    vault = card.open()
    record(vault)
    harmed = damaged_open(card, vault, monkeypatch)
    size, image = vault._book.log.next_index, card.image()
    step, stride, finished = 0, campaigns.size(full=1, sample=7), False
    while not finished:
        card.put_back(image)
        calls = iter(range(1_000_000))
        with monkeypatch.context() as patch:
            for name in ("write", "pwrite", "fsync", "ftruncate", "rename", "unlink", "mkdir"):
                patch.setattr(os, name, cut_at(step, calls, getattr(os, name)))
            try:
                Vault(card._config, FakeClock(boot_id=BOOTS[7]))
                finished = True
            except PowerCut:
                pass
        again = Vault(card._config, FakeClock(boot_id=BOOTS[8]))
        assert again.epoch == 2, step
        assert first_facts(again)["epoch"]["follows"]["size"] == size, step
        assert harmed in {item["segment"] for item in kept(again)}, step
        assert not list(card.spool.glob("log/2/epoch.json")), step
        step += stride
    assert step > 30
    campaign.finish(calls=step, every=stride)


def cut_at(step: int, calls, real):
    def call(*arguments, **keywords):
        if next(calls) >= step:
            raise PowerCut
        return real(*arguments, **keywords)

    return call


def test_a_renewal_that_the_disk_refuses_is_tried_again(card: Card, monkeypatch) -> None:
    head = set_back(card)
    again = card.open()
    (card.spool / "inbox" / "head.checkpoint").write_bytes(head)
    again.accept_receipts()
    real, calls, tries = durable.write_file, iter(range(1_000)), 0

    def later(path: Path, *rest: object) -> None:
        if next(calls) < 14:
            raise StorageError("refused")
        real(path, *rest)

    monkeypatch.setattr(durable, "write_file", later)
    while again.behind:
        try:
            again.renew()
        except StorageError:
            tries += 1
            again.sealer.event(Kind.EVENT, {"type": "goes on"})
    assert tries > 3
    monkeypatch.undo()
    again.sealer.settle()
    assert again.epoch == 2
    assert first_facts(again)["epoch"]["reason"] == "behind"
    assert Spool(card.spool).epochs() == [1, 2]


# -- blocks that the disk has lost ---------------------------------------------------------------------------------


class Lost(io.FileIO):
    """A file of which the disk does not read what lies behind its first KiB."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= 1024:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read(512)

    def readinto(self, buffer: Any) -> int:
        if self.tell() >= 1024:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().readinto(memoryview(buffer)[:512])


def lose(monkeypatch: pytest.MonkeyPatch, stem: str) -> None:
    real = durable.opened

    def opened(path: Path, mode: str = "rb") -> Any:
        return Lost(path) if stem in path.name and path.suffix == ".tar" and mode == "rb" else real(path, mode)

    monkeypatch.setattr(durable, "opened", opened)


@pytest.mark.parametrize("where", ["open", "sealed"])
def test_a_segment_that_the_disk_does_not_read_stops_no_recording(card: Card, monkeypatch, where: str) -> None:
    vault = card.open()
    with monkeypatch.context() as patch:
        if where == "sealed":
            patch.setattr(TileStore, "flushing", refusing)
        name = record(vault, 5, stop=where == "sealed")
    (path,) = card.spool.glob(f"{where}/{name}-0000.tar")
    size = path.stat().st_size
    with monkeypatch.context() as patch:
        lose(patch, name)
        again = card.open()
        assert again.epoch == 2
        assert "cannot be read" in str(again.began)
        (left,) = [item for item in kept(again) if not item["whole"]]
        assert (left["segment"], left["sha256"]) == (path.stem, UNREADABLE)
        record(again)
        again.close()
        third = card.open()
        assert third.epoch == 2
    assert (card.spool / "sealed" / path.name).stat().st_size == size


def test_a_checkpoint_that_the_disk_does_not_read_is_made_anew(card: Card, monkeypatch) -> None:
    vault = card.open()
    record(vault)
    vault.close()
    real = durable.read_file

    def read(path: Path) -> bytes:
        if path == card.spool / "log" / "1" / "checkpoint":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(durable, "read_file", read)
        again = card.open()
    assert again.epoch == 1
    assert again._book.log.next_index > vault._book.log.next_index


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "altered"])
def test_a_tile_that_went_bad_does_not_make_a_log_that_is_behind(card: Card, gone: bool) -> None:
    """The station's head cannot be held against it: that is a refusal, and no reason for another epoch, at a start
    neither.
    """
    vault = card.open()
    for _ in range(260):
        vault.sealer.event(Kind.EVENT, {"type": "x"})
    vault.sealer.seal_open()
    head = card.cosigned(_signed(vault, 3))
    (card.spool / "log/1/cosigned").write_bytes(head)
    tile = card.spool / "log/1/tile/0/000"
    tile.unlink() if gone else flip(tile, 40)
    (card.spool / "inbox" / "head.checkpoint").write_bytes(head)
    delivered, refusals = vault.accept_receipts()
    assert (delivered, len(refusals)) == (0, 1)
    assert not vault.behind
    assert card.open().epoch == 1


def test_a_full_card_is_not_read_as_a_whole_to_find_how_long_the_log_was(card: Card, monkeypatch) -> None:
    vault = card.open()
    for _ in range(4):
        record(vault)
    vault.close()
    (card.spool / "log/1/checkpoint").unlink()
    read = list[str]()

    def noted(path: Path, *how: Any) -> Any:
        read.append(path.stem)
        return read_prefix(path, *how)

    monkeypatch.setattr("agent.held.read_prefix", noted)
    heads = list(vault._epochs._found(1, vault.origin))
    assert max(head.size for head in heads) == vault._book.log.next_index
    assert len(read) == 1 < len(list(card.spool.glob("sealed/*.tar")))


def _signed(vault: Vault, size: int) -> bytes:
    text = note.Checkpoint(vault.origin, size, vault.sealer.root_at(size)).text()
    return note.Note(text, (note.sign_ed25519(text, vault.origin, vault._session.key),)).to_bytes()
