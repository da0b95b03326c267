"""The whole product in one command, as a person runs it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import wave
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


def bench(*arguments: str, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agent", "bench", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )


def result(out: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((out / "result.json").read_text())
    return value


def assert_whole(out: Path, told: dict[str, Any]) -> None:
    """What a run that went well leaves behind, as the interface promises it."""
    assert told["verification"]["verdict"] == "verifies", told["verification"]
    assert told["upload"]["verdict"] == "delivered"
    assert told["upload"]["deleted"] == told["upload"]["delivered"] == told["segments"] > 1
    assert told["frames"]["dropped"] == 0
    for name in ("config/agent.toml", "trust/root.pem", "keys/agency.agekey", "spool/sealed", "station/receipts"):
        assert (out / name).exists(), name
    assert [Path(p).name for p in told["exports"]] == [f"{r}.mp4" for r in told["recordings"]]


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its directory has a name that a shell must be told apart: what is printed has to work as it stands."""
    out = tmp_path_factory.mktemp("bench") / "the bench's $HOME"
    done = bench("--source", "synthetic", "--duration", "6", "--out", str(out), "--tz", "Asia/Tokyo")
    assert done.returncode == 0, done.stdout + done.stderr
    (out.parent / "printed").write_text(done.stdout)
    return out


def test_the_twin_from_lens_to_verified_evidence(synthetic: Path) -> None:
    told = result(synthetic)
    assert_whole(synthetic, told)
    assert told["seconds"]["video"] >= 6
    assert abs(told["av_offset_ms"]["max"]) < 20


def test_nothing_of_it_lies_in_the_clear(synthetic: Path) -> None:
    """No MP4 box, no codec name, no event word in anything the camera or the station stored."""
    for folder in ("spool", "station"):
        for path in (synthetic / folder).rglob("*"):
            if path.is_file() and path.name != "progress.json":
                data = path.read_bytes()
                for word in (b"moof", b"mdat", b"avc1", b"record.start", b"bench agency:"):
                    assert word not in data, (path, word)


def test_the_camera_holds_no_key_that_opens_its_recordings(synthetic: Path) -> None:
    for folder in ("spool", "camera", "config", "station"):
        for path in (synthetic / folder).rglob("*"):
            assert not path.is_file() or b"AGE-SECRET-KEY" not in path.read_bytes(), path


def test_stock_tools_alone_agree(synthetic: Path) -> None:
    segments = sorted(str(p) for p in (synthetic / "station" / "segments").rglob("*.tar"))
    script = [str(ROOT / "docs" / "verify.sh"), *segments]
    keys = ["--trust", str(synthetic / "trust" / "root.pem"), "--key", str(synthetic / "keys" / "agency.agekey")]
    done = subprocess.run([*script, *keys], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_command_it_prints_works_as_it_stands(synthetic: Path, tmp_path: Path) -> None:
    """From another directory, as somebody pastes it."""
    printed = (synthetic.parent / "printed").read_text().partition("to check it yourself:\n")[2]
    commands = [line.strip() for line in printed.splitlines() if line.strip()]
    assert commands == result(synthetic)["check_with"]
    for command in commands:
        done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    for tool in ("verify.sh", "bodycam-evidence", "tar", "age", "ffprobe"):
        assert any(tool in command for command in commands), tool
    assert list(tmp_path.iterdir()) == []


def test_times_are_shown_in_the_zone_asked_for_and_kept_in_utc(synthetic: Path) -> None:
    (times,) = result(synthetic)["verification"]["recordings"]
    begin = datetime.fromisoformat(times["begin"].partition(" (")[0])
    assert begin.utcoffset() == timedelta(0)
    local = begin.astimezone(timezone(timedelta(hours=9))).isoformat(sep=" ", timespec="milliseconds")
    assert f" from {local.replace('+09:00', ' +09:00')}" in (synthetic.parent / "printed").read_text()
    assert 'timezone = "Asia/Tokyo"' in (synthetic / "config" / "agent.toml").read_text()


def test_the_proof_holds_the_receipt_that_covers_it(synthetic: Path) -> None:
    (proof,) = (synthetic / "export").glob("*.proof.tar")
    names = subprocess.run(["tar", "-tf", proof], capture_output=True, check=True, text=True).stdout.split()
    newest = max((synthetic / "station" / "receipts").rglob("*.receipt"), key=lambda p: p.stat().st_mtime_ns)
    assert f"receipts/{newest.name}" in names


def test_what_is_left_on_the_camera_verifies_too(synthetic: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-c", "import sys; from agent.cli import evidence_main; sys.exit(evidence_main())"),
            *("verify", str(synthetic / "spool"), "--trust", str(synthetic / "trust" / "root.pem"), "--json"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_it_ran_with_is_valid(synthetic: Path) -> None:
    command = [sys.executable, "-m", "agent", "config", "check", str(synthetic / "config" / "agent.toml")]
    assert subprocess.run(command, cwd=ROOT).returncode == 0


def test_ctrl_c_seals_and_uploads_what_was_recorded(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "agent", "bench", "--source", "synthetic", "--duration", "600", "--out", str(out)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("recording") and " 2." in line:
                process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0, "".join(lines)
    told = result(out)
    assert told["interrupted"] is True
    assert_whole(out, told)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--source", "webcam:7"), 3, "webcam"),
        (("--source", "synthetic", "--mic", "no such microphone"), 3, "no such microphone"),
        (("--source", "clip:/nonexistent.mp4"), 3, "/nonexistent.mp4"),
        (("--source", "nonsense"), 2, "nonsense"),
        (("--mic", "clip", "--source", "synthetic"), 2, "clip"),
        (("--duration", "0"), 2, "duration"),
        (("--source", "synthetic", "--tz", "Asia/Tokio"), 2, "did you mean Asia/Tokyo?"),
    ],
)
def test_bad_input_is_named_with_the_documented_status(
    tmp_path: Path, arguments: tuple[str, ...], status: int, words: str
) -> None:
    done = bench(*arguments, "--out", str(tmp_path / "out"))
    assert (done.returncode, words in done.stderr) == (status, True), done.stderr
    assert "Traceback" not in done.stderr


def test_an_unreadable_clip_and_one_without_picture_are_named(tmp_path: Path) -> None:
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(os.urandom(10_000))
    sound = tmp_path / "sound.wav"
    with wave.open(str(sound), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(bytes(96_000))
    for path in (noise, sound):
        done = bench("--source", f"clip:{path}", "--out", str(tmp_path / "out"))
        assert done.returncode == 3, done.stderr
        assert path.name in done.stderr
        assert "Traceback" not in done.stderr


def test_it_will_not_mix_with_what_is_there(synthetic: Path) -> None:
    done = bench("--source", "synthetic", "--out", str(synthetic))
    assert done.returncode == 2
    assert "not empty" in done.stderr


def test_a_second_ctrl_c_ends_at_once_and_leaves_no_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "agent", "bench", "--source", "synthetic", "--duration", "600"]
    command += ["--out", str(tmp_path / "out")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        assert any(line.startswith("recording") for line in process.stdout)
        while process.poll() is None:
            # An impatient hand: signals sent at once would count as one.
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.3)
        assert process.returncode in (0, 130)
    assert processes_naming(tmp_path) == []


def processes_naming(path: Path) -> list[str]:
    """Command lines that hold this path (proc(5))."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            found += [words] if str(path) in words else []
    return found
