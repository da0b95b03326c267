"""A receipt answers the challenge that was asked, from the bytes on the station's disk."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.formats import note, receipt
from agent.formats.seal import SealRecord
from agent.model import SegmentState
from agent.spool import inbox
from tests.answering import answer
from tests.camera_kit import Desk
from tests.station.kit import Bench

OTHER = "0123456789abcdef" * 2


def ask(station: Bench, records: list[SealRecord], **more: Any) -> receipt.Receipt:
    body = {"epoch": 1, "segments": [[r.segment, r.sha256] for r in records], **more}
    got = station.ask("POST", "/attest", json.dumps(body).encode())
    assert got.status == 200, got
    return receipt.parse(note.parse(json.loads(got.body)["receipt"].encode()).text)


def data_of(full: Desk, record: SealRecord) -> bytes:
    return full.spool.segment(SegmentState.SEALED, record.segment).read_bytes()


@pytest.fixture
def records(station: Bench, full: Desk) -> list[SealRecord]:
    station.send_log(full)
    station.send_segments(full)
    return full.spool.records(SegmentState.SEALED)


def test_each_challenge_has_its_answer_also_of_what_is_kept(
    station: Bench, full: Desk, records: list[SealRecord]
) -> None:
    first, *rest = records
    challenges = {r.segment: r.challenge for r in records}
    said = ask(station, rest, kept=[[first.segment, first.sha256]], challenges=challenges)
    assert [s.answer for s in said.stored] == [answer(data_of(full, r), r.challenge) for r in rest]
    assert [s.answer for s in said.kept] == [answer(data_of(full, first), first.challenge)]
    assert len({s.answer for s in (*said.stored, *said.kept)} - {""}) == 3


def test_a_receipt_that_is_fetched_again_answers_what_was_asked_now(
    station: Bench, full: Desk, records: list[SealRecord]
) -> None:
    one = records[1]
    data = data_of(full, one)
    for challenge in (one.challenge, OTHER, "", one.challenge):
        challenges = {one.segment: challenge} if challenge else {}
        said = ask(station, [one], challenges=challenges)
        assert [s.answer for s in said.stored] == [answer(data, challenge)]
        # The same question has the same receipt.
        assert ask(station, [one], challenges=challenges) == said


def test_a_line_says_which_leaves_the_segment_holds_where_that_is_asked(
    station: Bench, full: Desk, records: list[SealRecord]
) -> None:
    """A camera of an earlier version takes no receipt that says it."""
    first, *rest = records
    for leaves, said_of in ((True, [(r.first, r.entries) for r in rest]), (False, [(0, 0)] * len(rest))):
        said = ask(station, rest, kept=[[first.segment, first.sha256]], leaves=leaves)
        assert [(line.first, line.entries) for line in said.stored] == said_of
        assert [(line.first, line.entries) for line in said.kept] == [(0, 0)]
    body = {"epoch": 1, "segments": [], "leaves": 1}
    assert station.ask("POST", "/attest", json.dumps(body).encode()).status == 400


def test_one_that_lost_the_bytes_answers_nothing(station: Bench, full: Desk, records: list[SealRecord]) -> None:
    one = records[1]
    ask(station, [one], challenges={one.segment: one.challenge})
    path = next(p for p in station.paths.root.rglob(f"{one.segment}.tar"))
    path.write_bytes(path.read_bytes()[:-1])
    body = {"epoch": 1, "segments": [[one.segment, one.sha256]], "challenges": {one.segment: one.challenge}}
    value = json.loads(station.ask("POST", "/attest", json.dumps(body).encode()).body)
    assert one.segment in value["refused"]
    assert receipt.parse(note.parse(value["receipt"].encode()).text).stored == ()


@pytest.mark.parametrize("bad", [[], "x", {"a": 5}, {"a": "00"}, {"a": OTHER.upper()}, {"a": None}, 7])
def test_challenges_of_another_form_are_refused(station: Bench, bad: object) -> None:
    body = {"epoch": 1, "segments": [], "challenges": bad}
    assert station.ask("POST", "/attest", json.dumps(body).encode()).status == 400


def test_the_largest_request_and_receipt_fit(station: Bench, full: Desk, records: list[SealRecord]) -> None:
    """256 segments, each with its challenge and answer, of the camera with the longest name."""
    one = records[1]
    said = ask(station, [one], challenges={one.segment: one.challenge})
    (line,) = said.stored
    place = line.place.replace(said.camera, "x" * 27)
    assert len(place) > len(line.place)
    longest = receipt.Stored(
        line.sha256, 64 << 20, line.segment, place, 9_999_999_999, line.answer, 9_999_999_999, 21_000
    )
    assert line.answer and len(line.segment) == len("r0000000001-5f2c09ab-0001")
    many = receipt.Receipt(
        said.station, said.origin, "x" * 27, said.issued_s, said.checkpoint,
        (longest,) * receipt.MAX_SEGMENTS, said.certificates,
    )  # fmt: skip
    text = many.text()
    assert receipt.parse(text) == many
    assert len(text) + 300 < inbox.MAX_MESSAGE
    names = [f"{one.segment[:-4]}{n:04d}" for n in range(receipt.MAX_SEGMENTS)]
    body = {"epoch": 1, "segments": [[n, "0" * 64] for n in names], "challenges": dict.fromkeys(names, OTHER)}
    assert station.ask("POST", "/attest", json.dumps(body).encode()).status == 200
