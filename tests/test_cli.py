"""What every command does with an error: its message, its next step, and a status that means only what it says."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import bench_result, cli
from agent.errors import EvidenceError, Exit
from tests.builders import agency, simple_camera

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def raising(error: BaseException) -> Callable[[], int]:
    def command() -> int:
        raise error

    return command


@pytest.mark.parametrize("error", [ValueError("a\nsurprise"), KeyError("media_s"), RecursionError(), AssertionError()])
def test_a_defect_of_ours_does_not_speak_about_the_evidence(
    error: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BODYCAM_TRACEBACK", raising=False)
    assert cli.guarded(raising(error)) == 70
    told = capsys.readouterr().err
    first, hint = told.splitlines()
    assert first.startswith("error: ")
    assert type(error).__name__ in first
    assert hint.startswith("  next: ")
    assert "BODYCAM_TRACEBACK=1" in hint


def test_the_traceback_comes_where_it_is_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BODYCAM_TRACEBACK", "1")
    assert cli.guarded(raising(ValueError("surprise"))) == 70
    told = capsys.readouterr().err
    assert told.startswith("Traceback (most recent call last)")
    assert "\nerror: ValueError: surprise" in told


def test_a_file_that_fails_is_named_without_its_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.guarded(raising(OSError(errno.ENOSPC, "No space left on device", "/spool/x"))) == 4
    assert capsys.readouterr().err.startswith("error: /spool/x: No space left on device\n  next: ")


def test_a_library_that_is_not_installed_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.guarded(raising(ModuleNotFoundError("No module named 'cv2'", name="cv2"))) == 2
    told = capsys.readouterr().err
    assert "'cv2' is not installed" in told
    assert "\n  next: " in told


def test_ctrl_c_while_the_interpreter_shuts_down_changes_no_status(tmp_path: Path) -> None:
    """SIGINT has its default action back by then, unless it is ignored; a finaliser of the module runs that late."""
    code = """
import os, signal, sys
from agent.cli import agent_main
class Last:
    def __del__(self, os=os, sig=signal.SIGINT):
        os.kill(os.getpid(), sig)
sys.modules["last"] = Last()
sys.argv = ["bodycam-agent", "config", "check", "/nowhere.toml"]
sys.exit(agent_main())
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == Exit.USAGE


def test_what_is_raised_on_purpose_keeps_its_status() -> None:
    assert cli.guarded(raising(EvidenceError("altered"))) == 1
    assert cli.guarded(raising(KeyboardInterrupt())) == 130


def test_whoever_reads_the_first_line_only_sees_no_noise_and_is_told_no_verdict() -> None:
    code = "import sys; from agent import cli; sys.exit(cli.guarded(lambda: print('x' * 100_000) or 0))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert (process.wait(30), process.stderr.read()) == (141, b"")


def statuses(text: str) -> set[int]:
    found = re.search(r"[Ee]xit status: (.*?141 nobody)", text, re.DOTALL)
    assert found is not None
    return {int(number) for number in re.findall(r"(?:^|;\s+)(\d+)\b", found[1])}


def test_readme_and_help_name_every_status(capsys: pytest.CaptureFixture[str]) -> None:
    everything = {int(status) for status in Exit}
    assert statuses(README) == everything
    for main in (cli.agent_main, cli.station_main):
        with pytest.raises(SystemExit):
            main(["--help"])
        assert statuses(capsys.readouterr().out) == everything
    with pytest.raises(SystemExit):
        cli.evidence_main(["--help"])
    assert statuses(capsys.readouterr().out) == {0, 1, 2, 4, 6, 70, 130, 141}


