"""How many connections one certificate may have, and how many workers at a time: a camera that drips, or is not the
agency's any longer in all but its key, holds up nobody but itself.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

MAX_CONNECTIONS = 16
"""A camera has five, and those of its last visit that no end was heard of."""
MAX_AT_WORK = 6
"""It sends four segments at a time. The rest waits for one of these to end."""
MAX_KNOWN = 600
"""Of all together: with those that wait on the porch, and the files, fewer than the 1,024 descriptors of a process."""

Connection = TypeVar("Connection")


@dataclass(slots=True, eq=False)
class _Peer(Generic[Connection]):
    here: list[Connection] = field(default_factory=list)
    at_work: list[Connection] = field(default_factory=list)
    waiting: deque[Connection] = field(default_factory=deque)


class Peers(Generic[Connection]):
    """Thread-safe. A peer is whatever `who` tells one certificate from others by."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._peers: dict[bytes, _Peer[Connection]] = {}

    def come(self, who: bytes, one: Connection) -> bool:
        """One more of this peer's. False where there are too many: then it is none of them."""
        with self._lock:
            peer = self._peers.get(who)
            known = sum(len(each.here) for each in self._peers.values())
            if known >= MAX_KNOWN or (peer is not None and len(peer.here) >= MAX_CONNECTIONS):
                return False
            self._peers.setdefault(who, _Peer()).here.append(one)
            return True

    def begin(self, who: bytes, one: Connection) -> bool:
        """Whether a worker may have it now; else `done` gives it back when one of its peer's ends."""
        with self._lock:
            peer = self._peers[who]
            if len(peer.at_work) >= MAX_AT_WORK:
                peer.waiting.append(one)
                return False
            peer.at_work.append(one)
            return True

    def done(self, who: bytes, one: Connection) -> Connection | None:
        """A worker has answered it; returns what it may have in its place."""
        with self._lock:
            peer = self._peers[who]
            peer.at_work.remove(one)
            if not peer.waiting:
                return None
            following = peer.waiting.popleft()
            peer.at_work.append(following)
            return following

    def gone(self, who: bytes, one: Connection) -> None:
        """It is closed. Safe to repeat."""
        with self._lock:
            peer = self._peers.get(who)
            if peer is None or one not in peer.here:
                return
            peer.here.remove(one)
            if one in peer.waiting:
                peer.waiting.remove(one)
            if not peer.here:
                del self._peers[who]

    def waiting(self) -> list[Connection]:
        """All that have no worker, and nobody looks at."""
        with self._lock:
            return [one for peer in self._peers.values() for one in peer.waiting]
