"""What the dock brings besides receipts, as the recorder uses it: the time, and the agency's orders. Each message lies
in inbox/, where everything is hostile until it is verified here.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent.clock import Clock
from agent.config import Config, dump
from agent.configchanges import Changes, LastStart
from agent.errors import AgentError, EvidenceError, StorageError, UsageError
from agent.eventbody import Event
from agent.formats import age, note
from agent.formats.order import Order
from agent.journal import Faults
from agent.lens import Lens
from agent.model import NS
from agent.orderfloor import Numbers, OrderFloor
from agent.ordermemory import OrderMemory
from agent.orders import Book, Orders
from agent.ownconfig import OwnConfig
from agent.spool import inbox
from agent.spool.requests import Requests
from agent.spool.store import Spool
from agent.status import Life
from agent.wallclock import WallClock, checker

LOG = logging.getLogger("bodycam.services")


class Services:
    """In the loop's turn, but for `told`. Raises StorageError."""

    def __init__(
        self,
        config: Config,
        file: Path | None,
        clock: Clock,
        faults: Faults,
        say: Callable[[Event], None],
        life: Life,
        lens: Lens,
        restart: Callable[[], None],
    ) -> None:
        """`file` is the configuration's, None where nobody may change it; `restart` ends this life of the recorder."""
        self._config, self._file, self._clock, self._faults = config, file, clock, faults
        self._say, self._life, self._lens, self._restart = say, life, lens, restart
        self._spool: Spool | None = None
        self._came: dict[str, Any] = {}
        # Made anew with each start, and never on the card: what the station sends to it nobody else reads there.
        self._identity = age.X25519Identity.generate()

    def open(self, spool: Spool) -> None:
        """When the spool is there."""
        if self._spool is not None:
            return
        requests = Requests(spool.root)
        try:
            self._open(spool, requests)
        except BaseException:
            # It is tried again every few seconds.
            requests.close()
            raise

    def _open(self, spool: Spool, requests: Requests) -> None:
        config = self._config
        self._requests = requests
        self._check = checker(note.parse_vkeys(*config.dock.receipt_keys), config.camera.id)
        self._wall = WallClock(self._clock, self._requests, self._say)
        self._own = OwnConfig(config, self._file, self._requests, self._restart)
        self._book = Book(spool.root / "orders")
        self._memory = OrderMemory(config.camera.id, self._file, self._requests)
        self._floor = OrderFloor(_numbers(config))
        self._keep_floor()
        keys = note.parse_vkeys(*config.dock.config_keys)
        self._orders = Orders(config.camera.id, keys, self._book, self._say, self._own.install, self._recall)
        number = self._orders.overruled(self._own.begun_with)
        words = (
            f"the configuration in force is not that of the agency's order {number}: it was changed by hand, or waits"
        )
        self._unsigned = words if number is not None else None
        # To an earlier life: it answers nothing, and cannot be opened. What still counts comes again.
        inbox.forget(spool.inbox_dir, ".time", ".order")
        self._spool, self._life.hold_clock = spool, self._requests.hold
        self._lens.relabel(self._orders.unit)

    def version(self) -> int | None:
        """The number of the order by which the configuration in force came."""
        return self._orders.version(hashlib.sha256(dump(self._config).encode()).hexdigest()) if self._spool else None

    def changes(self, spool: Spool) -> Changes:
        """Of the configuration since the last start, to be said in the log; then `remember`."""
        found = LastStart(spool.root).changes(self._config)
        self._came = {"order": self.version(), "profile": found.profile}
        if self._config.dock.config_keys and self._came["order"] is None:
            LOG.warning("the configuration in force came by no order of the agency")
        return found

    def remember(self, spool: Spool) -> None:
        LastStart(spool.root).keep(self._config)

    def tag(self, request: Mapping[str, Any]) -> str | None:
        """The id of the tag that a mark asks for, None where it asks for none. Raises UsageError for one that is not on
        the agency's list.
        """
        name = request.get("tag")
        known = [tag.id for tag in self._orders.tags] if self._spool is not None else []
        if name is not None and name not in known:
            listed = ", ".join(known) or "none: the agency has sent no list"
            raise UsageError(f"there is no tag {str(name)[:60]!r}", f"one of: {listed}")
        return name

    def step(self, spool: Spool) -> None:
        """In each turn."""
        self.open(spool)
        recording = self._life.recording is not None
        if recording:
            self._requests.hold()
        else:
            self._requests.release()
        if self._life.docked or set(self._config.dock.presence) != {"outbox"}:
            self._ask(spool)
        else:
            self._wall.forget()
        self._wall.step(recording)
        self._own.step(self._clock.monotonic_ns(), recording)
        self._show("clock", self._wall.trouble)
        self._memory.step(self._clock.monotonic_ns(), self._book.taken)
        self._keep_floor()
        self._show("configuration", self._own.trouble or self._memory.trouble or self._floor.trouble)
        self._show("unsigned", self._unsigned)

    def told(self) -> dict[str, Any]:
        """For the status, from any thread."""
        if self._spool is None:
            return {}
        tags = {t.id: {"ar": t.ar, "fr": t.fr, "en": t.en} for t in self._orders.tags}
        return {"configuration": self._came, "assignment": self._orders.told(self._clock.utc().ns // NS), "tags": tags}

    def hear(self, spool: Spool) -> None:
        """In each turn: what the uploader brought."""
        if self._spool is None:
            return
        for kind, hear in ((".time", self._hear_time), (".order", self._hear_order)):
            for path, data in inbox.messages(spool.inbox_dir, kind):
                try:
                    hear(data)
                    self._faults.cleared("orders")
                except StorageError:
                    # It stays, and is taken when the disk takes it.
                    raise
                except AgentError as err:
                    self._faults.raised("orders", err.message)
                inbox.taken(path)

    def _hear_time(self, data: bytes) -> None:
        self._wall.hear(data, self._check)

    def _hear_order(self, data: bytes) -> None:
        try:
            plain = age.decrypt(data, [self._identity])
        except AgentError:
            raise EvidenceError("an order is not encrypted to this camera as it is now") from None
        taken = self._orders.accept(plain, self._clock.utc().ns // NS)
        if taken is not None:
            self._floor.took(taken)
            # Not in the next turn: a configuration ends this life of the recorder.
            self._keep_floor()
        self._lens.relabel(self._orders.unit)

    def _keep_floor(self) -> None:
        self._floor.step(self._clock.monotonic_ns(), self._book.taken, self._life.recording is not None)

    def _recall(self, order: Order, sha256: str) -> None:
        """Raises EvidenceError for an order that is older than one this camera has taken, on whatever card."""
        self._memory.check(order, sha256)
        self._floor.check(order)

    def _ask(self, spool: Spool) -> None:
        nonce = self._wall.question()
        if nonce is not None:
            to, dock = self._identity.recipient.to_string(), self._config.dock
            pinned = [note.hash_of(vkey) for vkey in (*dock.receipt_keys, *dock.config_keys)]
            asked = {"v": 1, "boot": self._clock.boot_id, "nonce": nonce, "recipient": to, "pinned": pinned}
            spool.tell("ask.json", asked)

    def _show(self, what: str, trouble: str | None) -> None:
        if trouble:
            self._faults.raised(what, trouble)
        else:
            self._faults.cleared(what)


def _numbers(config: Config) -> Numbers | None:
    """In the TPM that counts starts, beside its counter: the index after it, or before it where that is odd."""
    sealing = config.sealing
    if sealing.rollback_counter is None:
        return None
    # Here, so that a camera without a TPM loads nothing of one.
    from agent.tpm.device import Tpm
    from agent.tpm.numbers import NvNumbers

    return NvNumbers(Tpm(sealing.tpm_device), sealing.rollback_counter ^ 1)