def helps(main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What each subcommand says of itself."""

    def told(*arguments: str) -> str:
        with pytest.raises(SystemExit):
            main([*arguments, "--help"])
        return capsys.readouterr().out

    return {name: told(name) for name in re.findall(r"^    ([a-z]+)\b", told(), re.MULTILINE)}


@pytest.mark.parametrize("main", [cli.agent_main, cli.station_main, cli.evidence_main])
def test_the_help_of_every_command_says_what_it_does_by_example_and_how_it_ends(
    main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    found = helps(main, capsys)
    assert len(found) >= 3
    for name, told in found.items():
        usage, description = told.split("\n\n")[:2]
        assert usage.startswith("usage: "), name
        assert not description.startswith(("options:", "positional arguments:")), (name, description)
        assert "\nexample" in told, name
        assert statuses(told) >= {0, 2, 70, 130, 141} - ({2} if main is cli.evidence_main else set()), name


@pytest.mark.parametrize(("status", "word"), [(0, "verifies"), (1, "DOES NOT VERIFY"), (70, "could not be verified")])
def test_only_a_verdict_is_told_as_one(status: int, word: str) -> None:
    assert bench_result.verdict_of(status) == word


def commands(tmp_path: Path) -> list[tuple[list[str], int, str]]:
    """(arguments, status, what must be said)."""
    (tmp_path / "text.mp4").write_text("no film\n" * 100)
    nope, here = str(tmp_path / "nope"), str(tmp_path)
    return [
        (["agent", "bench", "--duration", "abc"], 2, "'abc' is not a number of seconds"),
        (["agent", "bench", "--duration", "0.5"], 2, "1 to 86400"),
        (["agent", "config", "check", nope], 2, f"configuration {nope}: No such file or directory"),
        (["agent", "config", "check", here], 2, f"configuration {here}: Is a directory"),
        (["agent", "config", "check", "--json", nope], 2, nope),
        (["agent", "ctl", "status", "--config", nope], 2, nope),
        (["agent", "ctl", "mark", "x" * 1001, "--config", nope], 2, "the text has 1001 characters\n  next: a mark has"),
        (["agent", "ctl", "mark", "--tag", "ab", "x" * 1001, "--config", nope], 2, "the text has 1001 characters"),
        (["agent", "ctl", "mark", "--tag", "ab", "he drops", "the bag"], 2, "unrecognized arguments: the bag"),
        (["agent", "ctl", "stop", "now", "--config", nope], 2, "stop takes no text"),
        (["agent", "ctl", "stop", "--config", nope, "now"], 2, "stop takes no text"),
        (["agent", "bench", "--source", f"clip:{here}/text.mp4"], 3, "text.mp4 cannot be read: Invalid data"),
        (["agent", "bench", "--source", f"clip:{here}"], 3, "cannot be read: Is a directory"),
        (["agent", "bench", "--source", "synthetic", "--out", f"{here}/text.mp4/x"], 4, "text.mp4/x"),
        (["agent", "bench", "--source", "synthetic", "--out", f"{here}/{'x' * 120}"], 2, "too long"),
        (["agent", "bench", "--source", "synthetic", "--out", f"{here}/a\nb"], 2, "control character"),
        (["agent", "bench", "--source", "synthetic", "--out", os.fsdecode(os.fsencode(here) + b"/\xff")], 2, "UTF-8"),
        (["station", "serve", "--dir", nope], 6, nope),
        (["station", "enrol", "--dir", nope, "--camera", "a"], 6, nope),
        (["evidence", "verify", nope, "--trust", nope], 6, f"trust anchor {nope}: No such file or directory"),
        (["evidence", "decrypt", nope, "-i", nope, "-o", nope], 6, f"identity file {nope}: No such file or directory"),
    ]


def test_each_mistake_is_told_as_what_it_is(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    mains = {"agent": cli.agent_main, "station": cli.station_main, "evidence": cli.evidence_main}
    for (command, *arguments), status, words in commands(tmp_path):
        try:
            found = mains[command](arguments)
        except SystemExit as ended:
            found = int(str(ended.code))
        told = capfd.readouterr().err
        assert (found, words in told) == (status, True), (arguments, told)
        assert "Errno" not in told, (arguments, told)
        assert "Traceback" not in told, (arguments, told)
    assert [path.name for path in tmp_path.iterdir()] == ["text.mp4"]


def test_a_head_that_is_not_there_is_a_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    simple_camera().write(tmp_path / "seg")
    root, key = map(str, agency().write_trust(tmp_path))
    nope, out = str(tmp_path / "nope"), str(tmp_path / "out")
    for command in (["verify"], ["export", "-i", key, "-o", out]):
        arguments = [*command, str(tmp_path / "seg"), "--trust", root, "--head", nope]
        assert cli.evidence_main(arguments) == 2
        told = capsys.readouterr()
        assert f"error: --head {nope}: No such file or directory\n  next: " in told.err
        assert told.out == ""
    assert not (tmp_path / "out").exists()
