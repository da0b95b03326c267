"""Parts that were put together while they waited are evidence as any: all three readers, an export, a piece of it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.evidence.commands import main
from agent.media.joining import joined
from tests.builders import Camera, agency
from tests.evidence.test_export import plain_film, presented, run
from tests.evidence.test_verify_sh import check
from tests.film import add, film
from tests.independent.kit import verdicts


def flushed() -> Camera:
    """A camera that made of eight pieces three parts: of one, of three and of four."""
    init, parts = film()
    camera = Camera(agency(), "cam-0001", 5).new_session()
    camera.start(init)
    add(camera, parts[0])
    add(camera, joined(parts[1:4]))
    camera.rotate()
    add(camera, joined(parts[4:]))
    camera.stop()
    return camera.shutdown()


def test_longer_parts_verify_open_and_play_as_the_pieces_would(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = flushed().write(tmp_path / "seg")
    root, key = agency().write_trust(tmp_path)
    whole = Path(run(tmp_path / "seg", tmp_path / "whole").exports[0].mp4)
    assert presented(whole) == presented(plain_film(tmp_path / "plain.mp4"))
    assert main(["verify", os.fspath(whole), "--trust", os.fspath(root), "-i", os.fspath(key)]) == 0
    assert "every packet is that of parts 0 to 2" in capsys.readouterr().out
    begin = datetime(2000, 1, 1, tzinfo=UTC)
    piece = Path(run(tmp_path / "seg", tmp_path / "piece", begin=begin).exports[0].mp4)
    said = verdicts(root, tmp_path / "seg", piece.with_suffix(".proof.tar"), key=key)
    assert set(said.values()) == {"verified"}, said
    status, failed, told = check(paths, tmp_path, "--media", tmp_path / "media.mp4")
    assert (status, failed) == (0, []), told
    assert "codec_name=h264" in told
