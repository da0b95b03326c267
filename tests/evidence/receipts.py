"""What a station says of segments in a receipt: which leaves they hold, or that it keeps their bytes; and what a later
log of the camera says that was left over.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from agent.formats import note, receipt
from tests.builders import Camera, Segment


def of(segment: Segment) -> tuple[int, int]:
    """What a receipt's line says of its leaves: the first, and how many."""
    return segment.entries[0].index, len(segment.entries)


def left_over(segment: Segment) -> dict[str, Any]:
    """As a `kept` leaf of the second log names it."""
    record = segment.record()
    return {"segment": record.segment, "epoch": 1, "size": record.size, "sha256": record.sha256, "whole": True}


def receipted(camera: Camera, stored: Sequence[Segment], kept: Sequence[receipt.Stored]) -> bytes:
    """A receipt with lines of both kinds."""
    told = dataclasses.replace(_parsed(camera, stored), kept=tuple(kept))
    text, a = told.text(), camera.agency
    return note.Note(text, (note.sign_ed25519(text, a.station, a.receipt_key),)).to_bytes()


def kept_by(camera: Camera, segments: Sequence[Segment]) -> bytes:
    """The receipt of a later log, which keeps these for their bytes alone."""
    return receipted(camera, [], _parsed(camera, segments).stored)


def _parsed(camera: Camera, segments: Sequence[Segment]) -> receipt.Receipt:
    return receipt.parse(note.parse(camera.receipt(segments)).text)
