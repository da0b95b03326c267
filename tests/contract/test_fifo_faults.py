"""What a sound card on a FIFO can be made to do wrong, through real PortAudio and ALSA and the intake."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.model import AUDIO_HZ
from tests.lab import alsa

PACE = 0.5
"""Times as much sound in a second as it says."""


def test_at_the_wrong_rate_it_stays_in_step_and_says_so(tmp_path: Path) -> None:
    """What it does not give is silence; as long as the picture is the sound, whatever came."""
    with alsa.microphone(tmp_path, alive_s=60, pace=PACE) as env:
        told = alsa.run("record.py", env, alsa.NAME, "1.5", str(tmp_path / "out.mp4"))
    assert told["reached"] and told["complete"] and told["let_go"]
    *_, last = told["parts"]
    sound_s = sum(part[3] for part in told["parts"]) / AUDIO_HZ
    assert sound_s == pytest.approx(last[1] + last[2], abs=0.25)
    assert told["counters"]["silence_ms"] == pytest.approx(1_000 * sound_s * (1 - PACE), rel=0.5)
    assert "gaps filled with silence" in told["events"][-1][2]
