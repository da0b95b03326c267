"""What a purge keeps of the segments that go, where leaves before them wait for the identity key's word: the head that
has it, and what leads there (docs/evidence-format.md, "A kept head").
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from agent import durable
from agent.errors import EvidenceError
from agent.formats import merkle, note, pack
from agent.formats.kepthead import KeptHead
from agent.formats.tlogproof import Extension
from agent.station.conflicts import Conflicts
from agent.station.index import Index
from agent.station.indexed import Segment
from agent.station.layout import AgencyPaths
from agent.station.logs import Logs
from agent.station.state import Head, State


class KeptHeads:
    """Reads what the station stores of one log before any of it goes. Raises StorageError."""

    def __init__(self, paths: AgencyPaths, state: State, index: Index) -> None:
        self._paths, self._state, self._index = paths, state, index
        self._logs = Logs(paths.station / "log", state, Conflicts(paths.station / "conflicts"))

    def keep(self, segments: Sequence[Segment]) -> None:
        """Of one recording, in order, about to be purged. Durable when this returns, where there is one to keep."""
        there = [one for one in segments if durable.is_there(self._paths.station / one.place)]
        before: Segment | None = None
        for number, one in enumerate(there):
            if before is None or before.end != one.first:
                self._keep(there[number:])
            before = one

    def _keep(self, going: Sequence[Segment]) -> None:
        first = going[0]
        head = self._state.head(first.camera, first.epoch)
        if head is None or not self._waits(first):
            return
        signed = next(self._signed(going, head), None)
        if signed is None or note.parse_checkpoint(signed.text).size > head.proven:
            return
        size = note.parse_checkpoint(signed.text).size
        tree = self._logs.tree(first.camera, first.epoch, head.proven)
        proof = merkle.consistency_proof(first.first, size, tree.subtree)
        path = self._paths.kept_head(first.camera, first.name)
        durable.make_dir(path.parent)
        kept = KeptHead(Extension(first.first, tuple(proof)), signed.to_bytes())
        durable.write_file(path, kept.to_bytes(), 0o644)
        durable.sync_names([path], self._paths.station)

    def _waits(self, first: Segment) -> bool:
        """Whether the checkpoint before it, of a segment that stays, lacks the identity key's signature."""
        before = self._index.ending(first.camera, first.epoch, first.first)
        last = deque(self._notes(before), maxlen=1)
        return bool(last) and not _by_identity(last[0])

    def _signed(self, going: Sequence[Segment], head: Head) -> Iterator[note.Note]:
        """What the identity key signed of their leaves, in order; then the newest head that was cosigned."""
        yield from filter(_by_identity, self._notes(going))
        newest = note.parse(head.note)
        own = tuple(one for one in newest.signatures if one.name == head.origin)
        yield from filter(_by_identity, [note.Note(newest.text, own)])

    def _notes(self, segments: Sequence[Segment]) -> Iterator[note.Note]:
        """Their checkpoints, as far as they can be read."""
        for one in segments:
            path = self._paths.station / one.place
            with durable.storage_errors(path, "cannot read"), path.open("rb") as file:
                reader = pack.PackReader(file.read)
                try:
                    reader.head()
                    for entry in reader.entries():
                        yield note.parse(entry.note)
                except EvidenceError:
                    return


def _by_identity(signed: note.Note) -> bool:
    """Its signatures were checked before the receipt was given: the session's, and then the identity key's."""
    origin = note.parse_checkpoint(signed.text).origin
    return sum(one.name == origin for one in signed.signatures) > 1
