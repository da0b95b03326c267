"""What the uploader leaves for the recorder. The recorder owns the evidence, so everything in here is hostile
until proven.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from agent import durable
from agent.errors import EvidenceError
from agent.formats import merkle, note, receipt
from agent.formats.epoch import split
from agent.formats.seal import SealRecord
from agent.spool import possession
from agent.spool.sender import LOCK

ReadHead = Callable[[bytes], note.Checkpoint]
MAX_MESSAGE = 64 << 10
MAX_LISTED = 64
MAX_ENTRIES = 512
"""Messages of a whole night that no recorder read are fewer."""
MAX_LOOKED_AT = 2 * MAX_ENTRIES
"""Of more, no turn of the recorder's loop sees the rest: it must not wait for whoever fills a directory."""
MAX_OTHER = 4 << 20
"""Of a file that the recorder does not read: what the uploader remembers for itself stays far below. The kernel lets it
make no larger one (LimitFSIZE in systemd/bodycam-uploader.service).
"""
_READ = (".receipt", ".checkpoint", ".time", ".order")
PROGRESS = "progress.json"
REMEMBERED = (PROGRESS, "uploads.jsonl", LOCK)
"""What the uploader keeps there under one name each: nobody takes it away."""
_KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISSOCK, "a socket"),
)


def messages(directory: Path, suffix: str) -> Iterator[tuple[Path, bytes]]:
    """Regular files of at most 64 KiB whose name ends in `suffix`, at most 64 a call, of the first 1,024 entries;
    links, pipes and larger files are passed over. Raises StorageError where the directory cannot be read.
    """
    found = (entry for entry in _entries(directory) if entry.name.endswith(suffix) and not entry.name.startswith("."))
    names = sorted(entry.name for entry in found if entry.is_file(follow_symlinks=False))
    # What is passed over must not hide what is not: the 64 are counted after that.
    read = ((directory / name, _read(directory / name)) for name in names)
    yield from islice(((path, data) for path, data in read if data is not None), MAX_LISTED)


def message(directory: Path, name: str) -> bytes | None:
    """The same of one file; None where it is not there, or passed over. Raises StorageError."""
    path = directory / name
    with durable.storage_errors(path, "cannot look at"), contextlib.suppress(FileNotFoundError):
        path.lstat()
        return _read(path)
    return None


def taken(path: Path) -> None:
    """It was read, and goes. Not durably, which would cost each message a write: one that comes back is read again, and
    changes nothing. Raises StorageError.
    """
    with durable.storage_errors(path, "cannot remove"):
        path.unlink(missing_ok=True)


def forget(directory: Path, *suffixes: str) -> None:
    """What nobody is to read any more goes, of the first 1,024 entries, and not durably, as in `taken`: a start must
    not wait for whoever fills a directory. What does not go is met again. Raises StorageError where it cannot be read.
    """
    for entry in _entries(directory):
        if entry.name.endswith(suffixes):
            with contextlib.suppress(OSError):
                os.unlink(entry.path)


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    """The first of them, in the directory's own order."""
    with durable.storage_errors(directory, "cannot list"), os.scandir(directory) as entries:
        return list(islice(entries, MAX_LOOKED_AT))


def _read(path: Path) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_MESSAGE:
            return None
        data = os.read(fd, MAX_MESSAGE + 1)
        return data if len(data) <= MAX_MESSAGE else None
    except OSError:
        return None
    finally:
        with contextlib.suppress(OSError):
            os.close(fd)


@dataclass(frozen=True, slots=True)
class Found:
    """An entry; of a link, the link itself. `kind` is "" for what the uploader may leave, `used` is in bytes of
    the card, and `own` true for a message, and what the uploader is known to remember for itself.
    """

    name: str
    mode: int
    used: int
    kind: str
    own: bool


def look(directory: Path) -> list[Found]:
    """What lies there, as far as it is looked at. Raises StorageError where the directory cannot be read."""
    found = []
    with durable.storage_errors(directory, "cannot look into"):
        for entry in _entries(directory):
            with contextlib.suppress(FileNotFoundError):
                found.append(_found(entry.name, entry.stat(follow_symlinks=False)))
    return found


def kinds(found: Sequence[Found]) -> list[str]:
    """The kinds of what is no message, each once, sorted; never by name, which may be hostile. So many entries that
    there cannot be so many messages are one.
    """
    many = {f"more than {MAX_ENTRIES} entries"} if len(found) > MAX_ENTRIES else set()
    return sorted(({one.kind for one in found} | many) - {""})


