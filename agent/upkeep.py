"""What the vault is owed in each turn: what the disk refused, receipts, the next epoch, deletion, room; and what is
wrong with any of it, shown.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from agent.beginning import Beginning
from agent.cardroom import CardRoom
from agent.clock import Clock
from agent.config import Config
from agent.controls.patterns import Delivery
from agent.diary import Diary
from agent.errors import AgentError, DeviceError, EncryptionError, EvidenceError, StorageError
from agent.journal import Faults, Journal
from agent.lens import Lens
from agent.loop import Loop
from agent.model import NS
from agent.services import Services
from agent.spool import clearing, evicting
from agent.spool.evicting import Eviction
from agent.spool.sender import Sender, lives
from agent.spool.stray import strays
from agent.status import Life, delivery, lacking, refusal, sends, visits
from agent.vault import Vault

MINUTE_NS = 60 * NS
PROBE_NS = NS // 2
"""With a turn of the loop, and what the vigil then waits for an answer, this is told within two seconds."""
EVENT_ROTATION_NS = 24 * 3600 * NS
MEND_NS = 10 * NS
"""Between two looks at tiles that the uploader says the card lacks."""
LEFT_NS = 10 * NS
"""So long after the uploader's last word that it is at the station it has left."""
OWED_NS = MINUTE_NS
"""The next log waits no longer than this for what the disk refuses of the one before."""
NOBODY_SENDS = "no uploader starts, or each one ends again before long: see journalctl -u bodycam-uploader"


