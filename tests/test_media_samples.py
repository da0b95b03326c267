"""The clips that tests are made of lie where `make setup` put them: a test fetches nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests import media_samples


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no clips; whatever would fetch one fails."""
    monkeypatch.setattr(media_samples, "_DEBIAN", tmp_path / "share")
    monkeypatch.setenv("BODYCAM_SAMPLES", str(tmp_path / "cache"))

    def run(*command: object, **_: object) -> None:
        raise AssertionError(command)

    monkeypatch.setattr(subprocess, "run", run)
    return tmp_path


def test_what_debian_installed_is_used_as_it_lies_there(bare: Path) -> None:
    installed = bare / "share" / "movie2" / "movie-hello.mp4"
    installed.parent.mkdir(parents=True)
    installed.touch()
    (bare / "cache").mkdir()
    (bare / "cache" / "talk.mp4").touch()
    assert media_samples.talk() == installed
    installed.unlink()
    assert media_samples.talk() == bare / "cache" / "talk.mp4"


def test_a_clip_that_is_missing_is_not_fetched_and_the_command_named(bare: Path) -> None:
    for clip in (media_samples.phone, media_samples.talk, media_samples.cartoon):
        with pytest.raises(FileNotFoundError, match="`make setup` fetches it"):
            clip()
