"""The highest number of each kind of order, in the TPM: where the whole card is put back to an older state, system and
all, what it remembers of orders (agent/orders.py, agent/ordernumbers.py) is put back with it, and this is not.

Only an order whose signature was checked raises it: nothing on the card, which anybody can write, makes a camera refuse
what its agency orders. It is asked once in each life of the recorder, and written once for each order that is new.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from agent.errors import DeviceError, EvidenceError
from agent.formats.order import Kind, Order
from agent.model import NS
from agent.orders import Taken

KINDS = (Kind.ASSIGNMENT, Kind.CONFIGURATION, Kind.TAGS)
"""In the TPM's order."""
AGAIN_NS = 60 * NS
"""A TPM that fails may hold up who asks it for seconds."""


class Numbers(Protocol):
    """0 for none. Both raise DeviceError."""

    def read(self) -> tuple[int, int, int]: ...
    def write(self, numbers: tuple[int, int, int]) -> None: ...


class OrderFloor:
    """`numbers` is None where the camera has no TPM that counts: then there is none. `trouble` says why the TPM does
    not help, or that the card is older than what it remembers.
    """

    def __init__(self, numbers: Numbers | None) -> None:
        self._numbers = numbers
        self._held: dict[Kind, int] | None = None
        self._wanted: dict[Kind, int] = {}
        self._again_ns = 0
        self.trouble: str | None = None

    def check(self, order: Order) -> None:
        """Raises EvidenceError for an order below the highest of its kind, or where that cannot be told."""
        if self._numbers is None:
            return
        what = f"{order.kind.value} number {order.number}"
        if self._held is None:
            raise EvidenceError(f"whether {what} is an old one cannot be told: the TPM does not say which was the last")
        highest = max(self._held[order.kind], self._wanted.get(order.kind, 0))
        if order.number < highest:
            raise EvidenceError(
                f"{what} is older than number {highest}, which this camera has taken: its TPM says so, whatever card "
                "it has"
            )

    def took(self, order: Order) -> None:
        """One that is new, and whose signature was checked; `step` keeps it."""
        if self._numbers is not None:
            self._wanted[order.kind] = order.number

    def step(self, now_ns: int, taken: Mapping[Kind, Taken], recording: bool) -> None:
        """In each turn, with what the card remembers. Nothing that is recorded waits for a TPM."""
        if self._numbers is None:
            return
        if (self._held is None or self._wanted) and not recording and now_ns >= self._again_ns:
            try:
                self._settle(self._numbers)
            except DeviceError as err:
                self._again_ns = now_ns + AGAIN_NS
                self.trouble = f"the TPM does not keep the numbers of the last orders: {err.message}"
                return
        if self._held is not None and not self._wanted:
            self.trouble = _behind(self._held, taken)

    def _settle(self, numbers: Numbers) -> None:
        if self._held is None:
            self._held = dict(zip(KINDS, numbers.read(), strict=True))
        if self._wanted:
            after = {kind: max(self._held[kind], self._wanted.get(kind, 0)) for kind in KINDS}
            if after != self._held:
                numbers.write((after[KINDS[0]], after[KINDS[1]], after[KINDS[2]]))
            self._held, self._wanted = after, {}


def _behind(held: Mapping[Kind, int], taken: Mapping[Kind, Taken]) -> str | None:
    """What the card lacks of what was taken, in words."""
    lacks = []
    for kind, highest in held.items():
        number = taken[kind].number if kind in taken else 0
        if number < highest:
            lacks.append(f"{kind.value} number {highest}, and the card has {number or 'none'}")
    if not lacks:
        return None
    return (
        f"the card is older than what this camera has taken, as if it was put back: {'; '.join(lacks)}. At the dock it "
        "takes the agency's newest, and nothing older"
    )
