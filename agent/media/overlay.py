"""Date, time, camera and unit burned into the picture, legible on any ground: white letters with a black edge.

Text is drawn once and blended into each picture until it changes, once a second; a picture costs one multiplication a
pixel of text. Pillow shapes with HarfBuzz and orders with FriBidi, so Arabic joins and runs as it is read.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any

from agent import localtime
from agent.clock import SYNCHRONISED, Clock, Utc
from agent.errors import DeviceError, reason
from agent.media.planes import pixels
from agent.model import NS, YuvPlanes

if TYPE_CHECKING:
    import av
    import numpy as np
    from numpy.typing import NDArray

    Weights = NDArray[np.uint16]

LOG = logging.getLogger("bodycam.overlay")
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf"
LEAST_PIXELS = 9
WHITE, BLACK, NEUTRAL = 235, 16, 128
_OPAQUE = 256


class DateLine:
    """What the picture says of its time. A clock that nobody vouches for may show a plausible wrong date, as a board
    without a battery does, or one that was set by hand: then the line says that the clock is not set, and counts from
    the start.
    """

    def __init__(self, clock: Clock, zone: tzinfo | None) -> None:
        self._clock, self._zone = clock, zone
        self._since_ns = clock.monotonic_ns()

    def at(self, mono_ns: int) -> str:
        """For a picture captured at `mono_ns`, to the second, with the zone's offset."""
        utc = self._clock.utc()
        if utc.source != SYNCHRONISED:
            return localtime.not_set(mono_ns - self._since_ns)
        return _shown(utc, self._clock.monotonic_ns() - mono_ns, self._zone)


