"""A bounded queue between a source and its encoder that can be closed from either end: no wait outlives `close`.

Bounded by number and weight, for memory; and by time, for what a power cut may cost: whatever the rate, and however
slow the encoder, what it is given has not waited for longer than that.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):
    """The channel is closed and, for a reader, empty."""


@dataclass(frozen=True, slots=True)
class Patience(Generic[T]):
    """What waited longer than `limit_ns` while a newer one waits behind it goes to `stale`, on the reader's thread, and
    not to the reader. The newest is never too old.
    """

    limit_ns: int
    stale: Callable[[T], None]
    now_ns: Callable[[], int] = time.monotonic_ns


class Channel(Generic[T]):
    """Holds up to `size` items that together weigh no more than `most`; whatever one weighs, it may be alone in it.
    Without `patience` each waits for as long as it takes.
    """

    def __init__(
        self,
        size: int,
        most: int | None = None,
        weigh: Callable[[T], int] = lambda _: 0,
        patience: Patience[T] | None = None,
    ) -> None:
        self._items: deque[tuple[T, int, int]] = deque()
        self._size, self._most, self._weigh, self._patience = size, most, weigh, patience
        self._weight = 0
        self._condition = threading.Condition()
        self._closed = False

    def put(self, item: T, wait: bool) -> bool:
        """Take the item in; False where it is full and `wait` is not allowed, or it is closed."""
        weight = self._weigh(item)
        with self._condition:
            while wait and not self._has_room(weight) and not self._closed:
                self._condition.wait()
            if self._closed or not self._has_room(weight):
                return False
            self._items.append((item, weight, self._patience.now_ns() if self._patience else 0))
            self._weight += weight
            self._condition.notify_all()
            return True

    def get(self, timeout_s: float | None = None) -> T | None:
        """The oldest item, or None after `timeout_s`. Raises Closed once closed and empty."""
        with self._condition:
            self._condition.wait_for(lambda: self._items or self._closed, timeout_s)
            stale = []
            while self._waits_for(1) and len(self._items) > 1:
                stale.append(self._pop())
            item, closed = self._pop() if self._items else None, self._closed
        for old in stale:
            assert self._patience
            self._patience.stale(old)
        if item is None and closed:
            raise Closed
        return item

    def _pop(self) -> T:
        item, weight, _ = self._items.popleft()
        self._weight -= weight
        self._condition.notify_all()
        return item

    def _waits_for(self, share: float) -> bool:
        """Whether the oldest has waited for more than this share of the time it may."""
        patience = self._patience
        if patience is None or not self._items:
            return False
        return patience.now_ns() - self._items[0][2] > patience.limit_ns * share

    def _has_room(self, weight: int) -> bool:
        if not self._items:
            return True
        return len(self._items) < self._size and (self._most is None or self._weight + weight <= self._most)

    @property
    def filling(self) -> bool:
        """By number or by weight; or by time nearly full, which at 30 fps is as much as half of twelve."""
        with self._condition:
            heavy = self._most is not None and self._weight * 2 >= self._most
            return len(self._items) * 2 >= self._size or heavy or self._waits_for(0.8)

    @property
    def closed(self) -> bool:
        return self._closed

    def __len__(self) -> int:
        return len(self._items)

    def close(self, discard: bool = False) -> None:
        """No more comes in. With `discard` what waits is thrown away, for a stop that nobody records."""
        with self._condition:
            self._closed = True
            if discard:
                self._items.clear()
                self._weight = 0
            self._condition.notify_all()
