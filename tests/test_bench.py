"""The whole product in one command, as a person runs it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import wave
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path
from statistics import mean
from subprocess import PIPE
from typing import Any

import av
import pytest

from agent.bench_measure import flash_to_beep_ms
from agent.cli import evidence_main
from tests.film import film
from tests.test_clip_evidence import shift_sound

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


def test_the_frames_it_tells_are_those_of_the_recording(synthetic: Path) -> None:
    """From the first picture before the press to the stop; not what else the camera saw in its life."""
    (mp4,) = (synthetic / "export").glob("*.mp4")
    with av.open(str(mp4)) as container:
        shown = sum(1 for _ in container.decode(video=0))
    assert result(synthetic)["frames"] == {
        "captured": shown,
        "encoded": shown,
        "left_out": 0,
        "dropped": 0,
        "recorded": shown,
    }
    assert f"frames       {shown} captured, " in (synthetic.parent / "printed").read_text()


def test_the_offset_it_tells_is_what_the_export_shows(synthetic: Path, tmp_path: Path) -> None:
    """Measured by decoding: the same packets with the sound moved by 40 ms give another figure, by 40 ms."""
    told = result(synthetic)["av_offset_ms"]
    assert told["how"].startswith("beep against flash in the export, ")
    assert abs(told["mean"]) <= abs(told["max"]) < 20
    (mp4,) = (synthetic / "export").glob("*.mp4")
    true = flash_to_beep_ms(mp4)
    assert len(true) >= 5
    for planted_ms in (40, -40):
        shift_sound(mp4, tmp_path / "moved.mp4", Fraction(planted_ms, 1000))
        moved = flash_to_beep_ms(tmp_path / "moved.mp4")
        assert len(moved) >= 5
        assert abs(mean(moved) - mean(true) - planted_ms) < 1


def test_what_has_neither_flash_nor_beep_has_no_such_figure(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no film")
    assert flash_to_beep_ms(tmp_path / "a.mp4") == []
    init, parts = film()
    (tmp_path / "b.mp4").write_bytes(init + b"".join(p.data for p in parts))
    assert flash_to_beep_ms(tmp_path / "b.mp4") == []


# What lies in the open in an MP4 or an event: boxes with what always follows their names, so that no ciphertext has
# them by chance, and the words of bodies.
IN_THE_CLEAR = re.compile(
    rb"ftyp(isom|iso[456]|mp4[12])|moov....mvhd|moof....mfhd|avc1\0{6}|mp4a\0{6}"
    rb"|record\.(start|stop)|heartbeat|pre_event_ns",
    re.DOTALL,
)


def lies_in_the_clear(folder: Path, media: list[bytes]) -> list[tuple[str, bytes]]:
    """(file, what was found) below `folder`: boxes, words, or a piece of the media themselves."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "progress.json":
            data = path.read_bytes()
            found += [(path.name, match[0]) for match in IN_THE_CLEAR.finditer(data)]
            found += [(path.name, piece) for piece in media if piece in data]
    return found


def opened(out: Path, into: Path) -> list[bytes]:
    """Every part in the clear, opened with the agency's key."""
    segments = sorted((out / "station" / "segments").rglob("*.tar"))
    key = ["-i", str(out / "keys" / "agency.agekey")]
    assert evidence_main(["decrypt", *map(str, segments), *key, "-o", str(into)]) == 0
    return [path.read_bytes() for path in sorted(into.rglob("*")) if path.is_file()]


def test_nothing_of_it_lies_in_the_clear(synthetic: Path, tmp_path: Path) -> None:
    """Not a box, not a word of an event, not 32 bytes from the middle of any part, in what camera and station store."""
    plain = opened(synthetic, tmp_path / "opened")
    middles = [data[len(data) // 2 :][:32] for data in plain if len(data) > 1000]
    assert len(middles) >= 12
    for folder in ("spool", "station"):
        assert lies_in_the_clear(synthetic / folder, middles) == []


def test_what_lies_in_the_clear_is_found(synthetic: Path, tmp_path: Path) -> None:
    """The search itself: each opened part, init and event, put between other bytes, is seen."""
    plain = opened(synthetic, tmp_path / "opened")
    middles = [data[len(data) // 2 :][:32] for data in plain if len(data) > 1000]
    kinds = set()
    for data in plain:
        (tmp_path / "spool").mkdir(exist_ok=True)
        (tmp_path / "spool" / "leak").write_bytes(os.urandom(100) + data + os.urandom(100))
        found = lies_in_the_clear(tmp_path / "spool", middles)
        kinds |= {what[:4] for _, what in found}
        if len(data) > 1000:
            assert found
    assert {b"ftyp", b"moov", b"moof", b"avc1", b"reco"} <= kinds


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


@pytest.mark.wide
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
    assert processes_naming(tmp_path) == {}


def processes_naming(path: Path) -> dict[int, str]:
    """Command lines that hold this path, by process (proc(5))."""
    found = {}
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            found |= {int(process.parent.name): words} if str(path) in words else {}
    return found


@contextlib.contextmanager
def recording_bench(out: Path) -> Iterator[subprocess.Popen[str]]:
    """One that has begun to record, for ten minutes if nobody stops it."""
    command = [sys.executable, "-m", "agent", "bench", "--source", "synthetic", "--duration", "600", "--out", str(out)]
    with subprocess.Popen(command, cwd=ROOT, stdout=PIPE, stderr=PIPE, text=True) as process:
        assert process.stdout is not None
        assert any(line.startswith("recording") for line in process.stdout)
        yield process


def kill_its(out: Path, name: str) -> None:
    (pid,) = [pid for pid, words in processes_naming(out).items() if f" {name} " in words and "bench" not in words]
    os.kill(pid, signal.SIGKILL)


def test_a_recorder_that_is_killed_is_named_with_how_to_recover_what_it_has(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with recording_bench(out) as process:
        kill_its(out, "recorder")
        printed, told = process.communicate(timeout=60)
        assert process.returncode == 3, printed + told
    error, _, step = told.partition("\n  next: ")
    assert error.startswith("error: the recorder was ended by SIGKILL")
    assert f"`bodycam-agent recorder --config {out}/config/agent.toml` seals what is durable" in step
    assert f"{out}/spool/open" in step
    assert list((out / "spool" / "open").iterdir())
    assert result(out)["error"] in told
    assert "to check it yourself" not in printed


def test_when_nobody_reads_any_more_the_work_is_finished(tmp_path: Path) -> None:
    """As Ctrl-C with `| tee`: the reader is gone as well."""
    out = tmp_path / "out"
    with recording_bench(out) as process:
        process.stdout.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(90) == 141
        assert process.stderr.read() == ""
    told = result(out)
    assert told["exit_status"] == 0
    assert told["interrupted"]
    assert_whole(out, told)


def test_a_station_that_is_killed_is_named_on_standard_error_with_the_next_step(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with recording_bench(out) as process:
        kill_its(out, "serve")
        process.send_signal(signal.SIGINT)
        printed, told = process.communicate(timeout=90)
        assert process.returncode == 5, printed + told
    error, _, step = told.partition("\n  next: ")
    assert error.startswith("error: the station was ended by SIGKILL")
    assert "everything is kept in spool/sealed" in step
    assert list((out / "spool" / "sealed").iterdir())
    assert "error" not in printed
    assert "to check it yourself" not in printed
