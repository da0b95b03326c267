"""One epoch as this session writes it: the log, the sealer, and the leaves that come before all others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from agent import __version__, events
from agent.clock import Clock
from agent.epochs import Epochs, Stand
from agent.errors import StorageError
from agent.formats import note
from agent.formats.epoch import number_of
from agent.formats.leaf import Kind
from agent.headway import gone_on
from agent.losttile import remake
from agent.model import SegmentState
from agent.openings import Opening
from agent.recovery import Recovered
from agent.sealing.log import Log
from agent.sealing.sealer import Sealer, SealerSettings
from agent.sealing.session import Session
from agent.sealing.writer import with_reserve
from agent.spool.store import Spool
from agent.startcounter import StartCounter

MAX_NAMED = 60
"""Segments one leaf names at the most, so that it stays below 16 KiB."""


class Logbook:
    """Not to be written before `begin` came to its end. `began` says why this epoch began, where it does so now."""

    def __init__(
        self,
        stand: Stand,
        epochs: Epochs,
        spool: Spool,
        session: Session,
        identity_every_ns: int,
        settings: SealerSettings,
        counter: StartCounter,
        clock: Clock,
        on_durable: Callable[[int], None],
        on_late: Callable[[StorageError], None],
    ) -> None:
        self.origin, self.epoch = stand.origin, number_of(stand.origin)
        self.log = Log(stand.origin, session, stand.tiles, identity_every_ns)
        self.sealer = Sealer(settings, self.log, clock, on_durable, stand.outcome.unannounced, on_late)
        # What the tiles hold is read while parts are appended by another thread.
        self.trust = replace(
            epochs.trust(stand.origin, stand.tiles), root_at=self.sealer.root_at, size=lambda: self.log.next_index
        )
        self.began = stand.opening.detail if stand.opening else None
        self._spool, self._own, self._stand, self._session = spool, epochs.own, stand, session
        self._reserve = settings.log_reserve
        self._counter = counter
        self._first: deque[Callable[[], object]] = deque([self._say_session, counter.count, self._write_chain])
        self._first += [partial(self._say_recovered, found) for found in stand.outcome.recovered]
        if stand.opening:
            self._first += [partial(self._say_why, stand.opening), self._name_kept, partial(epochs.said, self.origin)]

    def begin(self) -> None:
        """This session's first leaves. Raises StorageError, after which the same call goes on where it was."""
        while self._first:
            self._first[0]()
            self._first.popleft()
            gone_on()
        # The checkpoint beside the tiles is now this session's, as the chain beside it is.
        self.sealer.flush_tiles()

    def remake(self, lacking: str) -> bool:
        """As `losttile.remake`."""
        return remake(self._spool, self._own, self._stand.tiles, self.epoch, lacking)

    def start_recording(self, body: Mapping[str, Any]) -> str:
        """The start leaf, counted by the hardware where that is asked for. Raises StorageError."""
        try:
            name = self.sealer.start_recording(body, self._counted)
        except BaseException:
            self._counter.withdraw()
            raise
        self._counter.count()
        return name

    def _counted(self, index: int) -> Mapping[str, Any]:
        counter = self._counter.claim_recording(self.epoch, index)
        return {} if counter is None else {"counter": counter}

    def head(self) -> note.Checkpoint:
        """The log as it stands."""
        return note.Checkpoint(self.origin, self.log.next_index, self.log.frontier.root())

    def _write_chain(self) -> None:
        """After the leaf, whose checkpoint vouches for the tree before it: a cut in between leaves a checkpoint beside
        the tiles whose own chain is gone.
        """
        with_reserve(self._reserve, lambda: self._stand.tiles.write_chain(self._session.chain_pem))

    def _say_session(self) -> None:
        resumes, opening, newest = None, self._stand.opening, self._spool.newest_receipt()
        if self.log.next_index:
            resumes = {"size": self.log.next_index, "root": note.b64(self.log.frontier.root())}
        facts: dict[str, Any] = {
            "session_cert": self._session.cert_sha256,
            "resumes": resumes,
            "receipt": newest.stem if newest else None,
            "agent": __version__,
        }
        ended = None
        if opening and resumes is None:
            facts["epoch"] = opening.link.facts()
            old = opening.link.left or opening.link.follows
            ended = number_of(old.origin), old.size
        index = self.log.next_index
        counter = with_reserve(self._reserve, lambda: self._counter.claim(self.epoch, index, ended))
        if counter is not None:
            facts["counter"] = counter
        self.sealer.event(Kind.SESSION, events.Session().body(), None, facts)

    def _say_recovered(self, found: Recovered) -> None:
        self.sealer.event(Kind.RECOVERY, events.Recovery().body(), found.cut_recording, found.facts())

    def _say_why(self, opening: Opening) -> None:
        self.sealer.event(Kind.EVENT, events.Epoch(opening.detail).body())

    def _name_kept(self) -> None:
        """What earlier epochs left over, by the seal records on the card, which nobody signed and nobody reads the
        bytes against here: a start would take too long.
        """
        left = [r for r in self._spool.records(SegmentState.SEALED) if r.epoch < self.epoch]
        for start in range(0, len(left), MAX_NAMED):
            # Not which leaves it holds: verifiers would find a place for it in a log that it may never have had.
            named = [
                {"segment": r.segment, "epoch": r.epoch, "size": r.size, "sha256": r.sha256, "whole": not r.kept}
                for r in left[start : start + MAX_NAMED]
            ]
            self.sealer.event(Kind.KEPT, events.Kept().body(), None, {"segments": named})
