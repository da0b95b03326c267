"""A board without a clock of its own starts at a date that looks right and is not: it records at once, and no date is
shown anywhere as if it were one.
"""

from __future__ import annotations

import re
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import bench, cli, config
from agent.clock import SystemClock, Utc
from agent.evidence.commands import main as evidence
from agent.localtime import not_set
from agent.model import NS
from agent.recorder import Recorder
from agent.station.layout import AgencyPaths
from tests.camera_kit import FakeClock
from tests.recorder_kit import make_config

STALE_NS = 1_709_300_000 * NS
"""2024-03-01: what the last shutdown, or the image, left behind."""
DATE = re.compile(r"2024-03-0\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?( ?[+-]\d\d:\d\d)?")
DOUBT = (" (clock unverified)", "?")


class UnsetClock(SystemClock):
    """The kernel's, but for the date."""

    def utc(self) -> Utc:
        return Utc(STALE_NS + self.boottime_ns() % NS, "unverified", None)


@pytest.fixture
def recorded(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Path]:
    """A shift of a few seconds, with everything that it shows; `ctl` is answered while it runs."""
    monkeypatch.setattr("agent.clock.SystemClock", UnsetClock)
    settings = make_config(agency, tmp_path)
    file = tmp_path / "agent.toml"
    file.write_text(config.dump(settings), "utf-8")
    recorder = Recorder(settings, UnsetClock())
    recorder.start()
    thread = threading.Thread(target=recorder.run)
    thread.start()
    try:
        assert cli.agent_main(["ctl", "record", "--config", str(file)]) == 0
        end = time.monotonic() + 30
        while recorder.status()["parts"] < 5:
            assert time.monotonic() < end
            time.sleep(0.05)
        assert cli.agent_main(["ctl", "status", "--config", str(file)]) == 0
        assert cli.agent_main(["ctl", "stop", "--config", str(file)]) == 0
    finally:
        recorder.stop()
        thread.join()
        recorder.close()
    yield tmp_path


def undoubted(text: str) -> list[str]:
    """Each date that stands there as if it were one."""
    return [text[m.start() : m.end() + 30] for m in DATE.finditer(text) if not text[m.end() :].startswith(DOUBT)]


def test_it_records_at_once_and_shows_no_date_as_if_it_were_one(
    recorded: Path, agency: AgencyPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    told = capsys.readouterr().out
    assert re.search(r"^time +CLOCK NOT SET  \+\d+:\d\d:\d\d$", told, re.MULTILINE)
    assert re.search(r"^clock\n +source +unverified$", told, re.MULTILINE)
    assert not DATE.search(told)
    spool, key, root = recorded / "spool", str(agency.agency_identity), str(agency.trust_root)
    assert evidence(["verify", str(spool), "--trust", root, "-i", key, "--accounts", "--tz", "UTC"]) == 0
    told = capsys.readouterr().out
    assert len(DATE.findall(told)) > 5, "what the camera's clock said is in the evidence"
    assert undoubted(told) == [], "and marked as what it is"
    assert "? the camera's own clock alone vouches for" in told
    out = recorded / "export"
    assert evidence(["export", str(spool), "--trust", root, "-i", key, "-o", str(out), "--tz", "UTC"]) == 0
    assert undoubted(capsys.readouterr().out) == []
    with tarfile.open(next(out.glob("*.proof.tar"))) as proof:
        read = {name: proof.extractfile(name) for name in ("README.txt", "report.json")}
        texts = {name: file.read().decode() for name, file in read.items() if file}
    assert DATE.search(texts["report.json"])
    assert [undoubted(text) for text in (*texts.values(), (out / "report.json").read_text())] == [[], [], []]
    names = [str(path.relative_to(recorded)) for path in recorded.rglob("*")]
    assert [name for name in names if re.search(r"2024-?03", name)] == []
    film = next(out.glob("*.mp4")).read_bytes()
    assert b"2024-03" not in film
    assert film[film.index(b"mvhd") + 8 :][:8] == bytes(8), "creation and modification time are not told"


def test_without_a_sync_the_recorder_does_not_wait_for_one() -> None:
    unit = (Path(__file__).parent.parent / "systemd" / "bodycam-recorder.service").read_text("utf-8")
    assert "time-sync" not in unit
    assert "network-online" not in unit


def test_a_bench_names_its_directory_by_a_date_only_where_there_is_one() -> None:
    clock = FakeClock()
    assert re.fullmatch(r"\d{8}-\d{6}", bench._when(clock))
    clock.utc_source = "unverified"
    assert bench._when(clock) == f"clock-not-set-{clock.boottime_ns() // NS}"


def test_what_stands_in_place_of_a_date_counts_hours_minutes_and_seconds() -> None:
    assert not_set(0) == "CLOCK NOT SET  +0:00:00"
    assert not_set(27 * 3600 * NS + 61 * NS) == "CLOCK NOT SET  +27:01:01"
    assert not_set(-5 * NS) == "CLOCK NOT SET  +0:00:00"
