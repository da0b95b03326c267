"""What the bench shows while it runs: everything that counts, on the narrowest usual terminal too."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agent.bench_report import Progress, progress_line, summary
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


def test_without_a_terminal_a_fault_has_one_line_until_it_changes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """However many lines of progress are told meanwhile; and at once, not with the next of them."""
    monkeypatch.setattr("agent.bench_report.LINE_S", 0)
    progress = Progress(Screen(), quiet=False)
    for fault in ("full", "full", "full", "slow"):
        progress.show({**STATUS, "faults": {"disk": fault}})
    monkeypatch.setattr("agent.bench_report.LINE_S", 1e9)
    progress.show({**STATUS, "faults": {"disk": "slow", "camera": "gone"}})
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if "FAULT" in line] == ["FAULT disk: full", "FAULT disk: slow", "FAULT camera: gone"]
    assert len([line for line in said if line.startswith("recording")]) == 4


def test_without_sound_there_is_no_offset(capsys: pytest.CaptureFixture[str]) -> None:
    Progress(Screen(), quiet=False, sound=False).show(STATUS, last=True)
    assert "A/V" not in capsys.readouterr().out
    assert "A/V" not in summary(Path("/tmp/out"), "cam", {**RESULT, "av_offset_ms": None}, None)
    assert "A/V offset   mean 0.10 ms" in summary(Path("/tmp/out"), "cam", RESULT, None)


RESULT: dict[str, Any] = {
    "recordings": ["r0000000002-d621e702"],
    "seconds": {"video": 6.5, "audio": 6.5},
    "parts": 13,
    "frames": {"captured": 195, "encoded": 195, "dropped": 0, "recorded": 195},
    "av_offset_ms": {"mean": 0.1, "max": 0.2, "how": "beep against flash in the export, 6 times"},
    "bytes": {"durable": 2_000_000},
    "segments": 3,
    "upload": {"verdict": "delivered", "delivered": 3, "deleted": 3},
    "verification": {
        "verdict": "DOES NOT VERIFY",
        "findings": ["entry-missing, leaf 3: " + "words " * 40],
        "recordings": [
            {
                "recording": "r0000000002-d621e702",
                "begin": "2026-11-25T19:11:24.178+00:00 (clock unverified)",
                "end": "2026-11-25T19:11:28.616+00:00 (clock unverified)",
            }
        ],
    },
    "faults": {"reserve": "cannot reserve space for the log in /tmp/out/spool/log/reserve: there is less than 80 MiB"},
    "exports": ["/tmp/out/export/r0000000002-d621e702.mp4"],
    "check_with": [],
}


def test_a_summary_keeps_to_100_columns() -> None:
    told = summary(Path("/tmp/out"), "bench-cam", RESULT, ZoneInfo("Asia/Tokyo"))
    assert max(map(len, told.splitlines())) <= 100
    assert "from 2026-11-26 04:11:24.178 +09:00 (clock unverified)" in told
    assert " ".join(RESULT["verification"]["findings"][0].split()) in " ".join(told.split())
    assert "to check it yourself" not in told


def test_there_is_no_negative_zero_and_no_offset_of_sound_that_is_not_there() -> None:
    offset = {"mean": -0.003, "max": -0.004, "how": "placed"}
    told = summary(Path("/tmp/out"), "cam", {**RESULT, "av_offset_ms": offset}, None)
    assert "A/V offset   mean 0.00 ms, max 0.00 ms (placed)" in told
    nothing = {**RESULT, "av_offset_ms": offset, "seconds": {"video": 0.0, "audio": 0.0}}
    assert "A/V" not in summary(Path("/tmp/out"), "cam", nothing, None)


def test_the_last_line_is_not_told_twice(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(Screen(), quiet=False)
    progress.show(STATUS)
    progress.show(STATUS, last=True)
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_path_is_never_broken() -> None:
    long = Path("/tmp") / ("with a space " + "x" * 120)
    assert f"{'camera':<13}{long}/spool/" in summary(long, "cam", RESULT, None)
