"""A bounded queue between a source and its encoder that can be closed from either end: no wait outlives `close`."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):
    """The channel is closed and, for a reader, empty."""


class Channel(Generic[T]):
    def __init__(self, size: int) -> None:
        self._items: deque[T] = deque()
        self._size = size
        self._condition = threading.Condition()
        self._closed = False

    def put(self, item: T, wait: bool) -> bool:
        """Take the item in; False where it is full and `wait` is not allowed, or it is closed."""
        with self._condition:
            while wait and len(self._items) >= self._size and not self._closed:
                self._condition.wait()
            if self._closed or len(self._items) >= self._size:
                return False
            self._items.append(item)
            self._condition.notify_all()
            return True

    def get(self, timeout_s: float | None = None) -> T | None:
        """The oldest item, or None after `timeout_s`. Raises Closed once closed and empty."""
        with self._condition:
            self._condition.wait_for(lambda: self._items or self._closed, timeout_s)
            if self._items:
                item = self._items.popleft()
                self._condition.notify_all()
                return item
            if self._closed:
                raise Closed
            return None

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
            self._condition.notify_all()
