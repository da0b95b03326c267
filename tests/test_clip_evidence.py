"""A real clip goes in at real time; the export holds every source frame of the window once, in order and in step.

Both files are decoded and compared by content (tests/avcompare.py); nothing reads the recorder's own timestamps.
"""

from __future__ import annotations

import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from agent.config import AudioConfig, RecordingConfig, VideoConfig
from agent.evidence.commands import main as evidence
from agent.formats import leaf as leaves
from agent.spool.store import Spool
from agent.station.layout import AgencyPaths
from tests import avcompare, media_samples
from tests.avcompare import Decoded
from tests.camera_kit import all_leaves_of, read
from tests.recorder_kit import RecorderProcess, make_config

pytestmark = pytest.mark.wide

WITHIN_MS = 20.0


CLIPS = {"talk": media_samples.talk, "cartoon": media_samples.cartoon}


def record(agency: AgencyPaths, root: Path, clip: Path) -> tuple[str, Path]:
    """Record a whole clip in segments of 5 s: (the recording's name, the spool)."""
    config = make_config(agency, root, video=VideoConfig(source=f"clip:{clip}"), audio=AudioConfig(source="clip"))
    config = replace(config, recording=RecordingConfig(pre_event_s=30, segment_s=5, record_at_boot=True))
    with RecorderProcess(config, root) as recorder:
        status = recorder.until(lambda s: s["source_ended"] and s["recording"] is None, 90)
        assert status["parts_lost"] == status["intake"]["frames_dropped"] == 0
        assert recorder.stop() == 0
    (name,) = status["recordings"]
    return name, config.spool.dir


