"""What this machine remembers of orders beside its configuration, whatever card it has (agent/ordernumbers.py): each
order is held against it, and what was taken since is given to root to keep.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agent import ordernumbers
from agent.errors import AgentError
from agent.formats.order import Kind, Order
from agent.model import NS
from agent.ordernumbers import Highest, Marks
from agent.orders import Taken
from agent.spool.requests import ORDERS, Requests

KEPT_NS = 20 * NS
"""So long the unit that keeps it may take."""


class OrderMemory:
    """`file` is the configuration's, None where nobody may change it: then there is nothing to remember. `trouble` says
    why what was taken is not kept. Raises StorageError.
    """

    def __init__(self, camera: str, file: Path | None, requests: Requests) -> None:
        self._camera, self._requests = camera, requests
        self._path = file.with_name(ordernumbers.FILE) if file else None
        self._kept_of: Mapping[Kind, Taken] | None = None
        self._asked: tuple[Marks, int] | None = None
        self.trouble: str | None = None

    def check(self, order: Order, sha256: str) -> None:
        """Raises EvidenceError for an order that is older than one this machine has taken, or where that cannot be
        told.
        """
        ordernumbers.check(order.kind.value, order.number, sha256, self._kept())

    def step(self, now_ns: int, taken: Mapping[Kind, Taken]) -> None:
        """In each turn, with what the card remembers."""
        if self._path is None or taken is self._kept_of:
            return
        try:
            lacks = _newer(taken, self._kept())
        except AgentError as err:
            self.trouble = err.message
            return
        if not lacks:
            self._kept_of, self._asked, self.trouble = taken, None, None
        elif self._asked is None or self._asked[0] != lacks:
            self._requests.ask(ORDERS, ordernumbers.request(self._camera, lacks))
            self._asked = lacks, now_ns
        elif now_ns - self._asked[1] > KEPT_NS:
            if not self._requests.is_asked(ORDERS):
                # Root could not, or would not: what was in its way may be over.
                self._requests.ask(ORDERS, ordernumbers.request(self._camera, lacks))
                self._asked = lacks, now_ns
            self.trouble = (
                f"the numbers of the last orders are not kept in {self._path}, so that with another card this camera "
                "would take older ones: is bodycam-apply.path enabled?"
            )

    def _kept(self) -> Marks:
        return ordernumbers.read(self._path).get(self._camera, {}) if self._path else {}


def _newer(taken: Mapping[Kind, Taken], kept: Marks) -> Marks:
    marks = {kind.value: Highest(one.number, one.sha256) for kind, one in taken.items()}
    return {kind: mark for kind, mark in marks.items() if kind not in kept or kept[kind].number < mark.number}
