"""Which sources this version can open at all: each kind has a driver in a module of its own."""

from __future__ import annotations

from importlib.util import find_spec

_MODULES = {kind: f"agent.capture.{kind}" for kind in ("picamera", "webcam", "clip", "synthetic", "encoded")}


def no_driver_for(source: str) -> str | None:
    """Why a `video.source` cannot be opened on any machine, with what to set instead; None where there is a driver.
    Imports no driver.
    """
    kind = source.partition(":")[0]
    if kind in _MODULES and find_spec(_MODULES[kind]) is not None:
        return None
    others = [name for name, module in _MODULES.items() if find_spec(module) is not None]
    return f'this version has no driver for "{source}"; it has those for {", ".join(others)}'
