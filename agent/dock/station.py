"""The station as the dock sees it: what can be asked, what it answers, and how it can fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent.errors import AgentError, StationError
from agent.formats.merkle import TileId
from agent.formats.seal import SealRecord


class TryAgainError(StationError):
    """Not now. `away` where nobody answered at all; `retry_after_s` where the station said how long; `overrun` where
    it would answer any other request alike; `locked` where it is about one upload alone.
    """

    def __init__(
        self,
        message: str,
        away: bool = False,
        retry_after_s: float = 0.0,
        locked: bool = False,
        overrun: bool = False,
    ) -> None:
        super().__init__(message)
        self.away, self.retry_after_s, self.locked = away, retry_after_s, locked
        self.overrun = not locked and (overrun or retry_after_s > 0)


class RefusedError(StationError):
    """No, and asking again the same way will not help. `status` is HTTP's, 0 where it is not about an answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class UntrustedError(StationError):
    """TLS says that this is not the agency's station, or that it does not know this camera. That is about whoever
    answers, and nothing that was asked: who stands in the way now may be gone in a moment.
    """


class StaleSizeError(StationError):
    """The witness cosigned `size` leaves last, not what the request was based on (tlog-witness, 409)."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the station cosigned {size} leaves last")
        self.size = size


class HeldError(StationError):
    """Not over this way: it costs by the byte."""


class HaltedError(StationError):
    """Undocked, or asked to stop, in the middle of sending."""


def is_of_all(err: AgentError) -> bool:
    """Nothing that what was asked is to blame for: whatever else is asked now, it would be the same, or the station
    said when to come back.
    """
    return reaches_nobody(err) or (isinstance(err, TryAgainError) and err.overrun)


def reaches_nobody(err: AgentError) -> bool:
    """No station of the agency's answers now, or none is to be asked: one that is overrun does, and may have room for
    a segment and none for a tile.
    """
    return err.away if isinstance(err, TryAgainError) else isinstance(err, HaltedError | HeldError | UntrustedError)


@dataclass(frozen=True, slots=True)
class StationLog:
    """How much of this camera's log the station cosigned, and holds as proven tiles; `newest` is the last epoch of the
    camera that it cosigned anything of.
    """

    cosigned: int
    proven: int
    newest: int = 0


@dataclass(frozen=True, slots=True)
class Attested:
    """A receipt, verbatim, and why the other segments are not in it: (reason, whether for good)."""

    receipt: bytes
    refused: Mapping[str, tuple[str, bool]]


class Station(Protocol):
    """Every call has a deadline. Raises TryAgainError, RefusedError, UntrustedError, HaltedError."""

    def log_state(self, epoch: int) -> StationLog: ...

    def put_tile(self, epoch: int, tile: TileId, data: bytes) -> None: ...

    def put_chain(self, epoch: int, chain_pem: bytes) -> None: ...

    def add_checkpoint(self, old: int, proof: Sequence[bytes], checkpoint: bytes) -> None:
        """Also raises StaleSizeError."""

    def send(self, record: SealRecord, path: Path, on_offset: Callable[[int], None]) -> None:
        """One attempt at one segment, from wherever the station has it; `on_offset` hears how far it is, in bytes."""

    def cosigned_head(self, epoch: int) -> bytes:
        """The largest head of this log that the station cosigned, as a whole note."""

    def attest(self, epoch: int, records: Sequence[SealRecord], kept: Sequence[SealRecord] = ()) -> Attested:
        """A receipt for segments of this log, and for the bytes of those `kept` from earlier ones."""
