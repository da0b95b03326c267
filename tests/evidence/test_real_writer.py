"""What the recorder's own writer leaves, through crashes and rotation, as the verifier sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.evidence.decrypt import decrypt
from agent.evidence.findings import What
from agent.evidence.sources import collect
from agent.formats import leaf as leaves
from agent.model import NS
from tests.camera_kit import Desk, begin, failing, report


@pytest.fixture
def desk(desk: Desk) -> Desk:
    """Its session opened, as the recorder does first of all."""
    return begin(desk)


def test_rotation_and_stop(desk: Desk) -> None:
    recording = desk.record(130)
    desk.sealer.stop_recording(recording, {"type": "record.stop"})
    desk.sealer.event(leaves.Kind.SHUTDOWN, {"type": "shutdown"})
    desk.sealer.seal_open()
    found = report(desk)
    assert failing(found) == []
    (log,) = found.logs
    state = log.watch.recordings[recording]
    assert (state.parts, state.ended, state.duration_s) == (130, "stop", 65.0)
    assert sum(r.recording == recording for r in log.results) == 2


@pytest.mark.parametrize("torn", [0, 1, 700, 2500, 5000])
def test_a_power_cut_before_and_after_recovery(torn: int, desk: Desk) -> None:
    recording = desk.record(7)
    desk.sealer.close()
    (path,) = desk.spool.open_dir.glob("*.tar")
    data = path.read_bytes()
    whole = len(data.rstrip(b"\0"))
    path.write_bytes(data[: whole - torn] + bytes(4096))
    before = report(desk)
    assert failing(before) == []
    assert What.OPEN_SEGMENT in {f.what for f in before.findings}
    parts = before.logs[0].watch.recordings[recording].parts

    again = Desk(desk.agency, desk.root, clock=desk.clock).open()
    (cut,) = again.outcome.recovered
    assert cut.cut_recording == recording
    begin(again)
    again.sealer.seal_open()
    after = report(again)
    assert failing(after) == []
    assert {What.INTERRUPTED, What.RECOVERED} <= {f.what for f in after.findings}
    assert after.logs[0].watch.recordings[recording].parts == parts == cut.parts


def test_its_parts_open(desk: Desk, tmp_path: Path) -> None:
    recording = desk.record(3)
    desk.sealer.stop_recording(recording, {"type": "record.stop"})
    done = decrypt(collect([desk.spool.sealed_dir]).segments, [desk.identity()], tmp_path / "out")
    assert done.failures == []
    assert len(list((tmp_path / "out").rglob("*.m4s"))) == 3


def test_a_late_part_of_a_stalled_disk_is_a_gap_in_time_and_no_failure(desk: Desk) -> None:
    recording = desk.record(2)
    desk.add(9)
    desk.sealer.stop_recording(recording, {"type": "record.stop"})
    found = report(desk, desk.spool.sealed_dir)
    assert failing(found) == []
    gap = next(f for f in found.findings if f.what is What.MEDIA_GAP)
    assert "3.500 s" in gap.text
    assert desk.clock.now_ns > NS
