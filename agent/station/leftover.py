"""What the station stores and does not index: contents that a receipt keeps for their bytes alone, as a damaged card
or a log that ended gave them, and second contents of a segment that no receipt names. Nothing of it is evidence by
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
    kept = index.kept_alone(camera)
    named = {*kept, *index.places(camera, "conflicts")}
    folder = paths.station / "conflicts" / camera
    asides = durable.names(folder, ".tar") if durable.is_there(folder) else []
    loose = sorted({f"conflicts/{camera}/{name}" for name in asides} - named)
    return [*_there(paths, camera, kept, True), *_there(paths, camera, loose, False)]


def _there(paths: AgencyPaths, camera: str, places: list[str], kept: bool) -> Iterator[LeftOver]:
    for place in places:
        path = paths.station / place
        with durable.storage_errors(path, "cannot look at"):
            try:
                yield LeftOver(camera, place, path.stat().st_size, kept)
            except FileNotFoundError:
                continue
