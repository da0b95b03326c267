"""The receipt: one spelling, bounded, and bound to the station that signs it."""

from __future__ import annotations

import dataclasses
import random

import pytest

from agent.errors import AgentError, EvidenceError
from agent.evidence.heads import check_receipt
from agent.evidence.trust import Trust
from agent.formats import note, receipt
from tests.builders import agency, make_agency, simple_camera


@pytest.fixture(scope="module")
def data() -> bytes:
    camera = simple_camera()
    return camera.receipt(camera.segments)


def test_a_receipt_round_trips(data: bytes) -> None:
    text = note.parse(data).text
    told = receipt.parse(text)
    assert told.text() == text
    assert (told.station, told.camera, len(told.stored)) == (agency().station, "cam-0001", 4)


def test_it_is_checked_up_to_the_root(data: bytes) -> None:
    checked = check_receipt(data, Trust(agency().root), "r")
    assert checked.head.size == 13
    with pytest.raises(AgentError):
        check_receipt(data, Trust(make_agency("another").root), "r")


def test_a_flipped_bit_anywhere_is_refused(data: bytes) -> None:
    chosen, trust = random.Random(4), Trust(agency().root)
    for offset in range(len(data)):
        changed = bytearray(data)
        changed[offset] ^= 1 << chosen.randrange(8)
        with pytest.raises(AgentError):
            check_receipt(bytes(changed), trust, "r")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("station station.test", "station  station.test"),
        ("issued ", "issued 0"),
        ("bodycam-receipt/v1", "bodycam-receipt/v2"),
        ("\norigin ", "\nOrigin "),
        ("segment ", "segment 00"),
        (" disk:", " dis\u00e9:"),
        ("\ncheckpoint ", "\ncheckpoints "),
        ("-0000 ", "-000 "),
        ("\ncamera cam-0001", ""),
        ("\ncamera cam-0001", "\ncamera Cam-0001"),
        ("\ncamera cam-0001", "\ncamera " + "c" * 28),
        ("certificate ", "certificate A"),
    ],
)
def test_another_spelling_is_refused(data: bytes, old: str, new: str) -> None:
    text = note.parse(data).text
    assert old in text
    with pytest.raises(EvidenceError):
        receipt.parse(text.replace(old, new, 1))


def test_no_more_segments_than_the_page_allows(data: bytes) -> None:
    told = receipt.parse(note.parse(data).text)
    many = dataclasses.replace(told, stored=told.stored[:1] * (receipt.MAX_SEGMENTS + 1))
    with pytest.raises(EvidenceError):
        receipt.parse(many.text())
    assert len(receipt.parse(dataclasses.replace(told, stored=told.stored[:1] * 256).text()).stored) == 256


@pytest.mark.parametrize("text", ["", "\n" * 10, "bodycam-receipt/v1\n", "x" * 70_000, "bodycam-receipt/v1\n" * 8])
def test_what_is_no_receipt_is_refused(text: str) -> None:
    with pytest.raises(EvidenceError):
        receipt.parse(text)


def test_a_head_that_the_station_did_not_cosign_is_refused(data: bytes) -> None:
    """A receipt properly signed, around a checkpoint without its cosignature, or with another's."""
    a, told = agency(), receipt.parse(note.parse(data).text)
    bare = note.parse(told.checkpoint)
    forged = note.cosign(bare.text, a.station, make_agency("another").receipt_key, 1)
    for signatures in (bare.signatures[:-1], (*bare.signatures[:-1], forged)):
        text = dataclasses.replace(told, checkpoint=note.Note(bare.text, signatures).to_bytes()).text()
        resigned = note.Note(text, (note.sign_ed25519(text, a.station, a.receipt_key),)).to_bytes()
        with pytest.raises(EvidenceError, match="cosignature"):
            check_receipt(resigned, Trust(a.root), "r")


ANSWER = "0123456789abcdef" * 2


def answered(data: bytes) -> receipt.Receipt:
    told = receipt.parse(note.parse(data).text)
    return dataclasses.replace(told, stored=(dataclasses.replace(told.stored[0], answer=ANSWER), *told.stored[1:]))


def test_a_line_may_answer_a_challenge_and_need_not(data: bytes) -> None:
    told = answered(data)
    text = told.text()
    assert text.count(f" 0 {ANSWER}\n") == 1
    assert receipt.parse(text) == told
    assert [s.answer for s in receipt.parse(text).stored] == [ANSWER, "", "", ""]


@pytest.mark.parametrize("other", [ANSWER.upper(), ANSWER[:-1], ANSWER + "0", "", f"{ANSWER} {ANSWER}", "x" * 32])
def test_another_spelling_of_an_answer_is_refused(data: bytes, other: str) -> None:
    text = answered(data).text()
    with pytest.raises(EvidenceError):
        receipt.parse(text.replace(ANSWER, other, 1))
