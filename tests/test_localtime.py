"""Times for people: the zone asked for, its offset always shown; files keep UTC."""

from __future__ import annotations

import json
import time
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from pathlib import Path

import pytest

from agent import cli, localtime
from agent.errors import UsageError
from agent.evidence.commands import main as evidence
from agent.localtime import find, localised, shown
from tests.builders import agency, simple_camera
from tests.camera_kit import FakeClock
from tests.config_kit import MINIMAL

WINTER = datetime(2026, 3, 1, 13, 5, 6, 123_999, tzinfo=UTC)


@pytest.fixture
def no_zones() -> Iterator[None]:
    """A minimal system without its time zone database."""
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(to=[])
    zoneinfo.ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath(to=before)
    zoneinfo.ZoneInfo.clear_cache()


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "JST-9")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("UTC", "2026-03-01 13:05:06.123 +00:00"),
        ("Europe/Paris", "2026-03-01 14:05:06.123 +01:00"),
        ("America/St_Johns", "2026-03-01 09:35:06.123 -03:30"),
        ("Asia/Kathmandu", "2026-03-01 18:50:06.123 +05:45"),
    ],
)
def test_a_time_is_shown_with_its_offset(zone: str, text: str) -> None:
    assert shown(WINTER, find(zone)) == text


def test_the_offset_tells_the_two_hours_of_an_autumn_night_apart() -> None:
    paris = find("Europe/Paris")
    nights = [datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1)]
    assert [shown(n, paris) for n in nights] == ["2026-10-25 02:30:00.000 +02:00", "2026-10-25 02:30:00.000 +01:00"]


def test_no_name_is_the_machines_own_zone(in_tokyo: None) -> None:
    assert shown(WINTER, find("")) == "2026-03-01 22:05:06.123 +09:00"
    assert shown(WINTER, find(None)) == "2026-03-01 22:05:06.123 +09:00"


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("from 2026-03-01T13:05:06.123+00:00 to x", "from 2026-03-01 14:05:06.123 +01:00 to x"),
        ("2026-07-01T13:05:06.123456+00:00 (clock unverified)", "2026-07-01 15:05:06.123 +02:00 (clock unverified)"),
        ("cosigned 2026-03-01T10:00:00+00:00)", "cosigned 2026-03-01 11:00:00 +01:00)"),
        ("2026-13-01T10:00:00+00:00", "2026-13-01T10:00:00+00:00"),
        ("0001-01-01T00:00:00+00:00", "0001-01-01 00:09:21 +00:09:21"),
        ("9999-12-31T23:59:59.999999+00:00", "9999-12-31T23:59:59.999999+00:00"),
        ("5.000 s after boot 11111111", "5.000 s after boot 11111111"),
    ],
)
def test_the_times_in_a_line(line: str, wanted: str) -> None:
    zone: tzinfo | None = find("Europe/Paris")
    assert localised(line, zone) == wanted


@pytest.mark.parametrize(
    "name", ["Europe/Pariss", "../etc/passwd", "/etc/passwd", "Europe", "x\0y", "Paris, France", "é"]
)
def test_a_zone_that_there_is_not(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        find(name)
    assert "time zone" in caught.value.message
    assert caught.value.hint
    if name == "Europe/Pariss":
        assert "Europe/Paris" in caught.value.hint


def test_a_system_without_time_zones_is_told_as_such(no_zones: None) -> None:
    with pytest.raises(UsageError, match="no time zones are installed") as caught:
        find("Europe/Paris")
    assert "tzdata" in caught.value.hint
    assert shown(WINTER, find("UTC")) == "2026-03-01 13:05:06.123 +00:00"


# -- where people meet them ----------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path) -> Path:
    simple_camera().write(tmp_path / "seg")
    agency().write_trust(tmp_path)
    return tmp_path


def verify(place: Path, *more: str) -> int:
    return evidence(["verify", str(place / "seg"), "--trust", str(place / "root.pem"), *more])


def test_verify_speaks_the_zone_asked_for_and_json_utc(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(place, "--tz", "Europe/Paris") == 0
    out = capsys.readouterr().out
    assert "from 2026-03-01 09:00:0" in out and " +01:00" in out
    assert "+00:00" not in out
    assert verify(place, "--tz", "Europe/Paris", "--json") == 0
    (told,) = json.loads(capsys.readouterr().out)["recordings"]
    assert told["begin"].startswith("2026-03-01T08:00:0") and told["begin"].endswith("+00:00")


def test_a_finding_too(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = sorted((place / "seg").glob("r*.tar"))[0]
    data = bytearray(path.read_bytes())
    data[-4000] ^= 1
    path.write_bytes(data)
    assert verify(place, "--tz", "Asia/Tokyo") == 1
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("FAIL")]
    assert "2026-03-01 17:00:0" in line and "+09:00" in line


def test_the_default_is_the_machines_zone(place: Path, in_tokyo: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(place) == 0
    assert "from 2026-03-01 17:00:0" in capsys.readouterr().out


def test_a_wrong_zone_is_a_wrong_use(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(place, "--tz", "Mars/Phobos") == 2
    assert "'Mars/Phobos' is not a time zone" in capsys.readouterr().err


@pytest.mark.parametrize(("zone", "status"), [("Africa/Casablanca", 0), ("", 0), ("Africa/Casblanca", 2)])
def test_config_check_looks_a_zone_up(
    zone: str, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(MINIMAL.replace("[camera]", f'[camera]\ntimezone = "{zone}"'))
    assert cli.agent_main(["config", "check", str(path)]) == status
    out = capsys.readouterr().out
    assert ("camera.timezone: 'Africa/Casblanca' is not a time zone" in out) == (status == 2)
    assert ("Africa/Casablanca" in out) == (status == 2)


def test_ctl_shows_the_time_in_the_agencys_zone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(MINIMAL.replace("[camera]", '[camera]\ntimezone = "Asia/Kathmandu"'))
    monkeypatch.setattr("agent.controls.local.ask", lambda *_, **__: {"state": "ready"})
    monkeypatch.setattr("agent.clock.SystemClock", FakeClock)
    assert cli.agent_main(["ctl", "status", "--config", str(path)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("time ") and first.endswith(" +05:45")
    assert second.split() == ["state", "ready"]


def test_a_camera_records_though_its_zones_are_gone(no_zones: None, tmp_path: Path) -> None:
    """The zone is for people: a recorder that would not start for it would miss what it is for."""
    from agent.config import load

    path = tmp_path / "agent.toml"
    path.write_text(MINIMAL.replace("[camera]", '[camera]\ntimezone = "Africa/Casablanca"'))
    config = load(path)
    assert config.camera.timezone == "Africa/Casablanca"
    zone, problem = localtime.find_or_utc(config.camera.timezone)
    assert shown(WINTER, zone) == "2026-03-01 13:05:06.123 +00:00"
    assert "tzdata" in problem
