"""What a sound card on a FIFO can be made to do wrong, through real PortAudio and ALSA and the intake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.model import AUDIO_HZ, NS
from tests.lab import alsa

HELD_S = 0.4
"""A FIFO has room for 0.68 s."""
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


def test_a_burst_costs_no_sample(tmp_path: Path) -> None:
    """It gives nothing for a while, and then all of that at once."""
    with alsa.microphone(tmp_path, alive_s=0.7, pause_s=HELD_S, keeps=True) as env:
        heard = alsa.run("listen.py", env, alsa.NAME, "105", str(tmp_path / "heard.raw"))
    assert heard["reached"] and heard["let_go"]
    block_ns, apart = alsa.BLOCK * NS // AUDIO_HZ, np.diff(heard["arrived"])
    held = int(np.argmax(apart))
    burst = apart[held + 1 : held + 11]
    assert apart[held] > HELD_S * NS / 2 and burst.sum() < 10 * block_ns / 4, "nothing, then many blocks in no time"
    sound = np.frombuffer((tmp_path / "heard.raw").read_bytes(), "<i2").astype(float)
    starts = np.flatnonzero((np.abs(sound) > 3000) & (np.arange(len(sound)) > 0))
    onsets = starts[np.flatnonzero(np.diff(starts, prepend=-AUDIO_HZ) > AUDIO_HZ // 4)]
    assert np.diff(onsets).tolist() == pytest.approx([AUDIO_HZ] * (len(onsets) - 1), abs=2) and len(onsets) >= 2
    assert (np.diff(heard["stamps"]) > 0).all()
