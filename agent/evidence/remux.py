"""Init and parts as one ordinary MP4: the same packets, moov first, on the same timeline. PyAV is touched here only.

After writing, both files are read again and compared packet by packet: what is not the same is not handed out.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import Any

from agent.errors import EvidenceError, reason

# movie_timescale holds 1/90000 and 1/48000 exactly, so that edit lists can; as in the recorder's muxer.
_OPTIONS = {"movflags": "faststart", "movie_timescale": "720000", "avoid_negative_ts": "disabled"}
_WITHIN_S = Fraction(1, 1000)


def available() -> bool:
    """Whether PyAV is installed."""
    try:
        import av  # noqa: F401
    except ImportError:
        return False
    return True


def remux(source: Path, target: Path, shift_s: Fraction = Fraction(0)) -> None:
    """Write `target` from the fragmented `source`, each presentation time less `shift_s`.

    Raises EvidenceError where libavformat refuses, or the result is not the same packets at the same times.
    """
    import av

    try:
        _copy(source, target, shift_s)
    except av.FFmpegError as err:
        words = f"these parts cannot be written as one MP4: {reason(err)}"
        raise EvidenceError(words, "keep the fragmented file") from err
    compare(source, target, shift_s)


def compare(source: Path, target: Path, shift_s: Fraction = Fraction(0)) -> None:
    """Packet by packet and track by track, by what they hold, how it is decoded, and when it plays. Raises
    EvidenceError with the first difference.
    """
    import av

    try:
        _compare(source, target, shift_s)
    except av.FFmpegError as err:
        raise EvidenceError(f"it cannot be read as an MP4: {reason(err)}") from err


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


def _compare(source: Path, target: Path, shift_s: Fraction) -> None:
    tracks = [_tracks(path) for path in (source, target)]
    kinds = [[kind for kind, _ in found] for found in tracks]
    if kinds[0] != kinds[1]:
        raise EvidenceError(f"the MP4 has other tracks than the recording: {kinds[1]}, not {kinds[0]}")
    if tracks[0] != tracks[1]:
        raise EvidenceError("the MP4 has other decoder settings than the recording")
    for track, kind in enumerate(kinds[0]):
        pairs = zip_longest(_packets(source, track), _packets(target, track))
        for number, (one, other) in enumerate(pairs):
            if one is None or other is None or one[0] != other[0]:
                raise EvidenceError(f"{kind} packet {number} of the MP4 is not that of the recording")
            moved = other[1] - (one[1] - shift_s)
            if abs(moved) > _WITHIN_S:
                raise EvidenceError(
                    f"{kind} packet {number} of the MP4 plays {float(moved * 1000):+.3f} ms off its time"
                )


def _tracks(path: Path) -> list[tuple[str, bytes | None]]:
    """(kind, decoder settings) of every track."""
    import av

    with av.open(str(path), format="mp4") as container:
        # A track of another kind has no codec context, and no place in a recording.
        return [(s.type, getattr(s.codec_context, "extradata", None)) for s in container.streams]


def _packets(path: Path, track: int) -> Iterator[tuple[bytes, Fraction]]:
    """(content, presentation time in seconds) of each packet of one track."""
    import av

    with av.open(str(path), format="mp4") as container:
        streams = [s for s in container.streams if s.type in ("video", "audio")]
        for packet in container.demux(streams[track]):
            if packet.size and packet.pts is not None and packet.time_base is not None:
                yield bytes(packet), packet.pts * packet.time_base
