"""Init and parts as one ordinary MP4: the same packets, moov first, on the same timeline. PyAV is touched here only.

After writing, both files are read again and compared packet by packet: what is not the same is not handed out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.errors import EvidenceError

if TYPE_CHECKING:
    import av

# movie_timescale holds 1/90000 and 1/48000 exactly, so that edit lists can; as in the recorder's muxer.
_OPTIONS = {"movflags": "faststart", "movie_timescale": "720000", "avoid_negative_ts": "disabled"}
_WITHIN_S = Fraction(1, 1000)


@dataclass(frozen=True, slots=True)
class Timeline:
    """What a track presents: packets, a digest over their bytes, the first and the end, in seconds."""

    kind: str
    packets: int
    sha256: str
    first_s: Fraction
    end_s: Fraction


def available() -> bool:
    """Whether PyAV is installed."""
    try:
        import av  # noqa: F401
    except ImportError:
        return False
    return True


def remux(source: Path, target: Path, shift_s: Fraction = Fraction(0)) -> list[Timeline]:
    """Write `target` from the fragmented `source`, each presentation time less `shift_s`; returns its timelines.

    Raises EvidenceError where libavformat refuses, or the result is not the same media on the same timeline.
    """
    import av

    try:
        _copy(source, target, shift_s)
        before, after = _timelines(source), _timelines(target)
    except av.FFmpegError as err:
        raise EvidenceError(f"these parts cannot be written as one MP4: {err}", "keep the fragmented file") from err
    for wrong in _differences(before, after, shift_s):
        raise EvidenceError(f"the MP4 would not be the recording: {wrong}", "keep the fragmented file")
    return after


def _copy(source: Path, target: Path, shift_s: Fraction) -> None:
    import av

    with (
        av.open(str(source), format="mp4") as reader,
        av.open(str(target), "w", format="mp4", options=_OPTIONS) as writer,
    ):
        streams: dict[int, Any] = {}
        for stream in reader.streams:
            if stream.type in ("video", "audio"):
                streams[stream.index] = writer.add_stream_from_template(stream)
                streams[stream.index].time_base = stream.time_base
        for packet in reader.demux(*(reader.streams[index] for index in streams)):
            if packet.size == 0 or packet.dts is None or packet.pts is None or packet.time_base is None:
                continue
            ticks = round(shift_s / packet.time_base)
            packet.pts, packet.dts = packet.pts - ticks, packet.dts - ticks
            packet.stream = streams[packet.stream.index]
            writer.mux_one(packet)


def _timelines(path: Path) -> list[Timeline]:
    import av

    with av.open(str(path), format="mp4") as container:
        return [_timeline(path, s.index, s.type) for s in container.streams if s.type in ("video", "audio")]


def _timeline(path: Path, index: int, kind: str) -> Timeline:
    digest, count, end = hashlib.sha256(), 0, Fraction(0)
    first: Fraction | None = None
    for packet in _packets(path, index):
        base = packet.time_base or Fraction(1)
        begin = (packet.pts or 0) * base
        first = begin if first is None else min(first, begin)
        end = max(end, begin + (packet.duration or 0) * base)
        digest.update(bytes(packet))
        count += 1
    return Timeline(kind, count, digest.hexdigest(), first or Fraction(0), end)


def _packets(path: Path, index: int) -> Iterator[av.Packet[Any]]:
    import av

    with av.open(str(path), format="mp4") as container:
        for packet in container.demux(container.streams[index]):
            if packet.size and packet.dts is not None:
                yield packet


def _differences(before: list[Timeline], after: list[Timeline], shift_s: Fraction) -> Iterator[str]:
    if [t.kind for t in before] != [t.kind for t in after]:
        yield "it has other tracks"
        return
    for one, other in zip(before, after, strict=True):
        if (one.packets, one.sha256) != (other.packets, other.sha256):
            yield f"its {one.kind} has other packets"
        moved = other.first_s - (one.first_s - shift_s)
        if abs(moved) > _WITHIN_S:
            yield f"its {one.kind} begins {float(moved * 1000):+.3f} ms off"
