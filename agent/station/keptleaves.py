"""Which leaves of a cosigned log lie in bytes that are stored for themselves alone: what a damaged card or a log that
ended left over is no evidence, and often in no seal leaf that was cosigned. But what it holds is not owed any longer.

Nobody signed these bytes for what they prove, so a leaf counts where it is the one of the cosigned tree.
"""

from __future__ import annotations

from pathlib import Path

from agent import durable
from agent.errors import EvidenceError
from agent.formats import merkle, pack
from agent.formats.epoch import number_of
from agent.station.index import Index
from agent.station.indexed import Held
from agent.station.logs import Logs
from agent.station.state import State

NOTHING = Held(0, 0, 0, False)


def learn(root: Path, index: Index, state: State, logs: Logs, camera: str) -> None:
    """Of all that a receipt keeps for its bytes and that was not looked through yet. Raises StorageError."""
    for name, sha256, place in index.kept_unread(camera):
        path = root / place
        if durable.is_there(path):
            index.holds(camera, name, sha256, held(path, camera, state, logs))


def held(path: Path, camera: str, state: State, logs: Logs) -> Held:
    """Raises StorageError; also LostTileError, where the log cannot be asked now."""
    with durable.storage_errors(path, "cannot read back"), path.open("rb", buffering=1 << 20) as file:
        reader = pack.PackReader(file.read)
        try:
            header = reader.head()
            epoch = number_of(header.origin)
        except EvidenceError:
            return NOTHING
        head, first = state.head(camera, epoch), header.first
        if head is None or (header.camera, header.origin) != (camera, head.origin):
            return NOTHING
        if logs.root_at(camera, epoch, first) != header.frontier.root():
            return NOTHING
        return _walk(reader, epoch, first, logs.tree(camera, epoch, head.proven))


def _walk(reader: pack.PackReader, epoch: int, first: int, tree: merkle.TileTree) -> Held:
    """Up to the last leaf that is the tree's: what is not, before it, was damaged, and behind it is of another log."""
    end, ours = first, True
    try:
        for entry in reader.entries():
            if not first <= entry.index < tree.size:
                break
            ours = tree.subtree(entry.index, entry.index + 1) == merkle.leaf_hash(entry.leaf)
            end = entry.index + 1 if ours else end
    except pack.PackError as err:
        return Held(epoch, first, end, ours and not err.torn)
    return Held(epoch, first, end, False)
