"""What a station that has a segment's bytes says of them."""

from __future__ import annotations

from pathlib import Path

from agent.formats import receipt
from agent.formats.possession import Answering
from agent.formats.seal import SealRecord
from agent.model import SegmentState
from agent.spool.store import Spool


def answer(data: bytes, challenge: str) -> str:
    """To a challenge, from these bytes; "" where none was asked."""
    if not challenge:
        return ""
    answering = Answering(challenge)
    answering.update(data)
    return answering.with_end()


def stored(spool: Spool, record: SealRecord, place: str = "segments") -> receipt.Stored:
    """A receipt's line for what lies in sealed/."""
    path: Path = spool.segment(SegmentState.SEALED, record.segment)
    told = answer(path.read_bytes(), record.challenge)
    return receipt.Stored(record.sha256, record.size, record.segment, place, 0, told)
