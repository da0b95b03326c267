"""H.264 in Annex B, as far as a muxer must know it: NAL units, parameter sets, picture size (ITU-T H.264, 08/2021)."""

from __future__ import annotations

from dataclasses import dataclass

from agent.errors import DeviceError

_START = b"\x00\x00\x01"
_IDR, _SEI, _SPS, _PPS = 5, 6, 7, 8
_PICTURE = range(1, 6)
_ANY_SHAPE = 255
"""The aspect ratio of a pixel that follows as two numbers (table E-1)."""
_CHROMA_PROFILES = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)
"""Profiles whose sequence parameter set says more of colour (7.3.2.1.1)."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One access unit taken apart: `parameters` (SPS and PPS with their start codes) are empty where none were inline;
    `data` holds the slices and what belongs to them, in Annex B, and is empty where there is no picture. `key` where
    it is an IDR.
    """

    parameters: bytes
    data: bytes
    key: bool


def take_apart(access_unit: bytes) -> Picture:
    """Parameter sets and picture of one access unit.

    Delimiters, filler and ends of streams are left out, as ISO/IEC 14496-15 wants it of samples.
    """
    units = nal_units(access_unit)
    kinds = [unit[0] & 31 for unit in units]
    parameters = [unit for unit, kind in zip(units, kinds, strict=True) if kind in (_SPS, _PPS)]
    if not any(kind in _PICTURE for kind in kinds):
        return Picture(_joined(parameters), b"", False)
    rest = [unit for unit, kind in zip(units, kinds, strict=True) if kind in _PICTURE or kind == _SEI]
    data = access_unit if len(rest) == len(units) else _joined(rest)
    return Picture(_joined(parameters), data, _IDR in kinds)


def nal_units(data: bytes) -> list[bytes]:
    """The NAL units of a byte stream, without start codes and the zeros that may follow a unit (B.1)."""
    at = data.find(_START)
    units = []
    while at >= 0:
        begin = at + 3
        at = data.find(_START, begin)
        unit = data[begin : at if at >= 0 else len(data)].rstrip(b"\x00")
        if unit:
            units.append(unit)
    return units


def picture_size(parameters: bytes) -> tuple[int, int]:
    """Width and height that the sequence parameter set gives, cropping included. Raises DeviceError where it cannot be
    read.
    """
    for unit in nal_units(parameters):
        if unit[0] & 31 == _SPS:
            try:
                return _size(_bits_of(unit))
            except (IndexError, ValueError) as err:
                raise DeviceError("the encoder's sequence parameter set cannot be read", "report this") from err
    raise DeviceError("the encoder gave no sequence parameter set", "it has to give one with each key frame")


def colours(unit: bytes) -> tuple[int, int, int, bool] | None:
    """Primaries, transfer and matrix (ITU-T H.273) that one sequence parameter set, a NAL unit, describes, and whether
    the range is full (E.2.1); None where it describes none. Raises IndexError or ValueError where it cannot be read.
    """
    bits = _bits_of(unit)
    _size(bits)
    if not bits.bits(1):
        return None
    if bits.bits(1) and bits.bits(8) == _ANY_SHAPE:
        bits.bits(32)
    if bits.bits(1):
        bits.bits(1)
    if not bits.bits(1):
        return None
    full = bits.bits(4) & 1
    return (bits.bits(8), bits.bits(8), bits.bits(8), bool(full)) if bits.bits(1) else None


def _bits_of(unit: bytes) -> _Bits:
    """What a NAL unit holds behind its first byte, without the bytes that keep start codes out of it (7.4.1)."""
    return _Bits(unit[1:].replace(b"\x00\x00\x03", b"\x00\x00"))


def _joined(units: list[bytes]) -> bytes:
    return b"".join(b"\x00" + _START + unit for unit in units)


class _Bits:
    """Reads bits, most significant first, and Exp-Golomb codes (9.1)."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def bits(self, count: int) -> int:
        value = 0
        for _ in range(count):
            value = value << 1 | self._data[self._at >> 3] >> (7 - (self._at & 7)) & 1
            self._at += 1
        return value

    def unsigned(self) -> int:
        zeros = 0
        while not self.bits(1):
            zeros += 1
            if zeros > 32:
                raise ValueError("no Exp-Golomb code")
        return (1 << zeros) - 1 + self.bits(zeros)

    def signed(self) -> int:
        code = self.unsigned()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def _size(bits: _Bits) -> tuple[int, int]:
    """7.3.2.1.1, down to the cropping."""
    profile = bits.bits(8)
    bits.bits(16)
    bits.unsigned()
    chroma = 1
    if profile in _CHROMA_PROFILES:
        chroma = _skip_colour(bits)
    bits.unsigned()
    _skip_picture_order(bits)
    bits.unsigned()
    bits.bits(1)
    across, down = bits.unsigned() + 1, bits.unsigned() + 1
    frames_only = bits.bits(1)
    if not frames_only:
        bits.bits(1)
    bits.bits(1)
    left, right, top, bottom = [bits.unsigned() for _ in range(4)] if bits.bits(1) else (0, 0, 0, 0)
    wide, high = (2 if chroma in (1, 2) else 1), (2 if chroma == 1 else 1) * (2 - frames_only)
    return 16 * across - wide * (left + right), 16 * down * (2 - frames_only) - high * (top + bottom)


def _skip_colour(bits: _Bits) -> int:
    chroma = bits.unsigned()
    if chroma == 3:
        bits.bits(1)
    bits.unsigned()
    bits.unsigned()
    bits.bits(1)
    if bits.bits(1):
        for number in range(8 if chroma != 3 else 12):
            if bits.bits(1):
                _skip_scaling_list(bits, 16 if number < 6 else 64)
    return chroma


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    """7.3.2.1.1.1."""
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def _skip_picture_order(bits: _Bits) -> None:
    kind = bits.unsigned()
    if kind == 0:
        bits.unsigned()
    elif kind == 1:
        bits.bits(1)
        bits.signed()
        bits.signed()
        for _ in range(bits.unsigned()):
            bits.signed()
