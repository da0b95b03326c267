"""What cannot be encrypted is not written, and not lost: it is tried again, like what a disk refuses."""

from __future__ import annotations

import functools
import os
import secrets
from collections.abc import Callable
from typing import Any

import pytest

from agent.errors import EncryptionError, KeyTrustError, StorageError
from agent.formats import age
from agent.formats import leaf as leaves
from agent.formats.age_x25519 import X25519Recipient
from agent.formats.leaf import Kind
from agent.model import NS, MediaPart, SegmentState
from agent.sealing.session import Session
from agent.station.layout import AgencyPaths
from tests.camera_kit import Desk, all_leaves, begin, check_log, failing, report

PART_BYTES = 400


def fails(error: Exception) -> Callable[..., Any]:
    def failing(*_: object) -> Any:
        raise error

    return failing


def no_cipher(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(age, "encrypt", fails(RuntimeError("a defect of the cipher")))


def no_random(patch: pytest.MonkeyPatch) -> None:
    gone = fails(OSError(5, os.strerror(5)))
    patch.setattr(secrets, "token_bytes", gone)
    patch.setattr(os, "urandom", gone)


def no_recipient(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(X25519Recipient, "wrap", fails(KeyTrustError("age recipient is a low-order point")))


CAUSES = {"cipher": no_cipher, "random": no_random, "recipient": no_recipient}


@pytest.fixture(params=CAUSES)
def cause(request: pytest.FixtureRequest) -> Callable[[pytest.MonkeyPatch], None]:
    return CAUSES[request.param]


def on_card(desk: Desk) -> bytes:
    """Every byte of every segment, whole or not."""
    return b"".join(path.read_bytes() for path in desk.root.rglob("*.tar"))


def test_every_call_is_refused_with_nothing_changed_and_taken_when_it_comes_again(
    desk: Desk, cause: Callable[[pytest.MonkeyPatch], None]
) -> None:
    sealer, parts = begin(desk).sealer, 3

    def refused_and_then(action: Callable[[], Any]) -> Any:
        before, size = on_card(desk), desk.log.next_index
        with pytest.MonkeyPatch.context() as patch:
            cause(patch)
            with pytest.raises(EncryptionError, match=r"what is recorded cannot be encrypted: \w"):
                action()
        assert (on_card(desk).rstrip(b"\0"), desk.log.next_index) == (before.rstrip(b"\0"), size)
        return action()

    sealer.event(Kind.EVENT, {"type": "heartbeat"})
    refused_and_then(lambda: sealer.event(Kind.EVENT, {"type": "heartbeat"}))
    name = refused_and_then(lambda: sealer.start_recording({"type": "record.start"}))
    refused_and_then(lambda: desk.begin_media(name))
    for number in range(parts):
        part = MediaPart(number, bytes(PART_BYTES), number * NS // 2, NS // 2, number == 0, 15, 24_000)
        refused_and_then(functools.partial(sealer.media, name, part))
    assert sealer.stop_recording(name, {"type": "record.stop"}, parts).parts == parts
    sealer.seal_open()
    found = check_log(desk)
    assert [x.part for x in found if isinstance(x, leaves.MediaLeaf)] == [0, 1, 2]
    assert failing(report(desk)) == []


def test_a_stop_leaf_that_cannot_be_encrypted_is_owed(desk: Desk, cause: Callable[[pytest.MonkeyPatch], None]) -> None:
    name = desk.record(2)
    with pytest.MonkeyPatch.context() as patch:
        cause(patch)
        assert desk.sealer.stop_recording(name, {"type": "record.stop"}).parts == 2
        assert isinstance(desk.sealer.refused, EncryptionError) and desk.sealer.owes
    assert desk.late == [desk.sealer.refused]
    desk.sealer.settle()
    assert not desk.sealer.owes and desk.sealer.refused is None
    assert [x.facts["parts"] for x in all_leaves(desk) if isinstance(x, leaves.EventLeaf) and x.kind is Kind.STOP] == [
        2
    ]


@pytest.mark.parametrize("stage", ["seal leaf", "signature", "defect"])
def test_what_fails_while_one_segment_follows_another_keeps_no_part_back(
    agency: AgencyPaths, tmp_path: Any, stage: str
) -> None:
    """To settle raises nothing: it is done on the thread that seals what is recorded."""
    desk = begin(Desk(agency, tmp_path, segment_ns=2 * NS).open())
    name = desk.sealer.start_recording({"type": "record.start"})
    desk.begin_media(name)
    sign = Session.sign_checkpoint
    with pytest.MonkeyPatch.context() as patch:
        if stage == "seal leaf":
            patch.setattr(desk.sealer, "_announce", fails(EncryptionError("cannot be encrypted")))
        elif stage == "signature":
            patch.setattr(Session, "sign_checkpoint", _fails_for_tiles(sign))
        else:
            patch.setattr(desk.sealer._closing, "step", fails(RuntimeError("a defect")))
        for number in range(7):
            desk.add(number, PART_BYTES)
        assert isinstance(desk.sealer.refused, StorageError) and desk.sealer.owes, stage
        assert desk.late, "it is told"
    assert desk.sealer.stop_recording(name, {"type": "record.stop"}, 7).parts == 7
    assert not desk.sealer.owes and desk.sealer.refused is None
    desk.sealer.seal_open()
    check_log(desk)
    assert failing(report(desk)) == []
    assert len(desk.spool.records(SegmentState.SEALED)) >= 3


def _fails_for_tiles(sign: Callable[..., bytes]) -> Callable[..., bytes]:
    """The head beside the tiles is signed by both keys each time, as no part's is in these seconds."""

    def signing(session: Session, checkpoint: Any, with_identity: bool) -> bytes:
        if with_identity:
            raise RuntimeError("the key does not answer")
        return sign(session, checkpoint, with_identity)

    return signing
