"""A configuration may name a source that this version cannot open anywhere: `config check` says so."""

from __future__ import annotations

from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from agent import cli
from agent.capture import drivers
from agent.config import VideoConfig, dump
from agent.station.layout import AgencyPaths
from tests.recorder_kit import make_config


def install(monkeypatch: pytest.MonkeyPatch, *kinds: str) -> None:
    """A version with these drivers and no other."""
    there = {f"agent.capture.{kind}" for kind in kinds}
    monkeypatch.setattr(drivers, "find_spec", lambda name: ModuleSpec(name, None) if name in there else None)


@pytest.mark.parametrize("source", ["picamera", "webcam:0", "clip:a.mp4", "synthetic"])
def test_whether_a_driver_is_there_decides_and_not_a_word(
    agency: AgencyPaths,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    source: str,
) -> None:
    file = tmp_path / "agent.toml"
    config = make_config(agency, tmp_path)
    file.write_text(dump(replace(config, video=VideoConfig(source=source))), "utf-8")
    kind = source.partition(":")[0]
    install(monkeypatch, "other", kind)
    assert cli.agent_main(["config", "check", str(file)]) == 0
    assert "no mistakes" in capsys.readouterr().out
    install(monkeypatch, *({"webcam", "synthetic"} - {kind}))
    assert cli.agent_main(["config", "check", str(file)]) == 2
    told = capsys.readouterr().out
    assert f'video.source: this version has no driver for "{kind}' in told
    others = [name for name in ("webcam", "synthetic") if name != kind]
    assert told.rstrip().endswith(f"it has those for {', '.join(others)}")


def test_those_that_need_no_pi_are_there() -> None:
    for source in ("webcam:3", "clip:a.mp4", "synthetic", "encoded"):
        assert drivers.no_driver_for(source) is None
