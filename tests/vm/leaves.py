"""What segments say in the clear, by tarfile and json alone: how far each boot's media reach on the guest's clock."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Reach:
    """Of one boot: when the newest recording begins and ends on CLOCK_MONOTONIC, and how many parts it has."""

    recording: str
    parts: int
    begin_ns: int
    end_ns: int


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


def reaches(segments: Iterable[Path]) -> dict[str, Reach]:
    """By boot id."""
    found: dict[str, Reach] = {}
    media = [leaf for leaf in leaves_of(segments) if leaf["class"] == "media"]
    for leaf in sorted(media, key=lambda m: int(m["index"])):
        begin = int(leaf["zero_mono_ns"]) + int(leaf["start_ns"])
        end = begin + int(leaf["duration_ns"])
        before = found.get(leaf["boot"])
        if before is None or before.recording != leaf["recording"]:
            before = Reach(leaf["recording"], 0, begin, end)
        found[leaf["boot"]] = Reach(
            before.recording, before.parts + 1, min(before.begin_ns, begin), max(before.end_ns, end)
        )
    return found


def ends_of(segments: Iterable[Path]) -> dict[str, int]:
    """By recording: how far its media reach on the guest's CLOCK_MONOTONIC."""
    ends: dict[str, int] = {}
    for leaf in leaves_of(segments):
        if leaf["class"] == "media":
            end = int(leaf["zero_mono_ns"]) + int(leaf["start_ns"]) + int(leaf["duration_ns"])
            ends[leaf["recording"]] = max(ends.get(leaf["recording"], end), end)
    return ends