class Upkeep:
    """In the loop's turn."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        loop: Loop,
        faults: Faults,
        journal: Journal,
        diary: Diary,
        life: Life,
        lens: Lens,
        services: Services,
        room: CardRoom,
        beginning: Beginning,
    ) -> None:
        self._config, self._clock, self._loop, self._faults = config, clock, loop, faults
        self._journal, self._diary, self._life, self._lens = journal, diary, life, lens
        self._services, self._room, self._beginning, self._sender = services, room, beginning, Sender()
        self._finds = set(config.dock.presence) != {"outbox"}
        self._at_ns: int | None = None
        self._sent_ns: int | None = None
        self._mended_ns: int | None = None
        self._opens = False
        self._probed_ns: int | None = None
        self._owing_ns: int | None = None
        self._refuses = False
        self._lacking = ""
        self._eviction = Eviction(config.control.socket.parent / evicting.REQUEST)

    def open(self, vault: Vault) -> None:
        """Once, as soon as the log is open: what it begins with. What fails of it is tried again."""
        self._diary.opens()
        self._beginning.begin(leaves=lambda: self.say_first(vault), room=lambda: self.begin(vault))

    def say_first(self, vault: Vault) -> None:
        """Once, when the log is open. Where it raises, nothing was said."""
        self._diary.begin(self._config, self._services.version(), self._services.changes(vault.spool))
        self._loop.attempt("services", lambda: self._services.remember(vault.spool))

    def begin(self, vault: Vault) -> None:
        """Once, when the log is open."""
        self._keep_reserve(vault)
        self._loop.attempt("retention", lambda: self._tell_room(vault))
        self._loop.attempt("stray", lambda: self._look_for_strays(vault))
        if vault.began:
            self._faults.raised("epoch", f"a new log begins, the old one cannot go on: {vault.began}")
        if vault.rollback:
            self._faults.raised("rollback", vault.rollback)
        self._life.minute_ns = self._life.rotated_ns = self._clock.monotonic_ns()

    def settle(self, vault: Vault) -> None:
        """In each turn, first: what is owed to the log, and what the station sent. What failed rests two seconds."""
        self._loop.step("sealing", lambda: self._seal(vault))
        self._loop.step("log", self._settle_log)
        self._probe(vault)
        self._loop.step("delivery", lambda: self._accept_receipts(vault))
        self._loop.step("renewal", lambda: self._renew(vault))
        self._loop.attempt("retention", vault.look_at_delivered)

    def each_turn(self, vault: Vault) -> None:
        """In each turn, last: what comes once a minute or a day, and what is wrong."""
        now, life = self._clock.monotonic_ns(), self._life
        if now - life.minute_ns >= MINUTE_NS:
            life.minute_ns = now
            self._each_minute(vault)
        elif vault.more_to_delete and now - self._room.retained_ns >= NS:
            self._loop.step("retention", lambda: self._room.retain(vault, at_leisure=True))
        if not life.recording and now - life.rotated_ns >= EVENT_ROTATION_NS:
            life.rotated_ns = now
            vault.sealer.seal_open()
        self._show("identity", vault.identity_trouble)
        trouble = self._lens.overlay_trouble
        self._show("overlay", DeviceError(trouble) if trouble else None)
        volume = self._lens.gain_trouble
        self._show("gain", DeviceError(volume) if volume else None)
        self._show("counter", vault.counter_trouble)
        self._show("records", vault.damaged)
        with contextlib.suppress(StorageError):
            # An inbox that cannot be read is the fault `delivery`.
            self._show("upload", refusal(vault))
            self._lacking = lacking(vault)
            # Of what is being recorded nothing is handed over yet.
            waits = life.recording or not life.at_station
            life.delivery = Delivery.WAITING if waits else delivery(vault)
        alive = lives(vault.spool.inbox_dir)
        self._visit(vault, alive is True)
        silent = self._sender.silent(alive, life.docked, now)
        self._show("uploader", DeviceError(NOBODY_SENDS) if silent else None)

    def _visit(self, vault: Vault, alive: bool) -> None:
        """Where something else than the recorder's contact tells the uploader of the dock, its word says when it is
        there: as at a contact, what is open is sealed, so that it can be sent too. A recording goes on all the same.
        """
        now, life, before_ns = self._clock.monotonic_ns(), self._life, self._at_ns
        with contextlib.suppress(StorageError):
            if alive and self._finds:
                self._at_ns = now if visits(vault) else before_ns
                self._sent_ns = now if sends(vault) else self._sent_ns
        # It may come and go as often as it says: the card is not to wear out by it.
        life.visits, life.sends = (at is not None and now - at < LEFT_NS for at in (self._at_ns, self._sent_ns))
        if life.visits and (before_ns is None or now - before_ns >= MINUTE_NS):
            self._opens = True
        if self._opens and not life.recording:
            self._opens = False
            self._loop.attempt("sealing", vault.sealer.seal_open)

    def _settle_log(self) -> None:
        try:
            self._journal.settle()
        except EncryptionError as err:
            # By its own name too: a camera that cannot encrypt is not ready.
            self._faults.raised("encryption", err.message)
            raise

    def _probe(self, vault: Vault) -> None:
        """What a press would need, twice a second while nothing is recorded: the officer is not to be the first to find
        it missing, or waiting. Nothing is written for it; what only a write shows, the next heartbeat meets.
        """
        now = self._clock.monotonic_ns()
        if self._life.recording:
            # How long it took before says nothing of after.
            self._life.answer_ns = 0
            return
        if self._probed_ns is not None and now - self._probed_ns < PROBE_NS:
            return
        self._probed_ns = self._life.probing_ns = now
        self._loop.act("encryption", vault.sealer.check_encryption)
        takes = self._loop.attempt("storage", lambda: self._check_storage(vault))
        if takes:
            # That a full card has room again the next minute tells: it must not come and go with each leaf.
            asked = self._loop.act if self._refuses else self._loop.attempt
            asked("storage", lambda: self._room.check(vault))
        self._refuses = not takes
        self._life.answer_ns = self._clock.monotonic_ns() - now
        self._life.probing_ns = None

    def _check_storage(self, vault: Vault) -> None:
        """A signer that fails is told as a disk that refuses."""
        vault.sealer.check_signer()
        vault.sealer.check_disk()

    def _seal(self, vault: Vault) -> None:
        """What the disk refused of stop leaves, sealing and tiles is tried again, and shown until it is done."""
        sealer = vault.sealer
        # While it records, the sealing thread does it between two parts; or meets a refusal, which is tried again here.
        if sealer.owes and (sealer.refused or not self._life.recording):
            sealer.settle()
        if sealer.refused:
            raise sealer.refused

    def _each_minute(self, vault: Vault) -> None:
        if not (self._life.recording or self._journal.owes or self._refuses):
            self._loop.act("storage", lambda: self._room.find(vault))
        self._loop.act("retention", lambda: self._room.retain(vault, at_leisure=True))
        self._keep_reserve(vault)
        self._loop.attempt("retention", lambda: self._tell_room(vault))
        self._loop.attempt("stray", lambda: self._look_for_strays(vault))

    def _look_for_strays(self, vault: Vault) -> None:
        try:
            found = strays(vault.spool)
        except StorageError:
            # That is no stray: whoever needs what is there tells of a disk that does not let it be looked at.
            return
        words = f"of no camera, and passed over: {', '.join(found)} of {vault.spool.root}"
        self._show("stray", EvidenceError(words) if found else None)

    def _tell_room(self, vault: Vault) -> None:
        life = self._life
        life.room = self._room.room(vault)
        # What is shown and what is logged is one edge, and no figure that wavers about it.
        life.room_edge = life.room.edge(life.room_edge)
        self._diary.room(life.room, life.room_edge)
        self._eviction.look(life.room_edge, self._clock.monotonic_ns())

    def _keep_reserve(self, vault: Vault) -> None:
        self._show("reserve", vault.keep_reserve())

    def _accept_receipts(self, vault: Vault) -> None:
        try:
            delivered, refusals = vault.accept_receipts()
        finally:
            # Also where the disk takes no receipt: what fills inbox/ may be the reason.
            self._clear(vault.spool.inbox_dir)
        self._life.delivered += delivered
        if refusals:
            self._faults.raised("receipt", refusals[0])
        elif delivered and not vault.unshown:
            self._faults.cleared("receipt")
        if delivered and not vault.behind:
            self._faults.cleared("epoch")
        self._services.hear(vault.spool)

    def _clear(self, inbox_dir: Path) -> None:
        kinds = clearing.clear(inbox_dir)
        refused = f"no message, and refused: {', '.join(kinds)} in {inbox_dir}"
        self._show("inbox", EvidenceError(refused) if kinds else None)

    def _renew(self, vault: Vault) -> None:
        """Where a station saw more of the log than the card holds, or the card lost a part of it that nothing else has,
        the next one begins, ending nothing that runs. What the journal owes, as a mark that the disk refused, goes into
        the log of its recording first. Where the disk refuses it for a minute, the next log begins all the same, and
        says it: a camera in the dock is not kept from it by what the disk may never take.
        """
        now = self._clock.monotonic_ns()
        rested = self._mended_ns is None or now - self._mended_ns >= MEND_NS
        if self._lacking and rested and self._life.at_station and not self._life.recording:
            # Some segments may have to be read through: only at the station the loop has the time. The uploader may
            # name one tile after another, of which none lacks.
            self._mended_ns = now
            vault.mend(self._lacking)
        if vault.behind:
            self._faults.raised("epoch", vault.behind)
            if self._may_renew():
                vault.renew()
                self._owing_ns = None
                self._diary.opens()
                # That is done once: what fails of this keeps its own turn.
                self._beginning.begin(leaves=lambda: self._diary.begin(self._config, self._services.version()))
                if self._life.at_station:
                    # So that the station learns of it at this visit.
                    vault.sealer.seal_open()

    def _may_renew(self) -> bool:
        now = self._clock.monotonic_ns()
        if self._life.recording or not self._journal.owes:
            self._owing_ns = None
            return not self._life.recording
        self._owing_ns = now if self._owing_ns is None else self._owing_ns
        return now - self._owing_ns >= OWED_NS

    def _show(self, what: str, error: AgentError | None) -> None:
        if error:
            self._faults.raised(what, error.message)
        else:
            self._faults.cleared(what)
