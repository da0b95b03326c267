"""What the next log follows is the newest head on the card, whatever went bad around it; a read that may pass is waited
for.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest

from agent import durable
from agent.epochs import _record
from agent.errors import EvidenceError, StorageError
from agent.formats import note, pack
from agent.formats.epoch import Why
from agent.held import size_so_far
from agent.model import SegmentState
from agent.prefix import largest_head, read_prefix
from agent.sealing.tiles import TileStore
from agent.station.layout import AgencyPaths
from agent.vault import Vault
from tests.test_epochs import Card, flip, record


@pytest.fixture
def card(agency: AgencyPaths, tmp_path: Path) -> Card:
    return Card(agency, tmp_path)


@pytest.fixture
def vault(card: Card) -> Vault:
    """Its log has leaves that no checkpoint beside the tiles covers any more."""
    vault = card.open()
    record(vault)
    vault.close()
    (card.spool / "log/1/checkpoint").unlink()
    return vault


def refuse(monkeypatch: pytest.MonkeyPatch, path: Path, code: int) -> None:
    real, listed = durable.opened, os.scandir

    def opened(asked: Path, *how: Any) -> Any:
        if asked == path:
            raise OSError(code, os.strerror(code))
        return real(asked, *how)

    def scandir(asked: Any = ".") -> Any:
        if asked == path:
            raise OSError(code, os.strerror(code))
        return listed(asked)

    monkeypatch.setattr(durable, "opened", opened)
    monkeypatch.setattr(os, "scandir", scandir)


def newest(card: Card) -> Path:
    return max(card.spool.glob("sealed/*.tar"), key=lambda path: path.stem[1:11])


def found(vault: Vault) -> list[note.Checkpoint]:
    return list(vault._epochs._found(1, vault.origin))


@pytest.mark.parametrize("code", [errno.ENOMEM, errno.EMFILE, errno.EINTR])
def test_no_older_head_is_followed_for_a_read_that_may_pass(card: Card, vault: Vault, monkeypatch, code: int) -> None:
    refuse(monkeypatch, newest(card), code)
    with pytest.raises(StorageError, match="cannot read"):
        found(vault)


def test_what_the_disk_has_lost_is_not_waited_for(card: Card, vault: Vault, monkeypatch) -> None:
    refuse(monkeypatch, newest(card), errno.EIO)
    assert 0 < max(head.size for head in found(vault)) < vault._book.log.next_index


@pytest.mark.parametrize("what", [b"-----BEGIN", b'"origin"'], ids=["certificates", "header"])
def test_what_a_sealed_segment_signed_is_followed_where_its_first_members_went_bad(
    card: Card, vault: Vault, what: bytes
) -> None:
    path = newest(card)
    flip(path, path.read_bytes().index(what) + 1)
    assert max(head.size for head in found(vault)) == vault._book.log.next_index


def test_a_seal_record_that_cannot_be_read_for_now_is_waited_for(card: Card, vault: Vault, monkeypatch) -> None:
    """By it a segment would be called whole that lost its end, or not be looked at."""
    path, tiles = newest(card), TileStore(card.spool / "nowhere")
    for code, waits in ((errno.ENOENT, False), (errno.EIO, False), (errno.ENOMEM, True)):
        with monkeypatch.context() as patch:
            refuse(patch, path.with_suffix(".seal"), code)
            for look in (lambda: _record(path), lambda: size_so_far(vault.spool, tiles, 1)):
                if waits:
                    with pytest.raises(StorageError, match="cannot read"):
                        look()
                else:
                    look()


def test_whichever_bit_of_its_header_went_bad_a_segment_is_in_no_other_place(card: Card, vault: Vault) -> None:
    """Flipped, it may still be a header: of another log, or further in front."""
    path = newest(card)
    whole, place = path.read_bytes(), vault._epochs._proven_place(path)
    assert place
    start = whole.index(b'{"v":')
    origins = set()
    for bit in range(8 * start, 8 * (whole.index(b"\n", start) + 1)):
        harmed = bytearray(whole)
        harmed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(harmed)
        proven = vault._epochs._proven_place(path)
        assert proven is None or (proven.origin, proven.first) == (place.origin, place.first)
        with contextlib.suppress(EvidenceError):
            origins.add(pack.PackReader(io.BytesIO(harmed).read).head().origin)
    assert len(origins) > 100


@pytest.mark.parametrize("what", [b'{"v":', b'"origin":"', b'/1"', b'"first":', b'"frontier":["'])
def test_the_newest_segments_head_is_followed_whatever_its_header_says_now(
    card: Card, vault: Vault, what: bytes
) -> None:
    """By its own certificates: beside the tiles may lie an older session's."""
    path = newest(card)
    (card.spool / "log/1/chain.pem").unlink()
    flip(path, path.read_bytes().index(what) + len(what) - (2 if what == b'/1"' else 0))
    assert max(head.size for head in found(vault)) == vault._book.log.next_index