def _found(name: str, status: os.stat_result) -> Found:
    message = name == PROGRESS or (name.endswith(_READ) and not name.startswith("."))
    kind = _kind(status, MAX_MESSAGE if message else MAX_OTHER)
    own = not kind and (message or name in REMEMBERED)
    return Found(name, status.st_mode, status.st_blocks * 512, kind, own)


def _kind(status: os.stat_result, most: int) -> str:
    return kind_of(status.st_mode) or ("a file that is too large" if status.st_size > most else "")


def kind_of(mode: int) -> str:
    """What it is, in words; "" for a regular file."""
    return "" if stat.S_ISREG(mode) else next((kind for is_it, kind in _KINDS if is_it(mode)), "a device")


@dataclass(frozen=True, slots=True)
class Trust:
    """Which log a message must be about, and of which keys it must bear one's signature. `root_at` gives this log's own
    root at a size that it had, `size` how long it is; EvidenceError where its tiles do not tell.
    """

    keys: note.Keys
    origin: str
    camera: str
    root_at: Callable[[int], bytes]
    size: Callable[[], int] = lambda: merkle.MAX_SIZE

    def earlier(self, origin: str) -> bool:
        """True for an earlier epoch of this log."""
        stem, epoch = split(self.origin)
        other, number = split(origin)
        return other == stem and number < epoch


def read_receipt(data: bytes, trust: Trust) -> tuple[receipt.Receipt, note.Checkpoint]:
    """A receipt signed by a pinned key for this camera, and the head that it cosigns. Raises EvidenceError."""
    signed = note.parse(data)
    station, key = note.signer(signed, trust.keys)
    note.verify_ed25519(signed, station, key)
    told = receipt.parse(signed.text)
    if (told.station, told.camera) != (station, trust.camera):
        raise EvidenceError(f"receipt is for {told.origin} by {told.station}")
    head = read_head(told.checkpoint, trust)
    if head.origin != told.origin:
        raise EvidenceError("the receipt cosigns another log than this one")
    return told, head


def read_head(data: bytes, trust: Trust) -> note.Checkpoint:
    """A head of any epoch of this log that the station cosigned under a pinned key. Raises EvidenceError."""
    cosigned = note.parse(data)
    note.verify_cosignature(cosigned, *note.signer(cosigned, trust.keys, note.COSIGNATURE))
    head = note.parse_checkpoint(cosigned.text)
    if split(head.origin)[0] != split(trust.origin)[0]:
        raise EvidenceError(f"a head of another log: {head.origin[:80]}")
    return head


def is_beyond(head: note.Checkpoint, trust: Trust) -> bool:
    """True where the station saw more of this log than there is here, another one, or a later epoch: then what is
    here is behind, or a fork. Raises EvidenceError where its tiles do not tell.
    """
    epoch, ours = split(head.origin)[1], split(trust.origin)[1]
    if epoch != ours:
        return epoch > ours
    return head.size > trust.size() or trust.root_at(head.size) != head.root


def check_receipt(data: bytes, trust: Trust, sealed: list[SealRecord]) -> list[SealRecord]:
    """The sealed segments this receipt proves stored: signed by a pinned key, for this log or an earlier epoch of
    it, and equal to our own seal records.

    Raises EvidenceError for a receipt that proves nothing; a line about a segment we do not have, or about other bytes
    than ours (`possession.differing`), is passed over. What an earlier epoch left over, or the card has changed
    (`kept`), is proven by its bytes alone.
    """
    return proven_by(*read_receipt(data, trust), trust, sealed)


def proven_by(
    told: receipt.Receipt, head: note.Checkpoint, trust: Trust, sealed: Sequence[SealRecord]
) -> list[SealRecord]:
    """The same of a receipt whose signature was checked."""
    if told.origin != trust.origin and not trust.earlier(told.origin):
        raise EvidenceError(f"receipt is for {told.origin} by {told.station}")
    if told.origin == trust.origin and trust.root_at(head.size) != head.root:
        raise EvidenceError(f"the receipt cosigns another log than this one, at {head.size} leaves")
    epoch, wrong = split(told.origin)[1], possession.differing(told, sealed)
    ours = {record.segment: record for record in sealed if record.segment not in wrong}
    proven = []
    for stored, kept in [(s, False) for s in told.stored] + [(s, True) for s in told.kept]:
        record = ours.get(stored.segment)
        if record is None:
            continue
        if (record.kept or record.epoch < epoch) if kept else (record.epoch == epoch and record.end <= head.size):
            proven.append(record)
    return proven
