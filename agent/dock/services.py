"""What the dock brings besides receipts: the signed time, and the agency's orders. The uploader carries them from the
station to inbox/, and understands none: the recorder checks them.

Orders name people, and inbox/ lies on the card: they come encrypted to a key that the recorder makes anew at each start
and holds in memory alone. The station encrypts them, so that the uploader neither reads a name nor needs a library for
it. What comes in the clear is not written.
"""

from __future__ import annotations

import hashlib
import json
import logging
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from agent import durable
from agent.dock.station import RefusedError, TryAgainError, is_of_all
from agent.errors import AgentError, KeyTrustError, StationError
from agent.formats import bech32
from agent.formats.order import ENCRYPTED, MAX_PINNED, MAX_SEALED, Kind
from agent.formats.signedtime import MAX_TIME, NONCE
from agent.model import NS

LOG = logging.getLogger("bodycam.uploader")
MAX_ASK = 4096
ORDERS_NS = 60 * NS
"""In the dock orders are asked for so often, and what the station refuses, the time too."""
AGAIN_NS = 5 * NS
"""And the time, where the station did not answer."""
SPREAD = 0.5
"""Each wait is up to half as long again, at random: cameras that were docked together ask at different moments."""
_HASH = re.compile(r"[0-9a-f]{8}")
_RECIPIENT = re.compile(r"age1[02-9ac-hj-np-z]{58}")


@dataclass(frozen=True, slots=True)
class Question:
    """What the recorder asks: the time, for this nonce, and orders, encrypted to this key. It says which keys it
    believes, by the hashes of their verifier keys.
    """

    nonce: str
    to: str
    pinned: tuple[str, ...] = ()


class Station(Protocol):
    """Raises TryAgainError, RefusedError, UntrustedError, HaltedError."""

    def signed_time(self, nonce: str) -> bytes: ...

    def order(self, kind: Kind, asked: Question) -> bytes:
        """Encrypted to the recipient."""


def read_question(outbox: Path, boot_id: str) -> Question | None:
    """`ask.json` as the recorder writes it; None where there is none of this boot."""
    try:
        with durable.opened(outbox / "ask.json") as file:
            told = json.loads(file.read(MAX_ASK))
        if told["boot"] != boot_id or not NONCE.fullmatch(told["nonce"]) or not _RECIPIENT.fullmatch(told["recipient"]):
            return None
        bech32.decode(told["recipient"])
        pinned = tuple(word for word in told.get("pinned", [])[:MAX_PINNED] if _HASH.fullmatch(word))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, KeyTrustError):
        return None
    return Question(told["nonce"], told["recipient"], pinned)


class Services:
    """For one visit, on a thread of its own: an answer about the time must not wait behind a segment."""

    def __init__(
        self,
        spool: Path,
        station: Station,
        boot_id: str,
        mono_ns: Callable[[], int],
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._outbox, self._inbox = spool / "outbox", spool / "inbox"
        self._station, self._boot_id, self._mono_ns = station, boot_id, mono_ns
        self._uniform = uniform
        self._answered = ""
        self._again_ns = 0
        self._due_ns = dict.fromkeys(Kind, 0)
        self._asked_ns = dict.fromkeys(Kind, 0)
        self._told: dict[Kind | None, str] = {}

    def step(self) -> None:
        """Whatever is due now. Raises nothing: the visit goes on."""
        asked, now = read_question(self._outbox, self._boot_id), self._mono_ns()
        if asked is None:
            return
        if asked.nonce != self._answered and now >= self._again_ns:
            self._again_ns = self._after(now, AGAIN_NS)
            if not self._goes(None, lambda: self._bring_time(asked), now):
                return
        # What was asked for last comes last: one kind that fails keeps no other away, whatever the station says of it.
        for kind in sorted(Kind, key=lambda kind: self._asked_ns[kind]):
            if now >= self._due_ns[kind]:
                self._asked_ns[kind], self._due_ns[kind] = now, self._after(now, AGAIN_NS)
                if not self._goes(kind, partial(self._bring_order, kind, asked, now), now):
                    return

    def _goes(self, what: Kind | None, bring: Callable[[], None], now: int) -> bool:
        """Whether the station may be asked for anything else now, after one kind of order, or None, the time."""
        try:
            bring()
        except AgentError as err:
            # The visit itself says in the progress what is wrong with the station.
            if self._is_news(what, err.message):
                LOG.info("no time or orders: %s", err.message)
            if isinstance(err, RefusedError):
                self._later(what, self._after(now, ORDERS_NS))
            if is_of_all(err):
                least_s = err.retry_after_s if isinstance(err, TryAgainError) else 0.0
                later_ns = self._after(now, max(AGAIN_NS, round(least_s * NS)))
                self._again_ns = max(self._again_ns, later_ns)
                self._due_ns = {kind: max(due_ns, later_ns) for kind, due_ns in self._due_ns.items()}
                return False
        except Exception as err:
            if self._is_news(what, repr(err)):
                LOG.exception("no time or orders")
        return True

    def _is_news(self, what: Kind | None, why: str) -> bool:
        """Each has words of its own, and is asked for again and again: the journal has them once."""
        before, self._told[what] = self._told.get(what), why
        return why != before

    def _later(self, what: Kind | None, at_ns: int) -> None:
        if what is None:
            self._again_ns = at_ns
        else:
            self._due_ns[what] = at_ns

    def _after(self, now_ns: int, least_ns: int) -> int:
        """A moment that long from now, or somewhat later."""
        return now_ns + round(least_ns * (1 + self._uniform(0.0, SPREAD)))

    def _bring_time(self, asked: Question) -> None:
        data = self._station.signed_time(asked.nonce)
        _check(data, MAX_TIME)
        self._leave(data, "time")
        self._answered, self._again_ns = asked.nonce, 0

    def _bring_order(self, kind: Kind, asked: Question, now: int) -> None:
        try:
            data = self._station.order(kind, asked)
        except RefusedError as err:
            if err.status != 404:
                raise
            # The agency has ordered nothing of this kind.
            self._due_ns[kind] = self._after(now, ORDERS_NS)
            return
        if not data.startswith(ENCRYPTED):
            raise StationError(f"the station's order ({kind.value}) is not encrypted", "ask the station")
        _check(data, MAX_SEALED)
        self._leave(data, "order")
        self._due_ns[kind] = self._after(now, ORDERS_NS)

    def _leave(self, data: bytes, kind: str) -> None:
        durable.write_file(self._inbox / f"{hashlib.sha256(data).hexdigest()}.{kind}", data, 0o644)


def _check(data: bytes, limit: int) -> None:
    if len(data) > limit:
        raise StationError(f"the station's answer has {len(data)} bytes, more than {limit}", "ask the station")
