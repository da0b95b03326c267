"""How long a camera was off at the most, by what stations vouch for: the last leaf before came after a receipt that the
camera held by then, the first leaf after it before a station cosigned a head that reaches it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

from agent.evidence.accounts import Powered
from agent.evidence.logview import LogView
from agent.model import NS


def bound_by_receipts(boots: Sequence[Powered], logs: Sequence[LogView]) -> None:
    """Put the bound to each boot's `off`, where there is one. `logs` are those of the boots' camera."""
    issued = {checked.sha256: checked.receipt.issued_s for log in logs for checked in log.receipts}
    cosigned, after_s = _Cosigned(logs), None
    for before, now in pairwise(boots):
        after_s = max((issued[d] for d in before.receipts if d in issued), default=after_s)
        until_s = cosigned.at(now.origins[0], now.first_leaf)
        if now.off and after_s is not None and until_s is not None and until_s >= after_s:
            now.off = replace(now.off, at_most_ns=(until_s - after_s) * NS)


class _Cosigned:
    """When a station first vouched for a log that holds a leaf, and that these leaves lead to."""

    def __init__(self, logs: Sequence[LogView]) -> None:
        times: dict[str, list[tuple[int, int]]] = {}
        for log in logs:
            roots, found = log.watch.roots, times.setdefault(log.origin, [])
            found += [(h.size, h.time_s) for h in log.heads if h.time_s is not None and roots.get(h.size) == h.root]
        self._sizes: dict[str, list[int]] = {}
        self._earliest: dict[str, list[int]] = {}
        for origin, found in times.items():
            # Larger ones vouch for all that is below them.
            found.sort()
            self._sizes[origin] = [size for size, _ in found]
            self._earliest[origin] = list(accumulate((time_s for _, time_s in reversed(found)), min))[::-1]

    def at(self, origin: str, leaf: int) -> int | None:
        """In POSIX seconds; None where none did."""
        number = bisect_right(self._sizes.get(origin, ()), leaf)
        return next(iter(self._earliest.get(origin, ())[number : number + 1]), None)
