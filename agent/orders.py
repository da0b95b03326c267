"""The agency's orders as a camera takes them: who wears it, its configuration, its tags (docs/dock-format.md).

What was taken is remembered in `orders/`, so that no order comes a second time, and none that is older. Who wears the
camera is remembered in memory alone: a card tells nobody's name to whoever finds it. After a start the number of that
order is known, and its words again when the camera is next docked; the log has them, sealed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agent import durable, events
from agent.errors import AgentError, EvidenceError, StorageError
from agent.eventbody import Event
from agent.events import Actor
from agent.formats import note
from agent.formats.order import MAX_ORDER, Assignment, Configuration, Kind, Order, Tag, Tags, check, parse
from agent.ordernumbers import Highest

Say = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Taken:
    """The newest order of a kind that was taken: its number, the digest of its note, and when it was issued;
    `text_sha256` is the digest of a configuration's text as this camera will have it. Nothing that an assignment says
    is kept: the card lies in the clear.
    """

    number: int
    sha256: str
    issued_s: int
    text_sha256: str | None = None


def is_new(order: Order, sha256: str, taken: Taken | None, now_s: int) -> bool:
    """Whether an order is to be taken; False for the one that was taken last. Raises EvidenceError for one that is
    older, that contradicts the last one, or that came too late.
    """
    what = f"{order.kind.value} number {order.number}"
    if taken is not None and order.number == taken.number:
        if sha256 != taken.sha256:
            raise EvidenceError(f"{what} is another order than the one of this number that was taken")
        return False
    if taken is not None and order.number < taken.number:
        raise EvidenceError(f"{what} is older than number {taken.number}, which was taken")
    if order.expires_s and now_s >= order.expires_s:
        raise EvidenceError(f"{what} could be taken until {order.expires_s} only, and it is {now_s}")
    return True


class Book:
    """What was taken, on the disk. Raises StorageError, also where it cannot be read: then nothing may be taken."""

    def __init__(self, directory: Path) -> None:
        self._path = durable.make_dir(directory, 0o700) / "taken.json"
        self._tags = directory / "tags.note"
        self.taken = self._read()

    def take(self, kind: Kind, taken: Taken) -> None:
        """Durable when this returns."""
        after = {**self.taken, kind: taken}
        self._write(after)
        self.taken = after

    def newest_s(self) -> int:
        """It is later than this, whatever the wall clock says: an order that was taken had been signed."""
        return max((taken.issued_s for taken in self.taken.values()), default=0)

    def keep_tags(self, data: bytes) -> None:
        """The signed list, for the next start."""
        durable.write_file(self._tags, data, 0o600)

    def tags(self) -> bytes | None:
        """The list as it was signed, if there is one; it is held against the digest of what was taken."""
        with durable.storage_errors(self._tags, "cannot read"):
            try:
                with durable.opened(self._tags) as file:
                    return file.read(MAX_ORDER + 1)
            except FileNotFoundError:
                return None

    def _write(self, taken: Mapping[Kind, Taken]) -> None:
        value = {"v": 1, **{k.value: asdict(t) for k, t in taken.items()}}
        durable.write_file(self._path, json.dumps(value).encode() + b"\n", 0o600)

    def _read(self) -> Mapping[Kind, Taken]:
        with durable.storage_errors(self._path, "cannot read"):
            if not self._path.exists():
                return {}
            data = durable.read_file(self._path)
        try:
            value = json.loads(data)
            if value["v"] != 1:
                raise ValueError
            found = {kind: value[kind.value] for kind in Kind if kind.value in value}
            # Earlier versions kept an assignment's unit here.
            named = [one.pop("unit") for one in found.values() if "unit" in one]
            taken = {kind: _taken(one) for kind, one in found.items()}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise StorageError(
                f"{self._path} is damaged, so no order can be told from an old one",
                "remove it on an inspected camera, then dock: the agency's newest orders are taken anew",
            ) from None
        if named:
            self._write(taken)
        return taken


def _taken(value: dict[str, Any]) -> Taken:
    found = Taken(**value)
    if type(found.number) is not int or type(found.issued_s) is not int or not isinstance(found.sha256, str):
        raise ValueError
    return found


class Orders:
    """Not thread-safe. `accept` raises EvidenceError for what is no order for this camera, or an old one, and
    StorageError, after which the same call goes on where it was.
    """

    def __init__(
        self,
        camera: str,
        keys: note.Keys,
        book: Book,
        say: Say,
        install: Callable[[Configuration, Highest], str],
        recall: Callable[[Order, str], None],
    ) -> None:
        """`keys` are the agency's, none where this camera takes no orders; `install` checks a configuration and has it
        put in place, and returns the digest of its text. It raises AgentError for one that this camera cannot use.
        `recall` raises EvidenceError for an order, with the digest of its note, that is older than what this machine
        remembers, whatever card it has.
        """
        self._camera, self._book, self._say, self._install, self._recall = camera, book, say, install, recall
        self._keys = keys
        self.assignment: Assignment | None = None
        """Who wears it, as far as was told since this start."""
        self.tags: tuple[Tag, ...] = ()
        self._load_tags()

    def accept(self, data: bytes, now_s: int) -> Order | None:
        """Take one signed order; None where it was taken before. `now_s` is the wall clock's time."""
        if not self._keys:
            raise EvidenceError("this camera takes no orders: its configuration has no dock.config_key")
        sha256 = hashlib.sha256(data).hexdigest()
        order = self._read(data, sha256)
        self._recall(order, sha256)
        new = is_new(order, sha256, self._book.taken.get(order.kind), max(now_s, self._book.newest_s()))
        match order.body:
            case Assignment() as body:
                self._assign(order, body, sha256, new)
            case Tags() as body:
                self._list(order, body, sha256, data, new)
            case Configuration() as body:
                self._configure(order, body, sha256, new)
        return order if new else None

    def _read(self, data: bytes, sha256: str) -> Order:
        """An assignment or tags that were taken were checked then, and the key that signed them may have been retired
        since. Not so a configuration: a digest on the card is no signature, and `retire` gives each anew.
        """
        signed = note.parse(data)
        order = parse(signed.text)
        taken = self._book.taken.get(order.kind)
        if order.kind is not Kind.CONFIGURATION and taken is not None and sha256 == taken.sha256:
            return order
        return check(data, *note.signer(signed, self._keys), self._camera)

    @property
    def unit(self) -> str | None:
        """Of whoever wears it; after a start it is known again at the dock."""
        return self.assignment.unit if self.assignment else None

    def version(self, text_sha256: str) -> int | None:
        """The number of the order by which this configuration came."""
        taken = self._book.taken.get(Kind.CONFIGURATION)
        return taken.number if taken and taken.text_sha256 == text_sha256 else None

    def overruled(self, file_sha256: str | None) -> int | None:
        """The number of the agency's newest configuration where this file, as it was at the start, is another one; None
        where it is that one, or there is none.
        """
        taken = self._book.taken.get(Kind.CONFIGURATION)
        return taken.number if self._keys and taken and file_sha256 not in (None, taken.text_sha256) else None

    def told(self, now_s: int) -> dict[str, Any]:
        """For the status."""
        taken = self._book.taken.get(Kind.ASSIGNMENT)
        if taken is None:
            return {}
        body = self.assignment
        if body is None:
            return {"number": taken.number, "officer": "told again at the dock", "unit": None}
        told = {"number": taken.number, "officer": body.officer, "unit": body.unit, "shift": body.shift}
        return {**told, "over": bool(body.until_s) and now_s >= body.until_s}

    def _assign(self, order: Order, body: Assignment, sha256: str, new: bool) -> None:
        if new:
            # Said first: what is remembered and not said would be lost, what is said twice is only said twice.
            until = body.until_s or None
            self._say(events.Assignment(body.officer, body.unit, Actor.STATION, body.shift, until, order.number))
            self._book.take(Kind.ASSIGNMENT, Taken(order.number, sha256, order.issued_s))
        self.assignment = body

    def _list(self, order: Order, body: Tags, sha256: str, data: bytes, new: bool) -> None:
        if new:
            self._say(events.TagList(order.number, tuple(tag.id for tag in body.tags)))
            self._book.keep_tags(data)
            self._book.take(Kind.TAGS, Taken(order.number, sha256, order.issued_s))
        self.tags = body.tags

    def _configure(self, order: Order, body: Configuration, sha256: str, new: bool) -> None:
        text_sha256 = self._install(body, Highest(order.number, sha256))
        if new:
            self._say(events.ConfigurationTaken(text_sha256, order.number))
        taken = Taken(order.number, sha256, order.issued_s, text_sha256)
        # The same order is another text where a new version of the agent knows more keys.
        if new or self._book.taken.get(Kind.CONFIGURATION) != taken:
            self._book.take(Kind.CONFIGURATION, taken)

    def _load_tags(self) -> None:
        data = self._book.tags()
        taken = self._book.taken.get(Kind.TAGS)
        if data is None or taken is None or not self._keys or hashlib.sha256(data).hexdigest() != taken.sha256:
            return
        try:
            order = parse(note.parse(data).text)
        except AgentError:
            # Damaged, or read more strictly since an upgrade: the agency's list comes again at the dock.
            return
        if isinstance(order.body, Tags):
            self.tags = order.body.tags
