"""What segments say in the clear, by tarfile and json alone: how far recordings reach on the guest's clock."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def leaves_of(segments: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """Every leaf, segment by segment."""
    for path in segments:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.name.endswith(".json") and member.name != "segment.json":
                    file = archive.extractfile(member)
                    leaf: dict[str, Any] = json.load(file) if file else {}
                    if "class" in leaf:
                        yield leaf


def ends_of(segments: Iterable[Path]) -> dict[str, int]:
    """By recording: how far its media reach on the guest's CLOCK_MONOTONIC."""
    ends: dict[str, int] = {}
    for leaf in leaves_of(segments):
        if leaf["class"] == "media":
            end = int(leaf["zero_mono_ns"]) + int(leaf["start_ns"]) + int(leaf["duration_ns"])
            ends[leaf["recording"]] = max(ends.get(leaf["recording"], end), end)
    return ends
