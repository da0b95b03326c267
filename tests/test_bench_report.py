"""What the bench shows while it runs: everything that counts, on the narrowest usual terminal too."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from agent.bench_report import Progress, progress_line
from agent.output import Screen

STATUS: dict[str, Any] = {
    "state": "recording",
    "media_s": 1234.5,
    "durable_bytes": 456_700_000,
    "frames_dropped": 0,
    "intake": {"fps": 30.0, "av_offset_mean_ms": -0.04},
    "upload": {"bytes_done": 123_400_000, "state": "idle"},
    "faults": {},
}
SHOWN = ["recording", "1234.5 s", "30.0 fps", "0 dropped", "A/V 0.0 ms", "durable 456.7", "uploaded 123.4 MB"]


@pytest.mark.parametrize("width", [None, 200, 79])
def test_all_figures_fit(width: int | None) -> None:
    line = progress_line(STATUS, width)
    assert [f for f in SHOWN if f.replace(" ", "") not in line.replace(" ", "")] == []
    assert len(line) <= (width or 200)


def test_a_fault_is_told_whole_once_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    progress = Progress(Screen(), quiet=False)
    fault = "the microphone gives no sound; " + "x" * 100
    for faults in ({"microphone": fault}, {"microphone": fault}, {}, {"microphone": fault}):
        progress.show({**STATUS, "faults": faults}, last=not faults)
    said = capsys.readouterr().out
    assert said.count(f"FAULT microphone: {fault}") == 2
    assert all(len(part) <= 79 or "FAULT" in part for line in said.split("\n") for part in line.split("\r"))


def test_without_a_terminal_a_line_holds_the_faults(capsys: pytest.CaptureFixture[str]) -> None:
    Progress(Screen(), quiet=False).show({**STATUS, "faults": {"disk": "full"}}, last=True)
    assert capsys.readouterr().out.endswith("FAULT disk: full\n")
