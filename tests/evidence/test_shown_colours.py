"""Pictures that say which colours they are in: libavformat repeats it in the index of an export, where it was not."""

from __future__ import annotations

import json
import struct
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest

from agent.capture import piencoder, webcam
from agent.errors import EvidenceError
from agent.evidence import remux
from agent.evidence.commands import main
from agent.media.encoder import H264Encoder, H264Settings
from agent.model import NS, VIDEO_HZ, MediaPart, StreamInfo
from tests.builders import Camera, agency
from tests.evidence.range_kit import members
from tests.evidence.shown_kit import COLOURED, ENTRY, Change
from tests.evidence.shown_kit import place as at_box
from tests.film import add
from tests.media.test_parts import mux

Colours = tuple[int, int, int, int]
WEBCAM = webcam.COLOURS
EACH = {"webcam": WEBCAM, **piencoder.COLOURS}
UNTOLD = (2, 2, 6, 1)
"""Of a matrix alone libavformat writes nothing."""


@cache
def recorded(colours: Colours) -> tuple[bytes, list[MediaPart]]:
    """(init, parts) of two seconds, as the recorder muxes them."""
    enc, packets = None, []
    for number in range(20):
        picture = av.VideoFrame.from_ndarray(np.full((96, 64), 12 * number, np.uint8), format="yuv420p")
        picture.color_primaries, picture.color_trc, picture.colorspace, picture.color_range = colours
        enc = enc or H264Encoder(picture, 10, H264Settings(500, "ultrafast"))
        packets += enc.encode(picture, number * VIDEO_HZ // 10)
    assert enc is not None
    return mux(StreamInfo(64, 64, enc.extradata, None, 0), [*packets, *enc.flush()])


def coloured_camera() -> Camera:
    """Its recording begins at 08:00:06, with an IDR each second."""
    return camera_of(*recorded(WEBCAM), "cam-0003")


def camera_of(init: bytes, parts: list[MediaPart], name: str) -> Camera:
    """One that recorded these."""
    camera = Camera(agency(), name).new_session()
    camera.start(init)
    for part in parts:
        add(camera, part)
    camera.stop()
    return camera.shutdown()


def end_of(parts: list[MediaPart]) -> Fraction:
    return Fraction(max(part.start_ns + part.duration_ns for part in parts), NS)


def exported(colours: Colours, place: Path) -> tuple[Path, Path]:
    """The parts as they are, and what an export makes of them."""
    init, parts = recorded(colours)
    plain, film = place / "plain.mp4", place / "film.mp4"
    plain.write_bytes(init + b"".join(part.data for part in parts))
    remux.remux(plain, film, end_of(parts))
    return plain, film


@pytest.mark.parametrize("name", EACH)
def test_an_export_may_repeat_the_colours_that_the_pictures_say(name: str, tmp_path: Path) -> None:
    primaries, transfer, matrix, extent = EACH[name]
    data = bytearray(exported(EACH[name], tmp_path)[1].read_bytes())
    at = at_box(data, f"{ENTRY}/colr")
    assert data[at : at + 11] == b"nclx" + struct.pack(">HHHB", primaries, transfer, matrix, (extent == 2) << 7)


def test_a_matrix_alone_is_not_repeated(tmp_path: Path) -> None:
    assert b"colr" not in exported(UNTOLD, tmp_path)[1].read_bytes()


@pytest.mark.parametrize("change", [change for _, change, _ in COLOURED], ids=[name for name, *_ in COLOURED])
def test_no_other_colours_than_those_of_the_pictures_go_unseen(change: Change, tmp_path: Path) -> None:
    plain, film = exported(WEBCAM, tmp_path)
    data = bytearray(film.read_bytes())
    change(data)
    film.write_bytes(data)
    with pytest.raises(EvidenceError, match="colr"):
        remux.compare(plain, film, end_of(recorded(WEBCAM)[1]))


def test_a_film_that_repeats_no_colours_shows_those_of_the_pictures(tmp_path: Path) -> None:
    plain, film = exported(WEBCAM, tmp_path)
    data = bytearray(film.read_bytes())
    at = at_box(data, f"{ENTRY}/colr") - 8
    # In its room `btrt`, which tells nothing and stands behind it, and is as long with a byte more.
    both = data[at + 19 : at + 39]
    assert both[4:8] == b"btrt"
    data[at : at + 39] = struct.pack(">I", 39) + both[4:] + bytes(19)
    film.write_bytes(data)
    remux.compare(plain, film, end_of(recorded(WEBCAM)[1]))


def test_the_recording_of_a_webcam_is_exported_as_an_ordinary_film_whole_and_in_pieces(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what was exported verifies with the key."""
    coloured_camera().write(tmp_path / "seg")
    root, key = agency().write_trust(tmp_path)
    trust = ["-i", str(key), "--trust", str(root)]
    for name, piece, shift_s in (("whole", [], 0.0), ("piece", ["--from", "2026-03-01T08:00:07.2Z"], 1.0)):
        assert main(["export", str(tmp_path / "seg"), *trust, "-o", str(tmp_path / name), *piece]) == 0
        (film,) = (tmp_path / name).glob("*.mp4")
        assert b"colr" in film.read_bytes() and b"moof" not in film.read_bytes()
        (proof,) = (tmp_path / name).glob("*.proof.tar")
        assert json.loads(members(proof)["report.json"])["export"]["shift_s"] == shift_s
        assert main(["verify", str(tmp_path / name), *trust]) == 0
        assert "every packet" in capsys.readouterr().out
