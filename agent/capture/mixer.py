"""How loud a sound card hears: its own capture volume, through ALSA's simple mixer (alsa-lib, mixer.h and
mixer_simple.h), which PortAudio links already. The library is loaded when it is first needed.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from agent.errors import AgentError, DeviceError, reason

DEFAULT_CARD = "default"
PREFERRED = ("Capture", "Mic", "Microphone")
"""What the converter's own volume is called, the first first; a card that has none of these gets its first one set."""
_STEP = 'set it by hand, or set [audio] capture_percent = ""'
NEAR_PERCENT = 5
"""A volume has steps: so near to what is wanted it is that."""
_POINTER = ctypes.c_void_p


class Mixer(Protocol):
    """The capture volumes of this machine's cards."""

    def set_capture(self, card: str, percent: int) -> int:
        """Set a card's capture volume, on all its channels, to `percent` of its range; the percent that it then has.
        Raises DeviceError where the card is missing or has no capture volume.
        """


def card_of(device: str) -> str:
    """The card of a PortAudio device, whose name ends with "(hw:CARD,DEVICE)" on ALSA; else the default one."""
    found = re.search(r"\(hw:([A-Za-z0-9_]+),\d+\)", device)
    return f"hw:{found[1]}" if found else DEFAULT_CARD


class Gain:
    """What is wanted of the capture volume, set anew each time a microphone is opened. `trouble` says why it could not
    be: a microphone that is too loud or too quiet still records.
    """

    def __init__(self, percent: int | None, mixer: Mixer | None = None) -> None:
        """None leaves it as it is."""
        self._percent, self._mixer = percent, mixer or AlsaMixer()
        self.trouble: str | None = None

    def apply(self, device: str) -> None:
        """For the card of a PortAudio device that has just been opened. Raises nothing."""
        if self._percent is None:
            return
        try:
            now = self._mixer.set_capture(card_of(device), self._percent)
        except AgentError as err:
            self.trouble = f"{err.message}; {err.hint}"
        except Exception as err:
            self.trouble = f"the capture volume of {device}: {type(err).__name__}: {reason(err)}; {_STEP}"
        else:
            off = abs(now - self._percent) > NEAR_PERCENT or (now == 0) is not (self._percent == 0)
            told = f"the capture volume of {device} is {now} % where {self._percent} % is wanted: its steps are coarse"
            self.trouble = f"{told}; set [audio] capture_percent to one that it has" if off else None


class AlsaMixer:
    """The real one."""

    def set_capture(self, card: str, percent: int) -> int:
        alsa = _library()
        with _opened(alsa, card) as mixer:
            element = _volume(alsa, mixer)
            if element is None:
                raise DeviceError(f"sound card {card} has no capture volume", _STEP)
            low, high = ctypes.c_long(), ctypes.c_long()
            alsa.snd_mixer_selem_get_capture_volume_range(element, ctypes.byref(low), ctypes.byref(high))
            span = high.value - low.value
            if span <= 0:
                raise DeviceError(f"the capture volume of sound card {card} cannot be changed", _STEP)
            _require(
                alsa,
                alsa.snd_mixer_selem_set_capture_volume_all(element, low.value + round(span * percent / 100)),
                card,
            )
            now = ctypes.c_long()
            _require(alsa, alsa.snd_mixer_selem_get_capture_volume(element, 0, ctypes.byref(now)), card)
            return round(100 * (now.value - low.value) / span)


class MixerTwin:
    """Cards with a volume in percent each, in steps of `step`; None: it has none. A card that is not there is
    missing.
    """

    def __init__(self, cards: dict[str, int | None], step: int = 1) -> None:
        self.cards, self._step = cards, step

    def set_capture(self, card: str, percent: int) -> int:
        if card not in self.cards:
            raise _no_mixer(card, "No such file or directory")
        if self.cards[card] is None:
            raise DeviceError(f"sound card {card} has no capture volume", _STEP)
        self.cards[card] = now = min(100, round(percent / self._step) * self._step)
        return now


def _no_mixer(card: str, why: str) -> DeviceError:
    return DeviceError(f"sound card {card} has no mixer: {why}", _STEP)


@contextmanager
def _opened(alsa: Any, card: str) -> Iterator[ctypes.c_void_p]:
    mixer = _POINTER()
    _require(alsa, alsa.snd_mixer_open(ctypes.byref(mixer), 0), card)
    try:
        _require(alsa, alsa.snd_mixer_attach(mixer, card.encode()), card)
        _require(alsa, alsa.snd_mixer_selem_register(mixer, None, None), card)
        _require(alsa, alsa.snd_mixer_load(mixer), card)
        yield mixer
    finally:
        alsa.snd_mixer_close(mixer)


def _volume(alsa: Any, mixer: ctypes.c_void_p) -> int | None:
    """The element that is the card's capture volume."""
    found: dict[str, int] = {}
    element = alsa.snd_mixer_first_elem(mixer)
    while element:
        if alsa.snd_mixer_selem_has_capture_volume(element):
            found.setdefault(alsa.snd_mixer_selem_get_name(element).decode(errors="replace"), element)
        element = alsa.snd_mixer_elem_next(element)
    named = (found[name] for name in PREFERRED if name in found)
    return next(named, next(iter(found.values()), None))


def _require(alsa: Any, status: int, card: str) -> None:
    if status < 0:
        raise _no_mixer(card, alsa.snd_strerror(status).decode(errors="replace"))


def _library() -> Any:
    try:
        alsa = ctypes.CDLL("libasound.so.2")
    except OSError as err:
        raise DeviceError("libasound.so.2 is missing, so no capture volume can be set", "install libasound2") from err
    for name in ("snd_mixer_first_elem", "snd_mixer_elem_next"):
        getattr(alsa, name).restype, getattr(alsa, name).argtypes = _POINTER, [_POINTER]
    alsa.snd_mixer_selem_get_name.restype = alsa.snd_strerror.restype = ctypes.c_char_p
    alsa.snd_strerror.argtypes = [ctypes.c_int]
    longs = ctypes.POINTER(ctypes.c_long)
    for name, arguments in {
        "snd_mixer_open": [ctypes.POINTER(_POINTER), ctypes.c_int],
        "snd_mixer_attach": [_POINTER, ctypes.c_char_p],
        "snd_mixer_selem_register": [_POINTER, _POINTER, _POINTER],
        "snd_mixer_load": [_POINTER],
        "snd_mixer_close": [_POINTER],
        "snd_mixer_selem_get_name": [_POINTER],
        "snd_mixer_selem_has_capture_volume": [_POINTER],
        "snd_mixer_selem_get_capture_volume_range": [_POINTER, longs, longs],
        "snd_mixer_selem_get_capture_volume": [_POINTER, ctypes.c_int, longs],
        "snd_mixer_selem_set_capture_volume_all": [_POINTER, ctypes.c_long],
    }.items():
        getattr(alsa, name).argtypes = arguments
    return alsa