def _shown(utc: Utc, ago_ns: int, zone: tzinfo | None) -> str:
    moment = datetime.fromtimestamp((utc.ns - ago_ns) // NS, UTC)
    return localtime.shown(moment, zone, milliseconds=False)


@dataclass(frozen=True, slots=True)
class _Patch:
    """Ready to be blended: `plane * keep + add`, in 256ths, over the rows and columns that text covers."""

    top: int
    left: int
    keep: Weights
    add: Weights

    def burn(self, plane: NDArray[np.uint8]) -> None:
        height, width = self.keep.shape
        under = plane[self.top : self.top + height, self.left : self.left + width]
        under[:] = (under * self.keep + self.add) >> 8


class Overlay:
    """Burns `labels` and the time into pictures, from the lower left corner upwards. One for each lens; not
    thread-safe. Raises DeviceError where the font is missing.
    """

    def __init__(self, dates: DateLine, labels: Sequence[str], percent: int = 4, font: str = FONT) -> None:
        self._dates, self._percent, self._font_path = dates, percent, font
        self.relabel(labels)
        self._shown: tuple[tuple[str, ...], int, int] | None = None
        self._patches: list[_Patch] = []
        self.trouble: str | None = None
        _load_font(font, 20)

    def relabel(self, labels: Sequence[str]) -> None:
        """Show these from the next picture on. From any thread."""
        self._labels = tuple(label for label in labels if label)

    def burn(self, picture: av.VideoFrame, mono_ns: int) -> av.VideoFrame:
        """The picture with its text: the same one where its pixels are its own, else a copy, in 4:2:0. A picture
        without text is better than none: where this fails, `trouble` says why, and the picture comes back as it is.
        """
        if self.trouble:
            return picture
        try:
            if picture.format.name not in ("yuv420p", "yuvj420p"):
                picture = picture.reformat(format="yuv420p")
            # A decoder may still need the picture it gave us.
            picture.make_writable()
            self._burn([pixels(plane) for plane in picture.planes], mono_ns)
        except Exception as err:
            self._give_up(err)
        return picture

    def burn_planes(self, planes: YuvPlanes, mono_ns: int) -> None:
        """The same, in the camera's own buffer."""
        if self.trouble:
            return
        try:
            self._burn([planes.luma, planes.blue, planes.red], mono_ns)
        except Exception as err:
            self._give_up(err)

    def _give_up(self, err: Exception) -> None:
        LOG.exception("no text is burned in any more")
        self.trouble = f"no text is burned into the picture: {type(err).__name__}: {reason(err)}"

    def _burn(self, planes: Sequence[NDArray[np.uint8]], mono_ns: int) -> None:
        height, width = planes[0].shape
        now = ((self._dates.at(mono_ns), *self._labels), width, height)
        if now != self._shown:
            self._patches = self._draw(*now)
            self._shown = now
        for plane, patch in zip(planes, self._patches, strict=True):
            patch.burn(plane)

    def _draw(self, texts: tuple[str, ...], width: int, height: int) -> list[_Patch]:
        import numpy as np

        size = max(LEAST_PIXELS, height * self._percent // 100)
        margin = max(2, size // 3) // 2 * 2
        lines, font = self._lay_out(texts, width - 2 * margin, size)
        fill, edge = _masks(lines, font, max(1, size // 12), width - margin)
        # Chroma has half the resolution: the text begins and ends on even pixels.
        fill, edge = _even(fill), _even(edge)
        rows = min(fill.shape[0], height // 2 * 2)
        top = max(0, (height - margin - rows) // 2 * 2)
        weight = np.maximum(fill, edge)[:rows]
        luma = _patch(top, margin, weight, np.where(fill[:rows] > 0, _mix(fill[:rows]), BLACK))
        small = weight.reshape(weight.shape[0] // 2, 2, -1, 2).mean(axis=(1, 3))
        chroma = _patch(top // 2, margin // 2, small, np.full(small.shape, NEUTRAL))
        return [luma, chroma, chroma]

    def _lay_out(self, texts: Sequence[str], width: int, size: int) -> tuple[list[str], Any]:
        """As many texts on a line as fit; smaller letters where one alone does not, down to what can still be read."""
        font = _load_font(self._font_path, size)
        while size > LEAST_PIXELS and max(font.getlength(text) for text in texts) > width:
            size -= 1
            font = _load_font(self._font_path, size)
        lines: list[str] = []
        for text in texts:
            joined = f"{lines[-1]}   {_isolated(text)}" if lines else text
            if lines and font.getlength(joined) <= width:
                lines[-1] = joined
            else:
                lines += _wrapped(text, font, width)
        return lines, font


def _wrapped(text: str, font: Any, width: int) -> list[str]:
    """Lines of at most this width: between words where that is possible, else within one."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if font.getlength(joined) <= width:
            lines[-1] = joined
            continue
        lines.append("")
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return [line for line in lines if line]


def _load_font(path: str, size: int) -> Any:
    try:
        from PIL import ImageFont
    except ImportError as err:
        raise DeviceError("Pillow is not installed, so no text can be burned in", "run `make setup`") from err
    try:
        return ImageFont.truetype(path, size)
    except OSError as err:
        raise DeviceError(
            f"the overlay's font {path} cannot be read: {reason(err)}", "apt install fonts-dejavu-core"
        ) from err


def _masks(lines: list[str], font: Any, edge_px: int, width: int) -> tuple[Any, Any]:
    """How much of each pixel letters cover, and letters with their edge, in 256ths."""
    import numpy as np
    from PIL import Image, ImageDraw

    step = sum(font.getmetrics()) + edge_px
    masks = []
    for edge in (0, edge_px):
        image = Image.new("L", (width, step * len(lines) + edge_px))
        draw = ImageDraw.Draw(image)
        for row, line in enumerate(lines):
            draw.text((edge_px, row * step), line, fill=255, font=font, stroke_width=edge, direction=_direction(line))
        masks.append(np.asarray(image, np.uint16) * _OPAQUE // 255)
    columns = np.flatnonzero(masks[1].any(axis=0))
    used = int(columns[-1]) + 1 if len(columns) else 1
    return masks[0][:, :used], masks[1][:, :used]


def _direction(line: str) -> str:
    """In which a line runs as a whole, by its first character and not by its first letter: a date and a number in front
    of an Arabic name stay in front of it.
    """
    return "rtl" if unicodedata.bidirectional(line[0]) in ("R", "AL") else "ltr"


def _isolated(text: str) -> str:
    """To stand behind others on a line as it stands alone: what is in front of an Arabic one would take a Latin word at
    its end to the right of it. What isolates (UAX #9, RLI and PDI) has no glyph and no width.
    """
    return f"\u2067{text}\u2069" if _direction(text) == "rtl" else text


def _even(mask: Any) -> Any:
    import numpy as np

    return np.pad(mask, [(0, mask.shape[0] % 2), (0, mask.shape[1] % 2)])


def _mix(fill: Any) -> Any:
    """White letters going over into their black edge."""
    return (WHITE * fill + BLACK * (_OPAQUE - fill)) // _OPAQUE


def _patch(top: int, left: int, weight: Any, value: Any) -> _Patch:
    import numpy as np

    whole = np.asarray(weight, np.uint16)
    return _Patch(
        top, left, (_OPAQUE - whole).astype(np.uint16), (whole * np.asarray(value, np.uint16)).astype(np.uint16)
    )
