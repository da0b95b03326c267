"""`bodycam-evidence` as people and scripts meet it: options, words, exit statuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent.evidence.commands import main
from agent.evidence.meter import Meter
from tests.builders import Camera, agency, make_agency, simple_camera
from tests.film import film_camera


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """DIR/seg with a camera's segments, DIR/root.pem, DIR/agency.agekey."""
    simple_camera().write(tmp_path / "seg")
    agency().write_trust(tmp_path)
    return tmp_path


def verify(place: Path, *more: str) -> int:
    return main(["verify", str(place / "seg"), "--trust", str(place / "root.pem"), "--tz", "UTC", *more])


def spoil(place: Path) -> Path:
    path = sorted((place / "seg").glob("r*.tar"))[0]
    data = bytearray(path.read_bytes())
    data[-4000] ^= 1
    path.write_bytes(data)
    return path


def test_verified_is_0_and_said(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(place) == 0
    out = capsys.readouterr().out
    assert "\nverified" in out
    assert "6 parts (0 to 5), 3.000 s, 2 segments" in out
    assert "does not prove" in out
    assert "+00:00" in out


def test_a_finding_is_1_and_one_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = spoil(place)
    assert verify(place) == 1
    lines = [x for x in capsys.readouterr().out.splitlines() if x.startswith("FAIL")]
    assert len(lines) == 1
    assert path.stem in lines[0]
    for word in ("part ", "leaf ", "byte ", "2026-03-01 08:00:0", "+00:00", "proven"):
        assert word in lines[0]


def test_json(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(place, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verified"] is True
    assert told["recordings"][0]["parts"] == 6
    spoil(place)
    assert verify(place, "--json") == 1
    told = json.loads(capsys.readouterr().out)
    failures = [f for f in told["findings"] if f["fails"]]
    assert [f["what"] for f in failures] == ["altered-bytes"]
    assert failures[0]["segment"].startswith("r")


@pytest.mark.parametrize("command", [[], ["verify"], ["decrypt"], ["export"]])
def test_help_has_an_example_and_the_statuses(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "example" in out
    assert "exit status" in out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["verify"],
        ["verify", "x"],
        ["rewrite"],
        ["verify", "x", "--trust"],
        ["decrypt", "x", "-o", "y"],
        ["--nonsense"],
    ],
)
def test_usage_is_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_statuses_of_what_cannot_begin(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, seg, key = str(place / "root.pem"), str(place / "seg"), str(place / "agency.agekey")
    (place / "empty").mkdir()
    out = str(place / "out")
    for status, arguments in (
        (2, ["verify", str(place / "nothing"), "--trust", root]),
        (2, ["verify", str(place / "empty"), "--trust", root]),
        (2, ["verify", seg, "--trust", root, "--head", str(place)]),
        (2, ["verify", seg, "--trust", root, "--head", str(place / "nothing")]),
        (6, ["verify", seg, "--trust", str(place / "nothing.pem")]),
        (6, ["verify", seg, "--trust", key]),
        (6, ["export", seg, "--trust", root, "-i", root, "-o", out]),
        (6, ["decrypt", f"{seg}/../nothing.agekey", "-i", str(place / "nothing.agekey"), "-o", out]),
        (2, ["export", seg, "--trust", root, "-i", key, "-o", out, "--from", "noon"]),
        (2, ["export", seg, "--trust", root, "-i", key, "-o", out, "--recording", "r0000000000-00000000"]),
    ):
        assert main(arguments) == status, arguments
        told = capsys.readouterr().err
        assert told.startswith("error: ")
        assert "\n  next: " in told, arguments


def test_a_certificate_that_is_no_root_is_6(place: Path) -> None:
    camera = Camera(agency()).new_session()
    (place / "chain.pem").write_bytes(camera.chain)
    assert main(["verify", str(place / "seg"), "--trust", str(place / "chain.pem")]) == 6


def test_accounts_tell_what_is_public_without_a_key_and_the_rest_with_it(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(place, "--accounts") == 0
    out = capsys.readouterr().out
    for words in (
        "recording r0000000001-",
        "the reason is sealed (proven)",
        "2026-03-01 08:00:10.500 +00:00        1.000 s  on: what it did is sealed",
        "1.500 s  on r0000000001-",
        "no media of it is here, and its end is sealed",
        "in all 12.500 s: starting 5.500 s, sleeping 1.000 s, on 3.000 s, recording 3.000 s",
        "every second is accounted for",
        "7 events were not opened",
    ):
        assert words in out
    assert verify(place, "--accounts", "-i", str(place / "agency.agekey")) == 0
    out = capsys.readouterr().out
    assert ": test (proven)" in out
    assert "1.500 s  unaccounted r0000000001-" in out, "its stop comes so long after its last part"
    assert "sealed" not in out.split("accounts of")[1]


def test_accounts_in_json_and_what_is_missing_as_a_note(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(place, "--json") == 0
    assert "accounts" not in json.loads(capsys.readouterr().out)
    sorted((place / "seg").glob("r*-0001.tar"))[0].unlink()
    assert verify(place, "--json", "--accounts", "-i", str(place / "agency.agekey")) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["accounts"][0]["camera"] == "bodycam.local/cam-0001"
    (boot,) = told["accounts"][0]["boots"]
    (gap,) = [a for a in boot["accounts"] if a["state"] == "unaccounted"]
    (found,) = [f for f in told["findings"] if f["what"] == "unaccounted"]
    assert not found["fails"]
    assert "leaves 6 to 10 are not here" in found["text"]
    assert (found["when"], found["sure"]) == (gap["when"], "proven")
    assert [a["begin_s"] for a in boot["accounts"]] == [0.0, *(a["end_s"] for a in boot["accounts"][:-1])]
    assert boot["accounts"][-1]["end_s"] == boot["end_s"]


def test_accounts_with_a_key_that_opens_nothing_are_6(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "other").mkdir()
    make_agency("another").write_trust(place / "other")
    assert verify(place, "--accounts", "-i", str(place / "other" / "agency.agekey")) == 6
    assert capsys.readouterr().err.startswith("error: ")


def test_another_agencys_root_is_1(place: Path) -> None:
    make_agency("another").write_trust(place)
    assert verify(place) == 1


def test_decrypt_and_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = film_camera().write(tmp_path / "seg")
    root, key = map(str, agency().write_trust(tmp_path))
    out = str(tmp_path / "out")
    assert main(["decrypt", *map(str, paths), "-i", key, "-o", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["failures"] == []
    assert main(["export", str(tmp_path / "seg"), "-i", key, "--trust", root, "-o", out, "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["exports"]
    assert Path(told["mp4"]).is_file()
    spoil(tmp_path)
    assert main(["decrypt", *map(str, paths), "-i", key, "-o", out]) == 1
    assert main(["export", str(tmp_path / "seg"), "-i", key, "--trust", root, "-o", str(tmp_path / "2")]) == 1
    assert not list((tmp_path / "2").glob("*.mp4"))
    more = ["--even-if-damaged"]
    assert main(["export", str(tmp_path / "seg"), "-i", key, "--trust", root, "-o", str(tmp_path / "2"), *more]) == 1
    assert "FAIL gap" in capsys.readouterr().out
    assert list((tmp_path / "2").glob("*.mp4"))


def test_a_directory_that_cannot_be_written_is_4(place: Path) -> None:
    blocked = place / "file"
    blocked.write_text("")
    arguments = ["decrypt", *map(str, (place / "seg").glob("*.tar")), "-i", str(place / "agency.agekey")]
    assert main([*arguments, "-o", str(blocked / "out")]) == 4


def test_ctrl_c_is_130(place: Path) -> None:
    """The process says when it reads; then it is interrupted as a terminal does it."""
    code = f"""
import signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job begins with it ignored
from agent.evidence import verify, commands
def slow(*a, **k):
    print("reading", flush=True)
    while True:
        threading.Event().wait(0.01)  # a signal that comes just before one long wait would not end it
verify.verify = slow
sys.exit(commands.main(["verify", {str(place / "seg")!r}, "--trust", {str(place / "root.pem")!r}]))
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "reading\n"
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "interrupted\n")


def test_a_meter_is_silent_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with Meter("verifying", 10) as meter:
        for _ in range(1000):
            meter.add("name", 1)
    assert capsys.readouterr().err == ""


def test_a_meter_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = iter(range(100))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("agent.evidence.meter.time.monotonic", lambda: float(next(now)))
    with Meter("verifying", 200) as meter:
        meter.add("r0000000001-446fcec2-0000.tar", 50)
    assert "25 %" in capsys.readouterr().err
