"""What the station stores and does not index: contents that a receipt keeps for their bytes alone, as a damaged card
or a log that ended gave them, and what no receipt names: second contents of a segment, those that came before the
genuine ones, and what waits for its receipt. Nothing of it is evidence by
itself, nothing is purged; people look at it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent import durable
from agent.station.index import Index
from agent.station.layout import AgencyPaths


@dataclass(frozen=True, slots=True)
class LeftOver:
    """`place` is below what the station holds, `size` in bytes; `kept` where a receipt names it."""

    camera: str
    place: str
    size: int
    kept: bool


def left_over(paths: AgencyPaths, index: Index, camera: str) -> list[LeftOver]:
    """Of one camera, as far as it is on the disk. Raises StorageError."""
    evidence = index.live_places(camera)
    kept = [place for place in index.kept_alone(camera) if place not in evidence]
    here = (place for folder in ("conflicts", "segments") for place in _files(paths, folder, camera))
    loose = sorted({*here}.difference(evidence, kept))
    return [*_there(paths, camera, kept, True), *_there(paths, camera, loose, False)]


def _files(paths: AgencyPaths, folder: str, camera: str) -> list[str]:
    place = paths.station / folder / camera
    names = durable.names(place, ".tar") if durable.is_there(place) else []
    return [f"{folder}/{camera}/{name}" for name in names]


def _there(paths: AgencyPaths, camera: str, places: list[str], kept: bool) -> Iterator[LeftOver]:
    for place in places:
        path = paths.station / place
        with durable.storage_errors(path, "cannot look at"):
            try:
                yield LeftOver(camera, place, path.stat().st_size, kept)
            except FileNotFoundError:
                continue
