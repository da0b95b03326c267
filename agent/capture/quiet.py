"""ALSA, JACK and PortAudio, kept from printing a screenful for each device tried in vain: what matters comes as an
exception.

PortAudio can be told no other place for it than C's own `stderr`, a variable that may be set while it is called (the
GNU C library's manual, "Standard Streams"; with another library it prints). Python's writes to file 2 go on meanwhile.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_ALSA_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p)
_JACK_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p)
_alsa_silent, _jack_silent = _ALSA_HANDLER(lambda *_: None), _JACK_HANDLER(lambda _: None)


@contextmanager
def quiet() -> Iterator[None]:
    """While it lasts. From several threads, the first that ends lets them print again."""
    os.environ.setdefault("JACK_NO_START_SERVER", "1")
    alsa, jack, stderr = _library("libasound.so.2"), _library("libjack.so.0"), _stderr()
    if jack:
        jack.jack_set_error_function(_jack_silent)
        jack.jack_set_info_function(_jack_silent)
    if alsa:
        alsa.snd_lib_error_set_handler(_alsa_silent)
    if stderr:
        variable, _, nowhere = stderr
        variable.value = nowhere
    try:
        yield
    finally:
        if stderr:
            variable, own, _ = stderr
            variable.value = own
        if alsa:
            alsa.snd_lib_error_set_handler(None)


@cache
def _stderr() -> tuple[ctypes.c_void_p, int | None, int] | None:
    """C's variable, what it is, and a stream to nowhere; None where it is no variable."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return None
    libc.fopen.restype = ctypes.c_void_p
    nowhere = libc.fopen(b"/dev/null", b"we")
    variable = ctypes.c_void_p.in_dll(libc, "stderr")
    return (variable, variable.value, nowhere) if nowhere else None


def _library(name: str) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None
