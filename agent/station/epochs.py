"""The epochs of one camera's log: what each says that it follows, held against what was cosigned of that.

A new epoch is a thing to look at, whatever it says: either a card was damaged, or an older one was put in. What
contradicts a cosigned head is filed as that; the bytes are kept and attested all the same.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.formats import note
from agent.formats.epoch import Link, number_of
from agent.station.conflicts import Conflicts
from agent.station.state import Link as Known
from agent.station.state import State

RootAt = Callable[[str, int, int], bytes | None]


class Epochs:
    """`root_at` gives the proven root of a smaller tree of a log, or None where tiles lack. Raises StorageError."""

    def __init__(self, state: State, conflicts: Conflicts, root_at: RootAt) -> None:
        self._state, self._conflicts, self._root_at = state, conflicts, root_at

    def learn(self, camera: str, origin: str, link: Link) -> None:
        """The first leaf of the log `origin`, which is proven to be that, was read."""
        follows, epoch = link.follows, number_of(origin)
        known = Known(epoch, number_of(follows.origin), follows.size, follows.root, link.why.value)
        if not self._state.add_link(camera, known):
            return
        facts: dict[str, str | int] = {"epoch": epoch, "follows": follows.text(), "reason": link.why.value}
        if link.left:
            facts["left"] = link.left.text()
        self._conflicts.file(camera, "epoch", facts)
        if against := self._contradicts(camera, follows):
            self._conflicts.file(camera, "epoch-contradicts", {**facts, "cosigned": against})

    def _contradicts(self, camera: str, follows: note.Checkpoint) -> str | None:
        """The cosigned note that says otherwise."""
        held = self._state.head(camera, number_of(follows.origin))
        if held is None or follows.size > held.size:
            return None
        if held.origin != follows.origin:
            return held.note.decode()
        root = held.root if follows.size == held.size else self._root_at(camera, number_of(held.origin), follows.size)
        return held.note.decode() if root is not None and root != follows.root else None
