"""The two ways from a lens to packets: frames through our encoder, and access units that come encoded already."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from agent.capture.base import EncodedSource, VideoSource
from agent.capture.watch import Change, PictureWatch
from agent.errors import DeviceError
from agent.intake.thinning import Thinning
from agent.media import h264
from agent.media.encoder import H264Encoder, H264Settings
from agent.media.planes import in_420, luma
from agent.model import NS, VIDEO_HZ, AccessUnit, EncodedPacket, Track, VideoFrame, YuvPlanes

if TYPE_CHECKING:
    import av

Burn = Callable[["av.VideoFrame", int], "av.VideoFrame"]
BurnPlanes = Callable[[YuvPlanes, int], None]
Noticed = Callable[[list[Change]], None]


Item = VideoFrame | AccessUnit


class Path(Protocol):
    """`take` and `flush` are called on the picture's thread, `leaves_out` on the source's, `set_rate` on any."""

    @property
    def waiting(self) -> int:
        """How many items may wait in front of it."""

    @property
    def waiting_bytes(self) -> int:
        """How large they may be together, by `weigh`."""

    @property
    def patience_ns(self) -> int | None:
        """How long one may wait while newer ones come; None for as long as it takes."""

    @property
    def behind(self) -> bool:
        """Whether the source's own encoder is too slow for what it is given."""

    def weigh(self, item: Item) -> int: ...

    def take(self, item: Item, pts: int) -> list[EncodedPacket]:
        """The packet of this item; none where the picture cannot be used, which counts as dropped."""

    def flush(self) -> list[EncodedPacket]: ...

    def stream(self) -> tuple[bytes, int, int]:
        """Parameter sets, width, height; once a packet came."""

    def set_rate(self, bitrate_kbps: int, fps: int) -> None:
        """This mean bitrate, at most so many pictures a second; 0 for all that come."""

    def leaves_out(self, mono_ns: int) -> bool:
        """Whether the picture of that stamp is one too many, and not to be taken."""


class RawPath:
    """Frames: looked at, written on, encoded here."""

    waiting = 12
    """What comes in at once after a hiccup, while they are small."""
    waiting_bytes = 16 << 20
    """All twelve at 720p; five at 1080p."""
    behind = False
    patience_ns = NS // 4
    """At 15 fps twelve pictures are 0.8 s, which a power cut would cost besides the part. With this one, the part and
    a write of 0.2 s it is 1 s at any rate. Less would cost pictures wherever the machine catches its breath.
    """

    def __init__(
        self,
        source: VideoSource,
        settings: H264Settings,
        watch: PictureWatch | None,
        noticed: Noticed,
        burn: Burn | None,
    ) -> None:
        self._source, self._settings, self._watch, self._noticed, self._burn = source, settings, watch, noticed, burn
        self._encoder: H264Encoder | None = None
        self._thinning = Thinning()
        self._rate: tuple[int, int] | None = None
        self._coded: tuple[int, int] | None = None

    def weigh(self, item: Item) -> int:
        assert isinstance(item, VideoFrame)
        return sum(plane.buffer_size for plane in item.picture.planes)

    def take(self, item: Item, pts: int) -> list[EncodedPacket]:
        assert isinstance(item, VideoFrame)
        picture = in_420(item.picture)
        if self._watch:
            self._noticed(self._watch.look(item.mono_ns, luma(picture)))
        picture = self._burn(picture, item.mono_ns) if self._burn else picture
        if self._encoder is None:
            # What the camera agreed to is known since it was started.
            self._encoder = H264Encoder(picture, self._source.fps, self._settings)
        size, was = (picture.width, picture.height), (self._encoder.width, self._encoder.height)
        if size != was:
            raise _changed(self._source.name, was, size)
        rate = self._rate
        if rate is not None and rate != self._coded:
            bitrate_kbps, fps = self._coded = rate
            self._encoder.set_rate(bitrate_kbps, min(fps or 1000, self._source.fps or 30))
        return self._encoder.encode(picture, pts)

    def flush(self) -> list[EncodedPacket]:
        return self._encoder.flush() if self._encoder else []

    def stream(self) -> tuple[bytes, int, int]:
        assert self._encoder is not None
        return self._encoder.extradata, self._encoder.width, self._encoder.height

    def set_rate(self, bitrate_kbps: int, fps: int) -> None:
        self._rate, self._thinning = (bitrate_kbps, fps), Thinning(fps)

    def leaves_out(self, mono_ns: int) -> bool:
        return self._thinning.leaves_out(mono_ns)


