"""What an honest camera left is taken for its own, whatever became of its keys and wherever the power went: it goes on
in the same log.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent import durable, openings
from agent.errors import DeviceError, StorageError
from agent.evidence.findings import What
from agent.formats import certs, note
from agent.formats.epoch import Link, Why
from agent.identity import FileSigner
from agent.keyfile import create
from agent.logbook import Logbook
from agent.openings import Opening
from agent.own import Own
from agent.sealing.sealer import Sealer
from agent.station.layout import AgencyPaths
from tests.camera_kit import CAMERA, make_agency
from tests.card_alone import accused, findings, live
from tests.test_epochs import STEM, Card, damaged_open, first_facts, flip, record, set_back


@pytest.fixture
def card(agency: AgencyPaths, tmp_path: Path) -> Card:
    return Card(agency, tmp_path)


def silent(*_: object) -> bytes:
    raise DeviceError("the TPM does not answer")


class PowerCutError(BaseException):
    """Nothing may catch it on the way out."""


def cut(*_: object) -> None:
    raise PowerCutError


@pytest.mark.parametrize(
    ("where", "what"),
    [(None, ""), (Logbook, "_say_session"), (Logbook, "_write_chain"), (Sealer, "flush_tiles")],
    ids=["at no time", "before the session's leaf", "before its chain", "before its checkpoint"],
)
def test_a_tpm_that_was_silent_and_a_cut_cost_no_epoch(
    card: Card, monkeypatch: pytest.MonkeyPatch, where: type | None, what: str
) -> None:
    """The checkpoint has the signature of a session alone, and the chain beside it may be of the next one."""
    monkeypatch.setattr(FileSigner, "sign", silent)
    live(card.open())
    assert len(note.parse((card.spool / "log/1/checkpoint").read_bytes()).signatures) == 1
    if where is not None:
        with monkeypatch.context() as patch:
            patch.setattr(where, what, cut)
            with pytest.raises(PowerCutError):
                card.open()
    vault = card.open()
    assert (vault.epoch, vault.began) == (1, None)


@pytest.mark.parametrize("where", [b"init.age", STEM.encode() + b"/1", b"-----BEGIN"], ids=["name", "epoch", "chain"])
def test_one_bad_byte_before_the_entries_of_the_open_segment_makes_no_fork(card: Card, where: bytes) -> None:
    """The next epoch follows what was signed in it, and not the older checkpoint beside the tiles."""
    vault = card.open()
    vault.sealer.flush_tiles()
    record(vault, stop=False)
    (path,) = card.spool.glob("open/r*.tar")
    flip(path, path.read_bytes().index(where) + len(where) + (200 if b"BEGIN" in where else -1))
    again = card.open()
    assert again.epoch == 2
    assert first_facts(again)["epoch"]["follows"]["size"] == vault._book.log.next_index > vault._book.log.tiles_size
    assert What.FORK not in {f.what for f in findings(card) if f.fails}


@pytest.mark.parametrize(
    ("whole", "unread"),
    [(False, "chain.pem"), (False, "tar"), (True, "tar")],
    ids=["the chain beside", "no chain in it", "entries in it"],
)
def test_a_read_that_fails_and_loses_no_block_is_tried_again_before_the_next_log_follows_an_older_head(
    card: Card, monkeypatch: pytest.MonkeyPatch, whole: bool, unread: str
) -> None:
    vault = card.open()
    vault.sealer.flush_tiles()
    if whole:
        damaged_open(card, vault, monkeypatch)
    else:
        record(vault, stop=False)
        (path,) = card.spool.glob("open/r*.tar")
        flip(path, path.read_bytes().index(b"-----BEGIN") + 200)
    with monkeypatch.context() as patch:
        if unread == "tar":
            patch.setattr("agent.epochs.later_head", out_of_memory)
        else:
            patch.setattr(durable, "opened", refusing(unread))
        with pytest.raises(StorageError, match="cannot read"):
            card.open()
    again = card.open()
    assert again.epoch == 2
    assert first_facts(again)["epoch"]["follows"]["size"] == vault._book.log.next_index


@pytest.mark.parametrize("gone", [None, errno.EIO], ids=["missing", "lost"])
def test_a_chain_that_is_gone_keeps_no_camera_from_recording(
    card: Card, monkeypatch: pytest.MonkeyPatch, gone: int | None
) -> None:
    vault = card.open()
    record(vault, stop=False)
    (path,) = card.spool.glob("open/r*.tar")
    flip(path, path.read_bytes().index(b"-----BEGIN") + 200)
    with monkeypatch.context() as patch:
        if gone:
            patch.setattr(durable, "opened", refusing("log/1/chain.pem", gone))
        else:
            (card.spool / "log/1/chain.pem").unlink()
        assert card.open().epoch == 2


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOMEM], ids=["lost", "passing"])
def test_why_an_epoch_began_keeps_no_camera_from_recording_where_the_disk_lost_it(
    card: Card, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    record(card.open(), stop=False)
    (path,) = card.spool.glob("open/r*.tar")
    flip(path, path.read_bytes().index(b"-----BEGIN") + 200)
    with monkeypatch.context() as patch:
        patch.setattr("agent.epochs.Epochs.said", lambda *_: None)
        assert card.open().epoch == 2
    assert (card.spool / "log/2" / openings.FILE).exists()
    with monkeypatch.context() as patch:
        patch.setattr(durable, "opened", refusing(openings.FILE, error))
        if error == errno.ENOMEM:
            with pytest.raises(StorageError, match="cannot read"):
                card.open()
        else:
            live(card.open())


def test_what_a_station_cosigned_is_read_again_where_that_fails_and_loses_no_block(
    card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older image of the card, whose log would go on: the station saw more of it."""
    head = set_back(card)
    (card.spool / "log/1/cosigned").write_bytes(head)
    with monkeypatch.context() as patch:
        patch.setattr(durable, "opened", refusing("cosigned"))
        with pytest.raises(StorageError, match="cannot read"):
            card.open()
    assert card.open().epoch == 2


