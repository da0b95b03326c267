"""How long a camera was off at the most, by what stations vouch for: the last leaf before came after a receipt that the
camera held by then, the first leaf after it before a station cosigned a head that reaches it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from agent.evidence.accounts import Powered
from agent.evidence.logview import LogView
from agent.model import NS


def bound_by_receipts(boots: Sequence[Powered], logs: Sequence[LogView]) -> None:
    """Put the bound to each boot's `off`, where there is one. `logs` are those of the boots' camera."""
    issued = {checked.sha256: checked.receipt.issued_s for log in logs for checked in log.receipts}
    after_s: int | None = None
    for before, now in pairwise(boots):
        after_s = max((issued[d] for d in before.receipts if d in issued), default=after_s)
        until_s = _cosigned(logs, now.origins[0], now.first_leaf)
        if now.off and after_s is not None and until_s is not None and until_s >= after_s:
            now.off = replace(now.off, at_most_ns=(until_s - after_s) * NS)


def _cosigned(logs: Sequence[LogView], origin: str, leaf: int) -> int | None:
    """When a station first vouched for a log that holds this leaf, and that these leaves lead to."""
    times = [
        head.time_s
        for log in logs
        if log.origin == origin
        for head in log.heads
        if head.time_s is not None and head.size > leaf and log.watch.roots.get(head.size) == head.root
    ]
    return min(times, default=None)
