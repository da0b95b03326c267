"""Exports of a range, taken apart and put together again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from agent.evidence.blobs import blob_of
from agent.evidence.clip import ExportOptions
from agent.evidence.export import export
from agent.evidence.proof import Piece, write_proof
from agent.evidence.sources import collect, export_members
from agent.evidence.times import parse_time
from tests.builders import Camera, agency

MINUTE = "2026-03-01T08:00:{}Z"


def range_of(source: Path, out: Path, begin: str = "07.6", end: str = "08.2", **options: Any) -> Path:
    """The proof of what was recorded between these seconds of 08:00; by default parts 2 to 4 of the film."""
    begin_at = options.pop("begin_at", MINUTE.format(begin) if begin else None)
    times = {
        "begin": parse_time(begin_at, "--from"),
        "end": parse_time(MINUTE.format(end), "--to") if end else None,
    }
    head = options.pop("head", None)
    result = export(collect([source]), agency().root, [agency().identity], ExportOptions(out, **times, **options), head)
    (exported,) = result.exports
    assert not exported.problems or options.get("even_if_damaged")
    return Path(exported.proof)


def cosigned_range(camera: Camera, place: Path) -> Path:
    """Parts 2 to 4 of the film, cosigned at the log's end, without the segments beside them."""
    camera.write(place / "seg")
    (place / "seg" / "a.receipt").write_bytes(camera.receipt(camera.segments))
    proof = range_of(place / "seg", place / "out")
    shutil.rmtree(place / "seg")
    return proof


def members(proof: Path) -> dict[str, bytes]:
    return {m.name: m.read(1 << 30) for m in export_members(blob_of(proof))}


def written(proof: Path, content: dict[str, bytes]) -> Path:
    write_proof(proof, [Piece(name, data) for name, data in content.items()])
    return proof


def indexes(content: dict[str, bytes]) -> list[int]:
    """Log indexes of the entries."""
    return sorted({int(name[8:18]) for name in content if name.startswith("entries/")})
