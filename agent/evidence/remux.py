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
_ALL = {"advanced_editlist": "0"}
"""So that packets which an edit leaves out are read too."""
_CHUNK = 1 << 20


def available() -> bool:
    """Whether PyAV is installed."""
    try:
        import av  # noqa: F401
    except ImportError:
        return False
    return True


def remux(source: Path, target: Path, end_s: Fraction, shift_s: Fraction = Fraction(0)) -> None:
    """Write `target` from the fragmented `source`, which ends at `end_s`, each presentation time less `shift_s`.

    Raises EvidenceError where libavformat refuses, or the result is not the same packets at the same times.
    """
    import av

    try:
        _copy(source, target, shift_s)
    except av.FFmpegError as err:
        words = f"these parts cannot be written as one MP4: {reason(err)}"
        raise EvidenceError(words, "keep the fragmented file") from err
    compare(source, target, end_s, shift_s)


def compare(source: Path, target: Path, end_s: Fraction, shift_s: Fraction = Fraction(0)) -> None:
    """Packet by packet and track by track, by what they hold, how it is decoded, when it plays, and what a player makes
    of it: `source`, which ends at `end_s`, moved by `shift_s`. Raises EvidenceError with the first difference.
    """
    import av

    from agent.evidence.shown import check_shown

    if shift_s == 0 and _same_bytes(source, target):
        return
    try:
        alone = _compare(source, target, shift_s)
        check_shown(_init_of(source), target, end_s - shift_s, alone)
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


def _compare(source: Path, target: Path, shift_s: Fraction) -> list[bytearray]:
    """Of each track a byte a packet: 1 where by the parts it can be decoded alone."""
    from agent.evidence.shown import WITHIN_S

    tracks = [_tracks(path) for path in (source, target)]
    kinds = [[kind for kind, *_ in found] for found in tracks]
    if kinds[0] != kinds[1]:
        raise EvidenceError(f"the MP4 has other tracks than the recording: {kinds[1]}, not {kinds[0]}")
    if tracks[0] != tracks[1]:
        raise EvidenceError("the MP4 has other decoder settings than the recording")
    alone = [bytearray() for _ in kinds[0]]
    for track, kind in enumerate(kinds[0]):
        pairs = zip_longest(packets(source, track), packets(target, track))
        for number, (one, other) in enumerate(pairs):
            if one is None or other is None or one[0] != other[0]:
                raise EvidenceError(f"{kind} packet {number} of the MP4 is not that of the recording")
            moved = other[1] - (one[1] - shift_s)
            if abs(moved) > WITHIN_S:
                raise EvidenceError(
                    f"{kind} packet {number} of the MP4 plays {float(moved * 1000):+.3f} ms off its time"
                )
            alone[track].append(one[2])
    return alone


def _same_bytes(one: Path, other: Path) -> bool:
    with one.open("rb") as mine, other.open("rb") as theirs:
        while (data := mine.read(_CHUNK)) == theirs.read(_CHUNK):
            if not data:
                return True
    return False


def _init_of(source: Path) -> bytes:
    """The boxes before the first `moof`."""
    from agent.media.boxes import head

    with source.open("rb") as file:
        at = 0
        while (found := head(file.read(16))) is not None and found[0] != b"moof":
            at += found[1]
            file.seek(at)
        file.seek(0)
        return file.read(at)


def _tracks(path: Path) -> list[tuple[str, str | None, bytes | None]]:
    """(kind, codec, decoder settings) of every track."""
    import av

    with av.open(str(path), format="mp4", options=_ALL) as container:
        # A track of another kind has no codec context, and no place in a recording.
        codecs = [(s.type, s.codec_context) for s in container.streams]
        return [(kind, getattr(codec, "name", None), getattr(codec, "extradata", None)) for kind, codec in codecs]


def packets(path: Path, track: int) -> Iterator[tuple[bytes, Fraction, bool]]:
    """(content, presentation time in seconds, whether it can be decoded alone) of each packet of one track."""
    import av

    with av.open(str(path), format="mp4", options=_ALL) as container:
        streams = [s for s in container.streams if s.type in ("video", "audio")]
        for packet in container.demux(streams[track]):
            if packet.size and packet.pts is not None and packet.time_base is not None:
                yield bytes(packet), packet.pts * packet.time_base, packet.is_keyframe
