"""Which leaves of a cosigned log lie in bytes that are stored for themselves alone: what a damaged card or a log that
ended left over is no evidence, and often in no seal leaf that was cosigned. But what it holds is not owed any longer.

Nobody signed these bytes for what they prove, so a leaf counts where it is the one of the cosigned tree.
"""

from __future__ import annotations

from pathlib import Path

from agent import durable
from agent.errors import EvidenceError, StorageError
from agent.formats import merkle, pack
from agent.formats.epoch import number_of
from agent.station.index import Index
from agent.station.indexed import Held, Unread
from agent.station.logs import Logs, LostTileError
from agent.station.state import State

NOTHING = Held(0, 0, 0, False)


UNSAID = -1
"""Fewer leaves than any log has: to be asked again however many are proven."""


def learn(root: Path, index: Index, state: State, logs: Logs, camera: str) -> None:
    """Of all that a receipt keeps for its bytes and that was not looked through yet, or of which more may be known as
    more of its log is proven. Each by itself. Raises StorageError, the first there was, behind the last.
    """
    failed: StorageError | None = None
    for one in index.kept_unread(camera):
        path = root / one.place
        if _said(one, state, camera) or not durable.is_there(path):
            continue
        try:
            found, asked = held(path, camera, state, logs)
        except LostTileError as err:
            (found, asked), failed = (NOTHING, UNSAID), failed or err
        except StorageError as err:
            failed = failed or err
            continue
        if asked is None or asked != one.asked:
            index.holds(camera, one.name, one.sha256, found, asked)
    if failed:
        raise failed


def _said(one: Unread, state: State, camera: str) -> bool:
    """Whether its log says no more than when it was asked."""
    head = state.head(camera, one.epoch) if one.epoch else None
    return head is not None and one.asked is not None and head.proven <= one.asked


def held(path: Path, camera: str, state: State, logs: Logs) -> tuple[Held, int | None]:
    """And, where the log goes on behind what is proven of it, how many leaves that are (else None: this is all there is
    to know). Raises StorageError; also LostTileError, where the log cannot be asked now.
    """
    with durable.storage_errors(path, "cannot read back"), path.open("rb", buffering=1 << 20) as file:
        reader = pack.PackReader(file.read)
        try:
            header = reader.head()
            epoch = number_of(header.origin)
        except EvidenceError:
            return NOTHING, None
        head, first = state.head(camera, epoch), header.first
        if head is None:
            return NOTHING, UNSAID
        if (header.camera, header.origin) != (camera, head.origin):
            return NOTHING, None
        if first > head.proven:
            return Held(epoch, 0, 0, False), head.proven
        tree = logs.tree(camera, epoch, head.proven)
        if (tree.subtree(0, first) if first else merkle.EMPTY_ROOT) != header.frontier.root():
            return NOTHING, None
        return _walk(reader, epoch, first, tree)


def _walk(reader: pack.PackReader, epoch: int, first: int, tree: merkle.TileTree) -> tuple[Held, int | None]:
    """Up to the last leaf that is the tree's: what is not, before it, was damaged, and behind it is of another log."""
    end, ours = first, True
    try:
        for entry in reader.entries():
            if entry.index >= tree.size:
                return Held(epoch, first, end, False), tree.size
            if entry.index < first:
                break
            ours = tree.subtree(entry.index, entry.index + 1) == merkle.leaf_hash(entry.leaf)
            end = entry.index + 1 if ours else end
    except pack.PackError as err:
        return Held(epoch, first, end, ours and not err.torn), None
    return Held(epoch, first, end, False), None