def test_only_the_newest_segment_is_read_as_a_whole_while_each_proves_its_place(
    card: Card, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = list[Path]()
    monkeypatch.setattr("agent.held.read_prefix", lambda path, own: read.append(path) or read_prefix(path, own))
    monkeypatch.setattr("agent.epochs.largest_head", lambda path, *_: read.append(path))
    assert max(head.size for head in found(vault)) == vault._book.log.next_index
    assert [path for path in read if path.parent.name == "sealed"] == [newest(card)]
    assert len(vault.spool.segments(SegmentState.SEALED)) > 1


def test_what_is_no_segment_is_not_looked_through_to_its_end(
    card: Card, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.prefix.MAX_ASTRAY", 16 << 10)
    path = newest(card)
    whole = path.read_bytes()
    session = vault._epochs._sessions(path, vault.origin)
    for noise, reached in ((8 << 10, True), (16 << 10, False)):
        path.write_bytes(bytes(noise) + whole)
        head = largest_head(path, vault.origin, session)
        assert (head is not None) == reached


# -- what is another user's ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["checkpoint", "epoch.json", ""], ids=["checkpoint", "why it began", "the directory"])
@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM])
def test_a_strangers_log_that_may_not_be_read_is_passed_over(
    card: Card, vault: Vault, monkeypatch, name: str, code: int
) -> None:
    stray = card.spool / "log" / "7"
    stray.mkdir()
    (stray / (name or "x")).write_bytes(b"x")
    refuse(monkeypatch, stray / name, code)
    assert vault._epochs.newest() == 1
    assert 7 in vault.spool.epochs()


def test_one_that_cannot_be_read_for_now_is_waited_for(card: Card, vault: Vault, monkeypatch) -> None:
    (card.spool / "log" / "7").mkdir()
    (card.spool / "log" / "7" / "checkpoint").write_bytes(b"x")
    refuse(monkeypatch, card.spool / "log" / "7" / "checkpoint", errno.ENOMEM)
    with pytest.raises(StorageError, match="cannot read"):
        vault._epochs.newest()


def test_a_log_of_this_cameras_own_is_found_by_its_leaves_whatever_may_not_be_read_beside_it(
    card: Card, vault: Vault, monkeypatch
) -> None:
    vault._epochs.begin(vault.origin, Why.DAMAGED, "as a test asks")
    again = card.open()
    assert again.epoch == 2
    record(again)
    refuse(monkeypatch, card.spool / "log" / "2" / "checkpoint", errno.EACCES)
    assert again._epochs.newest() == 2


def test_a_strangers_record_that_may_not_be_read_is_passed_over(card: Card, vault: Vault, monkeypatch) -> None:
    tiles, path = TileStore(card.spool / "nowhere"), newest(card).with_suffix(".seal")
    refuse(monkeypatch, path, errno.EACCES)
    assert size_so_far(vault.spool, tiles, 1) < vault._book.log.next_index
