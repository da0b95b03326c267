"""Profiles: some keys of agent.toml for a unit's work, laid over a camera's own file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from agent import profiles
from agent.cli import agent_main
from agent.config import dump
from agent.configfile import text_of
from agent.errors import ConfigError, UsageError
from agent.intake import IntakeSettings
from agent.media.prebuffer import Prebuffer
from tests.config_kit import MINIMAL, sample, save, with_value

SHIPPED = Path(__file__).parent.parent / "config" / "profiles"
NAMES = sorted(path.stem for path in SHIPPED.glob("*.toml"))


def test_all_five_are_there() -> None:
    assert NAMES == ["default", "intervention", "plainclothes", "stadium", "traffic"]
    assert set(NAMES) <= set(profiles.names())


@pytest.mark.parametrize("name", NAMES)
def test_each_holds_on_its_own_and_over_a_camera(name: str) -> None:
    assert profiles.check(text_of(SHIPPED / f"{name}.toml")) == []
    before = sample()
    after = profiles.over(before, name)
    for section in ("camera", "sealing", "spool", "dock", "control", "panel"):
        assert getattr(after, section) == getattr(before, section), "a profile leaves what is the camera's own"
    assert (after.video.source, after.audio.source) == (before.video.source, before.audio.source)
    assert profiles.over(after, name) == after


@pytest.mark.parametrize("name", NAMES)
def test_one_press_of_a_camera_that_is_idle_or_asleep_records_in_each(name: str) -> None:
    gestures = profiles.over(sample(), name).gestures
    assert (gestures.idle_press, gestures.idle_double, gestures.idle_hold) == ("record",) * 3
    assert gestures.asleep == "record"
    stops = [key for key in ("press", "double", "hold", "long") if getattr(gestures, f"recording_{key}") == "stop"]
    assert stops == ["hold"], "no press ends a recording"


def test_what_each_unit_asks_for() -> None:
    made = {name: profiles.over(sample(), name) for name in NAMES}
    assert made["default"] == sample()
    covert = made["plainclothes"].signals
    assert (covert.light, covert.tone, covert.vibration) == (False, False, "normal")
    assert made["stadium"].signals.vibration == made["traffic"].signals.vibration == "strong"
    assert made["stadium"].recording.pre_event_s > made["default"].recording.pre_event_s
    assert all(each.signals.reminder_s == 120 for each in made.values())


@pytest.mark.parametrize("seconds", [0, 120, *NAMES])
def test_a_ring_can_be_made_as_long_as_it_may_be_configured(seconds: int | str) -> None:
    config = sample() if isinstance(seconds, int) else profiles.over(sample(), seconds)
    if isinstance(seconds, int):
        config = replace(config, recording=replace(config.recording, pre_event_s=seconds))
    assert Prebuffer(IntakeSettings.of(config).pre_event_s, 1 << 20).seconds == 0


def test_an_officer_with_only_a_button_can_go_dark_and_back_in_a_profile_that_lights() -> None:
    made = [profiles.over(sample(), name) for name in NAMES]
    dark = [c for c in made if (c.gestures.idle_long, c.gestures.recording_long) == ("stealth", "stealth")]
    assert dark and all(c.signals.light and c.signals.vibration != "off" for c in dark)
    assert all(c.gestures.long_ms >= 1.5 * c.gestures.hold_ms for c in dark), "a stop is not to go dark by a moment"


def test_all_mistakes_come_at_once_with_suggestions() -> None:
    text = """
        [camera]
        id = "cam-7"
        [panel]
        button = 4
        [video]
        source = "synthetic"
        fps = 500
        [recordin]
        [recording]
        pre_evnt_s = 5
        [signals]
        vibration = "loud"
    """
    assert profiles.check(text) == [
        "recordin: unknown section; did you mean recording?",
        "video.fps: 500 is out of range (frames per second, 1 to 60)",
        "recording.pre_evnt_s: unknown key; did you mean pre_event_s?",
        'signals.vibration: "loud" is not one of "off", "normal", "strong"',
        "camera.id: belongs to one camera, not to a profile",
        "video.source: belongs to one camera, not to a profile",
        "panel.button: belongs to one camera, not to a profile",
    ]
    assert profiles.check("[recording]\npre_event_s = 120\n") == [
        "recording.ring_mib: 48 MiB cannot hold 120 s at the 6096 kbit/s that it takes while much moves: at least 90"
    ]


def test_a_zone_that_is_none_is_a_mistake_among_the_others(tmp_path: Path) -> None:
    file = tmp_path / "away.toml"
    file.write_text('[camera]\ntimezone = "Mars/Phobos"\n[video]\nfps = 300\n')
    fps, zone = profiles.check(file.read_text())
    assert fps.startswith("video.fps: 300 is out of range")
    assert zone.startswith("camera.timezone: 'Mars/Phobos' is not a time zone; ")
    assert profiles.check('[camera]\ntimezone = "Africa/Casablanca"\n') == []
    with pytest.raises(ConfigError, match="'Mars/Phobos' is not a time zone"):
        profiles.read(str(file))
    with pytest.raises(ConfigError, match="'Mars/Phobos' is not a time zone"):
        profiles.over(sample(), str(file))


def test_one_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(UsageError) as caught:
        profiles.find("stadum")
    assert caught.value.hint.startswith("did you mean stadium? there is: default")


def test_one_that_contradicts_the_camera_is_refused_with_both_named(tmp_path: Path) -> None:
    file = tmp_path / "long.toml"
    file.write_text("[video]\nbitrate_kbps = 7000\n")
    assert profiles.check(file.read_text()) == []
    longer = profiles.over(sample(), "stadium")
    with pytest.raises(ConfigError, match="over this configuration"):
        profiles.over(longer, str(file))


# -- the command ---------------------------------------------------------------------------------------------------


def test_config_check_covers_profiles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert agent_main(["config", "check", "--profile", "traffic"]) == 0
    assert "traffic.toml: no mistakes" in capsys.readouterr().out
    bad = tmp_path / "bad.toml"
    bad.write_text("[signals]\nlihgt = true\n")
    assert agent_main(["config", "check", "--profile", str(bad), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["mistakes"] == ["signals.lihgt: unknown key; did you mean light?"]
    camera = tmp_path / "agent.toml"
    camera.write_text(dump(sample()))
    assert agent_main(["config", "check", "--profile", "stadium", str(camera)]) == 0
    assert agent_main(["config", "check", "--profile", "no-such"]) == 2


def test_config_check_names_the_mistakes_of_both_files_and_of_what_comes_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text('[camera]\ntimezone = "Mars/Phobos"\n')
    assert agent_main(["config", "check", "--profile", str(bad)]) == 2
    assert capsys.readouterr().out.startswith(f"{bad}: camera.timezone: 'Mars/Phobos' is not a time zone; ")
    camera = save(tmp_path, with_value("video.fps", "300"))
    assert agent_main(["config", "check", "--profile", str(bad), str(camera)]) == 2
    of_profile, of_file = capsys.readouterr().out.splitlines()
    assert of_profile.startswith(f"{bad}: camera.timezone: 'Mars/Phobos' is not a time zone; ")
    assert of_file.startswith(f"{camera}: video.fps: 300 is out of range")
    assert agent_main(["config", "check", "--profile", str(bad), str(camera), "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["file"] == str(camera)
    assert told["mistakes"] == [of_profile, of_file.removeprefix(f"{camera}: ")]


def test_config_check_names_what_profile_and_file_contradict_whatever_else_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faster = tmp_path / "faster.toml"
    faster.write_text("[video]\nbitrate_kbps = 7000\n")
    assert profiles.check(faster.read_text()) == []
    text = f"{MINIMAL}\n[recording]\npre_event_s = 60\nring_mib = 47\n"
    camera = save(tmp_path, text)
    assert agent_main(["config", "check", str(camera)]) == 0
    assert capsys.readouterr().out == f"{camera}: no mistakes\n"
    assert agent_main(["config", "check", "--profile", str(faster), str(camera)]) == 2
    (together,) = capsys.readouterr().out.splitlines()
    assert together.startswith(f"{faster} over {camera}: recording.ring_mib: 47 MiB cannot hold 60 s at the 10596")
    camera = save(tmp_path, f"{text}[signals]\nlihgt = true\n")
    assert agent_main(["config", "check", "--profile", str(faster), str(camera)]) == 2
    assert capsys.readouterr().out.splitlines() == [
        f"{camera}: signals.lihgt: unknown key; did you mean light?",
        together,
    ]
    camera = save(tmp_path, text.replace("[video]\n", '[video]\nbitrate_kbps = "much"\n'))
    assert agent_main(["config", "check", "--profile", str(faster), str(camera)]) == 2
    unread, said = capsys.readouterr().out.splitlines()
    assert unread.startswith(f"{camera}: video.bitrate_kbps: wants a whole number")
    assert said == together, "the profile says what the file does not"
    camera = save(tmp_path, text.replace("60\n", "600\n").replace("47\n", "20\n"))
    assert agent_main(["config", "check", "--profile", str(faster), str(camera)]) == 2
    (alone,) = capsys.readouterr().out.splitlines()
    assert alone.startswith(f"{camera}: recording.pre_event_s: 600 is out of range")
    faster.write_text("[recording]\npre_event_s = 120\n")
    camera = save(tmp_path, MINIMAL)
    assert agent_main(["config", "check", "--profile", str(faster), str(camera)]) == 2
    (once,) = capsys.readouterr().out.splitlines()
    assert once.startswith(f"{faster}: recording.ring_mib: 48 MiB cannot hold 120 s")


def test_of_what_a_profile_may_not_set_nothing_is_said_that_hangs_on_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wired = tmp_path / "wired.toml"
    wired.write_text('[panel]\nchip = "c"\nbutton = 4\n')
    camera = save(tmp_path, f'{MINIMAL}\n[gestures]\nidle_press = "none"\nidle_double = "tell"\nidle_hold = "sleep"\n')
    assert agent_main(["config", "check", "--profile", str(wired), str(camera)]) == 2
    belongs = "belongs to one camera, not to a profile"
    assert capsys.readouterr().out == f"{wired}: panel.chip: {belongs}\n{wired}: panel.button: {belongs}\n"


def test_config_check_tells_an_unknown_zone_with_the_other_mistakes_of_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = with_value("video.fps", "300").replace("[camera]", '[camera]\ntimezone = "Mars/Phobos"')
    camera = save(tmp_path, text)
    assert agent_main(["config", "check", str(camera)]) == 2
    fps, zone = capsys.readouterr().out.splitlines()
    assert fps.startswith(f"{camera}: video.fps: 300 is out of range")
    assert zone.startswith(f"{camera}: camera.timezone: 'Mars/Phobos' is not a time zone; ")
