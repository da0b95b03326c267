"""What `ctl` prints for people: words and units, no JSON, no negative zero, and everything that `--json` holds."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent import cli
from agent.readable import lines
from agent.station.layout import AgencyPaths
from tests.recorder_kit import RecorderProcess, make_config

ANSWER: dict[str, Any] = {
    "state": "recording",
    "recording": None,
    "recordings": ["r1", "r2"],
    "docked": False,
    "faults": {"storage": "the disk stalls"},
    "media_s": 12.5,
    "durable_bytes": 1_920_000,
    "intake": {"fps": 29.998, "av_offset_mean_ms": -0.0004, "sound_drift_ppm": 12.34, "ring_bytes": 2_000_000},
    "a name that is longer than its column": 7,
    "segments": {"open": 1},
    "upload": {},
    "mono_ns": 5,
}


def test_an_answer_reads_as_words_with_units() -> None:
    assert list(lines(ANSWER)) == [
        "state                 recording",
        "recording             none",
        "recordings            r1, r2",
        "docked                no",
        "faults",
        "  storage             the disk stalls",
        "media                 12.5 s",
        "durable               1.9 MB",
        "intake",
        "  fps                 30",
        "  A/V offset mean     0 ms",
        "  sound drift         12.34 ppm",
        "  ring                2.0 MB",
        "a name that is longer than its column 7",
        "segments",
        "  open                1",
        "upload                none",
    ]


def test_the_status_of_a_real_recorder_is_told_without_json(
    agency: AgencyPaths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = make_config(agency, tmp_path)
    config = replace(config, camera=replace(config.camera, language="ar"))
    with RecorderProcess(config, tmp_path) as recorder:
        recorder.until(lambda s: s["state"] == s["officer"]["state"] == "ready")
        assert cli.agent_main(["ctl", "status", "--config", str(tmp_path / "agent.toml")]) == 0
        assert recorder.stop() == 0
    told = capsys.readouterr().out
    assert told.startswith("جاهزة: ضغطة واحدة تبدأ التسجيل\n"), (
        "the officer's lines come first, in the camera's language"
    )
    assert "state                 ready" in told
    assert "faults                none" in told
    assert not set('{}[]"') & set(told)
    assert not re.search(r"-0(\.0*)?( |$)", told, re.MULTILINE)
    assert all(len(line) <= 100 for line in told.splitlines())
