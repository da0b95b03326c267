"""An answer of a running camera as lines for people: words for keys, units behind numbers, nothing left out but
clock readings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

COLUMN = 22
_UNITS = ("s", "ms", "ppm")


def lines(answer: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """One a key, those of an inner object beneath it."""
    for key, value in answer.items():
        if key.endswith("_ns"):
            continue
        name, unit = _named(key)
        if isinstance(value, Mapping) and value:
            yield f"{indent}{name}"
            yield from lines(value, indent + "  ")
        else:
            yield f"{indent}{name} ".ljust(COLUMN) + _text(value, unit)


def _named(key: str) -> tuple[str, str]:
    """Its words, and its unit: `av_offset_mean_ms` is an A/V offset in milliseconds."""
    words = key.split("_")
    unit = ""
    if words[-1] in _UNITS and len(words) > 1:
        unit = words.pop()
    elif "bytes" in words:
        unit = "MB"
        words.remove("bytes")
    return re.sub(r"^av\b", "A/V", " ".join(words)) or key, unit


def _text(value: Any, unit: str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value in ("", [], {}):
        return "none"
    if isinstance(value, list):
        return ", ".join(_text(item, unit) for item in value)
    if unit == "MB" and isinstance(value, int):
        return f"{value / 1e6:.1f} MB"
    if isinstance(value, float):
        # Adding 0.0 makes a negative zero a plain one.
        value = f"{round(value, 2) + 0.0:g}" if abs(value) < 1e6 else f"{value:.0f}"
    return f"{value} {unit}".rstrip()
