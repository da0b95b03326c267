"""Packets in, fragmented MP4 out, cut by time into parts: one muxer for a whole recording.

libavformat's options are the ones that keep both streams exact (ways that lose sync: `empty_moov`, `cmaf`):
`delay_moov` writes the start offset into the edit list, `frag_duration` cuts by time, and `frag_keyframe` cuts before
each IDR as well, so that a segment can begin with one at any frame rate, `movie_timescale` 720000 holds both 1/90000
and 1/48000 exactly, and `max_interleave_delta` keeps a late track from holding the other back. Where sound has a part
cut, the picture after it is put in its place here (retime.py). Two muxers' outputs do not concatenate; one muxer's init
with any of its fragments does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from agent.media import boxes
from agent.media.retime import Starts, retimed
from agent.model import AUDIO_HZ, VIDEO_HZ, EncodedPacket, MediaPart, StreamInfo, Track

if TYPE_CHECKING:
    import av

PART_MS = 500
_OPTIONS = {
    "movflags": "frag_keyframe+delay_moov+default_base_moof",
    "movie_timescale": "720000",
    "max_interleave_delta": "200000",
}


class PartMuxer:
    """Feed it packets of one recording, sound that covers the first picture included; `on_init` is called once, with
    ftyp and moov, then `on_part` for each part, both on the pushing thread. `close` gives the last part.

    The timeline is rebased: the first video packet plays at 0, and sound that began before it keeps its place. Without
    a sound track (`info.audio_extradata` None) no sound may be pushed.
    """

    def __init__(
        self,
        info: StreamInfo,
        on_init: Callable[[bytes], None],
        on_part: Callable[[MediaPart], None],
        part_ms: int = PART_MS,
    ) -> None:
        import av

        self._splitter = Splitter(on_init, on_part, self._starts)
        self._info = info
        self._zero: int | None = None
        self._pictures: deque[int] = deque()
        self._ahead: int | None = None
        self._early: list[EncodedPacket] = []
        options = _OPTIONS | {"frag_duration": str(part_ms * 1000)}
        self._container = av.open(self._splitter, "w", format="mp4", options=options)
        video = self._container.add_mux_stream("h264", rate=30, width=info.width, height=info.height)
        video.time_base = Fraction(1, VIDEO_HZ)
        self._streams: dict[Track, Any] = {Track.VIDEO: video}
        if info.audio_extradata is not None:
            # The container opens an encoder of its own here, which never encodes: it only describes the track.
            audio = self._container.add_stream("aac", rate=AUDIO_HZ, layout="mono", time_base=Fraction(1, AUDIO_HZ))
            audio.time_base = Fraction(1, AUDIO_HZ)
            self._streams[Track.AUDIO] = audio

    def push(self, packet: EncodedPacket) -> None:
        """The next packet of its track. Sound before the first picture waits for it."""
        if self._zero is None:
            if packet.track is Track.AUDIO:
                self._early.append(packet)
                return
            self._begin(packet)
        else:
            self._mux(packet, packet.data)

    def _starts(self, samples: int, said: int) -> list[int]:
        """The times of the next pictures, by the muxer's own zero: the first of all is where it says."""
        starts = [self._pictures.popleft() for _ in range(samples)]
        if self._ahead is None and starts:
            self._ahead = said - starts[0]
        return [start + (self._ahead or 0) for start in starts]

    def close(self) -> None:
        """Write what is still held as the last part."""
        if self._zero is not None:
            self._container.close()

    def _begin(self, first: EncodedPacket) -> None:
        self._zero = first.pts
        early, self._early = self._early, []
        # Parameter sets in front of the first picture: from them libavformat makes the avcC box.
        self._mux(first, self._info.video_extradata + first.data)
        for packet in early:
            self._mux(packet, packet.data)

    def _mux(self, packet: EncodedPacket, data: bytes) -> None:
        import av

        stream = self._streams[packet.track]
        zero, rate = self._zero or 0, VIDEO_HZ
        if packet.track is Track.AUDIO:
            zero, rate = round(Fraction(zero * AUDIO_HZ, VIDEO_HZ)), AUDIO_HZ
        else:
            self._pictures.append(packet.pts - zero)
        raw: av.Packet[Any] = av.Packet(data)
        raw.stream = stream
        raw.pts = raw.dts = packet.pts - zero
        raw.duration, raw.time_base, raw.is_keyframe = packet.duration, Fraction(1, rate), packet.key
        self._container.mux_one(raw)


class Splitter:
    """The write-only file a muxer writes to: bytes come in any pieces, whole boxes leave. What is neither init nor
    fragment (the random access index at the end) is left out.
    """

    def __init__(
        self, on_init: Callable[[bytes], None], on_part: Callable[[MediaPart], None], starts: Starts | None = None
    ) -> None:
        """`starts` knows when pictures begin, in ticks of VIDEO_HZ, where the muxer may not."""
        self._on_init, self._on_part, self._starts = on_init, on_part, starts
        self._held = bytearray()
        self._init = b""
        self._moof = b""
        self._tracks: dict[int, boxes.TrackHeader] = {}
        self._number = 0

    def write(self, data: bytes) -> int:
        """Called by the muxer; takes all of it."""
        self._held += data
        while (found := boxes.head(self._held)) and found[1] <= len(self._held):
            kind, size = found
            box = bytes(memoryview(self._held)[:size])
            del self._held[:size]
            self._take(kind, box)
        return len(data)

    def _take(self, kind: bytes, box: bytes) -> None:
        if kind == b"ftyp":
            self._init = box
        elif kind == b"moov":
            self._init += box
            self._tracks = boxes.read_tracks(self._init)
            self._on_init(self._init)
        elif kind == b"moof":
            self._moof = self._in_place(box)
        elif kind == b"mdat":
            part = describe_part(self._number, self._moof + box, self._tracks)
            self._number += 1
            self._on_part(part)

    def _in_place(self, moof: bytes) -> bytes:
        for track in self._tracks.values():
            if self._starts and track.handler == b"vide" and track.timescale == VIDEO_HZ:
                moof = retimed(moof, track.track_id, self._starts)
        return moof


def describe_part(number: int, data: bytes, tracks: dict[int, boxes.TrackHeader]) -> MediaPart:
    """A part's facts, read from its moof."""
    found = boxes.head(data)
    runs = boxes.read_runs(memoryview(data)[: found[1] if found else 0], tracks)
    video = [run for run in runs if tracks[run.track_id].handler == b"vide"]
    audio = [run for run in runs if tracks[run.track_id].handler == b"soun"]
    # Sound that only primes the decoder lies before 0 and is never presented.
    start_ns = max(0, min((run.start_ns for run in runs), default=0))
    end_ns = max((run.start_ns + run.duration_ns for run in runs), default=start_ns)
    return MediaPart(
        number=number,
        data=data,
        start_ns=start_ns,
        duration_ns=end_ns - start_ns,
        starts_with_idr=bool(video) and video[0].starts_with_sync,
        video_frames=sum(run.samples for run in video),
        audio_samples=sum(run.ticks for run in audio),
    )