class EncodedPath:
    """Access units: taken apart, checked, put on the timeline. Pictures are looked at and written on in front of the
    source's own encoder, on a thread of the source's (`see`).
    """

    waiting = 128
    """They are small; a burst of some seconds costs none."""
    waiting_bytes = 16 << 20
    patience_ns = None
    """Encoded already: to take one is to copy it, and to leave one out would spoil those that refer to it."""

    def __init__(
        self,
        source: EncodedSource,
        watch: PictureWatch | None,
        noticed: Noticed,
        burn: BurnPlanes | None,
        offset_ns: Callable[[], int] = lambda: 0,
    ) -> None:
        """`offset_ns` is what is added to the source's stamps now, before they are the timeline's."""
        self._source, self._watch, self._noticed, self._burn = source, watch, noticed, burn
        self._offset_ns = offset_ns
        self._usual_ticks = round(VIDEO_HZ / (source.fps or 30))
        self._parameters = b""
        self._size = (0, 0)
        self._next = 0
        self._broken = True
        self._last_pts: int | None = None

    def see(self, planes: YuvPlanes, mono_ns: int) -> None:
        """One picture before it is encoded."""
        mono_ns += self._offset_ns()
        if self._watch:
            self._noticed(self._watch.look(mono_ns, planes.luma))
        if self._burn:
            self._burn(planes, mono_ns)

    @property
    def behind(self) -> bool:
        return self._source.behind

    def weigh(self, item: Item) -> int:
        assert isinstance(item, AccessUnit)
        return len(item.data)

    def take(self, item: Item, pts: int) -> list[EncodedPacket]:
        assert isinstance(item, AccessUnit)
        if item.sequence != self._next:
            # What refers to a picture that is lost would decode to rubbish: on with a key frame, asked for.
            self._broken = True
            self._source.request_key()
        self._next = item.sequence + 1
        picture = h264.take_apart(item.data)
        self._check(picture.parameters)
        if not picture.data:
            # An encoder that skips a picture gives such a unit; where it is a lost one, a key frame mends it.
            self._source.request_key()
            return []
        if self._broken and not (picture.key and self._parameters):
            return []
        self._broken = False
        last = self._last_pts
        pts = pts if last is None or pts > last else last + 1
        self._last_pts = pts
        return [EncodedPacket(Track.VIDEO, pts, self._usual_ticks, picture.key, picture.data)]

    def flush(self) -> list[EncodedPacket]:
        return []

    def stream(self) -> tuple[bytes, int, int]:
        return self._parameters, *self._size

    def set_rate(self, bitrate_kbps: int, fps: int) -> None:
        self._source.set_rate(bitrate_kbps, fps)
        self._usual_ticks = round(VIDEO_HZ / (fps or self._source.fps or 30))

    def leaves_out(self, mono_ns: int) -> bool:
        """The source itself gives fewer."""
        return False

    def _check(self, parameters: bytes) -> None:
        if not parameters or parameters == self._parameters:
            return
        size = h264.picture_size(parameters)
        if self._parameters:
            raise _changed(self._source.name, self._size, size)
        self._size, self._parameters = size, parameters


def _changed(name: str, was: tuple[int, int], size: tuple[int, int]) -> DeviceError:
    told = f"{was[0]}x{was[1]} to {size[0]}x{size[1]}"
    return DeviceError(f"{name} changed its format in mid-stream ({told})", "a recording has one format")
