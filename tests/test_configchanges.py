"""Changes of the configuration in the log: keys by name, the profile, and never a value."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent import profiles
from agent.config import SECTIONS, Config
from agent.configchanges import FILE, Changes, LastStart, profile_of
from agent.configfile import keys_of
from agent.configrules import FilePath
from agent.model import NS
from agent.station.layout import AgencyPaths
from tests.config_kit import sample
from tests.recorder_desk import Camera


def test_the_keys_that_changed_are_named_and_no_value_is_kept(tmp_path: Path) -> None:
    before, last = sample(), LastStart(tmp_path)
    assert last.changes(before).keys is None, "nobody knows what was there"
    last.keep(before)
    assert last.changes(before).keys == ()
    after = replace(
        before,
        camera=replace(before.camera, unit="Vice squad"),
        video=replace(before.video, fps=12),
        signals=replace(before.signals, light=False),
    )
    assert last.changes(after).keys == ("camera.unit", "signals.light", "video.fps")
    assert last.changes(after).keys == ("camera.unit", "signals.light", "video.fps"), "until it is said"
    last.keep(after)
    assert last.changes(after).keys == ()
    kept = (tmp_path / FILE).read_text()
    assert "Vice" not in kept and before.sealing.recipients[0] not in kept and str(before.spool.dir) not in kept
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_every_key_is_looked_at(tmp_path: Path) -> None:
    last = LastStart(tmp_path)
    last.keep(sample())
    salted = (tmp_path / FILE).read_text()
    every = {f"{name}.{key}" for name, section in SECTIONS.items() for key, _, _ in keys_of(section)}
    assert all(f'"{key}": "' in salted for key in every)
    paths = {f"{n}.{k}" for n, s in SECTIONS.items() for k, about, _ in keys_of(s) if isinstance(about.rule, FilePath)}
    assert paths, "these are written, too"


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "[]",
        "{",
        '{"salt": "!", "keys": {}}',
        '{"salt": "", "keys": 3}',
        '{"salt": "", "keys": [[1, 2]]}',
        "[" * 60_000,
    ],
)
def test_a_file_that_says_nothing_is_not_known_and_keeps_nobody_from_recording(damage: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(damage)
    assert LastStart(tmp_path).changes(sample()).keys is None


@pytest.mark.parametrize("name", ["default", "intervention", "plainclothes", "stadium", "traffic"])
def test_the_profile_is_that_with_which_it_agrees_in_every_key(name: str) -> None:
    made = profiles.over(sample(), name)
    assert profile_of(made) == name
    assert profile_of(replace(made, signals=replace(made.signals, vibration="off"))) is None


def test_the_log_says_what_changed_between_two_starts(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera(agency, tmp_path, monkeypatch).start()
    camera.drop()
    again = Camera(agency, tmp_path, monkeypatch, clock=camera.clock, pre_event_s=7).start()
    again.drop()
    third = Camera(agency, tmp_path, monkeypatch, clock=camera.clock, pre_event_s=7).start()
    said = third.said("configuration")
    assert [body.get("changed") for body in said] == [None, ["recording.pre_event_s"], []]
    assert "7" not in str(said[1]["changed"]) and "profile" not in said[1]
    third.recorder.close()


def test_a_disk_that_does_not_keep_it_is_a_fault_and_it_is_said_again(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(last: LastStart, config: Config) -> None:
        raise OSError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(LastStart, "keep", refuse)
        camera = Camera(agency, tmp_path, monkeypatch).start()
        assert "no space" in camera.faults()["services"]
        camera.ticks(1)
        camera.drop()
    assert LastStart(tmp_path / "spool").changes(camera.recorder._config) == Changes()
    again = Camera(agency, tmp_path, monkeypatch, clock=camera.clock).start()
    again.clock.now_ns += NS
    assert again.faults() == {}
    again.recorder.close()
