"""A purge and a receipt take turns: nothing goes that the station has just promised, and it promises nothing that has
just gone.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent import durable, events
from agent.cli import evidence_main
from agent.dock.logproof import LocalLog
from agent.formats import note, receipt
from agent.formats.leaf import Kind
from agent.station import check, keeping, turn
from agent.station.attest import Attestor
from tests.camera_kit import CAMERA
from tests.station.kit import Answer
from tests.station.test_knowledge import Held, bad_receipt, later
from tests.station.test_knowledge import held_a_day as held

__all__ = ["held"]


@pytest.fixture
def over(held: Held, monkeypatch: pytest.MonkeyPatch) -> Held:
    """The days of all it stores are over, and the camera is docked again, with a log that has gone on."""
    later(monkeypatch, 400)
    monkeypatch.setattr(held.station.app._attestor, "_now_s", time.time)
    old = held.desk.log.next_index
    held.desk.sealer.event(Kind.EVENT, events.Heartbeat(()).body())
    held.desk.sealer.seal_open()
    log = held.desk.spool.log_dir(1)
    signed = (log / "checkpoint").read_bytes()
    size = note.parse_checkpoint(note.parse(signed).text).size
    held.station.send_tiles(log, size)
    proof = LocalLog(log, 1, size, signed, b"").proof(old)
    assert held.station.add_checkpoint(old, proof, signed).status == 200
    held.station.send_segments(held.desk)
    return held


def attest(held: Held) -> Answer:
    return held.station.attest([s.segment for s in held.receipt.stored])


def promises(held: Held, answer: Answer) -> dict[str, bool]:
    """Which segments a receipt names that are to be kept from now on, and whether each is there."""
    assert answer.status == 200, answer
    told = receipt.parse(note.parse(json.loads(answer.body)["receipt"].encode()).text)
    return {s.segment: (held.station.paths.station / s.place).exists() for s in told.stored if s.until_s > time.time()}


def refused(answer: Answer) -> dict[str, dict[str, Any]]:
    told: dict[str, dict[str, Any]] = json.loads(answer.body)["refused"]
    return told


def verified(held: Held, capsys: Any) -> set[str]:
    capsys.readouterr()
    paths = held.station.paths
    assert evidence_main(["verify", str(paths.station), "--trust", str(paths.trust_root), "--json"]) == 0
    return {finding["what"] for finding in json.loads(capsys.readouterr().out)["findings"]}


def before_the_purge(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """The list of what is to go is made."""
    due = keeping.due

    def slow(*given: Any) -> Any:
        found = due(*given)
        do()
        return found

    monkeypatch.setattr(keeping, "due", slow)


def while_it_reads_back(monkeypatch: pytest.MonkeyPatch, name: str, do: Callable[[Path], object]) -> None:
    """Behind the last byte of this segment."""
    check_segment = check.check_segment

    def slow(path: Path, asked: str, *given: Any) -> check.Found:
        found = check_segment(path, asked, *given)
        if asked == name:
            do(path)
        return found

    monkeypatch.setattr(check, "check_segment", slow)


def test_what_is_receipted_after_the_list_was_made_stays(over: Held, capsys: Any, monkeypatch: Any) -> None:
    """In the second of the purge, too."""
    answers = list[Answer]()
    before_the_purge(monkeypatch, lambda: answers.append(attest(over)))
    told = over.told(capsys, "purge", "--yes")
    assert (told["purged"], told["due"]) == ([], [])
    assert [(recording, why[:16]) for _, recording, why in told["kept"]] == [
        (over.first, "it is kept until"), (over.second, "it is kept until"),
    ]  # fmt: skip
    there = promises(over, answers[0])
    assert len(there) == len(over.receipt.stored) and all(there.values())
    assert "purged" not in verified(over, capsys)


def test_a_receipt_that_came_after_the_list_and_cannot_be_read_keeps_all_of_its_camera(
    over: Held, capsys: Any, monkeypatch: Any
) -> None:
    before_the_purge(monkeypatch, lambda: bad_receipt(over, CAMERA))
    told = over.told(capsys, "purge", "--yes", status=1)
    assert told["purged"] == [] and "1-bad.receipt" in told["problems"][0]


def test_what_is_purged_while_it_is_read_back_is_in_no_receipt(over: Held, capsys: Any, monkeypatch: Any) -> None:
    last = over.receipt.stored[-1].segment
    while_it_reads_back(monkeypatch, last, lambda _: over.run("purge", "--yes"))
    answer = attest(over)
    gone = {s.segment for s in over.receipt.stored if s.segment.startswith("r")}
    assert {name: told["permanent"] for name, told in refused(answer).items()} == dict.fromkeys(gone, False)
    there = promises(over, answer)
    assert there and all(there.values())
    assert {one["purged_s"] is None for one in over.told(capsys, "find")["recordings"]} == {False}
    assert "bad-purge" not in verified(over, capsys)


def test_another_file_than_was_read_is_in_no_receipt(over: Held, monkeypatch: Any) -> None:
    """As where it was purged, and came again."""
    name = next(s.segment for s in over.receipt.stored if s.segment.startswith("r"))

    def replaced(path: Path) -> None:
        path.with_suffix(".new").write_bytes(path.read_bytes())
        os.replace(path.with_suffix(".new"), path)

    with monkeypatch.context() as patch:
        while_it_reads_back(patch, name, replaced)
        assert refused(attest(over)) == {name: {"reason": "it is not stored any longer", "permanent": False}}
    assert refused(attest(over)) == {}


def test_a_purge_waits_while_a_receipt_is_signed(over: Held, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(turn, "WAIT_S", 0.0)
    sign, statuses = Attestor._sign, list[int]()

    def slow(attestor: Attestor, *given: Any) -> bytes:
        statuses.append(over.run("purge", "--yes"))
        return sign(attestor, *given)

    monkeypatch.setattr(Attestor, "_sign", slow)
    there = promises(over, attest(over))
    assert (statuses, len(there), set(there.values())) == ([4], len(over.receipt.stored), {True})
    said = capsys.readouterr().err
    assert "promises.lock: the lock of promises is not free" in said and "`bodycam-station serve`" in said
    assert over.told(capsys, "purge", "--yes")["purged"] == []


def test_a_receipt_waits_while_a_purge_deletes(over: Held, monkeypatch: Any) -> None:
    monkeypatch.setattr(turn, "WAIT_S", 0.0)
    remove, statuses = durable.remove, list[int]()

    def slow(path: Path) -> None:
        if path.suffix == ".tar":
            statuses.append(attest(over).status)
        remove(path)

    with monkeypatch.context() as patch:
        patch.setattr(durable, "remove", slow)
        assert over.run("purge", "--yes") == 0
    assert statuses == [507, 507]
    assert set(refused(attest(over))) == {s.segment for s in over.receipt.stored if s.segment.startswith("r")}