@pytest.fixture(scope="module", params=CLIPS)
def exported(
    request: pytest.FixtureRequest, agency: AgencyPaths, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """(source, exported MP4)."""
    clip = CLIPS[request.param]()
    name, spool = record(agency, tmp_path_factory.mktemp(request.param), clip)
    out = spool.parent / "export"
    keys = ["-i", str(agency.agency_identity), "--trust", str(agency.trust_root)]
    assert evidence(["export", str(spool), *keys, "-o", str(out)]) == 0
    return clip, out / f"{name}.mp4"


@pytest.fixture(scope="module")
def decoded(exported: tuple[Path, Path]) -> tuple[Decoded, Decoded]:
    """(source, export)."""
    return avcompare.decode(exported[0]), avcompare.decode(exported[1])


def test_every_frame_once_in_order_and_sound_in_step(decoded: tuple[Decoded, Decoded]) -> None:
    source, mp4 = decoded
    found = avcompare.compare(source, mp4)
    assert found.faults == []
    assert (found.first, found.count) == (0, len(source.times_s))
    assert found.av_errors_ms
    print(f"A/V error, worst of {len(found.av_errors_ms)} windows: {max(map(abs, found.av_errors_ms)):.2f} ms")
    assert max(map(abs, found.av_errors_ms)) <= WITHIN_MS


@pytest.mark.parametrize("planted_ms", [40, -40])
def test_a_planted_error_of_40_ms_is_found(
    exported: tuple[Path, Path], decoded: tuple[Decoded, Decoded], tmp_path: Path, planted_ms: int
) -> None:
    wrong = tmp_path / "wrong.mp4"
    shift_sound(exported[1], wrong, Fraction(planted_ms, 1000))
    errors = avcompare.compare(decoded[0], avcompare.decode(wrong)).av_errors_ms
    assert min(map(abs, errors)) > WITHIN_MS


def test_a_planted_lost_and_a_repeated_frame_are_found(decoded: tuple[Decoded, Decoded]) -> None:
    source, mp4 = decoded
    at = moving_most_first(source)[0]
    lost = np.delete(mp4.pictures, at, axis=0)
    repeated = mp4.pictures.copy()
    repeated[at] = repeated[at - 1]
    for pictures in (lost, repeated):
        wrong = replace(mp4, pictures=pictures, times_s=mp4.times_s[: len(pictures)])
        found = avcompare.compare(source, wrong)
        assert found.faults or found.count != len(source.times_s)


def test_a_repeated_frame_is_found_in_a_still_scene_too(decoded: tuple[Decoded, Decoded]) -> None:
    """At the pictures that move least of those that move at all, down to an eighth of a grey level."""
    source, mp4 = decoded
    whole = avcompare.compare(source, mp4)
    assert whole.moving > len(source.times_s) // 2
    least = moving_most_first(source)[: whole.moving][-20:]
    planted = [at for at in least if at - 1 not in least]
    repeated = mp4.pictures.copy()
    for at in planted:
        repeated[at] = repeated[at - 1]
    faults = avcompare.compare(source, replace(mp4, pictures=repeated)).faults
    assert len(planted) >= 5
    assert {f"picture {at} repeats the one before it" for at in planted} <= set(faults)


def test_a_single_picture_off_its_time_by_40_ms_is_found(decoded: tuple[Decoded, Decoded]) -> None:
    source, mp4 = decoded
    still = moving_most_first(source)[-1]
    for by_s in (0.04, -0.04):
        times = [at + by_s * (n == still) for n, at in enumerate(mp4.times_s)]
        (fault,) = avcompare.compare(source, replace(mp4, times_s=times)).faults
        assert fault == f"picture {still} (source {still}) is {by_s * 1000:+.1f} ms off its time"


def test_sound_that_falls_silent_is_found(decoded: tuple[Decoded, Decoded]) -> None:
    """Whether there is something to hear, only the source may tell."""
    source, mp4 = decoded
    sound = mp4.sound.copy()
    sound[2 * avcompare.RATE_HZ :] = 0
    faults = avcompare.compare(source, replace(mp4, sound=sound)).faults
    assert len(faults) >= 4
    assert all("is not the source's" in fault or "sound is missing at" in fault for fault in faults)


def test_two_packets_that_are_lost_are_found_by_the_times_of_the_others(
    exported: tuple[Path, Path], decoded: tuple[Decoded, Decoded], tmp_path: Path
) -> None:
    leave_out_sound(exported[1], tmp_path / "wrong.mp4", {100, 101})
    wrong = avcompare.decode(tmp_path / "wrong.mp4")
    (where,) = wrong.sound_breaks
    assert where.startswith("+2048 samples after the sound at 2.")
    assert f"sound is broken: {where}" in avcompare.compare(decoded[0], wrong).faults


def test_a_hole_of_42_ms_where_the_source_is_heard_is_found(decoded: tuple[Decoded, Decoded]) -> None:
    """By ear alone, as if silence had been encoded in its place: where it is loud, and where it hardly is."""
    source, mp4 = decoded
    level = np.sqrt(np.convolve(mp4.sound**2, np.ones(2048), "valid") / 2048)
    heard = np.flatnonzero(level > 3 * avcompare.LOUD_BLOCK)
    for at in (int(np.argmax(level)), int(heard[np.argmin(level[heard])])):
        sound = mp4.sound.copy()
        sound[at : at + 2048] = 0
        faults = avcompare.compare(source, replace(mp4, sound=sound)).faults
        assert faults
        assert all("is not the source's" in fault or "sound is missing at" in fault for fault in faults)


def moving_most_first(film: avcompare.Decoded) -> list[int]:
    """Pictures by how much they differ from the one before."""
    motion = (np.diff(film.pictures, axis=0) ** 2).mean(axis=(1, 2))
    return [1 + int(n) for n in np.argsort(-motion)]


def leave_out_sound(source: Path, target: Path, packets: set[int]) -> None:
    """The same packets at the same times, without some of the sound's."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        streams = {s.index: writer.add_stream_from_template(s) for s in reader.streams if s.type in ("video", "audio")}
        number = -1
        for packet in reader.demux():
            if packet.dts is None or packet.stream.index not in streams:
                continue
            number += packet.stream.type == "audio"
            if packet.stream.type == "audio" and number in packets:
                continue
            packet.stream = streams[packet.stream.index]
            writer.mux(packet)


def shift_sound(source: Path, target: Path, by_s: Fraction) -> None:
    """The same packets, with the sound moved."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        streams = {s.index: writer.add_stream_from_template(s) for s in reader.streams if s.type in ("video", "audio")}
        for packet in reader.demux():
            if packet.dts is None or packet.stream.index not in streams:
                continue
            if packet.stream.type == "audio":
                ticks = round(by_s / packet.stream.time_base)
                packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
            packet.stream = streams[packet.stream.index]
            writer.mux(packet)


def test_segments_rotated_on_an_idr_and_the_parts_run_on(exported: tuple[Path, Path]) -> None:
    spool = Spool(exported[1].parent.parent / "spool")
    media = [x for x in all_leaves_of(spool) if isinstance(x, leaves.MediaLeaf)]
    assert [m.part for m in media] == list(range(len(media)))
    heads = []
    for path in sorted(spool.sealed_dir.glob("r*.tar")):
        heads += [next(x for _, x in read(path)[2] if isinstance(x, leaves.MediaLeaf))]
    assert len(heads) >= 2
    assert all(head.idr for head in heads)


def test_the_export_plays_in_a_stock_player(exported: tuple[Path, Path]) -> None:
    command = ["ffmpeg", "-v", "error", "-i", str(exported[1]), "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
