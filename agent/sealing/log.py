"""The camera's append-only log: the next index, the tree so far, and a checkpoint for each leaf
(c2sp.org/tlog-checkpoint).

Signing is split in two, because no checkpoint may leave the process before its leaf is durable: `propose` signs,
`commit` makes it the log's state once the caller's fdatasync returned. An index is proposed again only with the
same leaf, or after the old note was erased.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agent.clock import Clock
from agent.errors import AgentError, StorageError, reason
from agent.formats import leaf as leaves
from agent.formats import merkle, note
from agent.model import NS
from agent.sealing.pace import Pace
from agent.sealing.session import Session, Signed
from agent.sealing.tiles import TileStore


@dataclass(frozen=True, slots=True)
class Proposal:
    """A signed checkpoint that is not yet the log's: commit it only when it is durable."""

    index: int
    leaf: bytes
    note: bytes
    leaf_hash: bytes
    after: merkle.Frontier
    mono_ns: int
    by_identity: bool


class Log:
    """One epoch. `identity_every_ns` is how often, on CLOCK_MONOTONIC, the identity key signs besides the kinds
    that demand it; `monotonic_ns` tells how long it took to say that it does not.
    """

    def __init__(
        self,
        origin: str,
        session: Session,
        tiles: TileStore,
        identity_every_ns: int,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.origin = origin
        self.session = session
        self.frontier = tiles.frontier()
        self._tiles = tiles
        self._pace, self._monotonic_ns = Pace(identity_every_ns), monotonic_ns

    @property
    def next_index(self) -> int:
        return self.frontier.size

    def propose(self, leaf: leaves.Leaf) -> Proposal:
        """Hash the leaf into the tree and sign the head it leads to."""
        index = leaf.common.index
        if index != self.next_index:
            raise ValueError(f"leaf {index} where {self.next_index} belongs")
        data = leaves.to_bytes(leaf)
        value = merkle.leaf_hash(data)
        after = self.frontier.append(value)
        checkpoint = note.Checkpoint(self.origin, after.size, after.root())
        now_ns, with_identity = leaf.common.stamp.mono_ns, self._wants_identity(leaf)
        asked_ns = self._monotonic_ns()
        signed = self._sign(checkpoint, with_identity)
        if with_identity and not signed.by_identity:
            self._pace.refused(now_ns, self._monotonic_ns() - asked_ns)
        return Proposal(index, data, signed.note, value, after, now_ns, signed.by_identity)

    def _sign(self, checkpoint: note.Checkpoint, with_identity: bool) -> Signed:
        """A signer that fails is told as a disk that refuses: what waits for it is tried again, and lost only where
        memory ends.
        """
        try:
            return self.session.sign_checkpoint(checkpoint, with_identity)
        except AgentError:
            raise
        except Exception as err:
            raise StorageError(f"the log's head cannot be signed: {reason(err)}", "restart the recorder") from err

    def check_signer(self) -> None:
        """Sign, with the session's key, the head that is the log's already. Raises StorageError where that fails."""
        self._sign(note.Checkpoint(self.origin, self.frontier.size, self.frontier.root()), with_identity=False)

    def commit(self, proposal: Proposal) -> None:
        """The proposal's entry is durable: from now on the log is this long."""
        if proposal.index != self.next_index:
            raise ValueError(f"commit of leaf {proposal.index} where {self.next_index} belongs")
        self.frontier = proposal.after
        if proposal.by_identity:
            self._pace.signed(proposal.mono_ns)
        self._tiles.append(proposal.leaf_hash)

    def root_at(self, size: int) -> bytes:
        """The root of the first `size` leaves. Raises EvidenceError where the log never was that long."""
        return self._tiles.root_at(size)

    @property
    def tiles_size(self) -> int:
        """So many leaves are in the tiles on disk; newer ones are only in segments."""
        return self._tiles.durable_size

    def flushing_tiles(self) -> Iterator[None]:
        """Bring the tiles on disk, and the checkpoint beside them, up to the log's size at the first step, in steps
        between which it may grow.
        """
        checkpoint = note.Checkpoint(self.origin, self.frontier.size, self.frontier.root())
        return self._tiles.flushing(self._sign(checkpoint, with_identity=True).note)

    def _wants_identity(self, leaf: leaves.Leaf) -> bool:
        if isinstance(leaf, leaves.EventLeaf) and leaf.kind in leaves.IDENTITY_KINDS:
            return True
        return self._pace.due(leaf.common.stamp.mono_ns)


def stamp(clock: Clock) -> leaves.Stamp:
    """The instant, by every clock."""
    utc = clock.utc()
    moment = datetime.fromtimestamp(utc.ns // NS, UTC) + timedelta(microseconds=utc.ns % NS // 1000)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return leaves.Stamp(clock.boot_id, clock.monotonic_ns(), clock.boottime_ns(), text, utc.source, utc.bound_ms)
