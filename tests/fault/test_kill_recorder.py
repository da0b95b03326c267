"""`kill -9` of the recorder in mid-recording at random instants, then a start: at most 1 s of media is lost, and
it says it was cut.

A killed process leaves its completed writes in the page cache: this tests the order of writes and the recovery,
not the disk's own cache.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from agent.cli import evidence_main
from agent.config import RecordingConfig
from agent.formats import leaf as leaves
from agent.formats.leaf import Kind
from agent.model import NS
from tests import campaigns
from tests.camera_kit import CAMERA, Desk, all_leaves, make_agency
from tests.ports import free_port
from tests.recorder_kit import RecorderProcess, StationProcess, make_config

KILLS = campaigns.size(sample=4, full=30)
BOUND_NS = NS


@pytest.mark.campaign
def test_kill_minus_nine_loses_at_most_one_second(tmp_path: Path) -> None:
    campaign = campaigns.Campaign("kill-recorder")
    chance = random.Random(20_260)
    own, port = make_agency(tmp_path / "agency"), free_port()
    config = make_config(own, tmp_path, f"https://127.0.0.1:{port}")
    config = replace(config, recording=RecordingConfig(pre_event_s=1, segment_s=5, record_at_boot=True))
    killed_at: list[int] = []
    for _ in range(KILLS):
        with RecorderProcess(config, tmp_path) as recorder:
            recorder.until(lambda s: s["parts"] >= 1)
            recorder.run_for(chance.uniform(0.1, 3.0))
            killed_at.append(recorder.kill())
    at_rest = replace(config, recording=RecordingConfig(pre_event_s=1))
    with (
        StationProcess(own, port),
        RecorderProcess(at_rest, tmp_path) as recorder,
        RecorderProcess(at_rest, tmp_path, "uploader"),
    ):
        recorder.until(lambda s: s["state"] == "ready")
        recorder.ask("dock")
        recorder.until(lambda s: s["segments"]["sealed"] == 0, 90)
        assert recorder.stop() == 0
    held = own.root / "station" / "segments" / CAMERA
    # So many segments may take more than one visit: the newest receipt covers the longest log.
    receipt = max((own.root / "station" / "receipts").rglob("*.receipt"), key=lambda path: path.stat().st_mtime_ns)
    trust = ["--trust", str(own.trust_root), "--head", str(receipt)]
    assert evidence_main(["verify", str(held), *trust]) == 0
    desk = Desk(own, config.spool.dir).open()
    found = all_leaves(desk)
    assert [x.common.index for x in found] == list(range(len(found)))
    losses = losses_ns(found, killed_at)
    assert len(losses) == KILLS
    assert max(losses) <= BOUND_NS
    milliseconds = sorted(round(loss / 1e6) for loss in losses)
    campaign.finish(kills=KILLS, worst_loss_ms=milliseconds[-1], median_loss_ms=milliseconds[len(losses) // 2])


def losses_ns(found: list[leaves.Leaf], killed_at: list[int]) -> list[int]:
    """For each kill, how long before it the last durable media of the recording that was cut ends."""
    cuts = [x for x in found if isinstance(x, leaves.EventLeaf) and x.kind is Kind.RECOVERY and x.recording]
    losses = []
    for cut in cuts:
        media = [x for x in found if isinstance(x, leaves.MediaLeaf) and x.recording == cut.recording]
        assert len(media) == cut.facts["parts"]
        end = max(m.zero_mono_ns + m.start_ns + m.duration_ns for m in media)
        after = min(at for at in killed_at if at > media[0].zero_mono_ns + media[0].start_ns)
        losses.append(after - end)
    return losses
