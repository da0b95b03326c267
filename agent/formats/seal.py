"""The seal record: what is known of a segment once it is whole. Local and unsigned; the `seal` leaf is the signed
statement.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass

from agent.errors import EvidenceError
from agent.formats import possession
from agent.formats.epoch import MAX_EPOCH, number_of
from agent.formats.pack import RECORDING_ID, SEGMENT_NAME, SegmentHeader

MAX_SEAL = 4096
PIECE = 8 << 20
"""Of whole pieces of so many bytes, and the rest, the record has the digests: a station may be sent and check them one
by one, and nothing is hashed while sending.
"""
MAX_PIECES = 16
_HEX = re.compile(r"[0-9a-f]{64}")


def is_seal(name: str) -> bool:
    """Whether a seal record's file may be called this."""
    return name.endswith(".seal") and SEGMENT_NAME.fullmatch(name, 0, len(name) - 5) is not None


class PieceDigests:
    """The digests of a file's pieces as it grows."""

    def __init__(self) -> None:
        self._done: list[str] = []
        self._size = 0
        self._open = hashlib.sha256()

    def update(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            room = PIECE - self._size % PIECE
            self._open.update(view[:room])
            self._size += len(view[:room])
            if self._size % PIECE == 0:
                self._done.append(self._open.hexdigest())
                self._open = hashlib.sha256()
            view = view[room:]

    def with_end(self, data: bytes) -> tuple[str, ...]:
        """Of all pieces, where only `data` follows; of a file of more than MAX_PIECES, none."""
        whole = PieceDigests()
        whole._done, whole._size, whole._open = [*self._done], self._size, self._open.copy()
        whole.update(data)
        rest = [whole._open.hexdigest()] if whole._size % PIECE else []
        found = (*whole._done, *rest)
        return found if len(found) <= MAX_PIECES else ()


@dataclass(frozen=True, slots=True)
class SealRecord:
    """`size` in bytes and hex `sha256` are of the whole file; `first` and `entries` give its range of log indexes.

    `epoch` is that of its log. `kept` marks one that is not whole, or not the segment it was sealed as: its bytes as
    they were found when the next epoch began. `pieces` are hex SHA-256, and may be absent. `challenge` is
    what a station must answer from the bytes, and `answer` what it then says; both are "" where an earlier version
    sealed the segment, `answer` alone where the card did not read it.
    """

    segment: str
    size: int
    sha256: str
    first: int
    entries: int
    recording: str | None
    seq: int
    epoch: int = 1
    kept: bool = False
    pieces: tuple[str, ...] = ()
    challenge: str = ""
    answer: str = ""

    @classmethod
    def of(
        cls,
        header: SegmentHeader,
        name: str,
        size: int,
        sha256: str,
        entries: int,
        pieces: tuple[str, ...] = (),
        challenge: str = "",
        answer: str = "",
    ) -> SealRecord:
        """Of a whole segment. Raises EvidenceError where its log has no name."""
        epoch = number_of(header.origin)
        log = header.first, entries, header.recording, header.seq, epoch
        return cls(name, size, sha256, *log, pieces=pieces, challenge=challenge, answer=answer)

    @property
    def end(self) -> int:
        """The log index after the segment's last entry."""
        return self.first + self.entries

    def facts(self) -> dict[str, str | int]:
        """The public facts of the `seal` leaf."""
        return {
            "segment": self.segment,
            "size": self.size,
            "sha256": self.sha256,
            "first": self.first,
            "entries": self.entries,
        }

    def to_bytes(self) -> bytes:
        told = {k: v for k, v in asdict(self).items() if k not in ("pieces", "challenge", "answer") or v}
        return json.dumps({"v": 1, **told}, separators=(",", ":")).encode("ascii") + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> SealRecord:
        """Raises EvidenceError."""
        try:
            value = json.loads(data.decode("ascii")) if len(data) <= MAX_SEAL else {}
            version = value.pop("v")
            if type(version) is not int or version != 1:
                raise ValueError
            record = cls(**{**value, "pieces": tuple(value.get("pieces", ()))})
            numbers = (record.size, record.first, record.entries, record.seq)
            named = SEGMENT_NAME.fullmatch(record.segment) and _HEX.fullmatch(record.sha256)
            valid = named and type(record.epoch) is int and 1 <= record.epoch <= MAX_EPOCH
            if not valid or type(record.kept) is not bool or any(type(n) is not int or n < 0 for n in numbers):
                raise ValueError
            if record.pieces and len(record.pieces) != -(-record.size // PIECE):
                raise ValueError
            if not all(isinstance(p, str) and _HEX.fullmatch(p) for p in record.pieces):
                raise ValueError
            if not all(v == "" or possession.is_hex(v) for v in (record.challenge, record.answer)):
                raise ValueError
            if record.recording is not None and not RECORDING_ID.fullmatch(record.recording):
                raise ValueError
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise EvidenceError("not a seal record") from None
        return record
