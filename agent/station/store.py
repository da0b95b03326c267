"""The bytes the station holds: uploads that grow, and segments that are whole.

A segment appears under its name only after the uploaded bytes were fsynced, read back from disk and found to have
the digest the camera announced. Two contents under one name are both kept, the second aside.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from agent import durable
from agent.errors import StorageError, reason
from agent.station.conflicts import MAX_ASIDES, Conflicts
from agent.station.promised import promised
from agent.station.readback import holds, may_be_there, read_back
from agent.station.room import Room

LOG = logging.getLogger("bodycam.station")
MAX_SEGMENT = 80 << 20
MAX_OPEN_UPLOADS = 64
"""Unfinished uploads of one camera at the most; another one takes the place of that which rested longest."""
MAX_UNREADABLE = 3
"""Contents of one segment that are put aside as unreadable: a disk that fails again and again is not filled with it."""


class BusyError(Exception):
    """Another request is at work on this upload."""


class TooManyError(Exception):
    """The camera has too many unfinished uploads, and is at work on all of them."""


class MismatchError(Exception):
    """What was uploaded does not have the digest that was announced; it is gone."""


@dataclass(frozen=True, slots=True)
class Upload:
    """One segment on its way. `upload` is derived from the rest, so announcing it again finds what is there."""

    upload: str
    camera: str
    name: str
    sha256: str
    length: int
    done: bool = False


def upload_id(camera: str, name: str, sha256: str, length: int) -> str:
    """128 bits of SHA-256 over what the upload is."""
    return hashlib.sha256(f"{camera}\n{name}\n{sha256}\n{length}\n".encode()).hexdigest()[:32]


class Store:
    """Thread-safe within one process; the caller makes sure there is only one. Raises StorageError."""

    def __init__(self, root: Path, conflicts: Conflicts) -> None:
        self._root = root
        self._uploads = durable.make_dir(root / "uploads")
        self._segments = durable.make_dir(root / "segments")
        self._conflicts = conflicts
        self.room = Room(root)
        self._claimed: set[str] = set()
        self._synced: set[str] = set()
        """Parts of which this process knows that what is there, and their name, are durable: it made them so."""
        self._led: set[Path] = set()
        self._lock = threading.Lock()
        self.promising = threading.Lock()
        """Held while a receipt is being made: what is stored aside stays."""
        self._sweep()

    def _sweep(self) -> None:
        """Remove the parts of uploads that a cut left finished, or unannounced."""
        known = {path.stem: self._read(path.stem) for path in sorted(self._uploads.glob("*.json"))}
        for part in self._uploads.glob("*.part"):
            upload = known.get(part.stem)
            if upload is None or upload.done:
                durable.remove(part)

    # -- uploads ---------------------------------------------------------------------------------------------------

    def create(self, camera: str, name: str, sha256: str, length: int) -> Upload:
        """Announce an upload, or find the one announced before. Where the camera has too many that are unfinished, the
        bytes of that which rested longest go: they can come again. Raises TooManyError, BusyError.
        """
        identity = upload_id(camera, name, sha256, length)
        known = self.find(camera, identity)
        if known is not None:
            durable.sync_names([self._uploads / f"{identity}.json"], self._uploads)
            return known
        self._make_room(camera)
        held = [path for path in self.candidates(camera, name, sha256) if holds(path, sha256, length)]
        for path in held:
            self._sync_name(path)
        if not held:
            self.room.check(length)
            self._make_way(camera, name)
        # The part before the record, of which the sync makes this name durable too.
        fresh = not held and self._length(identity) == 0
        upload = Upload(identity, camera, name, sha256, length, bool(held))
        self._save(upload)
        if fresh:
            self._synced.add(identity)
        return upload

    def find(self, camera: str, identity: str) -> Upload | None:
        """The camera's upload of this id, or None."""
        upload = self._read(identity)
        return upload if upload is not None and upload.camera == camera else None

    def _read(self, identity: str) -> Upload | None:
        """The record of an upload; None where there is none, or it was damaged: then it is set aside, so that it keeps
        neither the station from starting nor the camera from announcing it again.
        """
        path = self._uploads / f"{identity}.json"
        try:
            upload = Upload(**json.loads(path.read_bytes()))
            announced = upload_id(upload.camera, upload.name, upload.sha256, upload.length)
            if announced != identity or type(upload.done) is not bool:
                raise ValueError("it is of another upload")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, RecursionError) as err:
            if isinstance(err, OSError) and err.errno != errno.EIO:
                raise StorageError(f"{path}: cannot read: {reason(err)}", "look at the disk and its rights") from err
            self._set_aside(path, err)
            return None
        return upload

    def _set_aside(self, path: Path, err: Exception) -> None:
        with self._lock:
            if not path.exists():
                return
            LOG.error("%s is damaged (%s): set aside as %s.damaged, its bytes come again", path, err, path.stem)
            durable.move(path, path.with_suffix(".damaged"))

    def _make_room(self, camera: str) -> None:
        """For one more upload of this camera. Raises TooManyError."""
        parts = sorted((p for p in self._uploads.glob("*.part") if self._owner(p) == camera), key=_written_ns)
        excess = len(parts) - MAX_OPEN_UPLOADS + 1
        for part in parts:
            if excess <= 0:
                return
            excess -= self._drop(part)
        if excess > 0:
            raise TooManyError

    def _drop(self, part: Path) -> bool:
        """Give up the bytes of an unfinished upload; False where somebody is at work on it."""
        try:
            with self.claim(part.stem):
                self._remove(part)
                durable.remove(part.with_suffix(".json"))
        except BusyError:
            return False
        LOG.info("the unfinished upload %s is given up for another one: its bytes can come again", part.stem)
        return True

    def _make_way(self, camera: str, name: str) -> None:
        """For one more second content of this segment: of too many the oldest goes that no receipt names. So whoever
        sends others first keeps the genuine one out no longer than until it comes. Raises BusyError while a receipt is
        being made, which may be about to name one.
        """
        asides = {path.name.split(".")[-2]: path for path in self._conflicts.asides(camera, name)}
        if len(asides) < MAX_ASIDES:
            return
        if not self.promising.acquire(blocking=False):
            raise BusyError
        try:
            kept = promised(self._root / "receipts" / camera, name, asides)
            loose = sorted((digest for digest in asides if digest not in kept), key=lambda d: _written_ns(asides[d]))
            for digest in loose[: max(0, len(loose) - MAX_ASIDES + 1)]:
                LOG.error("%s: gives way to another content of this segment: no receipt names it", asides[digest])
                self._forget_done(camera, name, digest)
                durable.remove(asides[digest])
        finally:
            self.promising.release()

    @contextmanager
    def claim(self, identity: str) -> Iterator[None]:
        """Nobody else touches this upload inside the block. Raises BusyError at once, rather than wait."""
        with self._lock:
            if identity in self._claimed:
                raise BusyError
            self._claimed.add(identity)
        try:
            yield
        finally:
            with self._lock:
                self._claimed.discard(identity)

    def offset(self, upload: Upload) -> int:
        """Bytes that are here. Within `claim`: an upload found whole but not finished (a cut in between) is
        finished first.
        """
        if upload.done and self.candidates(upload.camera, upload.name):
            return upload.length
        size = self._length(upload.upload)
        if size < upload.length:
            if upload.upload not in self._synced:
                self._sync(upload.upload)
            return size
        try:
            self.finish(upload)
        except MismatchError:
            return 0
        return upload.length

    def append(self, upload: Upload, offset: int, read: Callable[[], bytes], checksum: bytes | None = None) -> int:
        """Within `claim`: write what `read` gives, from `offset` on, fsync, and return the new offset.

        Where `read` fails, what came before it is kept. Where `checksum` (SHA-256 of this piece) does not match,
        nothing is, and MismatchError is raised. ValueError where more comes than was announced.
        """
        with self.room.promised(upload.upload, upload.length - offset) as took:
            end, keep = self._write(upload, offset, read, checksum, took)
        self._synced.add(upload.upload)
        if not keep:
            raise MismatchError
        return end

    def _write(
        self,
        upload: Upload,
        offset: int,
        read: Callable[[], bytes],
        checksum: bytes | None,
        took: Callable[[int], None],
    ) -> tuple[int, bool]:
        """Returns where what came ends, and whether it is kept: if not, nothing of it is."""
        digest, end, whole = hashlib.sha256(), offset, False
        path = self._part(upload.upload)
        with durable.storage_errors(path, "cannot write"):
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            while data := read():
                if end + len(data) > upload.length:
                    raise ValueError("more bytes than announced")
                with durable.storage_errors(path, "cannot write"):
                    durable.pwrite_all(fd, data, end)
                end += len(data)
                took(len(data))
                if checksum is not None:
                    digest.update(data)
            whole = True
        finally:
            keep = checksum is None or (whole and digest.digest() == checksum)
            with durable.storage_errors(path, "cannot write"):
                try:
                    os.ftruncate(fd, end if keep else offset)
                    os.fsync(fd)
                finally:
                    os.close(fd)
        return end, keep

    def finish(self, upload: Upload) -> Path:
        """Within `claim`: read the whole upload back, and give it its name. Raises MismatchError: it starts over. So it
        does after a StorageError which says that its bytes are lost.
        """
        part = self._part(upload.upload)
        try:
            held = read_back(part)
        except StorageError as err:
            if durable.says_lost(err):
                self._remove(part)
            raise
        if held != upload.sha256:
            self._remove(part)
            raise MismatchError
        target = self._place(part, upload)
        self._save(Upload(upload.upload, upload.camera, upload.name, upload.sha256, upload.length, True))
        self._remove(part)
        return target

    def forget(self, camera: str, name: str, sha256: str, length: int) -> None:
        """The segment is attested: its upload record has done its work."""
        durable.remove(self._uploads / f"{upload_id(camera, name, sha256, length)}.json")

    def lost(self, camera: str, name: str) -> None:
        """The disk does not give back what is stored under this name: no upload of it counts as done any longer."""
        self._forget_done(camera, name)

    def _forget_done(self, camera: str, name: str, sha256: str | None = None) -> None:
        for file in durable.names(self._uploads, ".json"):
            upload = self._read(file.removesuffix(".json"))
            of_it = upload and upload.done and (upload.camera, upload.name) == (camera, name)
            if upload and of_it and sha256 in (None, upload.sha256):
                durable.remove(self._uploads / file)

    # -- segments --------------------------------------------------------------------------------------------------

    def candidates(self, camera: str, name: str, sha256: str | None = None) -> list[Path]:
        """What is stored under this name and may have this digest: the first content, then what was kept aside; of that
        no more than are kept without a receipt, where no digest is asked for.
        """
        first = self._segments / camera / f"{name}.tar"
        asides = self._conflicts.asides(camera, name)
        wanted = asides[:MAX_ASIDES] if sha256 is None else [a for a in asides if a.name == f"{name}.{sha256}.tar"]
        return [*([first] if may_be_there(first) else []), *wanted]

    def _place(self, part: Path, upload: Upload) -> Path:
        target = durable.make_dir(self._segments / upload.camera) / f"{upload.name}.tar"
        held = self._name(part, target, upload)
        if held != upload.sha256:
            target = self._conflicts.aside(upload.camera, upload.name, upload.sha256)
            self._name(part, target, upload)
            facts = {"segment": upload.name, "held": held, "came": upload.sha256, "aside": target.name}
            self._conflicts.file(upload.camera, "two-contents", facts)
        self._sync_name(target)
        return target

    def _sync_name(self, target: Path) -> None:
        """Also where it was there already: the process that made it, or its directory, may have been killed before its
        own sync. What leads to a directory is synced once.
        """
        durable.sync_names([target], target.parent)
        if target.parent not in self._led:
            durable.sync_names([target.parent], self._root)
            self._led.add(target.parent)

    def _name(self, part: Path, target: Path, upload: Upload) -> str:
        """Give the upload this name, where it is free; returns the digest of what has it then. What the disk has lost
        gives its name up: the bytes came again.
        """
        if _link(part, target):
            return upload.sha256
        try:
            return read_back(target)
        except StorageError as err:
            before = len(self._conflicts.unreadables(upload.camera, upload.name))
            if not durable.says_lost(err) or before >= MAX_UNREADABLE:
                raise
            aside = self._conflicts.unreadable(upload.camera, upload.name, target)
            LOG.error("%s: put aside as %s, since its bytes came again", err, aside)
        facts = {"segment": upload.name, "place": target.name, "came": upload.sha256, "aside": aside.name}
        self._conflicts.file(upload.camera, "unreadable", facts)
        return upload.sha256 if _link(part, target) else read_back(target)

    def _length(self, identity: str) -> int:
        """Of the part, which is made where there is none."""
        part = self._part(identity)
        with durable.storage_errors(part, "cannot make"):
            part.touch(0o600)
            return part.stat().st_size

    def _sync(self, identity: str) -> None:
        """A part that is new, or that a process made or wrote which may have been killed before it synced it."""
        part = self._part(identity)
        with durable.storage_errors(part, "cannot sync"), part.open("rb") as file:
            os.fdatasync(file.fileno())
        durable.sync_names([part], self._uploads)
        self._synced.add(identity)

    def _remove(self, part: Path) -> None:
        """One of this name that comes after it is a new one."""
        self._synced.discard(part.stem)
        durable.remove(part)

    def _part(self, identity: str) -> Path:
        return self._uploads / f"{identity}.part"

    def _owner(self, part: Path) -> str:
        upload = self._read(part.stem)
        return upload.camera if upload else ""

    def _save(self, upload: Upload) -> None:
        durable.write_file(self._uploads / f"{upload.upload}.json", json.dumps(asdict(upload)).encode())


def _written_ns(part: Path) -> int:
    """When bytes came last; 0 where it is finished meanwhile."""
    try:
        return part.stat().st_mtime_ns
    except OSError:
        return 0


def _link(source: Path, target: Path) -> bool:
    """Give the file a second name, which the caller makes durable; False where the name is taken."""
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    except OSError as err:
        raise StorageError(f"cannot store {target}: {os.strerror(err.errno or errno.EIO)}", "check the disk") from err
    return True
