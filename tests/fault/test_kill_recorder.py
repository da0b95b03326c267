"""`kill -9` of the recorder in mid-recording at random instants, then a start: at most 1 s of media is lost, and
it says it was cut.

A killed process leaves its completed writes in the page cache: this tests the order of writes and the recovery,
not the disk's own cache.
"""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path

import pytest

from agent.cli import evidence_main
from agent.config import RecordingConfig
from agent.formats import leaf as leaves
from agent.formats.leaf import Kind
from agent.model import NS
from tests.camera_kit import Desk, all_leaves
from tests.recorder_kit import RecorderProcess, make_config

KILLS = 30 if os.environ.get("BODYCAM_CAMPAIGN") == "full" else 6
BOUND_NS = NS


@pytest.mark.campaign
def test_kill_minus_nine_loses_at_most_one_second(agency, tmp_path: Path) -> None:
    chance = random.Random(20_260)
    config = make_config(agency, tmp_path)
    config = replace(config, recording=RecordingConfig(pre_event_s=1, segment_s=5, record_at_boot=True))
    killed_at: list[int] = []
    for _ in range(KILLS):
        with RecorderProcess(config, tmp_path) as recorder:
            recorder.until(lambda s: s["parts"] >= 1)
            recorder.run_for(chance.uniform(0.1, 3.0))
            killed_at.append(recorder.kill())
    with RecorderProcess(replace(config, recording=RecordingConfig(pre_event_s=1)), tmp_path) as recorder:
        recorder.until(lambda s: s["state"] == "ready")
        assert recorder.stop() == 0
    desk = Desk(agency, config.spool.dir)
    desk.open()
    found = all_leaves(desk)
    assert [x.common.index for x in found] == list(range(len(found)))
    losses = losses_ns(found, killed_at)
    print(f"{len(losses)} kills, worst loss {max(losses) / 1e6:.0f} ms of media")
    assert len(losses) == KILLS
    assert max(losses) <= BOUND_NS
    assert evidence_main(["verify", str(config.spool.dir), "--trust", str(agency.trust_root)]) == 0


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
