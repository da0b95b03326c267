"""Plaintext of entries: only what is authentic and matches its leaf ever leaves this file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.errors import AgentError, EvidenceError, KeyTrustError, UsageError
from agent.evidence.blobs import Window, read_small, said_of
from agent.evidence.entries import Entries, assemble
from agent.evidence.layout import Layout, Member, Scanner
from agent.formats import age, pack
from agent.formats import leaf as leaves

MAX_KEY_FILE = 1 << 20


@dataclass(frozen=True, slots=True)
class Opened:
    """One entry or the init: its plaintext, or why there is none. `no_key` where no identity fits."""

    name: str
    index: int | None
    leaf: leaves.Leaf | None
    data: bytes | None
    problem: str = ""
    no_key: bool = False


def load_identities(*paths: Path) -> list[age.Identity]:
    """The secret keys of age identity files. Raises KeyTrustError, which never shows a file's content."""
    return [identity for path in paths for identity in _load_identities(path)]


def _load_identities(path: Path) -> list[age.Identity]:
    hint = "name an age identity file, as for `age -d -i`"
    try:
        return age.parse_identity_file(read_small(path, MAX_KEY_FILE).decode("utf-8"))
    except UnicodeDecodeError:
        raise KeyTrustError(f"identity file {path} is not text", hint) from None
    except KeyTrustError as err:
        raise KeyTrustError(f"{path}: {err.message}", err.hint or hint) from None
    except UsageError:
        raise
    except AgentError as err:
        raise KeyTrustError(f"identity file {path}: {said_of(path, err)}", hint) from err


def load_recipients(named: Sequence[str], path: Path | None) -> list[age.Recipient]:
    """Those on a command line and those in a file. Raises KeyTrustError, UsageError for none at all."""
    found = [age.parse_recipient(text) for text in named]
    if path is not None:
        try:
            found += age.parse_recipient_file(read_small(path, MAX_KEY_FILE).decode("utf-8"))
        except UnicodeDecodeError:
            raise KeyTrustError(f"recipients file {path} is not text", "name a file as for `age -R`") from None
        except KeyTrustError as err:
            raise KeyTrustError(f"{path}: {err.message}", err.hint) from None
    if not found:
        raise UsageError("nobody to rewrap for", "name an age recipient with -r, or a file of them with -R")
    return found


class SegmentOpener:
    """The entries of one segment in the clear, one in memory at a time. Damage is stepped over, and named."""

    def __init__(self, window: Window, identities: Sequence[age.Identity]) -> None:
        self._window, self._identities = window, identities
        self.layout: Layout = Scanner(window).run()
        self.entries: Entries = assemble(window, self.layout)

    def init(self) -> Opened | None:
        """The recording's ftyp and moov; None in an event segment."""
        member = self.layout.head(pack.INIT)
        if member is None:
            if self.entries.inits:
                return Opened(pack.INIT, None, None, None, "is missing or its header is altered")
            return None
        data = self._read(member)
        digest = hashlib.sha256(data).hexdigest()
        if self._window.lacks(member.data, member.size):
            return Opened(member.name, None, None, None, f"cannot be read: {self._window.why}")
        if self.entries.most(self.entries.inits, digest) != digest:
            return Opened(member.name, None, None, None, "is not the one its leaves name")
        return self._decrypt(member.name, None, None, data)

    def each(self, wanted: Sequence[int] | None = None) -> Iterator[Opened]:
        """Every entry, or those of the given indexes, in order of index."""
        for index in self.entries.indexes if wanted is None else wanted:
            yield self.entry(index)

    def leaf(self, index: int) -> leaves.Leaf | None:
        """The leaf as it stands, where it can be read and is of this index."""
        member = self.entries.slots.get(index, {}).get("json")
        if member is None:
            return None
        try:
            leaf = self.entries.media.get(member.offset) or leaves.parse(self._read(member))
        except EvidenceError:
            return None
        return leaf if leaf.common.index == index else None

    def entry(self, index: int) -> Opened:
        leaf, member = self.leaf(index), self.entries.slots.get(index, {}).get("age")
        name = member.name if member else f"{index:010d}.age"
        if leaf is None:
            return Opened(name, index, None, None, "has no leaf that can be read")
        if member is None:
            return Opened(name, index, leaf, None, "is missing")
        data, wanted = self._read(member), leaf.common.sealed
        if self._window.lacks(member.data, member.size):
            return Opened(name, index, leaf, None, f"cannot be read: {self._window.why}")
        if not wanted.names(data):
            return Opened(name, index, leaf, None, "is not what its leaf says")
        return self._decrypt(name, index, leaf, data)

    def _decrypt(self, name: str, index: int | None, leaf: leaves.Leaf | None, data: bytes) -> Opened:
        try:
            plain = age.decrypt(data, self._identities)
            if isinstance(leaf, leaves.EventLeaf):
                # The salt in front keeps its secret: what is handed out is the JSON alone.
                leaves.open_body(plain, leaf.body)
                plain = plain[leaves.SALT_SIZE :].rstrip(b" ") + b"\n"
        except KeyTrustError as err:
            return Opened(name, index, leaf, None, err.message, no_key=True)
        except EvidenceError as err:
            return Opened(name, index, leaf, None, err.message)
        return Opened(name, index, leaf, plain)

    def _read(self, member: Member) -> bytes:
        return self._window.at(member.data, member.size)
