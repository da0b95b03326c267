"""What a sound card on a FIFO can be made to do wrong, through real PortAudio and ALSA and the intake."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import alsa

PACE = 1.5
"""Times as much sound in a second as it says; PortAudio scripted gives half."""


def test_at_the_wrong_rate_it_stays_in_step_and_says_so(tmp_path: Path) -> None:
    with alsa.microphone(tmp_path, alive_s=60, pace=PACE) as env:
        told = alsa.run("record.py", env, alsa.NAME, "1.5", str(tmp_path / "out.mp4"))
    assert told["reached"] and told["complete"] and told["let_go"]
    said = " ".join(detail for _, _, detail in told["events"])
    assert "jumps to stay in step" in said or "overlaps left out" in said
    # As long as the picture, whatever came.
    *_, last = told["parts"]
    pictures_s, sound_s = last[1] + last[2], sum(part[3] for part in told["parts"]) / 48_000
    assert sound_s == pytest.approx(pictures_s, abs=0.25)
