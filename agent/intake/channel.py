"""A bounded queue between a source and its encoder that can be closed from either end: no wait outlives `close`."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):
    """The channel is closed and, for a reader, empty."""


class Channel(Generic[T]):
    """Holds up to `size` items that together weigh no more than `most`; whatever one weighs, it may be alone in it."""

    def __init__(self, size: int, most: int | None = None, weigh: Callable[[T], int] = lambda _: 0) -> None:
        self._items: deque[tuple[T, int]] = deque()
        self._size, self._most, self._weigh = size, most, weigh
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
            self._items.append((item, weight))
            self._weight += weight
            self._condition.notify_all()
            return True

    def get(self, timeout_s: float | None = None) -> T | None:
        """The oldest item, or None after `timeout_s`. Raises Closed once closed and empty."""
        with self._condition:
            self._condition.wait_for(lambda: self._items or self._closed, timeout_s)
            if self._items:
                item, weight = self._items.popleft()
                self._weight -= weight
                self._condition.notify_all()
                return item
            if self._closed:
                raise Closed
            return None

    def _has_room(self, weight: int) -> bool:
        if not self._items:
            return True
        return len(self._items) < self._size and (self._most is None or self._weight + weight <= self._most)

    @property
    def half_full(self) -> bool:
        with self._condition:
            return len(self._items) * 2 >= self._size or (self._most is not None and self._weight * 2 >= self._most)

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
