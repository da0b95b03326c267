"""A checkpoint that the identity key did not sign is soon followed by one that it did, and a key that is gone holds
nothing up.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.errors import DeviceError
from agent.formats import note
from agent.formats.leaf import Kind
from agent.model import NS, SegmentState
from agent.sealing.pace import SHARE, Pace
from tests.camera_kit import Desk, all_leaves, begin, read

EVERY_NS = 300 * NS


def by_identity(desk: Desk) -> list[int]:
    """Indexes of the leaves whose checkpoint the identity key signed."""
    paths = [p for state in SegmentState for p in desk.spool.dir(state).glob("*.tar")]
    entries = [entry for path in paths for entry, _ in read(path)[2]]
    return sorted(entry.index for entry in entries if len(note.parse(entry.note).signatures) == 2)


def gone(message: bytes) -> bytes:
    raise DeviceError("TPM: one call timed out", "")


def test_after_a_key_that_did_not_answer_the_next_leaf_asks_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(desk)
    name = desk.record(2)
    with monkeypatch.context() as patch:
        patch.setattr(desk.log.session.signer, "sign", gone)
        desk.sealer.stop_recording(name, {"type": "record.stop"})
    stop = desk.log.next_index - 1
    for _ in range(3):
        desk.clock.now_ns += NS
        desk.sealer.event(Kind.EVENT, {"type": "heartbeat"})
    desk.sealer.seal_open()
    assert [index for index in by_identity(desk) if index >= stop] == [stop + 1]


def test_a_signature_that_the_disk_refused_is_none(desk: Desk) -> None:
    """What was proposed and never became durable is proposed anew, and signed by the identity key anew."""
    begin(desk)
    desk.sealer.event(Kind.EVENT, {"type": "heartbeat"})
    desk.sealer.seal_open()
    leaf = all_leaves(desk)[-1]
    stamp = replace(leaf.common.stamp, mono_ns=leaf.common.stamp.mono_ns + EVERY_NS)
    again = replace(leaf, common=replace(leaf.common, index=desk.log.next_index, stamp=stamp))
    assert [desk.log.propose(again).by_identity for _ in range(3)] == [True] * 3
    desk.log.commit(desk.log.propose(again))
    more = replace(again, common=replace(again.common, index=desk.log.next_index))
    assert not desk.log.propose(more).by_identity


@pytest.mark.parametrize(("took_ns", "tries"), [(0, 13), (NS, 11), (10 * NS, 11)])
def test_a_key_that_is_gone_takes_little_of_the_time(took_ns: int, tries: int) -> None:
    """An hour of parts, each half a second: at most a thirtieth of it is waited, and it is asked every five minutes."""
    pace, now_ns, asked, waited_ns = Pace(EVERY_NS), 0, 0, 0
    while now_ns < 3_600 * NS:
        if pace.due(now_ns):
            pace.refused(now_ns, took_ns)
            asked, waited_ns, now_ns = asked + 1, waited_ns + took_ns, now_ns + took_ns
        now_ns += NS // 2
    assert waited_ns <= 3_600 * NS // SHARE
    assert tries <= asked <= 30