def test_the_chain_of_a_session_that_signed_alone_is_read_again_where_that_fails_and_loses_no_block(
    card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(FileSigner, "sign", silent)
        live(card.open())
    with monkeypatch.context() as patch:
        patch.setattr(durable, "opened", refusing("chain.pem"))
        with pytest.raises(StorageError, match="cannot read"):
            card.open()
    assert card.open().epoch == 1


def refusing(unread: str, error: int = errno.ENOMEM) -> Callable[..., Any]:
    """`durable.opened`, but for files whose path ends so."""
    opened = durable.opened

    def opens(path: Path, *how: Any) -> Any:
        if str(path).endswith(unread):
            raise OSError(error, "refused")
        return opened(path, *how)

    return opens


def out_of_memory(*_: object) -> None:
    raise OSError(errno.ENOMEM, "no memory")


def renamed(card: Card, agency: AgencyPaths, root: Path) -> None:
    """The camera gets another identity key and a certificate for it by this agency's issuing key."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuing = serialization.load_pem_private_key(agency.issuing_key.read_bytes(), None)
    assert isinstance(issuing, ec.EllipticCurvePrivateKey)
    issuer = certs.parse_pem(agency.camera(CAMERA).identity_chain.read_bytes())[1]
    identity = certs.issue(
        name=CAMERA, role=certs.IDENTITY, public=key.public_key(), issuer=issuer, issuer_key=issuing,
        not_before=issuer.not_valid_before_utc, path_length=0,
    )  # fmt: skip
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    create(root / "other.key", pem, "identity key")
    (root / "other.pem").write_bytes(certs.pem([identity, issuer]))
    sealing = replace(card._config.sealing, identity_key=root / "other.key", identity_chain=root / "other.pem")
    card._config = replace(card._config, sealing=sealing)


def test_another_key_for_the_same_camera_goes_on_with_its_log(card: Card, agency: AgencyPaths, tmp_path: Path) -> None:
    live(card.open())
    renamed(card, agency, tmp_path)
    vault = card.open()
    assert (vault.epoch, vault.began) == (1, None)
    live(vault)
    assert accused(findings(card)) == []
    assert card.open().epoch == 1


def test_a_camera_of_another_agency_with_this_card_begins_its_own_log_and_keeps_what_is_there(
    card: Card, tmp_path_factory: pytest.TempPathFactory
) -> None:
    name = live(card.open())
    (path,) = card.spool.glob(f"sealed/{name}-*.tar")
    before = path.read_bytes()
    other = Card(make_agency(tmp_path_factory.mktemp("other")), tmp_path_factory.mktemp("camera"))
    shutil.rmtree(other.spool, ignore_errors=True)
    shutil.copytree(card.spool, other.spool)
    vault = other.open()
    assert vault.epoch == 2
    assert vault.began
    assert (other.spool / "sealed" / path.name).read_bytes() == before
    live(vault)
    assert other.open().epoch == 2


def test_an_opening_counts_for_its_own_log_and_by_this_camera_alone(card: Card, tmp_path: Path) -> None:
    session = card.open()._session
    follows = note.Checkpoint(f"{STEM}/1", 4, bytes(32))
    opening = Opening(Link(Why.DAMAGED, follows), "a tile was lost")
    path, own = tmp_path / openings.FILE, Own(STEM, session.chain_pem)
    assert openings.read(path, f"{STEM}/2", own) is None
    openings.write(path, opening, f"{STEM}/2", session)
    assert openings.read(path, f"{STEM}/2", own) == opening
    assert openings.read(path, f"{STEM}/3", own) is None
    changed = path.read_text().replace('\\"size\\": 4', '\\"size\\": 1')
    assert changed != path.read_text()
    path.write_text(changed)
    assert openings.read(path, f"{STEM}/2", own) is None
